# SPDX-License-Identifier: Apache-2.0
"""Claims and changeovers of one batch as it runs: waits for units, has sets exchanged, journals both."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ..identity.custody import Custody
from ..identity.identity import IdentityError, check_label
from ..recipes.durations import ExpectedPhase, expected_step_s
from ..units.arbiter import Arbiter, UnitOccupied
from ..units.claim_plan import Claim, claim_plan
from ..units.units import Unit, Units
from .procedure_state import ProcedureState
from .run_context import RunContext, Scope, first_of

LOOK_AGAIN_S = 600.0
"""Shortest process time [s] after which a batch that waits for its beginning looks at the forecasts again."""
_GOING = (ProcedureState.IDLE, ProcedureState.RUNNING)

_QUESTION = re.compile(r"Changeover of (\S+): take out the \S+ of batch (\S+), put in the one of batch (\S+), then")


@dataclass(frozen=True)
class Changeover:
    """What a person is asked to do: the unit, the batch whose set goes, the batch whose set comes."""

    unit: str
    old: str
    new: str


def changeover_of(question: str) -> Changeover | None:
    """Return the changeover that a question asks for, None when it asks for something else."""
    match = _QUESTION.match(question)
    return Changeover(*match.groups()) if match is not None else None


class UnitClaims:
    """Takes and gives back the units of one batch, step by step.

    Args:
        context: the batch, its journal and clock.
        units: of the workcell; none: nothing is claimed.
        arbiter: shared by all batches of the workcell.
        custody: knows whose set is in which unit.
        expected_phase_s: for the forecast of when a unit is needed and left.
        unfit: tells which modules are in maintenance: their units are taken last.
    """

    def __init__(
        self, context: RunContext, units: Units, arbiter: Arbiter, custody: Custody, expected_phase_s: ExpectedPhase,
        unfit: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._unfit = unfit
        self._context, self._units, self._arbiter, self._custody = context, units, arbiter, custody
        self._expected_phase_s = expected_phase_s
        self.plan = claim_plan(context.recipe, units, expected_phase_s)
        self._done: set[str] = set()
        self._mark_s = context.started_s
        self._state = context.control.state
        batch_id = context.batch.batch_id
        held = [e for e in context.journal.entries("claim") if not e.has_ended] if units else []
        if units:
            arbiter.leave(batch_id)  # what an earlier engine of this batch held is what its journal says
        for entry in held:
            arbiter.restore(batch_id, entry.intent["units"])
        for entry in context.journal.entries() if units else []:
            if entry.kind == "claim":
                self._bind(entry.intent.get("bound", {}))
        if units and context.journal.get("admitted") is not None:
            arbiter.admit(batch_id, self.plan, self.release_s)
        elif units:
            arbiter.arrive(batch_id)

    async def open(self, path: str, suffix: str, scope: Scope) -> None:
        """Return when the batch may begin a step: the units that it claims from here on are its own, with its set."""
        claims = self.plan.opening.get(path, ())
        if claims:
            await scope.run(self._open(claims, suffix))

    def close(self, path: str, suffix: str) -> None:
        """Give back the units whose last use a step was."""
        context = self._context
        for claim in self.plan.closing.get(path, ()):
            key = _key(claim, suffix)
            entry = context.journal.entry(key)
            if entry is not None and not entry.has_ended:
                context.journal.end(key, "released", {}, context.clock.now_s())
                self._arbiter.release(context.batch.batch_id, entry.intent["units"])

    def state_changed(self) -> None:
        """Tell those who wait when the procedure has been held or goes on: forecasts change."""
        state = self._context.control.state
        if state is not self._state:
            self._state = state
            self._arbiter.tell_news()

    def step_ended(self, path: str) -> None:
        """Note for the forecast that a step has ended."""
        self._done.add(path)
        self._mark_s = self._context.clock.now_s()

    def end(self, final: bool) -> None:
        """The batch has ended; one that has ended as held keeps its units."""
        batch_id = self._context.batch.batch_id
        if final:
            self._arbiter.leave(batch_id)
        else:
            self._arbiter.park(batch_id)

    def release_s(self, unit: str) -> float:
        """Return when [s of process time] the batch expects to leave a staying unit.

        -inf when it has left it, inf while it is held: nobody knows then.
        """
        last = self.plan.span(unit)[1]
        if self.plan.steps[last].path in self._done:
            return -math.inf
        if self._state not in _GOING:
            return math.inf
        ahead_s = self._expected_s(0, last + 1)
        return max(self._context.clock.now_s(), self._mark_s + ahead_s)

    def _expected_s(self, begin: int, end: int) -> float:
        steps = self.plan.steps[begin:end]
        return sum(expected_step_s(step, self._expected_phase_s, self._done) for step in steps)

    async def _open(self, claims: tuple[Claim, ...], suffix: str) -> None:
        context = self._context
        new = [claim for claim in claims if context.journal.entry(_key(claim, suffix)) is None]
        if new:
            await context.control.gate()
            await self._admitted()
            classes = frozenset[str]().union(*(claim.units for claim in new))
            begun_s = context.clock.now_s()
            granted = await self._acquired(classes)
            waited_h = (context.clock.now_s() - begun_s) / 3600.0
            for claim in new:
                bound = {name: granted[name] for name in sorted(claim.units)}
                intent = {"units": sorted(bound.values()), "bound": bound}
                context.journal.begin(_key(claim, suffix), "claim", intent, context.clock.now_s())
                self._bind(bound)
            if waited_h > 0.0:
                context.record("unit_waited", ", ".join(sorted(classes)), "another batch had it", waited_h=waited_h)
        for claim in claims:
            entry = context.journal.entry(_key(claim, suffix))
            if entry is not None and not entry.has_ended:
                self._tell_bound(_key(claim, suffix), entry.intent.get("bound", {}))
                for name in entry.intent["units"]:
                    if (unit := self._units.get(name)) is not None:
                        await self._changeover(unit)

    def _bind(self, bound: Mapping[str, str]) -> None:
        for unit_class, unit in bound.items():
            self._context.binding.bind(unit_class, unit)

    def _tell_bound(self, key: str, bound: Mapping[str, str]) -> None:
        """Write down which unit the batch was given where there was a choice."""
        for unit_class, unit in bound.items():
            alike = [each.name for each in self._units.of_class(unit_class)]
            given = self._units.get(unit)
            if given is not None and len(alike) > 1:
                self._context.record_once(
                    f"{key}:bound:{unit_class}", "unit_bound", unit, f"it was free, of {', '.join(alike)}",
                    unit=unit, unit_class=unit_class, modules=list(given.modules), vessels=list(given.vessels),
                )  # fmt: skip

    async def _admitted(self) -> None:
        """Return when the batch may begin: every unit in which its cells will stay is expected to be free by then."""
        context, batch_id = self._context, self._context.batch.batch_id
        if context.journal.get("admitted") is not None:
            return
        need_s = {unit: self._expected_s(0, self.plan.span(unit)[0]) for unit in self.plan.order}
        begun_s = context.clock.now_s()
        reason = ""
        while True:
            try:
                wait_s, why = self._arbiter.obstacle(batch_id, self.plan, need_s, context.clock.now_s())
            except UnitOccupied as error:
                await context.control.hold(str(error))
                continue
            if wait_s <= 0.0:
                break
            reason = why
            self._tell(f"does not begin yet: {why}")
            until_s = context.clock.now_s() + max(wait_s, LOOK_AGAIN_S)
            # A forecast that nobody can give comes with news only.
            timers = [] if math.isinf(wait_s) else [context.sleep_until(until_s)]
            await first_of(self._arbiter.news(), *timers)
        self._tell("")
        context.journal.set("admitted", context.clock.now_s())
        self._arbiter.admit(batch_id, self.plan, self.release_s)
        if reason:
            waited_h = (context.clock.now_s() - begun_s) / 3600.0
            context.record("unit_waited", "beginning", reason, waited_h=waited_h)

    async def _acquired(self, classes: Collection[str]) -> Mapping[str, str]:
        batch_id = self._context.batch.batch_id
        unfit = frozenset(self._unfit())

        def rank(name: str) -> int:
            """Best a unit that works and needs no changeover; one in maintenance last."""
            unit = self._units.get(name)
            is_unfit = unit is not None and bool(unfit & set(unit.modules))
            return 2 * is_unfit + (self._custody.occupant(name) not in (None, batch_id))

        while True:
            try:
                return await self._arbiter.acquire(batch_id, classes, self._tell, rank)
            except UnitOccupied as error:
                await self._context.control.hold(str(error))

    def _tell(self, text: str) -> None:
        if text:
            self._context.steps_now["units"] = text
        else:
            self._context.steps_now.pop("units", None)
        self._context.changed()

    async def _changeover(self, unit: Unit) -> None:
        """Return when the batch's own set is in the unit: exchanged, scanned, on record; a wrong one holds."""
        context, batch = self._context, self._context.batch
        while (other := self._custody.occupant(unit.name)) not in (None, batch.batch_id):
            count = int(context.journal.get(f"changeovers:{unit.name}", 0)) + 1
            key = f"changeover:{unit.name}:{count}"
            question = (
                f"Changeover of {unit.name}: take out the {unit.set} of batch {other}, put in the one of batch "
                f"{batch.batch_id}, then scan the label of {unit.set} for patient {batch.patient_id}"
            )
            answer = await context.ask(key, question, ())
            try:
                check_label(answer.answer, batch.patient_id, unit.set)
            except IdentityError as error:
                refusal = f"wrong {unit.set} at {unit.name}: {error}"
                context.record_once(
                    f"{key}:mismatch", "identity_refused", key, refusal, answer=answer.answer, by=answer.who
                )
                context.journal.set(f"changeovers:{unit.name}", count)
                await context.control.hold(refusal)
                continue
            context.record_once(
                f"{key}:done", "unit_changed_over", unit.name, answer.why, unit=unit.name, set=unit.set,
                old=other, new=batch.batch_id, label=answer.answer, simulated=answer.simulated, by=answer.who,
            )  # fmt: skip
            # In this order: a crash in between asks again rather than take an old answer for a new exchange.
            context.journal.set(f"changeovers:{unit.name}", count)
            self._custody.exchange(unit, batch.batch_id)


def _key(claim: Claim, suffix: str) -> str:
    return f"claim:{claim.opens}{suffix}:{','.join(sorted(claim.units))}"
