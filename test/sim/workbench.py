# SPDX-License-Identifier: Apache-2.0
"""One module of the workcell on the twin: real service, phases, drivers and firmware on virtual time."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mimedi_nodes.modules.module import Module
from mimedi_nodes.modules.registry import load_module, module_table
from mimedi_nodes.modules.service.goal_store import GoalStore
from mimedi_nodes.modules.service.service import ModuleService, ServiceHooks
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.process.clock import LoopClock
from mimedi_nodes.process.context import PhaseHeader
from mimedi_nodes.process.interfaces import default_interfaces
from mimedi_sim.headless.camera import PlantCamera
from mimedi_sim.memory_link import MemoryLink
from mimedi_sim.models.donors import donor
from mimedi_sim.plant.twin import Plant

SITE = load_site(Path(__file__).parents[2] / "config" / "site" / "demo.yaml")


def module_of(name: str) -> Module:
    """Return a module by name, of the workcell's table or not yet in it."""
    if name in module_table():
        return load_module(name)
    found = importlib.import_module(f"mimedi_nodes.modules.{name}").MODULE
    assert isinstance(found, Module)
    return found


class Workbench:
    """A plant and the services of some modules; make it inside a running virtual loop."""

    def __init__(self, seed: int = 1) -> None:
        self.clock = LoopClock()
        self.plant = Plant(SITE, donor=donor("nominal"), seed=seed)
        self.events: list[tuple[str, str, Mapping[str, Any]]] = []
        self.alarms: list[tuple[str, str, bool]] = []
        self.links = {
            name: MemoryLink(
                name, lambda data, name=name: self.plant.receive(name, data, self.clock.now_s()),
                partial(self.plant.answer_delay_s, name),
            )
            for name in SITE.instruments
        }

    async def service(self, name: str, store: GoalStore | None = None) -> ModuleService:
        """Return a service on connected instruments, recovered from `store`."""
        module = module_of(name)
        links = {line: self.links[line] for line in SITE.lines_of(name)}
        cameras = {camera: PlantCamera(self.plant, self.clock, camera) for camera in self.plant.cameras}
        instruments = module.build(SITE, links, cameras)
        await instruments.connect()
        hooks = ServiceHooks(
            events=lambda header, kind, what, why, data: self.events.append((kind, what, data)),
            alarm=lambda alarm_id, message, active: self.alarms.append((alarm_id, message, active)),
        )
        service = ModuleService(
            module, instruments, self.clock, store or GoalStore(":memory:"), default_interfaces(), hooks
        )
        await service.recover()
        return service

    def volume_ul(self, vessel: str) -> float:
        """Return the true volume in a vessel [uL]."""
        return float(self.plant.truth()["vessels"][vessel]["volume_ul"])


HEADER = PhaseHeader(batch_id="B1", phase_id="test.step", requested_by="test")
