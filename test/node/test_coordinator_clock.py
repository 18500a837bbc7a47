# SPDX-License-Identifier: Apache-2.0
"""The coordinator on hardware's clock: when the host's clock is set, the batch is held and says why."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import domain_coordinator
import pytest
import rclpy
from lifecycle_msgs.srv import ChangeState
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from mimedi_msgs.action import ProduceBatch
from mimedi_msgs.msg import Alarm, BatchStatus
from mimedi_nodes.modules.registry import config_folder
from mimedi_nodes.nodes.coordinator import CoordinatorNode
from mimedi_nodes.nodes.frame import qos
from mimedi_nodes.process.identity.identity import make_identifier

pytestmark = pytest.mark.ros
RECIPES = Path(__file__).resolve().parents[1] / "launch" / "config" / "recipes"
PATIENT = make_identifier("F1234", 26, 1)
DEADLINE_S = 20.0


class SetClock:
    """The host's clock after somebody has set it: the same clock, so many seconds further."""

    def __init__(self, clock, by_s):
        self._clock, self._by_ns = clock, int(by_s * 1e9)

    def now(self):
        return SimpleNamespace(nanoseconds=self._clock.now().nanoseconds + self._by_ns)


def test_a_batch_is_held_when_the_hosts_clock_is_set(tmp_path: Path) -> None:
    shutil.copytree(RECIPES, tmp_path / "recipes")
    shutil.copytree(config_folder() / "recipes" / "parts", tmp_path / "recipes" / "parts", dirs_exist_ok=True)
    with domain_coordinator.domain_id() as number:
        settings = {
            "site": str(config_folder() / "site" / "demo.yaml"),
            "state_dir": str(tmp_path / "state"),
            "recipes_dir": str(tmp_path / "recipes"),
            "status_period_s": 0.2,
        }
        overrides = [arg for name, value in settings.items() for arg in ("-p", f"{name}:={value}")]
        rclpy.init(args=["--ros-args", *overrides], domain_id=number)
        node, other = CoordinatorNode(), Node("other")
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.add_node(other)
        try:
            _watch_it_hold(node, other, executor)
        finally:
            executor.remove_node(node)
            node.destroy_node()
            other.destroy_node()
            executor.shutdown()
            rclpy.try_shutdown()


def _watch_it_hold(node: CoordinatorNode, other: Node, executor: SingleThreadedExecutor) -> None:
    statuses: list[BatchStatus] = []
    alarms: list[Alarm] = []
    other.create_subscription(BatchStatus, "coordinator/batch_status", statuses.append, qos.STATE)
    other.create_subscription(Alarm, "alarm_events", alarms.append, qos.EVENT)

    def until(condition, what: str) -> None:
        end_s = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end_s, f"not within {DEADLINE_S:g} s: {what}; last: {statuses[-1:]}"
            executor.spin_once(0.1)

    change = other.create_client(ChangeState, "coordinator/change_state")
    until(change.service_is_ready, "the coordinator's lifecycle")
    for transition in (1, 3):
        request = ChangeState.Request()
        request.transition.id = transition
        executor.spin_until_future_complete(future := change.call_async(request), DEADLINE_S)
        assert future.result().success, node.last_error
    produce = ActionClient(other, ProduceBatch, "coordinator/produce_batch")
    until(produce.server_is_ready, "the action")
    goal = ProduceBatch.Goal(
        recipe="short", batch_id="C1", patient_id=PATIENT, donor_id=PATIENT, patient_weight_kg=70.0,
        parameters_json="{}",
    )  # fmt: skip
    sent = produce.send_goal_async(goal)
    until(lambda: statuses and statuses[-1].state == "running", "the batch runs")
    assert sent.result().accepted
    ticks = len(statuses)
    until(lambda: len(statuses) > ticks + 3, "the clock is looked at")
    assert not alarms
    node.clock._clock = SetClock(node.clock._clock, 120.0)
    until(lambda: any(s.state == "held" for s in statuses), "the batch is held")
    held = next(s for s in statuses if s.state == "held")
    assert "process time jumped by +1" in held.hold_reason, held.hold_reason
    until(lambda: "coordinator.clock_jumped" in {a.alarm_id for a in alarms}, "the alarm")
    produce.destroy()
