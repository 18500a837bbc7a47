# SPDX-License-Identifier: Apache-2.0
"""Actions after a while."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Optional

from ..action import Action
from ..entity import LaunchDescriptionEntity
from ..event_handler import EventHandler
from ..event_handlers.on_shutdown import OnShutdown
from ..events.entities import TimerEvent
from ..logging import get_logger
from ..some_substitutions_type import SomeSubstitutionsType
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class TimerAction(Action):
    """Visits actions once a period has passed."""

    def __init__(
        self,
        *,
        period: float | SomeSubstitutionsType,
        actions: Iterable[LaunchDescriptionEntity],
        cancel_on_shutdown: bool | SomeSubstitutionsType = True,
        **kwargs: Any,
    ) -> None:
        """Take the period in seconds, the actions, and whether a shutdown cancels the timer."""
        super().__init__(**kwargs)
        self._period = normalize_to_list_of_substitutions(
            str(period) if isinstance(period, (int, float)) else period
        )
        self._actions = list(actions)
        self._cancel_on_shutdown = normalize_to_list_of_substitutions(
            str(cancel_on_shutdown).lower() if isinstance(cancel_on_shutdown, bool) else cancel_on_shutdown
        )
        self._handle: asyncio.TimerHandle | None = None
        self._completed: asyncio.Future[None] | None = None

    @property
    def period(self) -> list[Any]:
        """Return the period in seconds."""
        return self._period

    @property
    def actions(self) -> list[LaunchDescriptionEntity]:
        """Return the actions."""
        return self._actions

    def describe_conditional_sub_entities(self) -> list[tuple[str, Iterable[LaunchDescriptionEntity]]]:
        """Return the actions."""
        return [('after the timer has expired', self._actions)]

    def get_asyncio_future(self) -> Optional['asyncio.Future[None]']:
        """Return the future of the period's end."""
        return self._completed

    def cancel(self) -> None:
        """Give up the timer; its actions are not visited."""
        if self._handle is not None:
            self._handle.cancel()
        self._complete()

    def execute(self, context: 'LaunchContext') -> None:
        """Start the period; a cancelled timer may be executed again."""
        period_s = float(perform_substitutions(context, self._period))
        loop = context.asyncio_loop
        self._completed = loop.create_future()
        handler = EventHandler(
            matcher=lambda event: isinstance(event, TimerEvent) and event.timer_action is self,
            entities=self._actions,
            handle_once=True,
        )
        context.register_event_handler(handler)
        self._handle = loop.call_later(period_s, self._expire, context)
        from ..conditions import evaluate_condition_expression

        if evaluate_condition_expression(context, self._cancel_on_shutdown):
            context.register_event_handler(OnShutdown(on_shutdown=self._on_shutdown))

    def _expire(self, context: 'LaunchContext') -> None:
        # The event is queued before completion is seen, so the launch is not idle in between.
        context.emit_event_sync(TimerEvent(timer_action=self))
        self._complete()

    def _complete(self) -> None:
        if self._completed is not None and not self._completed.done():
            self._completed.set_result(None)

    def _on_shutdown(self, event: Any, context: 'LaunchContext') -> None:
        if self._completed is not None and not self._completed.done():
            get_logger('launch').debug('timer cancelled by shutdown')
        self.cancel()
