# SPDX-License-Identifier: Apache-2.0
"""A headless workcell whose parts can be killed: what is on disk and what stands in the plant outlives them.

A killed process must not do anything more, not even clean up: its tasks are never woken again (its clock never
returns), and nobody reads its variables. A new process is made of new objects on the same goal store, journal, outbox
and plant. To reach many instants without repeating the batch, the test process forks at each of them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mimedi_nodes.instruments.wire.link import InstrumentError
from mimedi_nodes.modules.expectations import expected_phase_s
from mimedi_nodes.modules.module import Safe
from mimedi_nodes.modules.registry import config_folder, load_module, module_table
from mimedi_nodes.modules.service.goal_store import GoalStore
from mimedi_nodes.modules.service.service import ModuleService, ServiceHooks
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.modules.transfer.whereabouts import Whereabouts
from mimedi_nodes.process.batch import Batch, BatchOutcome
from mimedi_nodes.process.clock import LoopClock
from mimedi_nodes.process.context import PhaseHeader
from mimedi_nodes.process.engine.engine import Engine
from mimedi_nodes.process.engine.journal import Journal
from mimedi_nodes.process.gateway import CommandReply, ModuleUnavailable, PhaseOutcome, PhaseRecall
from mimedi_nodes.process.identity.identity import make_identifier
from mimedi_nodes.process.interfaces import default_interfaces
from mimedi_nodes.process.people.operator import ScriptedOperator
from mimedi_nodes.process.recipes.recipe import Recipe
from mimedi_nodes.process.service_state import ServiceState
from mimedi_nodes.records.events import RecordEvent, twin_rows
from mimedi_sim.headless.camera import PlantCamera
from mimedi_sim.headless.gateways import LocalLaboratory, LocalModules
from mimedi_sim.memory_link import MemoryLink
from mimedi_sim.models.donors import donor
from mimedi_sim.plant.twin import Plant

SITE = load_site(config_folder() / "site" / "demo.yaml")
PATIENT = make_identifier("F1234", 26, 1)
WALL_TIME = "2026-11-23T10:00:00Z"
UNATTENDED_S = 600.0
"""How long after a hold the operator restarts the batch [s]."""


class MortalClock:
    """The clock of one process: whoever waits on it when the process is killed never wakes."""

    def __init__(self, clock: LoopClock) -> None:
        self._clock, self.dead = clock, False

    def now_s(self) -> float:
        return self._clock.now_s()

    async def sleep_until(self, time_s: float) -> None:
        await self._clock.sleep_until(time_s)
        await self.live_on()

    async def live_on(self) -> None:
        if self.dead:
            await asyncio.get_running_loop().create_future()


@dataclass
class ModuleProcess:
    """One life of a module."""

    service: ModuleService
    clock: MortalClock
    killed: asyncio.Event = field(default_factory=asyncio.Event)


class CrashWorld:
    """Plant, disks and processes of one workcell that carries out one batch; make it inside a virtual loop."""

    def __init__(self, recipe: Recipe, seed: int = 1) -> None:
        self.recipe, self.seed = recipe, seed
        self.clock = LoopClock()
        self.plant = Plant(SITE, donor=donor("nominal"), seed=seed)
        self.at_start = {name: self.plant.ledger.volume_ul(name) for name in SITE.vessels}
        self.links = {
            name: MemoryLink(
                name, lambda data, name=name: self.plant.receive(name, data, self.clock.now_s()),
                partial(self.plant.answer_delay_s, name),
            )
            for name in SITE.instruments
        }  # fmt: skip
        self.events: list[RecordEvent] = []
        self.stores = {name: GoalStore(":memory:") for name in module_table()}
        self.journal = Journal(":memory:")
        self.whereabouts = Whereabouts(SITE.cassettes)
        self.modules: dict[str, ModuleProcess] = {}
        self.doors = _Doors(self)
        self.laboratory = LocalLaboratory(self.plant, self.clock, SITE.laboratory_keys)
        self.engine: Engine | None = None
        self.coordinator = MortalClock(self.clock)
        self.run: asyncio.Task[BatchOutcome] | None = None
        self.restarts = 0
        self.unsafe: list[str] = []
        self.on_event: Callable[[RecordEvent], None] = lambda event: None
        self.stop_after: str | None = None
        """Phase after which the batch is left alone: what comes then has nothing to do with the crash any more."""
        self.reached = asyncio.Event()
        self.whole = asyncio.Event()
        """Set while nothing is away: nobody restarts a batch on a part that has no power or does not run."""
        self.whole.set()
        self._sequences: dict[str, int] = {}
        self._pending: set[asyncio.Task[Any]] = set()

    # -- disks ------------------------------------------------------------------------------------------

    def write(self, producer: str, kind: str, who: str, what: str, why: str, data: Mapping[str, Any]) -> None:
        """An event in its producer's outbox: durable when this returns."""
        self._sequences[producer] = self._sequences.get(producer, 0) + 1
        event = RecordEvent(
            producer, self._sequences[producer], "B-1", self.clock.now_s(), WALL_TIME, kind, who, what, why, data
        )
        self.events.append(event)
        self.on_event(event)
        if kind == "phase_ended" and data["phase_id"] == self.stop_after and data["status"] == "succeeded":
            self.reached.set()

    # -- modules ----------------------------------------------------------------------------------------

    async def start_module(self, name: str) -> None:
        """Start a module's process; it waits until its instruments have power."""
        module, clock = load_module(name), MortalClock(self.clock)
        links = {line: self.links[line] for line in SITE.lines_of(name)}
        cameras = {n: PlantCamera(self.plant, clock, n) for n in self.plant.cameras}
        instruments = module.build(SITE, links, {**cameras, "whereabouts": self.whereabouts})
        while True:
            try:
                await instruments.connect()
                break
            except InstrumentError:
                await clock.sleep_until(clock.now_s() + 5.0)

        def events(header: PhaseHeader, kind: str, what: str, why: str, data: Mapping[str, Any]) -> None:
            values = {"phase_id": header.phase_id, "module": name, **data}
            self.write(name, kind, str(values.pop("who", name)), what, why, values)

        def changed() -> None:
            process = self.modules.get(name)
            if process is not None and process.service.state == ServiceState.HELD and self.engine is not None:
                self.spawn(self.report(process))

        service = ModuleService(
            module, instruments, clock, self.stores[name], default_interfaces(), ServiceHooks(events, changed)
        )
        interrupted = await service.recover()
        self.modules[name] = ModuleProcess(service, clock)
        if interrupted:
            await self.check_safe(name, "held")

    async def report(self, process: ModuleProcess) -> None:
        """Tell the coordinator of a held module, unless it has gone on meanwhile."""
        if process.service.state == ServiceState.HELD and self.engine is not None:
            await self.engine.report_held(process.service.module.name, process.service.last_error)

    def kill_module(self, name: str) -> None:
        """End a module's process as kill -9 does."""
        process = self.modules.pop(name)
        process.clock.dead = True
        process.killed.set()

    async def check_safe(self, name: str, state: str) -> None:
        """Note every actuator of a module that does not stand at its declared value."""
        process = self.modules[name]
        for actuator in process.service.module.actuators:
            if getattr(actuator, state) is Safe.OFF:
                assert actuator.is_off is not None
                try:
                    off = await actuator.is_off(process.service.instruments)
                except InstrumentError:
                    off = self._stands_still()  # it cannot be asked: look at the plant itself
                if not off:
                    self.unsafe.append(f"{name}.{actuator.name} is not off in {state} at {self.clock.now_s():.0f} s")

    def _stands_still(self) -> bool:
        self.plant.advance_to(self.clock.now_s())
        truth = self.plant.truth()
        return not truth["flows"] and truth["chip"]["energy_j_m3"] == 0.0

    # -- coordinator ------------------------------------------------------------------------------------

    def start_coordinator(self) -> None:
        """Start the coordinator's process on its journal."""
        self.coordinator = clock = MortalClock(self.clock)

        def note(kind: str, what: str, why: str = "", **data: Any) -> None:
            self.write("coordinator", kind, str(data.pop("by", "coordinator")), what, why, data)

        self.engine = Engine(
            self.recipe,
            Batch("B-1", PATIENT, PATIENT, 70.0),
            self.doors.of(clock),
            ScriptedOperator(config_folder() / "operators" / "default.yaml"),
            self.laboratory,
            clock,
            self.journal,
            note,
            expected_phase_s=expected_phase_s(self.recipe),
            on_hold="wait",
        )
        self.laboratory.submit = self.engine.submit_laboratory_result
        self.run = asyncio.get_running_loop().create_task(self.engine.run())

    def kill_coordinator(self) -> None:
        """End the coordinator's process as kill -9 does."""
        self.coordinator.dead = True
        self.engine = None

    def spawn(self, work: Any) -> None:
        """Run something beside the batch."""
        task = asyncio.get_running_loop().create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    # -- the whole --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start every process."""
        for name in module_table():
            await self.start_module(name)
        self.start_coordinator()

    async def finish(self, restarts: int = 3) -> tuple[str, str]:
        """Wait for the end; a held batch is looked at, its actuators too, and restarted some times."""
        while True:
            assert self.run is not None
            reached = asyncio.ensure_future(self.reached.wait())
            await asyncio.wait({self.run, reached}, timeout=1800.0, return_when=asyncio.FIRST_COMPLETED)
            reached.cancel()
            if self.reached.is_set():
                return "goes on", ""
            if self.run.done():
                outcome = self.run.result()
                return outcome.state, outcome.reason
            if self._is_held():
                await asyncio.sleep(UNATTENDED_S)
                await self.whole.wait()
                if not self._is_held():
                    continue
                assert self.engine is not None
                reason = self.engine.hold_reason
                await self._check_held()
                if self.restarts >= restarts:
                    return "held", reason
                self.restarts += 1
                await self.engine.command("restart", "operator", f"looked at: {reason}")

    def _is_held(self) -> bool:
        return self.engine is not None and self.engine.state == "held"

    async def _check_held(self) -> None:
        for name, process in self.modules.items():
            if process.service.state == ServiceState.HELD:
                await self.check_safe(name, "held")


