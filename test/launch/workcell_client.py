# SPDX-License-Identifier: Apache-2.0
"""What launch tests need: the shipped launch file with the tests' recipes, and a client of the running workcell.

Nothing here sleeps in place of a condition: every wait names what it waits for and has a deadline in steady time.
"""

from __future__ import annotations

import json
import math
import threading
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from mimedi_msgs.action import ProduceBatch
from mimedi_msgs.msg import AlarmList, BatchStatus, GroundTruth, ModuleState, Prompt
from mimedi_msgs.srv import AnswerPrompt, CommandBatch, InjectFault, SetClock
from mimedi_nodes.modules.registry import config_folder, module_table
from mimedi_nodes.nodes.frame import qos
from mimedi_nodes.nodes.frame.conversion import seconds
from mimedi_nodes.process.identity.identity import make_identifier

LAUNCH_FILE = config_folder().parent / "launch" / "workcell.launch.py"
PATIENT = make_identifier("F1234", 26, 1)
NODES = ("recorder", *module_table(), "coordinator")
"""The managed nodes in the order of their bring-up."""
UP_S = 120.0
BATCH_S = 180.0
"""Longest waits [s of steady time] for the workcell and for a short batch, on a loaded machine."""


def workcell(run_dir: Path, **arguments: str) -> IncludeLaunchDescription:
    """Return the shipped launch file with arguments; its operator is the script of the demonstration by default."""
    given = {
        "run_dir": str(run_dir),
        "operator": f"scripted:{config_folder() / 'operators' / 'default.yaml'}",
        **arguments,
    }
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(LAUNCH_FILE)), launch_arguments=given.items())


class Steps(unittest.TestCase):
    """Tests that go on where the one before has ended: after a failure the others fail at once."""

    failed_step = ""

    def run(self, result: Any = None) -> Any:
        """Run the step and note how it went."""
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before and not self.failed_step:
            type(self).failed_step = self._testMethodName
        return result

    def setUp(self) -> None:
        """Fail when an earlier step did."""
        assert not self.failed_step, f"{self.failed_step} failed before"


