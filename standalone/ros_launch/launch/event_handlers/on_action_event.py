# SPDX-License-Identifier: Apache-2.0
"""Handlers for the events of one action."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..entity import LaunchDescriptionEntity, SomeEntities, normalize_entities
from ..event import Event
from ..event_handler import BaseEventHandler

if TYPE_CHECKING:
    from ..launch_context import LaunchContext

Reaction = SomeEntities | Callable[..., SomeEntities | None]
Target = Action | Callable[[Any], bool] | None


class OnActionEventBase(BaseEventHandler):
    """Reacts to events of one class, of one action, of the actions a function picks, or of all."""

    def __init__(
        self,
        *,
        action_matcher: Target,
        on_event: Reaction,
        target_event_cls: type[Event],
        target_action_cls: type[Action] = Action,
        handle_once: bool = False,
    ) -> None:
        """Take the target, the reaction (entities or a function of event and context), the classes.

        Raises:
            TypeError: if the target or the reaction is of no such kind.
        """
        if action_matcher is not None and not (
            isinstance(action_matcher, target_action_cls) or callable(action_matcher)
        ):
            raise TypeError(
                f"{type(self).__name__} expects a '{target_action_cls.__name__}' or a callable as its target "
                f'action, got {action_matcher!r}'
            )
        self._target = action_matcher
        self._event_class = target_event_cls
        self._on_event = on_event if callable(on_event) else normalize_entities(on_event)
        super().__init__(matcher=self._concerns, handle_once=handle_once)

    @property
    def entities(self) -> list[LaunchDescriptionEntity]:
        """Return the entities that are known before the event: none if a function gives them."""
        return [] if callable(self._on_event) else self._on_event

    def _concerns(self, event: Event) -> bool:
        if not isinstance(event, self._event_class):
            return False
        if self._target is None:
            return True
        action = event.action  # type: ignore[attr-defined]
        if isinstance(self._target, Action):
            return action is self._target
        return bool(self._target(action))

    def handle(self, event: Event, context: 'LaunchContext') -> SomeEntities | None:
        """Return the reaction's entities."""
        super().handle(event, context)
        if callable(self._on_event):
            return self._on_event(event, context)
        entities: list[LaunchDescriptionEntity] = self._on_event
        return entities
