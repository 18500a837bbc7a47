# SPDX-License-Identifier: Apache-2.0
"""All modules of the workcell on one twin in one process, and the engines that work with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mimedi_nodes.modules.expectations import expected_phase_s
from mimedi_nodes.modules.registry import load_module, modules_of
from mimedi_nodes.modules.service.goal_store import GoalStore
from mimedi_nodes.modules.service.service import ModuleService, ServiceHooks
from mimedi_nodes.modules.site import Site
from mimedi_nodes.process.batch import Batch
from mimedi_nodes.process.clock import LoopClock
from mimedi_nodes.process.context import PhaseHeader
from mimedi_nodes.process.engine.engine import Engine
from mimedi_nodes.process.engine.journal import Journal
from mimedi_nodes.process.gateway import OperatorGateway
from mimedi_nodes.process.interfaces import default_interfaces
from mimedi_nodes.process.recipes.recipe import Recipe
from mimedi_nodes.process.service_state import ServiceState
from mimedi_nodes.records.events import RecordEvent, wall_time
from mimedi_sim.memory_link import MemoryLink
from mimedi_sim.plant.twin import Plant

from .camera import PlantCamera
from .gateways import LocalLaboratory, LocalModules

COORDINATOR = "coordinator"


class Workcell:
    """Plant, services, laboratory and clock; `engine` adds a batch.

    Everybody's events lie in `events` in the order of their making; they go into the records at the end.
    """

    def __init__(self, plant: Plant, site: Site, clock: LoopClock) -> None:
        self.plant, self.clock = plant, clock
        self.events: list[RecordEvent] = []
        self.engines: dict[str, Engine] = {}
        self._site = site
        self._services: dict[str, ModuleService] = {}
        self._last: dict[tuple[str, str], int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._interfaces = default_interfaces()
        self._laboratory = LocalLaboratory(plant, clock, site.laboratory_keys)
        self._laboratory.submit = self._submit

    async def bring_up(self) -> None:
        """Connect every module to its instruments."""
        links = {
            name: MemoryLink(name, partial(self._receive, name), partial(self.plant.answer_delay_s, name))
            for name in self._site.instruments
        }
        extras = {name: PlantCamera(self.plant, self.clock, name) for name in self.plant.cameras}
        for name in modules_of(self._site):
            module = load_module(name)
            own = {line: links[line] for line in self._site.lines_of(name)}
            instruments = module.build(self._site, own, extras)
            await instruments.connect()
            hooks = ServiceHooks(partial(self._write, name), partial(self._changed, name))
            service = ModuleService(module, instruments, self.clock, GoalStore(":memory:"), self._interfaces, hooks)
            self._services[name] = service
            await service.recover()

    def engine(
        self,
        recipe: Recipe,
        batch: Batch,
        operator: OperatorGateway,
        on_step: Callable[[str], None] = lambda path: None,
        **options: Any,
    ) -> Engine:
        """Return the engine of a batch; `on_step` is called with the path of each step that has ended."""

        def note(kind: str, what: str, why: str = "", **data: Any) -> None:
            who = str(data.pop("by", COORDINATOR))
            self._add(COORDINATOR, batch.batch_id, kind, who, what, why, data)
            if kind == "step_ended":
                on_step(what)

        self.engines[batch.batch_id] = engine = Engine(
            recipe,
            batch,
            LocalModules(self._services),
            operator,
            self._laboratory,
            self.clock,
            Journal(":memory:"),
            note,
            expected_phase_s=expected_phase_s(recipe),
            on_hold="end",
            interfaces=self._interfaces,
            vessels=self._site.vessels,
            **options,
        )
        return engine

    def close(self) -> None:
        """End what is still under way."""
        for task in self._tasks:
            task.cancel()

    def _receive(self, line: str, data: bytes) -> bytes:
        return self.plant.receive(line, data, self.clock.now_s())

    def _submit(self, record: Mapping[str, Any]) -> None:
        self.engines[str(record["batch_id"])].submit_laboratory_result(record)

    def _write(self, name: str, header: PhaseHeader, kind: str, what: str, why: str, data: Mapping[str, Any]) -> None:
        data = {"phase_id": header.phase_id, "module": name, **data}
        who = str(data.pop("who", name))
        self._add(name, header.batch_id, kind, who, what, why, data)

    def _changed(self, name: str) -> None:
        service = self._services.get(name)
        if service is not None and service.state == ServiceState.HELD:
            loop = asyncio.get_running_loop()
            for engine in self.engines.values():
                self._tasks.append(loop.create_task(self._report(engine, name, service)))

    async def _report(self, engine: Engine, name: str, service: ModuleService) -> None:
        """Tell an engine of a held module, unless it has gone on meanwhile."""
        if service.state == ServiceState.HELD:
            await engine.report_held(name, service.last_error)

    def _add(self, producer: str, batch_id: str, kind: str, who: str, what: str, why: str, data: Any) -> None:
        key = (producer, batch_id)  # a record takes each of its producers without gaps
        self._last[key] = self._last.get(key, 0) + 1
        time_s = self.clock.now_s()
        event = RecordEvent(producer, self._last[key], batch_id, time_s, wall_time(), kind, who, what, why, data)
        self.events.append(event)
