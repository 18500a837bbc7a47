# SPDX-License-Identifier: Apache-2.0
"""What is asked of a process."""

import signal as signals
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...event import Event

if TYPE_CHECKING:
    from ...actions.execute_local import ExecuteLocal


class ProcessTargetedEvent(Event):
    """Base of the requests to the processes that a matcher picks."""

    name = 'launch.events.process.ProcessTargetedEvent'

    def __init__(self, *, process_matcher: Callable[['ExecuteLocal'], bool]) -> None:
        """Take the matcher."""
        self.process_matcher = process_matcher


class ShutdownProcess(ProcessTargetedEvent):
    """Asks for the orderly end of a process."""

    name = 'launch.events.process.ShutdownProcess'


class SignalProcess(ProcessTargetedEvent):
    """Asks for a signal to be sent to a process."""

    name = 'launch.events.process.SignalProcess'

    def __init__(
        self,
        *,
        signal_number: str | int | signals.Signals,
        process_matcher: Callable[['ExecuteLocal'], bool],
    ) -> None:
        """Take the signal by name ('SIGUSR1') or number, and the matcher."""
        super().__init__(process_matcher=process_matcher)
        if isinstance(signal_number, str):
            self.signal = signals.Signals[signal_number]
        else:
            self.signal = signals.Signals(signal_number)
        self.signal_name = self.signal.name
