# SPDX-License-Identifier: Apache-2.0
"""The procedure engine: carries a recipe out, survives its own death, holds rather than guesses.

Every step is journaled before it is acted upon. An engine that is started on the journal of an earlier life runs
the same procedure from its beginning; steps that have ended give their stored results without doing anything,
and for a step in flight the module is asked what became of its goal.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

from ..batch import Batch, BatchOutcome, BatchSnapshot, CommandOutcome, Recorder
from ..clock import ProcessClock
from ..errors import WorkcellError
from ..gateway import LaboratoryGateway, ModuleGateway, ModuleUnavailable, OperatorGateway
from ..identity.custody import Custody, GuardedModules
from ..interfaces import Interfaces, default_interfaces
from ..recipes.durations import expected_recipe_s
from ..recipes.recipe import Recipe
from ..recipes.steps import PhaseStep
from ..units.arbiter import Arbiter
from ..units.binding import UnitBinding, check_bindable
from ..units.units import NO_UNITS, Units
from .batch_start import record_start
from .journal import Journal
from .procedure import Procedure
from .procedure_control import OnHold, ProcedureControl, RunningPhase
from .procedure_state import ProcedureState
from .run_context import RunContext
from .sampling import SamplingBudget
from .timers import Timers
from .unit_claims import UnitClaims
from .watchdog import AlarmSink, Watchdog

# Nothing shorter than this [s] of process time is worth a durable note that the coordinator is alive.
BACK_S = 1.0
"""Process time [s] by which a clock may be set back unnoticed while the coordinator is away."""
ALIVE_EVERY_S = 60.0
POLL_S = 5.0


class Engine:
    """Runs one batch of one recipe; lives in one asyncio loop.

    Args:
        recipe: the checked recipe, with the batch's parameters.
        batch: for whom it is made.
        modules, operator, laboratory: doors to the rest of the world.
        clock: process time.
        journal: this batch's journal; the one of an earlier life is taken up.
        record: writes to the batch record.
        on_status: called with a snapshot after every change; without it none is made.
        expected_phase_s: expected duration [s] of a phase, for progress only.
        on_hold: "wait" for a RESTART, or "end" the batch as held when nobody is there.
        interfaces: interface definitions; those of this installation when None.
        on_alarm: shows an alarm of the coordinator's own (`coordinator.step_overdue`); the record has it already.
        at_start: what else the record says at the start: kind, subject, data (`supplies.start_facts`).
        custody: whose containers are whose, over all batches; the journal tells those of this batch.
        vessels: the workcell's containers; a phase that names one of another batch or person does not start.
        units: what several batches share; none where only one batch is ever made.
        arbiter: grants the units, one for all batches of the workcell.
        unfit: tells which modules are in maintenance: of units that can stand for each other theirs are taken last.

    Raises:
        JournalError: the journal belongs to another batch or recipe.
        WorkcellError: the recipe names a certain unit where it has to name the class.
        ParameterError: patient and donor are not the pair that the recipe is for, or a formula leaves its range.
    """

    def __init__(
        self,
        recipe: Recipe,
        batch: Batch,
        modules: ModuleGateway,
        operator: OperatorGateway,
        laboratory: LaboratoryGateway,
        clock: ProcessClock,
        journal: Journal,
        record: Recorder,
        on_status: Callable[[BatchSnapshot], None] | None = None,
        expected_phase_s: Callable[[PhaseStep], float] = lambda step: 0.0,
        on_hold: OnHold = "wait",
        interfaces: Interfaces | None = None,
        on_alarm: AlarmSink = lambda alarm_id, message, active: None,
        at_start: Iterable[tuple[str, str, Mapping[str, Any]]] = (),
        custody: Custody | None = None,
        vessels: Collection[str] = (),
        units: Units = NO_UNITS,
        arbiter: Arbiter | None = None,
        unfit: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._at_start = tuple(at_start)
        self._on_status, self._on_alarm = on_status, on_alarm
        self._expected_phase_s = expected_phase_s
        recipe.check_pair(batch.patient_id, batch.donor_id)
        check_bindable(recipe, units)
        binding = UnitBinding(units)
        self._is_taken_up = journal.bind(batch.batch_id, recipe.content_hash, clock.now_s())
        self._custody = custody or Custody(units=units)
        if journal.get("outcome") is None:
            self._custody.restore(journal.get("custody", {}))
        guard = GuardedModules(
            modules,
            self._custody,
            batch,
            vessels,
            recipe.scanned_products(),
            partial(journal.set, "custody"),
            self._record_custody,
        )
        self._done: set[str] = set()
        self._alive_s = -math.inf
        self._watchers: list[asyncio.Future[None]] = []
        self._phases_total = sum(1 for _ in recipe.phases())
        control = ProcedureControl(modules, journal, record, clock, on_hold, self._changed)
        arbiter = arbiter or Arbiter(units)
        self._context = RunContext(
            recipe,
            batch,
            guard,
            operator,
            laboratory,
            clock,
            journal,
            record,
            interfaces or default_interfaces(),
            control,
            self._changed,
            POLL_S,
            started_s=float(journal.get("started_s")),
            last_alive_s=float(journal.get("alive_s", clock.now_s())),
            constants=recipe.constants(),
            may_bind=lambda label: self._custody.check([binding.name(label.product)], batch),
            scanned=lambda label: guard.scan(binding.name(label.product), label.chain_of_identity),
            binding=binding,
            enclosure_turn=arbiter.enclosure_turn,
        )
        self._timers = Timers(control, clock)
        self._watchdog = Watchdog(control, clock, record, on_alarm, expected_phase_s)
        self._claims = UnitClaims(self._context, units, arbiter, self._custody, expected_phase_s, unfit)
        self._procedure = Procedure(
            self._context, self._timers, self._watchdog, SamplingBudget(recipe), self._step_ended, self._claims
        )
        self._remaining_s: tuple[int, float] = (-1, math.nan)

    @property
    def state(self) -> ProcedureState:
        """State of the procedure."""
        return self._context.control.state

    @property
    def hold_reason(self) -> str:
        """Why the procedure is held; empty when it is not."""
        return self._context.control.hold_reason

    async def run(self) -> BatchOutcome:
        """Carry the procedure out, or on; return how it ended.

        A batch that ended before gives its outcome again and touches nothing. One that ended as held is taken up
        as held: with `on_hold` "wait" it can be restarted.
        """
        context = self._context
        stored = context.journal.get("outcome")
        if stored is not None:
            return self._end(BatchOutcome(**stored))
        record_start(context, self._at_start, self._is_taken_up)
        if self.state in (ProcedureState.STOPPING, ProcedureState.ABORTING):
            self._watch_goals_in_flight()
        context.control.begin()
        if self._is_taken_up:
            await self._check_time()
        procedure = asyncio.ensure_future(self._procedure.run())
        ended = context.control.ended
        either: list[asyncio.Future[Any]] = [procedure, ended]
        try:
            if not ended.done():
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if procedure.done() and not ended.done():
                procedure.result()
                context.control.complete()
                outcome = BatchOutcome("completed")
            else:
                outcome = ended.result()
        finally:
            procedure.cancel()
            await asyncio.gather(procedure, return_exceptions=True)
            self._timers.close()
        return self._end(outcome)

    async def _check_time(self) -> None:
        """Hold a batch that is taken up at an earlier time than it was left at: no outage can be told from that."""
        context = self._context
        back_s = context.last_alive_s - context.clock.now_s()
        if back_s > BACK_S:
            reason = (
                f"process time stands {back_s / 3600.0:.2f} h before the journal's last entry: the clock of this host "
                "was set back, or the simulated plant is another one, without this batch's cells; see what is in the "
                "vessels and how long the steps under way really took before restarting"
            )
            for active in (True, False):  # latched: it stays until it is reset
                self._on_alarm("coordinator.clock_jumped", reason, active)
            await context.control.enter_hold(reason)
            context.control.end_if_unattended()

    def _record_custody(self, kind: str, what: str, why: str = "", **data: Any) -> None:
        if kind == "container_bound":
            self._context.record_once(f"{kind}:{what}", kind, what, why, **data)
        else:
            self._context.record(kind, what, why, **data)

    def _end(self, outcome: BatchOutcome) -> BatchOutcome:
        context = self._context
        self._claims.end(final=outcome.state != "held")
        if outcome.state != "held":
            # Single-use sets: what held this batch's material is taken out before the next one.
            self._custody.end(context.batch.batch_id)
        # A held batch is not over: it can be taken up again, so only the other outcomes are final.
        if outcome.state != "held":
            context.journal.set("outcome", vars(outcome))
        context.record_once(
            f"batch:ended:{outcome.state}",
            "batch_ended",
            context.batch.batch_id,
            outcome.reason,
            state=outcome.state,
            reason=outcome.reason,
        )
        self._changed()
        return outcome

    def _watch_goals_in_flight(self) -> None:
        """Let a stop or abort that a crash cut short reach the phases that were at work."""
        context = self._context
        for entry in context.journal.entries():
            if entry.kind == "phase" and not entry.has_ended:
                phase = RunningPhase(entry.path, entry.intent["module"], entry.intent["goal_id"])
                context.control.enter(phase)
                self._watchers.append(asyncio.ensure_future(self._watch_goal(phase)))

    async def _watch_goal(self, phase: RunningPhase) -> None:
        with contextlib.suppress(ModuleUnavailable):
            recall = await self._context.modules.recall_phase(phase.module, phase.goal_id)
            if recall.status in ("running", "held"):
                await self._context.modules.await_phase(phase.module, phase.goal_id, lambda progress, step: None)
        self._context.control.leave(phase.goal_id)

    async def command(self, command: str, who: str, why: str) -> CommandOutcome:
        """Take an ISA-88 command: pause, resume, hold, restart, stop, abort."""
        return await self._context.control.command(command, who, why)

    async def report_held(self, module: str, reason: str) -> None:
        """Tell that a module's service has gone to Held by itself; the procedure is held with its reason.

        Ignored when the procedure itself held the module, or no phase of this batch runs there.
        """
        control = self._context.control
        for phase in list(control.running.values()):
            if phase.module == module and not phase.is_held:
                phase.is_held = phase.held_itself = True
                await control.enter_hold(f"{phase.path} ({module}) is held: {reason or 'see its alarms'}")
                control.end_if_unattended()

    def submit_laboratory_result(self, record: Mapping[str, Any]) -> None:
        """Take a laboratory record whose signature has been verified; durable when this returns.

        Args:
            record: laboratory, sample_id, test, value, low, high, unit, method, status, reported_s.

        Raises:
            WorkcellError: a field is missing or empty.
        """
        missing = [name for name in ("sample_id", "test", "unit", "status") if not record.get(name)]
        if missing or "value" not in record:
            raise WorkcellError(f"laboratory record lacks {', '.join(missing or ['value'])}: {dict(record)!r}")
        self._context.journal.put_laboratory_result(record)
        self._context.record_once(
            f"laboratory:{record['sample_id']}:{record['test']}:{record['status']}",
            # What only steers the process is another kind, so that no specification takes it for the product's.
            "laboratory_result" if self._is_for_release(record["sample_id"]) else "laboratory_in_process",
            str(record["test"]),
            **{name: value for name, value in record.items() if name != "batch_id"},
        )
        self._context.laboratory_news.set()

    def _is_for_release(self, sample_id: str) -> bool:
        orders = [entry.intent for entry in self._context.journal.entries("laboratory")]
        return any(order["sample_id"] == sample_id and order["purpose"] == "release" for order in orders)

    def snapshot(self) -> BatchSnapshot:
        """Return where the batch stands now."""
        context, control = self._context, self._context.control
        now_s = context.clock.now_s()
        elapsed_s = now_s - context.started_s
        remaining_s = self._expected_remaining_s(now_s)
        total_s = elapsed_s + remaining_s
        steps = context.steps_now
        return BatchSnapshot(
            time_s=now_s,
            batch_id=context.batch.batch_id,
            recipe=context.recipe.title,
            product=context.recipe.product,
            state=str(control.state),
            phase_id=", ".join(steps),
            step="; ".join(text for text in steps.values() if text),
            process_day=elapsed_s / 86400.0,
            progress=elapsed_s / total_s if total_s > 0.0 else math.nan,
            expected_remaining_h=remaining_s / 3600.0,
            viable_cells=self._viable_cells(),
            hold_reason=control.hold_reason,
            phases_done=len(context.ended_phases),
            phases_total=self._phases_total,
        )

    def _expected_remaining_s(self, now_s: float) -> float:
        context = self._context
        if self._remaining_s[0] != len(self._done):
            expected_s = expected_recipe_s(context.recipe, self._expected_phase_s, self._done)
            self._remaining_s = (len(self._done), expected_s + now_s)
        return max(0.0, self._remaining_s[1] - now_s)

    def _viable_cells(self) -> float:
        for result in reversed(self._context.results.values()):
            value = result.get("viable_cells")
            if isinstance(value, int | float) and math.isfinite(value):
                return float(value)
        return math.nan

    def _step_ended(self, path: str) -> None:
        self._done.add(path)
        self._claims.step_ended(path)
        self._changed()

    def _changed(self) -> None:
        if not hasattr(self, "_remaining_s"):
            return
        self._claims.state_changed()
        now_s = self._context.clock.now_s()
        if now_s - self._alive_s >= ALIVE_EVERY_S:
            self._alive_s = now_s
            self._context.journal.set("alive_s", now_s)
        if self._on_status is not None:
            self._on_status(self.snapshot())
