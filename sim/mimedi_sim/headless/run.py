# SPDX-License-Identifier: Apache-2.0
"""One batch headless: plant, services, engine and record put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mimedi_nodes.modules.expectations import expected_phase_s
from mimedi_nodes.modules.goal_store import GoalStore
from mimedi_nodes.modules.registry import load_module, module_table
from mimedi_nodes.modules.service import ModuleService, ServiceHooks
from mimedi_nodes.modules.site import Site
from mimedi_nodes.process.batch import Batch, BatchOutcome
from mimedi_nodes.process.clock import LoopClock
from mimedi_nodes.process.context import PhaseHeader
from mimedi_nodes.process.engine import Engine
from mimedi_nodes.process.gateway import OperatorGateway
from mimedi_nodes.process.interfaces import default_interfaces
from mimedi_nodes.process.journal import Journal
from mimedi_nodes.process.recipe import Recipe
from mimedi_nodes.process.service_state import ServiceState
from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.events import RecordEvent, wall_time
from mimedi_nodes.records.heads import Signer
from mimedi_sim.memory_link import MemoryLink
from mimedi_sim.models.donors import Donor
from mimedi_sim.plant.kits import kit_of
from mimedi_sim.plant.truth import TruthWhenAsked
from mimedi_sim.plant.twin import Plant
from mimedi_sim.scenarios import Scenario

from .camera import PlantCamera
from .gateways import LocalLaboratory, LocalModules
from .virtual_loop import run_virtual

COORDINATOR = "coordinator"

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

    outcome: BatchOutcome
    events: list[RecordEvent]
    truth: Mapping[str, Any]
    process_time_s: float
    record: BatchRecord = field(repr=False)
    plant: Plant = field(repr=False)
    """As the batch left it: time may go on in it, with nobody asking."""
    used_ul: Mapping[str, float] = field(default_factory=dict)
    """What was taken from each vessel that was full at the start [uL]."""


def run_batch(run: HeadlessRun) -> HeadlessResult:
    """Carry a batch out on virtual time."""
    return run_virtual(_run(run))


class _Events:
    """Everybody's events in the order of their making; they go into the record at the end of the run."""

    def __init__(self) -> None:
        self.all: list[RecordEvent] = []
        self._last: dict[str, int] = {}

    def add(
        self, producer: str, batch_id: str, time_s: float, kind: str, who: str, what: str, why: str, data: Any
    ) -> None:
        self._last[producer] = self._last.get(producer, 0) + 1
        stamp = wall_time()
        event = RecordEvent(producer, self._last[producer], batch_id, time_s, stamp, kind, who, what, why, data)
        self.all.append(event)


async def _run(run: HeadlessRun) -> HeadlessResult:
    clock = LoopClock()
    plant = Plant(run.site, donor=run.donor, seed=run.seed, scenario=run.scenario,
                  kit_name=kit_of(run.recipe.product))
    at_start = {name: volume_ul for name in run.site.vessels if (volume_ul := plant.ledger.volume_ul(name)) > 0.0}
    record = BatchRecord(run.record_folder, run.signer or Signer.ephemeral(), batch_id=run.batch.batch_id)
    events = _Events()
    interfaces = default_interfaces()
    links = {
        name: MemoryLink(name, _receiver(plant, name, clock), partial(plant.answer_delay_s, name))
        for name in run.site.instruments
    }
    extras = {name: PlantCamera(plant, clock, name) for name in plant.cameras}
    services: dict[str, ModuleService] = {}
    engine: Engine | None = None
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []
    timers: list[asyncio.TimerHandle] = []

    for name in module_table():
        module = load_module(name)
        own = {line: links[line] for line in run.site.lines_of(name)}
        instruments = module.build(run.site, own, extras)
        await instruments.connect()

        def write(
            header: PhaseHeader,
            kind: str,
            what: str,
            why: str,
            data: Mapping[str, Any],
            name: str = name,
        ) -> None:
            data = {"phase_id": header.phase_id, "module": name, **data}
            who = str(data.pop("who", name))
            events.add(name, header.batch_id, clock.now_s(), kind, who, what, why, data)

        def changed(name: str = name) -> None:
            service = services.get(name)
            if service is not None and service.state == ServiceState.HELD and engine is not None:
                tasks.append(loop.create_task(engine.report_held(name, service.last_error)))

        services[name] = ModuleService(
            module, instruments, clock, GoalStore(":memory:"), interfaces, ServiceHooks(write, changed)
        )
        await services[name].recover()

    laboratory = LocalLaboratory(plant, clock, run.site.laboratory_keys)

    def note(kind: str, what: str, why: str = "", **data: Any) -> None:
        who = str(data.pop("by", COORDINATOR))
        events.add(COORDINATOR, run.batch.batch_id, clock.now_s(), kind, who, what, why, data)
        if kind == "step_ended":
            observe(what)

    def observe(what: str) -> None:
        if run.observer is None:
            return
        plant.advance_to(clock.now_s())
        for time_s in run.observer(what, clock.now_s(), TruthWhenAsked(plant.truth)):
            timers.append(loop.call_later(max(0.0, time_s - clock.now_s()), observe, ""))

    engine = Engine(
        run.recipe,
        run.batch,
        LocalModules(services),
        run.operator,
        laboratory,
        clock,
        Journal(":memory:"),
        note,
        expected_phase_s=expected_phase_s(run.recipe),
        on_hold="end",
        interfaces=interfaces,
        at_start=run.at_start,
        vessels=run.site.vessels,
    )
    laboratory.submit = engine.submit_laboratory_result
    outcome = await engine.run()
    for task in tasks:
        task.cancel()
    for timer in timers:
        timer.cancel()
    record.append(events.all)
    used = {name: max(0.0, volume_ul - plant.ledger.volume_ul(name)) for name, volume_ul in at_start.items()}
    return HeadlessResult(outcome, events.all, plant.truth(), clock.now_s(), record, plant, used)


def _receiver(plant: Plant, line: str, clock: LoopClock) -> Any:
    def receive(data: bytes) -> bytes:
        return plant.receive(line, data, clock.now_s())

    return receive
