# SPDX-License-Identifier: Apache-2.0
"""A module's real service on instruments that stand on some firmware, on virtual time, without the whole plant."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from mimedi_nodes.modules.module import Instruments, Module
from mimedi_nodes.modules.service.goal_store import GoalStore
from mimedi_nodes.modules.service.service import ModuleService, ServiceHooks
from mimedi_nodes.process.clock import LoopClock
from mimedi_nodes.process.context import PhaseHeader
from mimedi_nodes.process.gateway import PhaseOutcome
from mimedi_nodes.process.interfaces import default_interfaces
from mimedi_nodes.process.service_state import ServiceCommand, ServiceState
from mimedi_sim.memory_link import MemoryLink

HEADER = PhaseHeader(batch_id="B1", phase_id="test.step", requested_by="test")


class Line(Protocol):
    """Firmware of a line."""

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes, return the answer."""
        ...


class ModuleBench:
    """One module's service; make it inside a running virtual loop."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.clock = LoopClock()
        self.events: list[tuple[str, str, Mapping[str, Any]]] = []
        self.alarms: list[tuple[str, str, bool]] = []
        self.store = GoalStore(":memory:")
        self.service: ModuleService
        self._goals = 0

    def link(self, name: str, line: Line) -> MemoryLink:
        """Return the driver's end of a line."""
        return MemoryLink(name, lambda data: line.receive(data, self.clock.now_s()))

    async def start(self, instruments: Instruments) -> ModuleService:
        """Connect the instruments and return the service, recovered from what the store remembers."""
        await instruments.connect()
        hooks = ServiceHooks(
            events=lambda header, kind, what, why, data: self.events.append((kind, what, data)),
            alarm=lambda alarm_id, message, active: self.alarms.append((alarm_id, message, active)),
        )
        self.service = ModuleService(self.module, instruments, self.clock, self.store, default_interfaces(), hooks)
        await self.service.recover()
        return self.service

    async def run(self, action: str, **goal: Any) -> PhaseOutcome:
        """Carry out a goal, after a reset when an earlier one has ended."""
        if self.service.state != ServiceState.IDLE:
            await self.service.command(ServiceCommand.RESET, "test", "")
        self._goals += 1
        return await self.service.run(action, goal, HEADER, f"{self._goals:032x}")

    def begin(self, action: str, **goal: Any) -> asyncio.Task[PhaseOutcome]:
        """Start a goal in a task."""
        return asyncio.get_running_loop().create_task(self.run(action, **goal))

    async def until(self, state: ServiceState, timeout_s: float = 1e6) -> None:
        """Wait until the service is in a state; raises TimeoutError after timeout_s [s] of process time."""
        end_s = self.clock.now_s() + timeout_s
        while self.service.state != state:
            if self.clock.now_s() > end_s:
                raise TimeoutError(f"still {self.service.state.name} after {timeout_s:g} s, wanted {state.name}")
            await asyncio.sleep(1.0)

    async def unhold(self) -> None:
        """Let a held phase go on."""
        reply = await self.service.command(ServiceCommand.UNHOLD, "test", "cause removed")
        assert reply.accepted, reply.message

    def measured(self, name: str) -> list[float]:
        """Return all values that were measured under a name."""
        return [data["value"] for kind, what, data in self.events if kind == "measurement" and what == name]

    @property
    def standing(self) -> set[str]:
        """Alarms that stand now."""
        found: dict[str, bool] = {}
        for alarm_id, _, active in self.alarms:
            found[alarm_id] = active
        return {alarm_id for alarm_id, active in found.items() if active}

    def said(self, alarm_id: str) -> str:
        """Return the last message of an alarm."""
        return next(message for name, message, active in reversed(self.alarms) if name == alarm_id and active)
