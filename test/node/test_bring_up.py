# SPDX-License-Identifier: Apache-2.0
"""Bring-up, roll-back and watch against fake nodes: every way in which a node can misbehave, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from mimedi_nodes.nodes.supervision.bring_up import (
    ACTIVATE,
    CONFIGURE,
    BringUp,
    BringUpFailed,
    Deadlines,
    Gone,
    TransitionFailed,
    Unanswered,
    change,
)
from mimedi_nodes.nodes.supervision.watch import Watch
from mimedi_sim.headless.virtual_loop import run_virtual

DEADLINES = Deadlines(
    discovery_s=5.0, configure_s=20.0, activate_s=10.0, deactivate_s=10.0, cleanup_s=10.0, answer_s=2.0
)
GOALS = {
    "configure": ("unconfigured", "inactive"),
    "activate": ("inactive", "active"),
    "deactivate": ("active", "inactive"),
    "cleanup": ("inactive", "unconfigured"),
}


class FakeNode:
    """A lifecycle node with one fault: (transition, what goes wrong)."""

    def __init__(self, name: str, log: list[str], fault: tuple[str, str] = ("", ""), takes_s: float = 0.1) -> None:
        self.name, self.log, self.fault, self.takes_s = name, log, fault, takes_s
        self.state = "unconfigured"
        self.there_after_s = 0.0
        self.deaf_until_s = -1.0
        self.dead = False

    async def found(self, timeout_s: float) -> None:
        if self.there_after_s > timeout_s:
            await asyncio.sleep(timeout_s)
            raise Gone(f"service {self.name}/get_state is not offered by anybody")
        await asyncio.sleep(self.there_after_s)

    async def get_state(self, timeout_s: float) -> str:
        if self.dead:
            raise Gone(f"{self.name} is gone")
        if asyncio.get_running_loop().time() < self.deaf_until_s:
            await asyncio.sleep(timeout_s)
            raise Unanswered(f"{self.name}/get_state did not answer")
        return self.state

    async def change_state(self, transition: str, timeout_s: float) -> bool:
        start, goal = GOALS[transition]
        assert self.state == start, f"{self.name}: {transition} was requested in {self.state}"
        self.log.append(f"{self.name}.{transition}")
        what = self.fault[1] if self.fault[0] == transition else ""
        if what == "refuses":
            return False
        if what == "hangs":
            self.deaf_until_s = float("inf")
        elif what == "dies":
            self.dead = True
        if what in ("hangs", "dies"):
            await asyncio.sleep(timeout_s)
            raise Unanswered("no answer")
        await asyncio.sleep(self.takes_s)
        if what != "lies":
            self.state = goal
        if what == "reply lost":
            await asyncio.sleep(timeout_s)
            raise Unanswered("no answer")
        return True

    def last_error(self) -> str:
        return "configure: no such port" if self.fault[1] == "refuses" else ""


def run(work: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
    """Run in virtual time; return the result and how long it took [s]."""

    async def timed() -> tuple[Any, float]:
        return await work, asyncio.get_running_loop().time()

    return run_virtual(timed())


def nodes_with(log: list[str], **faults: tuple[str, str]) -> list[FakeNode]:
    return [FakeNode(name, log, faults.get(name, ("", ""))) for name in ("recorder", "fluidics", "coordinator")]


def test_all_are_configured_in_order_then_activated_in_order_and_taken_down_in_reverse() -> None:
    log: list[str] = []
    nodes = nodes_with(log)
    bring_up = BringUp(nodes, DEADLINES, lambda name, text: None)
    run(bring_up.up())
    names = ["recorder", "fluidics", "coordinator"]
    assert log == [f"{n}.configure" for n in names] + [f"{n}.activate" for n in names]
    log.clear()
    leftovers, _ = run(bring_up.down())
    assert leftovers == []
    assert log == [f"{n}.deactivate" for n in names[::-1]] + [f"{n}.cleanup" for n in names[::-1]]


@pytest.mark.parametrize(
    ("node", "transition", "fault", "message", "rolled_back"),
    [
        ("fluidics", "configure", "refuses",
         "refused or failed to configure and is unconfigured: configure: no such port", ["recorder.cleanup"]),
        ("fluidics", "configure", "hangs", "did not configure within 20 s: it does not answer", ["recorder.cleanup"]),
        ("fluidics", "configure", "lies", "said that it could configure and is unconfigured", ["recorder.cleanup"]),
        ("fluidics", "configure", "dies", "did not configure: it is gone, its process has ended", ["recorder.cleanup"]),
        ("fluidics", "activate", "refuses", "refused or failed to activate and is inactive",
         ["recorder.deactivate", "fluidics.cleanup", "coordinator.cleanup", "recorder.cleanup"]),
        ("fluidics", "activate", "hangs", "did not activate within 10 s",
         ["recorder.deactivate", "coordinator.cleanup", "recorder.cleanup"]),
    ],
)  # fmt: skip
def test_a_failure_names_node_and_reason_and_takes_the_others_down(
    node: str, transition: str, fault: str, message: str, rolled_back: list[str]
) -> None:
    log: list[str] = []
    nodes = nodes_with(log, **{node: (transition, fault)})
    with pytest.raises(BringUpFailed, match=message) as failure:
        run(BringUp(nodes, DEADLINES, lambda name, text: None).up())
    assert failure.value.node == node
    assert log[log.index(f"{node}.{transition}") + 1 :] == rolled_back
    assert {n.state for n in nodes if n.name != node} == {"unconfigured"}
    assert ("could not be taken down" in str(failure.value)) == (fault == "hangs")


def test_a_lost_reply_does_not_fail_a_node_that_got_there() -> None:
    log: list[str] = []
    nodes = nodes_with(log, fluidics=("configure", "reply lost"))
    _, took_s = run(BringUp(nodes, DEADLINES, lambda name, text: None).up())
    assert {n.state for n in nodes} == {"active"}
    assert took_s < 3.0  # one look, not the deadline of 20 s


def test_the_first_replies_of_a_service_just_discovered_may_be_lost() -> None:
    node = FakeNode("fluidics", [])
    node.deaf_until_s = 3.0
    run(change(node, CONFIGURE, DEADLINES))
    assert node.state == "inactive"


def test_a_slow_node_within_its_deadline_is_waited_for() -> None:
    node = FakeNode("vision_qc", [], takes_s=19.0)
    run(change(node, CONFIGURE, DEADLINES))
    assert node.state == "inactive"


def test_a_node_that_is_not_found_in_time_is_named() -> None:
    nodes = nodes_with([])
    nodes[1].there_after_s = 6.0
    with pytest.raises(BringUpFailed, match="fluidics: service fluidics/get_state is not offered by anybody"):
        run(BringUp(nodes, DEADLINES, lambda name, text: None).up())
    assert nodes[0].state == "unconfigured"


def test_nodes_that_are_up_already_are_left_alone_also_when_another_fails() -> None:
    log: list[str] = []
    nodes = nodes_with(log, coordinator=("activate", "refuses"))
    nodes[0].state = nodes[1].state = "active"
    with pytest.raises(BringUpFailed):
        run(BringUp(nodes, DEADLINES, lambda name, text: None).up())
    assert log == ["coordinator.configure", "coordinator.activate", "coordinator.cleanup"]


def test_a_state_from_which_no_transition_leads_is_told() -> None:
    node = FakeNode("fluidics", [])
    node.state = "finalized"
    with pytest.raises(TransitionFailed, match="cannot activate: it is finalized, expected inactive; start its"):
        run(change(node, ACTIVATE, DEADLINES))


def test_taking_down_skips_the_dead_and_names_the_deaf() -> None:
    log: list[str] = []
    nodes = nodes_with(log)
    bring_up = BringUp(nodes, DEADLINES, lambda name, text: None)
    run(bring_up.up())
    log.clear()
    nodes[0].dead = True
    nodes[1].deaf_until_s = float("inf")
    leftovers, took_s = run(bring_up.down())
    assert leftovers == ["fluidics: fluidics/get_state did not answer"]
    assert log == ["coordinator.deactivate", "coordinator.cleanup"]
    assert took_s < 3.0


# -- watch ----------------------------------------------------------------------------------------------


def watch() -> Watch:
    made = Watch(["recorder", "fluidics"], beating=["fluidics"], silent_after_s=5.0)
    for name in made.nodes:
        made.begin(name, 0.0)
    return made


def test_a_module_is_lost_when_its_heartbeat_stops_even_if_it_answers() -> None:
    made = watch()
    made.beat("fluidics", 1.0)
    assert made.judge("fluidics", "active", 6.0) == "up"
    assert made.judge("fluidics", "active", 6.1) == "lost"
    assert made.nodes["fluidics"].lost == "no heartbeat for 5 s"
    made.beat("fluidics", 7.0)
    assert made.judge("fluidics", "active", 7.1) == "up"
    assert made.nodes["fluidics"].lost == ""


def test_a_heartbeat_covers_for_an_answer_that_is_late() -> None:
    made = watch()
    made.beat("fluidics", 8.0)
    assert made.judge("fluidics", None, 9.0) == "up"


def test_a_node_without_heartbeat_is_lost_when_it_does_not_answer() -> None:
    made = watch()
    made.beat("recorder", 4.0)  # not a heartbeat that counts
    assert made.judge("recorder", None, 5.0) == "up"
    assert made.judge("recorder", None, 5.5) == "lost"
    assert made.judge("recorder", "active", 6.0) == "up"


def test_a_process_that_was_started_again_is_noticed_at_once_and_stays_lost_until_it_is_active() -> None:
    made = watch()
    made.beat("fluidics", 1.0)
    assert made.judge("fluidics", "unconfigured", 1.5) == "restarted"
    assert made.nodes["fluidics"].lost == "its process was started again"
    assert made.judge("fluidics", "inactive", 2.0) == "restarted"
    made.begin("fluidics", 2.5)
    assert made.judge("fluidics", "active", 2.6) == "up"
    assert made.nodes["fluidics"].lost == ""


def test_a_node_that_was_deactivated_by_hand_is_not_fought_over() -> None:
    assert watch().judge("recorder", "inactive", 1.0) == "off"


def test_a_fresh_heartbeat_spares_the_question() -> None:
    made = watch()
    made.beat("fluidics", 10.0)
    assert not made.wants_asking("fluidics", 12.0)
    assert made.wants_asking("fluidics", 12.6)
    assert made.wants_asking("recorder", 10.0)
    made.judge("fluidics", "unconfigured", 12.7)
    made.beat("fluidics", 13.0)
    assert made.wants_asking("fluidics", 13.0)  # lost: until it is seen to be active


def test_a_finalized_node_is_lost() -> None:
    made = watch()
    assert made.judge("recorder", "finalized", 1.0) == "lost"
    assert "shut itself down" in made.nodes["recorder"].lost
