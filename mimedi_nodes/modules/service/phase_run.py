# SPDX-License-Identifier: Apache-2.0
"""One run of one phase: its context, its pause and its checkpoint."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from ...process.clock import ProcessClock
from ...process.context import PhaseHeader
from ...records.events import MOVEMENTS

_SHORTEST_SLEEP_S = 1e-6

EventSink = Callable[[PhaseHeader, str, str, str, Mapping[str, Any]], None]
"""Writes an event to the record: header, kind, what, why, data."""


class Measured(Protocol):
    """Takes one measured value for display."""

    def __call__(self, name: str, value: float, unit: str, low: float, high: float) -> None: ...


class Checkpoints(Protocol):
    """Keeps the last checkpoint of each goal; durable when it returns."""

    def checkpoint(self, goal_id: str, data: Mapping[str, Any]) -> None: ...


class PhaseRun:
    """The PhaseContext of a running goal; lives through pauses, holds and restarts of the phase's coroutine."""

    def __init__(
        self,
        goal_id: str,
        header: PhaseHeader,
        clock: ProcessClock,
        store: Checkpoints,
        events: EventSink,
        on_feedback: Callable[[float, str], None],
        on_measured: Measured,
        on_alarm: Callable[[str, str, bool], None],
        on_pause: Callable[[bool], None],
    ) -> None:
        self.goal_id = goal_id
        self.header = header
        self.restored: Mapping[str, Any] | None = None
        self.progress = math.nan
        self.step = ""
        self._clock = clock
        self._store = store
        self._events = events
        self._on_feedback = on_feedback
        self._on_measured = on_measured
        self._on_alarm = on_alarm
        self._on_pause = on_pause
        self._go = asyncio.Event()
        self._go.set()
        self._finish = False
        self._alarms: set[str] = set()

    @property
    def finish_requested(self) -> bool:
        """Whether COMPLETE was commanded to a continuous phase."""
        return self._finish

    def now_s(self) -> float:
        """Return the process time [s]."""
        return self._clock.now_s()

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` of process time pass; longer when the service is paused meanwhile."""
        await self.pause_point()
        # A remainder below the clock's resolution would not move time at all: a loop over it would never end.
        await self._clock.sleep_until(self.now_s() + max(seconds, _SHORTEST_SLEEP_S))
        await self.pause_point()

    async def until(self, condition: Callable[[], Awaitable[bool]], every_s: float, timeout_s: float) -> bool:
        """Poll `condition` every `every_s` [s]; False when `timeout_s` [s] of process time went by first."""
        end_s = self.now_s() + timeout_s
        while not await condition():
            left_s = end_s - self.now_s()
            if left_s <= 0.0:
                return False
            await self.sleep(min(every_s, left_s))
        return True

    async def pause_point(self) -> None:
        """Return at once, or after RESUME when a pause is wanted."""
        if not self._go.is_set():
            self._on_pause(True)
            await self._go.wait()
            self._on_pause(False)

    def feedback(self, progress: float, step: str) -> None:
        """Tell how far the phase is and what it is doing."""
        self.progress = progress if math.isnan(progress) else min(max(progress, 0.0), 1.0)
        self.step = step
        self._on_feedback(self.progress, step)

    async def checkpoint(self, **data: Any) -> None:
        """Store `data` as the phase's checkpoint; durable when this returns."""
        self._store.checkpoint(self.goal_id, data)

    def measured(self, name: str, value: float, unit: str, low: float = math.nan, high: float = math.nan) -> None:
        """Publish and record one measured value with the ends of its 95 % interval."""
        self._on_measured(name, value, unit, low, high)
        data = {"name": name, "value": value, "unit": unit, "low": low, "high": high, "phase_id": self.header.phase_id}
        self._events(self.header, "measurement", name, "", data)

    def record(self, kind: str, what: str, why: str = "", **data: Any) -> None:
        """Write an event to the batch record; a movement with the key by which its twin after a crash is known."""
        if kind in MOVEMENTS and self.goal_id:
            data["event_key"] = f"{self.goal_id}:{kind}:{what}"
        self._events(self.header, kind, what, why, data)

    def alarm(self, alarm_id: str, message: str) -> None:
        """Raise an alarm; raising it again while it stands changes nothing."""
        if alarm_id not in self._alarms:
            self._alarms.add(alarm_id)
            self._on_alarm(alarm_id, message, True)

    def clear_alarm(self, alarm_id: str) -> None:
        """Tell that the cause of an alarm has gone."""
        if alarm_id in self._alarms:
            self._alarms.discard(alarm_id)
            self._on_alarm(alarm_id, "", False)

    def clear_alarms(self) -> None:
        """The phase has ended: what it alarmed about can no longer be seen."""
        for alarm_id in sorted(self._alarms):
            self.clear_alarm(alarm_id)

    def want_pause(self) -> None:
        """Make the next pause point wait."""
        self._go.clear()

    def end_pause(self) -> None:
        """Let a waiting pause point go on."""
        self._go.set()

    def want_finish(self) -> None:
        """Ask a continuous phase to end at its next safe point."""
        self._finish = True
