# SPDX-License-Identifier: Apache-2.0
"""One batch headless: plant, services, engine and record put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mimedi_nodes.modules.site import Site
from mimedi_nodes.process.batch import Batch, BatchOutcome
from mimedi_nodes.process.clock import LoopClock
from mimedi_nodes.process.gateway import OperatorGateway
from mimedi_nodes.process.recipes.recipe import Recipe
from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.events import RecordEvent
from mimedi_nodes.records.heads import Signer
from mimedi_sim.models.donors import Donor
from mimedi_sim.plant.kits import kit_of
from mimedi_sim.plant.truth import TruthWhenAsked
from mimedi_sim.plant.twin import Plant
from mimedi_sim.scenarios import Scenario

from .virtual_loop import run_virtual
from .workcell import Workcell

Observer = Callable[[str, float, Mapping[str, Any]], Iterable[float]]
"""Called with (what, process time [s], truth of the plant) when a phase has ended, its path as `what`. It returns the
times [s] at which it wants to be called again, `what` being empty then. The batch does not notice."""


@dataclass(frozen=True)
class HeadlessRun:
    """What a headless batch is made of.

    Args:
        recipe: the checked recipe.
        batch: for whom.
        site: vessels and instruments.
        donor, seed, scenario: the plant's.
        operator: answers the recipe's questions.
        record_folder: run folder for the record, None to keep it in memory.
        signer: signs the record's heads; an ephemeral key when None.
        observer: sees the plant's truth when phases end.
        at_start: what else the record says at the start (`process.supplies.start_facts`).
    """

    recipe: Recipe
    batch: Batch
    site: Site
    donor: Donor
    seed: int
    operator: OperatorGateway
    scenario: Scenario | None = None
    record_folder: Path | None = None
    signer: Signer | None = None
    observer: Observer | None = None
    at_start: tuple[tuple[str, str, Mapping[str, Any]], ...] = ()


@dataclass
class HeadlessResult:
    """How a headless batch ended: the engine's outcome, the record's events and the plant's truth at the end."""

    # Out of the text: asyncio's runner, ending, spells a finished task with its result out and throws it away.
    outcome: BatchOutcome = field(repr=False)
    events: list[RecordEvent] = field(repr=False)
    truth: Mapping[str, Any] = field(repr=False)
    process_time_s: float
    record: BatchRecord = field(repr=False)
    plant: Plant = field(repr=False)
    """As the batch left it: time may go on in it, with nobody asking."""
    used_ul: Mapping[str, float] = field(default_factory=dict, repr=False)
    """What was taken from each vessel that was full at the start [uL]."""


def run_batch(run: HeadlessRun) -> HeadlessResult:
    """Carry a batch out on virtual time."""
    return run_virtual(_run(run))


async def _run(run: HeadlessRun) -> HeadlessResult:
    clock = LoopClock()
    plant = Plant(run.site, donor=run.donor, seed=run.seed, scenario=run.scenario,
                  kit_name=kit_of(run.recipe.product))
    at_start = {name: volume_ul for name in run.site.vessels if (volume_ul := plant.ledger.volume_ul(name)) > 0.0}
    record = BatchRecord(run.record_folder, run.signer or Signer.ephemeral(), batch_id=run.batch.batch_id)
    workcell = Workcell(plant, run.site, clock)
    await workcell.bring_up()
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def observe(what: str) -> None:
        if run.observer is None:
            return
        plant.advance_to(clock.now_s())
        for time_s in run.observer(what, clock.now_s(), TruthWhenAsked(plant.truth)):
            timers.append(loop.call_later(max(0.0, time_s - clock.now_s()), observe, ""))

    engine = workcell.engine(run.recipe, run.batch, run.operator, observe, at_start=run.at_start)
    outcome = await engine.run()
    workcell.close()
    for timer in timers:
        timer.cancel()
    record.append(workcell.events)
    used = {name: max(0.0, volume_ul - plant.ledger.volume_ul(name)) for name, volume_ul in at_start.items()}
    return HeadlessResult(outcome, workcell.events, plant.truth(), clock.now_s(), record, plant, used)
