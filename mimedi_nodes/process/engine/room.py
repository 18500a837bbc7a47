# SPDX-License-Identifier: Apache-2.0
"""What a phase requires of the room: verified before it starts, watched for as long as something is open.

Source: EU GMP Annex 1 (2022), 9.15 to 9.17 (monitoring for the full duration of critical processing; grade D by risk).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from ..recipes.requirements import ENCLOSURE
from ..recipes.steps import PhaseStep
from .phase_runner import PhaseRunner
from .run_context import BranchEnded, RunContext, Scope

GRADES = ("A", "B", "C", "D")
VERIFIED_FOR_S = 4.0 * 3600.0
"""How long a verification vouches for closed processing; the enclosure tells at once what it has counted meanwhile."""
VERIFYING_S = 600.0
CALIBRATED_FOR_S = 24.0 * 3600.0
"""The kit's reagent is renewed each day."""
WATCH_S = 86_400.0
"""Longest goal of one watch; the next one follows it at once."""


class Room:
    """Runs phases in the room that they require.

    Args:
        context: of the batch, or of a sub-recipe.
        phases: runs the phases themselves, those of the enclosure and of the contamination watch too.
    """

    def __init__(self, context: RunContext, phases: PhaseRunner) -> None:
        self._context = context
        self._phases = phases

    async def run(self, step: PhaseStep, key: str, scope: Scope) -> Mapping[str, Any]:
        """Return the result of a phase, carried out while the room is as it requires.

        Before it is meant, the grade is verified, for closed processing unless that was done in `VERIFIED_FOR_S`, and
        the photon background calibrated unless that was done within a day. Beside an open phase the enclosure watches
        the grade until it ends: an excursion holds the enclosure's service, and with it the procedure.
        """
        if step.module == ENCLOSURE:
            async with self._turn(scope):
                return await self._phases.run(step, key, scope)
        if _is_open(step):
            async with self._turn(scope):
                await self._prepare(step, key, scope)
                return await self._watched(step, key, scope)
        if not self._is_ready(step, key):
            async with self._turn(scope):
                await self._prepare(step, key, scope)
        return await self._phases.run(step, key, scope)

    @contextlib.asynccontextmanager
    async def _turn(self, scope: Scope) -> AsyncIterator[None]:
        """Wait until no other branch or batch uses the enclosure; it has one service."""
        await scope.run(self._context.enclosure_turn.acquire())
        try:
            yield
        finally:
            self._context.enclosure_turn.release()

    def _is_ready(self, step: PhaseStep, key: str) -> bool:
        """Tell whether the room is known to be as a phase requires it, or the phase was begun in an earlier life."""
        if self._context.journal.entry(key) is not None:
            return True
        return self._is_verified(step) and (not step.requires.get("background") or self._is_calibrated())

    async def _prepare(self, step: PhaseStep, key: str, scope: Scope) -> None:
        """Have verified and calibrated what is not yet."""
        if self._is_ready(step, key):
            return
        if not self._is_verified(step):
            await self._phases.run(_verification(step), f"{key}.room", scope)
            self._context.ended_phases.discard(f"{key}.room")
        if step.requires.get("background") and not self._is_calibrated():
            await self._phases.run(_calibration(step), f"{key}.background", scope)
            self._context.ended_phases.discard(f"{key}.background")

    def _is_verified(self, step: PhaseStep) -> bool:
        wanted = step.requires.get("grade")
        if wanted is None:
            return True
        if _is_open(step):
            return False
        allowed = GRADES[: GRADES.index(wanted) + 1]
        last = self._last("VerifyGrade", VERIFIED_FOR_S)
        return last is not None and last.get("grade_reached") in allowed

    def _is_calibrated(self) -> bool:
        return self._last("CalibrateBackground", CALIBRATED_FOR_S) is not None

    def _last(self, action: str, within_s: float) -> Mapping[str, Any] | None:
        """Return the result of an action's last goal, None when it did not succeed or is too long ago."""
        now_s = self._context.clock.now_s()
        entry = self._context.journal.last_ended(action)
        if entry is None or entry.ended_s is None or entry.status != "succeeded" or now_s - entry.ended_s > within_s:
            return None
        result: Mapping[str, Any] = entry.result
        return result

    async def _watched(self, step: PhaseStep, key: str, scope: Scope) -> Mapping[str, Any]:
        """Run an open phase with the enclosure's watch beside it."""
        watch = Scope(scope)
        results: list[Mapping[str, Any]] = []

        async def work() -> None:
            try:
                results.append(await self._phases.run(step, key, scope))
            finally:
                watch.end()

        async def look() -> None:
            turn = 0
            with contextlib.suppress(BranchEnded):
                while not watch.has_ended:
                    turn += 1
                    beside = f"{key}.watch#{turn}"
                    await self._phases.run(_watch(step), beside, watch)
                    self._context.ended_phases.discard(beside)

        try:
            async with asyncio.TaskGroup() as group:
                # The phase first: in a replay it has ended before its watch looks.
                group.create_task(work())
                group.create_task(look())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return results[0]


def _is_open(step: PhaseStep) -> bool:
    return step.requires.get("processing") == "open" and "grade" in step.requires


def _phase(step: PhaseStep, what: str, module: str, action: str, fields: Mapping[str, Any], reason: str) -> PhaseStep:
    return PhaseStep(
        f"{step.id}_{what}", f"{step.path}.{what}", step.line, module, action, fields, resume="auto",
        max_outage_h=4.0, reason=reason,
    )


def _verification(step: PhaseStep) -> PhaseStep:
    fields = {"grade": step.requires["grade"], "duration_s": VERIFYING_S}
    return _phase(step, "room", ENCLOSURE, "VerifyGrade", fields, f"{step.id} requires grade {fields['grade']}")


def _watch(step: PhaseStep) -> PhaseStep:
    fields = {"grade": step.requires["grade"], "duration_s": WATCH_S}
    # An enclosure that nobody hears watches nothing: what is open is held, it is not waited for.
    reason = f"{step.id} is open in grade {fields['grade']}"
    return replace(_phase(step, "watch", ENCLOSURE, "VerifyGrade", fields, reason), max_outage_h=0.0)


def _calibration(step: PhaseStep) -> PhaseStep:
    reason = f"{step.id} requires a photon background"
    return _phase(step, "background", "contamination_watch", "CalibrateBackground", {}, reason)
