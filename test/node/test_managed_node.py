# SPDX-License-Identifier: Apache-2.0
"""A managed node outlives transitions that fail and those that its state does not have."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from mimedi_nodes.instruments.wire.link import InstrumentError
from mimedi_nodes.nodes.frame.managed_node import ManagedNode

DEADLINE_S = 10.0


class Brittle(ManagedNode):
    """A node whose configuration fails as often as it is told."""

    failures = 0
    failure: Exception = OSError("no such port: /dev/nothing")

    def configure(self) -> None:
        if self.failures:
            self.failures -= 1
            raise self.failure


@pytest.fixture
def brittle() -> Iterator[tuple[Brittle, Callable[[int], bool], Callable[[], int]]]:
    """The node, a function that asks it for a transition, and one that asks for its state."""
    rclpy.init(args=[])
    node, other = Brittle("brittle"), Node("other")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.add_node(other)
    change = other.create_client(ChangeState, "brittle/change_state")
    get = other.create_client(GetState, "brittle/get_state")
    assert change.wait_for_service(DEADLINE_S)
    assert get.wait_for_service(DEADLINE_S)

    def transition(number: int) -> bool:
        future = change.call_async(ChangeState.Request(transition=Transition(id=number)))
        executor.spin_until_future_complete(future, DEADLINE_S)
        return bool(future.result().success)

    def state() -> int:
        future = get.call_async(GetState.Request())
        executor.spin_until_future_complete(future, DEADLINE_S)
        return int(future.result().current_state.id)

    yield node, transition, state
    executor.shutdown()
    node.destroy_node()
    other.destroy_node()
    rclpy.shutdown()


def test_a_transition_that_the_state_does_not_have_is_refused(brittle) -> None:
    node, transition, state = brittle
    for impossible in (Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_CLEANUP, 77):
        assert not transition(impossible)
        assert "not possible" in node.last_error
        assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert transition(Transition.TRANSITION_CONFIGURE)
    assert not transition(Transition.TRANSITION_CONFIGURE)
    assert state() == State.PRIMARY_STATE_INACTIVE


@pytest.mark.parametrize(("failure", "lines"), [(InstrumentError("pumps", "unplugged"), 0), (KeyError("bug"), 1)])
def test_only_an_error_of_our_own_code_is_logged_with_its_lines(brittle, capfd, failure: Exception, lines: int) -> None:
    node, transition, _ = brittle
    node.failures, node.failure = 1, failure
    assert not transition(Transition.TRANSITION_CONFIGURE)
    logged = capfd.readouterr().err
    assert f"cannot configure: {failure}" in logged
    assert logged.count("Traceback") == lines


def test_a_failed_configuration_can_be_repeated(brittle) -> None:
    node, transition, state = brittle
    node.failures = 1
    assert not transition(Transition.TRANSITION_CONFIGURE)
    assert node.last_error == "configure: no such port: /dev/nothing"
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
    assert transition(Transition.TRANSITION_CONFIGURE)
    assert transition(Transition.TRANSITION_ACTIVATE)
    assert node.active
    assert transition(Transition.TRANSITION_DEACTIVATE)
    assert not node.active
    assert transition(Transition.TRANSITION_CLEANUP)
    assert state() == State.PRIMARY_STATE_UNCONFIGURED
