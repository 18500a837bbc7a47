# SPDX-License-Identifier: Apache-2.0
"""Reaction to a step of a lifecycle node."""

from typing import TYPE_CHECKING, Any

from launch.entity import SomeEntities, normalize_entities
from launch.event import Event
from launch.event_handler import BaseEventHandler

from ..events.lifecycle import StateTransition

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext

    from ..actions.lifecycle_node import LifecycleNode


class OnStateTransition(BaseEventHandler):
    """Visits entities at the steps that have the given states, or the given transition.

    The goal state 'inactive' is also that of a deactivation: give `start_state='configuring'` too.
    """

    def __init__(
        self,
        *,
        entities: SomeEntities | None,
        target_lifecycle_node: 'LifecycleNode | None' = None,
        transition: str | None = None,
        start_state: str | None = None,
        goal_state: str | None = None,
        handle_once: bool = False,
        **kwargs: Any,
    ) -> None:
        """Take the entities and what to match; None: any.

        Raises:
            TypeError: if the target is not a LifecycleNode.
            RuntimeError: if a transition is given together with a state.
        """
        from ..actions.lifecycle_node import LifecycleNode

        if target_lifecycle_node is not None and not isinstance(target_lifecycle_node, LifecycleNode):
            raise TypeError(f"OnStateTransition requires a 'LifecycleNode', got {target_lifecycle_node!r}")
        if transition is not None and (start_state is not None or goal_state is not None):
            raise RuntimeError('You cannot specify both a transition and a state')
        self._node = target_lifecycle_node
        self._wanted = {
            name: value
            for name, value in (
                ('transition', transition), ('start_state', start_state), ('goal_state', goal_state)
            )
            if value is not None
        }
        self._entities = normalize_entities(entities)
        super().__init__(matcher=self._concerns, handle_once=handle_once, **kwargs)

    @property
    def entities(self) -> Any:
        """Return the entities."""
        return self._entities

    def _concerns(self, event: Event) -> bool:
        return (
            isinstance(event, StateTransition)
            and (self._node is None or event.action is self._node)
            and all(vars(event)[name] == value for name, value in self._wanted.items())
        )

    def handle(self, event: Event, context: 'LaunchContext') -> SomeEntities | None:
        """Return the entities."""
        super().handle(event, context)
        return self._entities
