# SPDX-License-Identifier: Apache-2.0
"""The asyncio thread in which phases and the engine run, beside the executor's thread."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class _IdleSelector(selectors.DefaultSelector):
    """Tells when the loop is about to wait because no callback is ready."""

    on_idle: Callable[[], None] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.on_idle is not None and (timeout is None or timeout > 0.0):
            self.on_idle()
        return super().select(timeout)


class LoopThread:
    """One asyncio event loop in a thread of its own.

    `on_idle` is called in that thread whenever nothing is ready to run: the moment to ask for time.
    """

    def __init__(self, name: str) -> None:
        self._selector = _IdleSelector()
        self.loop = asyncio.SelectorEventLoop(self._selector)
        self._thread = threading.Thread(target=self._run, name=f"{name}-phases", daemon=True)
        self._thread.start()

    def set_on_idle(self, on_idle: Callable[[], None] | None) -> None:
        """Set what to call when the loop has nothing to do."""
        self._selector.on_idle = on_idle

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine in the loop from another thread."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Call a function in the loop from any thread; dropped when the loop has been closed."""
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(function, *args)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Cancel every task, wait for their cleanup, stop the thread."""

        async def cancel_all() -> None:
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        if self.loop.is_closed():
            return
        self.set_on_idle(None)
        self.submit(cancel_all()).result(timeout_s)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout_s)
        self.loop.close()
