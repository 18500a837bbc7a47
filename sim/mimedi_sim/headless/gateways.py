# SPDX-License-Identifier: Apache-2.0
"""The engine's doors to modules and laboratory in the same process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mimedi_nodes.modules.service.service import ModuleService
from mimedi_nodes.process.clock import ProcessClock
from mimedi_nodes.process.context import PhaseHeader
from mimedi_nodes.process.gateway import CommandReply, ModuleUnavailable, PhaseOutcome, PhaseRecall
from mimedi_nodes.process.laboratory_records import verify_record
from mimedi_nodes.process.service_state import ServiceCommand, ServiceState
from mimedi_sim.plant.twin import Plant

ENDED = (ServiceState.COMPLETED, ServiceState.STOPPED, ServiceState.ABORTED)


class LocalModules:
    """A ModuleGateway that calls the services directly."""

    def __init__(self, services: Mapping[str, ModuleService]) -> None:
        self._services = services
        self._running: dict[str, asyncio.Task[PhaseOutcome]] = {}

    def _service(self, module: str) -> ModuleService:
        if module not in self._services:
            raise ModuleUnavailable(f"there is no module {module}; there are {', '.join(self._services)}")
        return self._services[module]

    async def run_phase(
        self,
        module: str,
        action: str,
        goal: Mapping[str, Any],
        header: PhaseHeader,
        goal_id: str,
        on_feedback: Callable[[float, str], None],
    ) -> PhaseOutcome:
        """Reset the service when its last phase has ended, run the phase, wait for its end."""
        service = self._service(module)
        if service.state in ENDED:
            await service.command(ServiceCommand.RESET, header.requested_by, "next phase")
        task = asyncio.get_running_loop().create_task(service.run(action, goal, header, goal_id, on_feedback))
        self._running[goal_id] = task
        return await asyncio.shield(task)

    async def await_phase(self, module: str, goal_id: str, on_feedback: Callable[[float, str], None]) -> PhaseOutcome:
        """Wait for the end of a goal that is running."""
        if goal_id not in self._running:
            raise ModuleUnavailable(f"{module} runs no goal {goal_id}")
        return await asyncio.shield(self._running[goal_id])

    async def recall_phase(self, module: str, goal_id: str) -> PhaseRecall:
        """Return what the module remembers of a goal."""
        return self._service(module).recall(goal_id)

    async def command(self, module: str, command: int, who: str, why: str) -> CommandReply:
        """Send an MTP command."""
        return await self._service(module).command(command, who, why)


class LocalLaboratory:
    """A LaboratoryGateway to the plant's laboratory; its signed results are verified like any other's."""

    def __init__(self, plant: Plant, clock: ProcessClock, keys: Mapping[str, str]) -> None:
        self.submit: Callable[[Mapping[str, Any]], None] | None = None
        self._plant = plant
        self._clock = clock
        self._keys = keys
        self._tasks: set[asyncio.Task[None]] = set()

    async def order(self, batch_id: str, sample_id: str, tests: Sequence[str]) -> None:
        """Order tests; the results come at their time."""
        self._plant.laboratory.order(batch_id, sample_id, tests, self._clock.now_s())
        task = asyncio.get_running_loop().create_task(self._deliver())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self) -> None:
        while (due_s := self._plant.laboratory.next_event()) != float("inf"):
            await self._clock.sleep_until(due_s)
            for signed in self._plant.laboratory.due(self._clock.now_s()):
                record = verify_record(signed.record_json, signed.signature_hex, signed.key_id, self._keys)
                assert self.submit is not None
                self.submit(record)
