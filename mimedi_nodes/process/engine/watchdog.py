# SPDX-License-Identifier: Apache-2.0
"""The coordinator's own watch over its steps: one that hangs raises an alarm, whatever it hangs on.

A module watches its phases itself; this watch also sees a module that never ends, a question that nobody answers
and a laboratory that keeps silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ..batch import Recorder
from ..clock import ProcessClock
from ..recipes.steps import AwaitResultsStep, PhaseStep, PromptStep, Step
from .procedure_control import ProcedureControl
from .procedure_state import ProcedureState

STEP_OVERDUE = "coordinator.step_overdue"
UNANSWERED = "coordinator.prompt_unanswered"
OVERDUE_FACTOR, OVERDUE_S = 1.5, 3600.0
"""A phase is overdue here after 1.5 times its expected duration and an hour: later than at its own module."""
AGAIN_S = 600.0
LATE_SHARE = 0.8
"""Share of its time-out after which a laboratory result is called late: while something can still be done."""

AlarmSink = Callable[[str, str, bool], None]
"""Shows an alarm: id, message, active."""


class Watchdog:
    """Watches every step of one batch against the time that it should take."""

    def __init__(
        self,
        control: ProcedureControl,
        clock: ProcessClock,
        record: Recorder,
        alarm: AlarmSink,
        expected_phase_s: Callable[[PhaseStep], float],
    ) -> None:
        self._control, self._clock, self._record, self._alarm = control, clock, record, alarm
        self._expected_phase_s = expected_phase_s
        self._standing: dict[str, set[str]] = {}

    @asynccontextmanager
    async def over(self, step: Step, key: str) -> AsyncIterator[None]:
        """Watch a step while it is carried out; its alarm goes when it ends."""
        limit = self._limit(step)
        if limit is None:
            yield
            return
        alarm_id, limit_s, words = limit
        watch = asyncio.ensure_future(self._watch(alarm_id, limit_s, f"{key}: {words}", key))
        try:
            yield
        finally:
            watch.cancel()
            self._clear(alarm_id, key)

    def _limit(self, step: Step) -> tuple[str, float, str] | None:
        if isinstance(step, PromptStep):
            return UNANSWERED, step.within_h * 3600.0, f"the question waits for more than {step.within_h:g} h"
        if isinstance(step, AwaitResultsStep):
            limit_h = LATE_SHARE * step.timeout_h
            return STEP_OVERDUE, limit_h * 3600.0, f"laboratory results are still missing after {limit_h:g} h"
        if isinstance(step, PhaseStep):
            expected_s = step.expected_h * 3600.0 if step.expected_h is not None else self._expected_phase_s(step)
            if expected_s <= 0.0:
                return None  # nobody said how long it takes
            limit_s = OVERDUE_FACTOR * expected_s + OVERDUE_S
            return STEP_OVERDUE, limit_s, f"should have taken {expected_s / 3600.0:.2f} h and still runs"
        return None

    async def _watch(self, alarm_id: str, limit_s: float, message: str, key: str) -> None:
        due_s = self._clock.now_s() + limit_s
        while True:
            await self._clock.sleep_until(due_s)
            if self._control.state is ProcedureState.RUNNING:
                break
            # Held or paused: somebody knows already.
            due_s = self._clock.now_s() + AGAIN_S
        if not self._standing.setdefault(alarm_id, set()):
            self._record("alarm_raised", alarm_id, alarm_id=alarm_id, message=message, phase_id=key)
            self._alarm(alarm_id, message, True)
        self._standing[alarm_id].add(key)

    def _clear(self, alarm_id: str, key: str) -> None:
        standing = self._standing.get(alarm_id, set())
        if key in standing:
            standing.discard(key)
            if not standing:
                self._record("alarm_cleared", alarm_id, alarm_id=alarm_id, phase_id=key)
                self._alarm(alarm_id, "", False)
