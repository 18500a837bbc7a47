# SPDX-License-Identifier: Apache-2.0
"""Actions that do one thing and are done."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..action import Action
from ..entity import LaunchDescriptionEntity, SomeEntities, normalize_entities
from ..event import Event
from ..event_handler import BaseEventHandler
from ..logging import get_logger
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class LogInfo(Action):
    """Writes a line as logger 'launch.user'."""

    def __init__(self, *, msg: SomeSubstitutionsType, **kwargs: Any) -> None:
        """Take the message."""
        super().__init__(**kwargs)
        self._message = normalize_to_list_of_substitutions(msg)

    def execute(self, context: 'LaunchContext') -> None:
        """Write the line."""
        get_logger('launch.user').info(perform_substitutions(context, self._message))


class OpaqueFunction(Action):
    """Calls a Python function with the context; what it returns is visited next."""

    def __init__(
        self,
        *,
        function: Callable[..., Iterable[LaunchDescriptionEntity] | None],
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        **left_over_kwargs: Any,
    ) -> None:
        """Take the function and its further arguments.

        Raises:
            TypeError: if the function cannot be called.
        """
        super().__init__(**left_over_kwargs)
        if not callable(function):
            raise TypeError(f'OpaqueFunction expected a callable for function, got {function!r}')
        self._function = function
        self._args = list(args) if args is not None else []
        self._kwargs = dict(kwargs) if kwargs is not None else {}

    def execute(self, context: 'LaunchContext') -> list[LaunchDescriptionEntity]:
        """Call the function."""
        return normalize_entities(self._function(context, *self._args, **self._kwargs))


class EmitEvent(Action):
    """Emits an event."""

    def __init__(self, *, event: Event, **kwargs: Any) -> None:
        """Take the event.

        Raises:
            TypeError: if it is not an event.
        """
        super().__init__(**kwargs)
        if not isinstance(event, Event):
            raise TypeError(f'EmitEvent expected an event, got {event!r}')
        self._event = event

    @property
    def event(self) -> Event:
        """Return the event."""
        return self._event

    def execute(self, context: 'LaunchContext') -> list[LaunchDescriptionEntity] | None:
        """Queue the event."""
        context.emit_event_sync(self._event)
        return None


class RegisterEventHandler(Action):
    """Makes an event handler take part from now on."""

    def __init__(self, event_handler: BaseEventHandler, **kwargs: Any) -> None:
        """Take the handler."""
        super().__init__(**kwargs)
        self._event_handler = event_handler

    @property
    def event_handler(self) -> BaseEventHandler:
        """Return the handler."""
        return self._event_handler

    def execute(self, context: 'LaunchContext') -> None:
        """Register the handler."""
        context.register_event_handler(self._event_handler)

    def describe_conditional_sub_entities(self) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        """Return what the handler would visit."""
        entities: SomeEntities = getattr(self._event_handler, 'entities', [])
        return [(f'{type(self._event_handler).__name__}', normalize_entities(entities))]


class UnregisterEventHandler(Action):
    """Takes an event handler out."""

    def __init__(self, event_handler: BaseEventHandler, **kwargs: Any) -> None:
        """Take the handler."""
        super().__init__(**kwargs)
        self._event_handler = event_handler

    @property
    def event_handler(self) -> BaseEventHandler:
        """Return the handler."""
        return self._event_handler

    def execute(self, context: 'LaunchContext') -> None:
        """Unregister the handler."""
        context.unregister_event_handler(self._event_handler)
