# SPDX-License-Identifier: Apache-2.0
"""Random walks of MTP commands through the real services at work: no state outside the table, actuators always safe."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimedi_nodes.modules.module import Safe
from mimedi_nodes.process.service_state import STATE_COMPLETE, TRANSITIONS, ServiceCommand, ServiceState
from mimedi_sim.headless.virtual_loop import run_virtual

from .workbench import HEADER, Workbench

PHASES: dict[str, tuple[str, dict[str, Any]]] = {
    "fluidics": (
        "TransferFluid",
        {"source": "buffer", "destination": "sorter_inlet", "volume_ul": 30_000.0, "flow_rate_ul_min": 5000.0},
    ),
    "incubator": (
        "PerfuseCulture",
        {"perfusion_vvd": 1.0, "target_viable_cells": 1e11, "not_before_h": 0.0, "duration_h": 4.0},
    ),
    "acoustic_sorter": (
        "ConcentrateCells",
        {"source": "sorted", "exchange": "medium", "destination": "harvest", "waste": "sorter_waste",
         "frequency_hz": 2.0094e6, "volume_ul": 20_000.0},
    ),
}
DECLARED = {ServiceState.HELD: "held", ServiceState.STOPPED: "stopped", ServiceState.ABORTED: "aborted"}
EDGES = {(s, t) for s, row in TRANSITIONS.items() for t in row.values()} | set(STATE_COMPLETE.items())


def reachable(old: ServiceState, new: ServiceState) -> bool:
    """Return whether `new` follows from `old` by edges of the table."""
    seen, front = {old}, {old}
    while front:
        front = {t for s, t in EDGES if s in front} - seen
        seen |= front
    return new in seen


async def walk(module: str, steps: list[tuple[ServiceCommand, float]]) -> list[str]:
    """Give commands to a service at work; return what was wrong."""
    bench = Workbench()
    found: list[str] = []
    if module != "fluidics":
        fluidics = await bench.service("fluidics")
        vessel = "culture_vessel" if module == "incubator" else "sorted"
        goal = {"source": "medium", "destination": vessel, "volume_ul": 60_000.0, "flow_rate_ul_min": 40_000.0}
        assert (await fluidics.run("TransferFluid", goal, HEADER, "f" * 32)).status == "succeeded"
    service = await bench.service(module)
    states = [service.state]

    def look() -> None:
        if service.state is not states[-1]:
            states.append(service.state)

    service._hooks.changed = look
    action, goal = PHASES[module]
    tasks = []
    for number, (command, wait_s) in enumerate(steps):
        if service.state is ServiceState.IDLE:
            tasks.append(asyncio.ensure_future(service.run(action, goal, HEADER, f"{number:032x}")))
            await asyncio.sleep(1.0)
        before = service.state
        enabled = service.commands_enabled & int(command)
        reply = await service.command(command, "anna", "to see")
        look()
        if reply.accepted and not enabled:
            found.append(f"{command.name} taken in {before.name} though it is not enabled")
        edge = TRANSITIONS[before].get(command)
        if reply.accepted and edge is not None and not reachable(edge, service.state):
            found.append(f"{command.name} in {before.name} led to {service.state.name}")
        await asyncio.sleep(wait_s)
        declared = DECLARED.get(service.state)
        for actuator in service.module.actuators if declared else ():
            assert declared is not None
            if getattr(actuator, declared) is Safe.OFF:
                assert actuator.is_off is not None
                if not await actuator.is_off(service.instruments):
                    found.append(f"{actuator.name} is on in {service.state.name}")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    found += [f"{a.name} → {b.name}" for a, b in pairwise(states) if not reachable(a, b)]
    return found


@pytest.mark.parametrize("module", PHASES)
def test_a_walk_of_commands_never_leaves_the_table_and_leaves_actuators_safe(module: str) -> None:
    @settings(max_examples=15, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(ServiceCommand), st.floats(0.0, 120.0)), min_size=2, max_size=10))
    def check(steps: list[tuple[ServiceCommand, float]]) -> None:
        assert run_virtual(walk(module, steps)) == []

    check()
