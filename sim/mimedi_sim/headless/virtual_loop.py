# SPDX-License-Identifier: Apache-2.0
"""An asyncio event loop whose time is virtual: when nothing is ready it jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class NothingToDo(RuntimeError):
    """Everybody waits and no timer is set: the run would never end."""


class _VirtualSelector(selectors.DefaultSelector):
    """Passes virtual time instead of waiting. While there is something to do nobody asks the system: nothing that a
    headless run waits for comes from outside."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            # Only another thread or a signal could help; both come by the loop's own socket.
            if ready := super().select(0.0):
                return ready
            raise NothingToDo("every task waits for something that nobody will do")
        if timeout > 0.0:
            self.now_s += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A selector event loop on virtual time, from 0 [s]."""

    def __init__(self) -> None:
        self._virtual = _VirtualSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return the virtual time [s]."""
        return self._virtual.now_s


def run_virtual(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on virtual time; raises NothingToDo when it could never end."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)
