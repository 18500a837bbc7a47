# SPDX-License-Identifier: Apache-2.0
"""Base of all event handlers."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .entity import LaunchDescriptionEntity, SomeEntities, normalize_entities
from .event import Event

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class BaseEventHandler:
    """Something that takes part in the events that it matches."""

    def __init__(self, *, matcher: Callable[[Event], bool], handle_once: bool = False) -> None:
        """Take the function that says which events concern the handler, and whether one is enough."""
        self._matcher = matcher
        self._handle_once = handle_once

    @property
    def handle_once(self) -> bool:
        """Return whether the handler leaves after its first event."""
        return self._handle_once

    def matches(self, event: Event) -> bool:
        """Return whether the handler wants this event."""
        return self._matcher(event)

    def handle(self, event: Event, context: 'LaunchContext') -> SomeEntities | None:
        """Handle the event and return the entities to visit, if any."""
        if self._handle_once:
            context.unregister_event_handler(self)
        context.extend_locals({'event': event})
        return None


class EventHandler(BaseEventHandler):
    """Visits fixed entities at each event that it matches."""

    def __init__(
        self,
        *,
        matcher: Callable[[Event], bool],
        entities: SomeEntities | None = None,
        handle_once: bool = False,
    ) -> None:
        """Take the matching function and the entities."""
        super().__init__(matcher=matcher, handle_once=handle_once)
        self._entities = normalize_entities(entities)

    @property
    def entities(self) -> list[LaunchDescriptionEntity]:
        """Return the entities visited at an event."""
        return self._entities

    def handle(self, event: Event, context: 'LaunchContext') -> SomeEntities | None:
        """Return the entities to visit."""
        super().handle(event, context)
        return self._entities


class FunctionHandler(BaseEventHandler):
    """Calls a function at each event that it matches; for launch's own use."""

    def __init__(
        self,
        function: Callable[[Event, 'LaunchContext'], SomeEntities | None],
        matcher: Callable[[Event], bool],
    ) -> None:
        """Take the function and the matching function."""
        super().__init__(matcher=matcher)
        self._function = function

    def handle(self, event: Event, context: 'LaunchContext') -> SomeEntities | None:
        """Call the function and return its entities."""
        super().handle(event, context)
        return self._function(event, context)
