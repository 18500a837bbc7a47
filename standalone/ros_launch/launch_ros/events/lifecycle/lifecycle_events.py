# SPDX-License-Identifier: Apache-2.0
"""ChangeState, StateTransition and the matcher by node name."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from launch.event import Event

if TYPE_CHECKING:
    from ...actions.lifecycle_node import LifecycleNode


class ChangeState(Event):
    """Asks lifecycle nodes for a transition."""

    name = 'launch_ros.events.lifecycle.ChangeState'

    # lifecycle_msgs/Transition, requested transitions only; the names are those of the message's constants.
    valid_transitions: ClassVar[dict[int, str]] = {
        1: 'TRANSITION_CONFIGURE',
        2: 'TRANSITION_CLEANUP',
        3: 'TRANSITION_ACTIVATE',
        4: 'TRANSITION_DEACTIVATE',
        5: 'TRANSITION_UNCONFIGURED_SHUTDOWN',
        6: 'TRANSITION_INACTIVE_SHUTDOWN',
        7: 'TRANSITION_ACTIVE_SHUTDOWN',
    }

    def __init__(
        self, *, lifecycle_node_matcher: Callable[['LifecycleNode'], bool], transition_id: int
    ) -> None:
        """Take which nodes and the transition's id, a constant of lifecycle_msgs/Transition.

        Raises:
            ValueError: if the id is not a transition that can be requested.
        """
        super().__init__()
        if transition_id not in self.valid_transitions:
            raise ValueError(
                f'transition_id {transition_id!r} cannot be requested, expected one of {self.valid_transitions}'
            )
        self.lifecycle_node_matcher = lifecycle_node_matcher
        self.transition_id = transition_id


class StateTransition(Event):
    """A lifecycle node has made a step of a transition."""

    name = 'launch_ros.events.lifecycle.StateTransition'

    def __init__(self, *, action: 'LifecycleNode', msg: Any) -> None:
        """Take the node's action and its lifecycle_msgs/TransitionEvent."""
        super().__init__()
        self.action = action
        self.msg = msg
        self.timestamp = msg.timestamp
        self.transition = msg.transition.label
        self.start_state = msg.start_state.label
        self.goal_state = msg.goal_state.label


def matches_node_name(node_name: str) -> Callable[['LifecycleNode'], bool]:
    """Return a matcher for the node of this full name; the leading slash may be left out."""
    wanted = node_name if node_name.startswith('/') else f'/{node_name}'
    return lambda action: action.node_name == wanted