class _Doors(LocalModules):
    """The modules as the coordinator sees them: one that is not there, or dies meanwhile, is unavailable."""

    def __init__(self, world: CrashWorld) -> None:
        super().__init__({})
        self._world = world

    def of(self, clock: MortalClock) -> _CoordinatorsDoors:
        return _CoordinatorsDoors(self, clock)

    def _service(self, module: str) -> ModuleService:
        if module not in self._world.modules:
            raise ModuleUnavailable(f"{module} does not answer")
        return self._world.modules[module].service

    async def unless_killed(self, module: str, work: Any) -> PhaseOutcome:
        if module not in self._world.modules:
            work.close()
            raise ModuleUnavailable(f"{module} does not answer")
        process = self._world.modules[module]
        task = asyncio.ensure_future(work)
        killed = asyncio.ensure_future(process.killed.wait())
        try:
            await asyncio.wait({task, killed}, return_when=asyncio.FIRST_COMPLETED)
            if process.killed.is_set():
                raise ModuleUnavailable(f"{module} was lost")
            result: PhaseOutcome = task.result()
            return result
        finally:
            killed.cancel()
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


class _CoordinatorsDoors:
    """The doors of one life of the coordinator: nothing reaches it once it is dead."""

    def __init__(self, doors: _Doors, clock: MortalClock) -> None:
        self._doors, self._clock = doors, clock

    async def run_phase(
        self, module: str, action: str, goal: Mapping[str, Any], header: PhaseHeader, goal_id: str, on_feedback: Any
    ) -> PhaseOutcome:
        work = self._doors.run_phase(module, action, goal, header, goal_id, self._told(on_feedback))
        outcome = await self._doors.unless_killed(module, work)
        await self._clock.live_on()
        return outcome

    async def await_phase(self, module: str, goal_id: str, on_feedback: Any) -> PhaseOutcome:
        outcome = await self._doors.unless_killed(
            module, self._doors.await_phase(module, goal_id, self._told(on_feedback))
        )
        await self._clock.live_on()
        return outcome

    async def recall_phase(self, module: str, goal_id: str) -> PhaseRecall:
        return await self._doors.recall_phase(module, goal_id)

    async def command(self, module: str, command: int, who: str, why: str) -> CommandReply:
        return await self._doors.command(module, command, who, why)

    def _told(self, on_feedback: Callable[[float, str], None]) -> Callable[[float, str], None]:
        return lambda progress, step: None if self._clock.dead else on_feedback(progress, step)