class Client:
    """A person at a workcell: watches its topics, gives orders and commands.

    Args:
        namespace: of the workcell.
    """

    def __init__(self, namespace: str = "") -> None:
        self.namespace = namespace
        self.batch: BatchStatus | None = None
        self.batches: dict[str, list[BatchStatus]] = {}
        self.modules: dict[str, ModuleState] = {}
        self.prompts: list[Prompt] = []
        self.alarms: dict[str, str] = {}
        self.alarm_states: dict[str, int] = {}
        self.truth: dict[str, Any] = {}
        self.supervisor: dict[str, dict[str, str]] = {}
        self.heard_batches: set[str] = set()
        self._news = threading.Condition()
        self._context = rclpy.Context()
        rclpy.init(args=[], context=self._context)
        self.node = Node("test_client", namespace=namespace, context=self._context)
        self._subscribe()
        self._produce = ActionClient(self.node, ProduceBatch, "coordinator/produce_batch")
        services = {
            "set_clock": (SetClock, "sim/set_clock"),
            "inject_fault": (InjectFault, "sim/inject_fault"),
            "command_batch": (CommandBatch, "coordinator/command_batch"),
            "answer_prompt": (AnswerPrompt, "coordinator/answer_prompt"),
        }
        self._clients = {name: self.node.create_client(kind, topic) for name, (kind, topic) in services.items()}
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, name="client", daemon=True)
        self._thread.start()

    def _subscribe(self) -> None:
        def on(kind: type, topic: str, profile: Any, take: Callable[[Any], None]) -> None:
            def taken(message: Any) -> None:
                with self._news:
                    take(message)
                    self._news.notify_all()

            self.node.create_subscription(kind, topic, taken, profile)

        on(BatchStatus, "coordinator/batch_status", qos.STATE, self._take_batch)
        on(BatchStatus, "coordinator/batches", qos.EVENT, self._take_batches)
        on(DiagnosticArray, "supervisor/status", qos.STATE, self._take_supervisor)
        on(AlarmList, "alarms", qos.STATE, self._take_alarms)
        on(Prompt, "coordinator/prompt", qos.QUESTION, self.prompts.append)
        on(GroundTruth, "sim/truth", qos.TELEMETRY, lambda m: setattr(self, "truth", json.loads(m.data_json)))
        for module in module_table():
            on(ModuleState, f"{module}/state", qos.STATE, lambda m: self.modules.update({m.module: m}))

    def _take_batch(self, message: BatchStatus) -> None:
        self.batch = message
        self.heard_batches.add(message.batch_id)

    def _take_batches(self, message: BatchStatus) -> None:
        self.batches.setdefault(message.batch_id, []).append(message)

    def _take_alarms(self, message: AlarmList) -> None:
        self.alarms = {alarm.alarm_id: alarm.message for alarm in message.alarms}
        self.alarm_states = {alarm.alarm_id: int(alarm.state) for alarm in message.alarms}

    def _take_supervisor(self, message: DiagnosticArray) -> None:
        self.supervisor = {
            s.hardware_id: {"message": s.message, **{v.key: v.value for v in s.values}} for s in message.status
        }

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return  # the test has ended

    def close(self) -> None:
        """Leave the graph."""
        rclpy.shutdown(context=self._context)  # first: it wakes the thread out of every wait
        self._thread.join(10.0)
        assert not self._thread.is_alive(), "the client's thread does not end"
        self._executor.shutdown()
        self._produce.destroy()
        self.node.destroy_node()

    # -- waiting ----------------------------------------------------------------------------------------

    def wait(self, condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
        """Return the first true value of `condition`, asked again after each message.

        Raises:
            AssertionError: it has none within `timeout_s` [s]; with what was last seen.
        """
        end_s = time.monotonic() + timeout_s
        with self._news:
            while not (found := condition()):
                left_s = end_s - time.monotonic()
                if left_s <= 0.0:
                    raise AssertionError(f"not within {timeout_s:g} s: {what}; last seen: {self.last_seen()}")
                self._news.wait(left_s)
        return found

    def last_seen(self) -> str:
        """Return what the workcell last told, for messages."""
        batch = self.batch
        told = f"{batch.state}, {batch.phase_id}, {batch.hold_reason}, day {batch.process_day:.4f}" if batch else "none"
        states = {name: (m.state, m.step, m.last_error) for name, m in self.modules.items()}
        return (
            f"batch: {told}; supervisor: {self.supervisor.get('workcell')}; modules: {states}; alarms: {self.alarms}; "
            f"true time: {self.truth.get('time_s')}"
        )

    def wait_up(self) -> None:
        """Return when the supervisor says that the workcell is active; raises AssertionError when it failed."""
        phase = self.wait_supervisor("active", "failed")
        assert phase == "active", self.last_seen()

    def wait_supervisor(self, *phases: str) -> str:
        """Return the supervisor's phase once it is one of `phases`."""

        def seen() -> str:
            phase = self.supervisor.get("workcell", {}).get("phase", "")
            return phase if phase in phases else ""

        return str(self.wait(seen, UP_S, f"the workcell is {' or '.join(phases)}"))

    def wait_batch(self, test: Callable[[BatchStatus], Any], timeout_s: float, what: str) -> BatchStatus:
        """Return the first batch status that fulfils `test`."""
        self.wait(lambda: self.batch is not None and test(self.batch), timeout_s, what)
        assert self.batch is not None
        return self.batch

    def wait_truth(self, test: Callable[[dict[str, Any]], Any], timeout_s: float, what: str) -> dict[str, Any]:
        """Return the first truth of the plant that fulfils `test`."""
        self.wait(lambda: self.truth and test(self.truth), timeout_s, what)
        return self.truth

    # -- acting -----------------------------------------------------------------------------------------

    def order(self, batch_id: str, recipe: str = "short", **fields: Any) -> Order:
        """Order a batch; returns when the coordinator has accepted the goal."""
        goal = ProduceBatch.Goal(
            recipe=recipe,
            batch_id=batch_id,
            patient_id=PATIENT,
            donor_id=PATIENT,
            patient_weight_kg=70.0,
            parameters_json=json.dumps(fields.pop("parameters", {})),
        )
        for name, value in fields.items():
            setattr(goal, name, value)
        assert self._produce.wait_for_server(UP_S), "nobody offers produce_batch"
        sent = self._in_executor(lambda: self._produce.send_goal_async(goal))
        handle = _result(sent, 20.0, "acceptance of the order")
        assert handle.accepted
        return Order(self._in_executor(handle.get_result_async))

    def _in_executor(self, send: Callable[[], Any]) -> Any:
        """Return `send()`, called in the executor's thread: from another one an ActionClient loses replies."""
        return _result(self._executor.create_task(send), 20.0, "sending by the executor")

    def call(self, service: str, request: Any, timeout_s: float = 20.0) -> Any:
        """Call one of the workcell's services and return its reply."""
        client = self._clients[service]
        assert client.wait_for_service(timeout_s), f"nobody offers {client.srv_name}"
        return _result(client.call_async(request), timeout_s, client.srv_name)

    def command(self, command: str, why: str = "a test", batch_id: str = "") -> CommandBatch.Response:
        """Give an ISA-88 command."""
        request = CommandBatch.Request(command=command, who="tester", why=why, batch_id=batch_id)
        return self.call("command_batch", request)

    def restart(self, why: str, timeout_s: float = 60.0) -> None:
        """Let a held batch go on, as soon as that is allowed: an interlock's end is heard by each node in its turn."""

        end_s = time.monotonic() + timeout_s
        while not (answer := self.command("restart", why)).accepted:
            assert time.monotonic() < end_s, f"restart ({why}) was refused for {timeout_s:g} s: {answer.message}"
            with self._news:
                self._news.wait(0.2)

    def wait_ever(self, batch_id: str, test: Callable[[BatchStatus], Any], timeout_s: float, what: str) -> BatchStatus:
        """Return the first status of a batch that ever fulfilled `test`, of those that have been heard."""

        def first() -> BatchStatus | None:
            return next((status for status in list(self.batches.get(batch_id, ())) if test(status)), None)

        found: BatchStatus = self.wait(first, timeout_s, what)
        return found

    def change_over(self, batch_id: str, label: str) -> Prompt:
        """Answer the changeover that a batch asks for by the label that was scanned; return the question."""

        def asked() -> Prompt | None:
            own = [p for p in list(self.prompts) if p.batch_id == batch_id and p.prompt_id.startswith("changeover:")]
            answered = {p.prompt_id for p in own if not p.open}
            return next((p for p in own if p.open and p.prompt_id not in answered), None)

        prompt: Prompt = self.wait(asked, 60.0, f"batch {batch_id} asks for a changeover")
        request = AnswerPrompt.Request(
            prompt_id=prompt.prompt_id, answer=label, who="tester", why="exchanged", batch_id=batch_id
        )
        answer = self.call("answer_prompt", request)
        assert answer.accepted, answer.message
        return prompt

    def set_clock(self, *, run_until_s: float = math.nan, speed: float = math.nan, paused: bool = False) -> None:
        """Let time run until a process time [s], at a speed, or stand."""
        reply = self.call("set_clock", SetClock.Request(speed=speed, paused=paused, run_until_s=run_until_s))
        assert reply.accepted, reply.message

    def start(self, batch_id: str, **fields: Any) -> Order:
        """Order a batch while time stands; returns when it runs, at its first instant."""
        self.set_clock(paused=True)
        order = self.order(batch_id, **fields)
        self.wait_batch(lambda b: b.batch_id == batch_id and b.phase_id, 20.0, f"batch {batch_id} has begun")
        return order

    def run_to(self, phase: tuple[float, float], *, share: float = 0.5) -> float:
        """Let time run into a phase and stand there; return when it stands: the process time [s].

        Args:
            phase: start and end of the phase [s].
            share: how much of the phase is to have passed.
        """
        stop_s = phase[0] + share * (phase[1] - phase[0])
        self.set_clock(run_until_s=stop_s, speed=math.inf)
        self.wait_batch(lambda b: seconds(b.stamp) >= stop_s - 1e-6, BATCH_S, f"time has come to {stop_s:.1f} s")
        return stop_s

    def fault(self, fault: str, target: str, *, active: bool) -> None:
        """Put a fault into the plant or take it away."""
        reply = self.call("inject_fault", InjectFault.Request(fault=fault, target=target, active=active))
        assert reply.accepted, reply.message


class Order:
    """A batch that was ordered.

    Args:
        result: the future of the accepted goal's result.
    """

    def __init__(self, result: Any) -> None:
        self._future = result

    def result(self, timeout_s: float = BATCH_S) -> ProduceBatch.Result:
        """Return the result; raises AssertionError when there is none within `timeout_s` [s]."""
        answer: ProduceBatch.Result = _result(self._future, timeout_s, "result of the batch").result
        return answer


def _result(future: Any, timeout_s: float, what: str) -> Any:
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    assert done.wait(timeout_s), f"no {what} within {timeout_s:g} s"
    return future.result()
