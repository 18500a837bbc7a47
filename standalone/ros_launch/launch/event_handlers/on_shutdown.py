# SPDX-License-Identifier: Apache-2.0
"""Reaction to the end of the launch."""

from typing import TYPE_CHECKING, Any

from ..entity import LaunchDescriptionEntity, SomeEntities, normalize_entities
from ..event import Event
from ..event_handler import BaseEventHandler
from ..events.shutdown import Shutdown
from .on_action_event import Reaction

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class OnShutdown(BaseEventHandler):
    """Reacts when the launch is asked to end."""

    def __init__(self, *, on_shutdown: Reaction, **kwargs: Any) -> None:
        """Take entities, or a function of event and context that returns some."""
        super().__init__(matcher=lambda event: isinstance(event, Shutdown), **kwargs)
        self._on_shutdown = on_shutdown if callable(on_shutdown) else normalize_entities(on_shutdown)

    @property
    def entities(self) -> list[LaunchDescriptionEntity]:
        """Return the entities that are known before the event: none if a function gives them."""
        return [] if callable(self._on_shutdown) else self._on_shutdown

    def handle(self, event: Event, context: 'LaunchContext') -> SomeEntities | None:
        """Return the reaction's entities."""
        super().handle(event, context)
        if callable(self._on_shutdown):
            return self._on_shutdown(event, context)
        return self._on_shutdown
