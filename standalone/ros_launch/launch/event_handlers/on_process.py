# SPDX-License-Identifier: Apache-2.0
"""Reactions to what a process does."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from ..entity import SomeEntities
from ..event import Event
from ..events.process import ProcessExited, ProcessIO, ProcessStarted
from .on_action_event import OnActionEventBase, Reaction, Target

if TYPE_CHECKING:
    from ..launch_context import LaunchContext

OnText = Callable[[ProcessIO], SomeEntities | None]


def _process_action_class() -> type:
    # Late: actions import handlers.
    from ..actions.execute_local import ExecuteLocal

    return ExecuteLocal


class OnProcessStart(OnActionEventBase):
    """Reacts when a process has been started."""

    def __init__(self, *, target_action: Target = None, on_start: Reaction, **kwargs: Any) -> None:
        """Take the process' action (None: any) and the reaction."""
        super().__init__(
            action_matcher=target_action,
            on_event=on_start,
            target_event_cls=ProcessStarted,
            target_action_cls=_process_action_class(),
            **kwargs,
        )


class OnProcessExit(OnActionEventBase):
    """Reacts when a process has ended."""

    def __init__(self, *, target_action: Target = None, on_exit: Reaction, **kwargs: Any) -> None:
        """Take the process' action (None: any) and the reaction."""
        super().__init__(
            action_matcher=target_action,
            on_event=on_exit,
            target_event_cls=ProcessExited,
            target_action_cls=_process_action_class(),
            **kwargs,
        )


class OnProcessIO(OnActionEventBase):
    """Reacts when a process writes, or is written to."""

    def __init__(
        self,
        *,
        target_action: Target = None,
        on_stdin: OnText | None = None,
        on_stdout: OnText | None = None,
        on_stderr: OnText | None = None,
        **kwargs: Any,
    ) -> None:
        """Take the process' action (None: any) and one function of the event for each stream."""
        self._reactions = {0: on_stdin, 1: on_stdout, 2: on_stderr}
        super().__init__(
            action_matcher=target_action,
            on_event=self._react,
            target_event_cls=ProcessIO,
            target_action_cls=_process_action_class(),
            **kwargs,
        )

    def _react(self, event: Event, context: 'LaunchContext') -> SomeEntities | None:
        io_event = cast('ProcessIO', event)
        reaction = self._reactions[io_event.fd]
        return None if reaction is None else reaction(io_event)