# -- what must be right afterwards ----------------------------------------------------------------------


def recorded_volumes(world: CrashWorld) -> dict[str, float]:
    """Return the volume of each vessel [uL] as the record has it: its start, and every movement that is on record."""
    volume = dict(world.at_start)

    def move(
        source: str, destination: str, strokes_ul: float | None, left: float | None = None, arrived: float | None = None
    ) -> None:
        # The balance is closed on weights; strokes, good to one percent, count where nothing is weighed, and say
        # nothing of a depletion, whose last one draws air.
        known = [ul for ul in (left, arrived, strokes_ul) if ul is not None and math.isfinite(ul)]
        volume[source] = volume.get(source, 0.0) - known[0]
        here = arrived if arrived is not None and math.isfinite(arrived) else known[0]
        volume[destination] = volume.get(destination, 0.0) + here

    twins = twin_rows(world.events)
    for place, event in enumerate(world.events):
        data = event.data
        if place in twins:
            continue
        if event.kind == "sample_taken" or (event.kind == "material" and "sample_ul" not in data):
            source = str(data["source"] if "source" in data else data["container"])
            weighed = (data.get("weighed_source_ul"), data.get("weighed_destination_ul"))
            move(source, data["destination"], data.get("volume_ul"), *weighed)
        elif event.kind == "material":
            sample_ul, buffer_ul, waste_ul = (float(data[k]) for k in ("sample_ul", "buffer_ul", "waste_ul"))
            centre_ul = data["volume_ul"] if data["volume_ul"] is not None else sample_ul + buffer_ul - waste_ul
            volume[data["source"]] -= sample_ul
            volume[data["buffer"]] -= buffer_ul
            volume[data["destination"]] += centre_ul
            volume[data["waste"]] += waste_ul
        elif event.kind == "phase_ended" and data["action"] == "PerfuseCulture" and data["status"] == "succeeded":
            move("medium", "waste", float(data["result"]["medium_used_ul"]))
    return volume


def twice(events: Sequence[RecordEvent]) -> list[str]:
    """Return the phases that the record says have succeeded more than once."""
    seen: dict[str, int] = {}
    for event in events:
        if event.kind == "phase_ended" and event.data["status"] == "succeeded":
            seen[str(event.data["phase_id"])] = seen.get(str(event.data["phase_id"]), 0) + 1
    return [phase for phase, count in seen.items() if count > 1]
