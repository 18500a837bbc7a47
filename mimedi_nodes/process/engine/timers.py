# SPDX-License-Identifier: Apache-2.0
"""Timers of a procedure: budgets of hold time or time out of the cold chain, and waits that count from an event.

A timer counts process time from its start, through holds and crashes: cells do not wait for the coordinator.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ..clock import ProcessClock
from ..recipes.steps import StopTimerStep, TimerStep, WaitTimerStep
from .journal import Entry
from .procedure_control import ProcedureControl
from .run_context import RunContext


class Timers:
    """The timers of one batch; those with a budget are watched while the steps go on.

    Args:
        control: is held, or told to reject, when a budget is used up.
        clock: process time.
    """

    def __init__(self, control: ProcedureControl, clock: ProcessClock) -> None:
        self._control, self._clock = control, clock
        self._watches: dict[str, asyncio.Task[None]] = {}

    def close(self) -> None:
        """Watch no longer; the journal keeps the timers for a later life."""
        for watch in self._watches.values():
            watch.cancel()
        self._watches.clear()

    async def start(self, step: TimerStep, key: str, context: RunContext) -> Mapping[str, Any]:
        """Start a timer, or take up the one that an earlier life started."""
        entry = context.journal.entry(key)
        if entry is None:
            within_h, cause = await context.until_known(lambda: _budget(step, context), key)
            begun = {"started_s": self._clock.now_s(), "within_h": within_h, "cause": cause}
            entry = context.journal.begin(key, "timer", begun, self._clock.now_s())
        intent: dict[str, Any] = dict(entry.intent)
        context.record_once(f"{key}:started", "timer_started", key, intent["cause"], phase_id=key, **intent)
        context.timers[step.id] = key
        if intent["within_h"] is not None and not entry.has_ended:
            self._watches[key] = asyncio.ensure_future(self._watch(step, key, entry, context))
        return {"started_h": (intent["started_s"] - context.started_s) / 3600.0}

    async def _watch(self, step: TimerStep, key: str, entry: Entry, context: RunContext) -> None:
        within_h = float(entry.intent["within_h"])
        await self._clock.sleep_until(float(entry.intent["started_s"]) + within_h * 3600.0)
        context.journal.end(key, "expired", {}, self._clock.now_s())
        reason = f"{key}: more than {within_h:g} h: {entry.intent['cause']}"
        context.record_once(f"{key}:expired", "timer_expired", key, reason, phase_id=key, within_h=within_h)
        if step.otherwise == "reject":
            await self._control.reject(reason)
        await self._control.enter_hold(reason)
        self._control.end_if_unattended()

    async def stop(self, step: StopTimerStep, key: str, context: RunContext) -> Mapping[str, Any]:
        """Stop a timer; return how long it ran."""
        timer = context.timers[step.timer]
        watch = self._watches.pop(timer, None)
        if watch is not None:
            watch.cancel()
        entry = context.journal.begin(key, "stop_timer", {}, self._clock.now_s())
        if not entry.has_ended:
            elapsed_h = (self._clock.now_s() - self._started_s(timer, context)) / 3600.0
            context.journal.end(timer, "stopped", {"elapsed_h": elapsed_h}, self._clock.now_s())
            entry = context.journal.end(key, "succeeded", {"elapsed_h": elapsed_h}, self._clock.now_s())
        result: Mapping[str, Any] = entry.result
        context.record_once(f"{key}:stopped", "timer_stopped", timer, phase_id=key, **result)
        return result

    async def wait(self, step: WaitTimerStep, key: str, context: RunContext) -> Mapping[str, Any]:
        """Return when a timer has run for the hours wanted."""
        entry = context.journal.entry(key)
        if entry is None:
            hours = await context.until_known(lambda: float(context.render(step.hours)), key)
            until_s = self._started_s(context.timers[step.timer], context) + hours * 3600.0
            entry = context.journal.begin(key, "wait_timer", {"until_s": until_s}, self._clock.now_s())
        if not entry.has_ended:
            await context.sleep_until(float(entry.intent["until_s"]))
            context.journal.end(key, "succeeded", {}, self._clock.now_s())
        return {}

    @staticmethod
    def _started_s(timer: str, context: RunContext) -> float:
        entry = context.journal.entry(timer)
        assert entry is not None, "a timer is journaled when it starts"
        return float(entry.intent["started_s"])


def _budget(step: TimerStep, context: RunContext) -> tuple[float | None, str]:
    within = None if step.within_h is None else float(context.render(step.within_h))
    return within, str(context.render(step.cause))
