# SPDX-License-Identifier: Apache-2.0
"""Several batches on one twin: they share its units as in the coordinator, and a person's hands exchange the sets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mimedi_nodes.process.batch import BatchOutcome
from mimedi_nodes.process.clock import LoopClock, ProcessClock
from mimedi_nodes.process.engine.unit_claims import changeover_of
from mimedi_nodes.process.gateway import Answer, OperatorGateway, Question
from mimedi_nodes.process.identity.custody import Custody
from mimedi_nodes.process.identity.identity import IdentityError, check_label
from mimedi_nodes.process.units.arbiter import Arbiter
from mimedi_nodes.process.units.units import Units
from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.events import RecordEvent
from mimedi_nodes.records.heads import Signer
from mimedi_sim.plant.kits import kit_of
from mimedi_sim.plant.twin import Plant

from .run import HeadlessRun
from .virtual_loop import run_virtual
from .workcell import Workcell


@dataclass(frozen=True)
class SeveralResult:
    """How several batches ended: outcomes, events and records by batch, times [s] of start and end, the twin."""

    outcomes: Mapping[str, BatchOutcome]
    events: Mapping[str, list[RecordEvent]]
    records: Mapping[str, BatchRecord] = field(repr=False)
    times_s: Mapping[str, tuple[float, float]]
    plant: Plant = field(repr=False)


class Hands:
    """An OperatorGateway that does what a changeover asks for on the twin before another one answers that it is done.

    Args:
        answers: gives the answers, the scanned labels too.
        runs: by batch; their donors and products are those of new sets.
    """

    def __init__(
        self, answers: OperatorGateway, plant: Plant, clock: ProcessClock, units: Units, runs: Mapping[str, HeadlessRun]
    ) -> None:
        self._answers, self._plant, self._clock, self._units, self._runs = answers, plant, clock, units, runs

    async def ask(self, question: Question) -> Answer:
        """Return the answer; a set whose label is not the expected one stays outside."""
        answer = await self._answers.ask(question)
        asked = changeover_of(question.question)
        unit = self._units.get(asked.unit) if asked is not None else None
        if asked is None or unit is None:
            return answer
        run = self._runs[asked.new]
        try:
            check_label(answer.answer, run.batch.patient_id, unit.set)
        except IdentityError:
            return answer  # the engine refuses it
        kit_name = kit_of(run.recipe.product)
        self._plant.exchange_set(unit, asked.old, asked.new, self._clock.now_s(), run.donor, kit_name)
        return answer


def run_batches(runs: Sequence[HeadlessRun], units: Units, arrivals_h: Sequence[float] = ()) -> SeveralResult:
    """Carry several batches out on one twin on virtual time.

    Args:
        runs: the first one's site, seed, donor and scenario are the twin's.
        units: what they share.
        arrivals_h: process time [h] at which each is ordered; all at once when empty.

    Raises:
        ValueError: no run, two of one name, or another number of arrivals.
    """
    names = [run.batch.batch_id for run in runs]
    if not runs or len(set(names)) < len(names):
        raise ValueError(f"batches are {names}; give at least one, each its own name")
    if arrivals_h and len(arrivals_h) != len(runs):
        raise ValueError(f"arrivals_h has {len(arrivals_h)} times; allowed: one for each of {len(runs)} batches")
    return run_virtual(_run(runs, units, arrivals_h or [0.0] * len(runs)))


async def _run(runs: Sequence[HeadlessRun], units: Units, arrivals_h: Sequence[float]) -> SeveralResult:
    clock = LoopClock()
    first = runs[0]
    plant = Plant(first.site, donor=first.donor, seed=first.seed, scenario=first.scenario,
                  kit_name=kit_of(first.recipe.product))
    workcell = Workcell(plant, first.site, clock)
    await workcell.bring_up()
    custody, arbiter = Custody(units=units), Arbiter(units)
    by_batch = {run.batch.batch_id: run for run in runs}
    times: dict[str, tuple[float, float]] = {}

    async def one(run: HeadlessRun, arrival_h: float) -> BatchOutcome:
        await clock.sleep_until(arrival_h * 3600.0)
        hands = Hands(run.operator, plant, clock, units, by_batch)
        engine = workcell.engine(
            run.recipe, run.batch, hands, at_start=run.at_start, custody=custody, units=units, arbiter=arbiter
        )
        begun_s = clock.now_s()
        outcome = await engine.run()
        times[run.batch.batch_id] = (begun_s, clock.now_s())
        return outcome

    outcomes = await asyncio.gather(*(one(run, at_h) for run, at_h in zip(runs, arrivals_h, strict=True)))
    workcell.close()
    events = {name: [event for event in workcell.events if event.batch_id == name] for name in by_batch}
    records = {}
    for run in runs:
        name = run.batch.batch_id
        records[name] = BatchRecord(run.record_folder, run.signer or Signer.ephemeral(), batch_id=name)
        records[name].append(events[name])
    return SeveralResult(dict(zip(by_batch, outcomes, strict=True)), events, records, times, plant)
