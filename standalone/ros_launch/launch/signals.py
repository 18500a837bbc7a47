# SPDX-License-Identifier: Apache-2.0
"""The signals that end a launch in order."""

import asyncio
import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class HandledSignals:
    """While entered, calls a function with the name of each ending signal, inside the loop.

    Works where SIGINT was ignored before, as in a background job of a shell. Outside the main thread,
    where Python delivers no signals, it does nothing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_signal: Callable[[str], None]) -> None:
        """Take the loop and the function."""
        self._loop = loop
        self._on_signal = on_signal
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> 'HandledSignals':
        """Take over the signals."""
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                self._before[number] = signal.getsignal(number)
                self._loop.add_signal_handler(number, self._on_signal, number.name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            self._loop.remove_signal_handler(number)
            if handler is not None:
                signal.signal(number, handler)
        self._before.clear()
