# SPDX-License-Identifier: Apache-2.0
"""Process time as the procedure sees it."""

from __future__ import annotations

import asyncio
from typing import Protocol


class ProcessClock(Protocol):
    """Source of process time; the only clock that phases and the engine may use."""

    def now_s(self) -> float:
        """Return the process time [s]."""
        ...

    async def sleep_until(self, time_s: float) -> None:
        """Return once process time has reached `time_s` [s]; at once when it already has."""
        ...


class LoopClock:
    """Process time is the running event loop's own time: virtual when the loop is.

    Args:
        start_s: process time [s] at which the loop's time counts as started.
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self._loop = asyncio.get_running_loop()
        self._offset_s = start_s - self._loop.time()

    def now_s(self) -> float:
        """Return the process time [s]."""
        return self._loop.time() + self._offset_s

    async def sleep_until(self, time_s: float) -> None:
        """Return once process time has reached `time_s` [s]."""
        delay_s = time_s - self.now_s()
        if delay_s > 0.0:
            await asyncio.sleep(delay_s)
