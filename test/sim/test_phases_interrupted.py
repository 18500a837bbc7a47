# SPDX-License-Identifier: Apache-2.0
"""Every phase that moves liquid, killed at random instants: it ends with the volumes of an undisturbed run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimedi_nodes.modules.service.goal_store import GoalStore
from mimedi_nodes.process.service_state import ServiceCommand, ServiceState
from mimedi_nodes.records.events import MOVEMENTS
from mimedi_sim.headless.virtual_loop import run_virtual

from .workbench import HEADER, Workbench

FREQUENCY_HZ = 2.0094e6


@dataclass(frozen=True)
class Case:
    """A phase, what has to be in the vessels before, and the vessels whose volumes must come out right."""

    module: str
    action: str
    goal: dict[str, Any]
    fill: dict[str, float]
    vessels: tuple[str, ...]
    lasts_s: float
    tolerance_ul: float = 60.0


CASES = {
    "rinse": Case(
        "fluidics", "RinseLines", {"source": "buffer", "destination": "waste"}, {}, ("buffer", "waste"), 300.0
    ),
    "label": Case(
        "fluidics",
        "LabelCells",
        {
            "container": "sorter_inlet",
            "reagent": "beads",
            "target_cells": 2e8,
            "bead_concentration_per_ml": 4e8,
            "duration_s": 600.0,
        },
        {"sorter_inlet": 40_000.0},
        ("sorter_inlet", "beads"),
        700.0,
    ),
    "deplete": Case(
        "fluidics",
        "DepleteBeads",
        {"source": "culture_vessel", "destination": "depleted"},
        {"culture_vessel": 110_000.0},
        ("culture_vessel", "depleted"),
        1000.0,
    ),
    "formulate": Case(
        "fluidics",
        "FormulateDose",
        {
            "source": "harvest",
            "destination": "dose_bag",
            "surplus": "surplus_bag",
            "retain": "retain",
            "excipient": "excipient",
            "dose_car_cells": 1.5e8,
            "viable_per_ml": 4e7,
            "car_fraction": 0.4,
        },
        {"harvest": 60_000.0},
        ("dose_bag", "surplus_bag", "retain", "excipient"),
        900.0,
        tolerance_ul=200.0,  # what is banked follows from a weighing, at another instant with other noise
    ),
    "sort": Case(
        "acoustic_sorter",
        "SortCells",
        {
            "source": "sorter_inlet",
            "buffer": "buffer",
            "destination": "sorted",
            "waste": "sorter_waste",
            "target": "bead_bound_t_cell",
            "frequency_hz": FREQUENCY_HZ,
            "volume_ul": 12_000.0,
        },
        {"sorter_inlet": 20_000.0},
        ("sorter_inlet", "buffer", "sorted", "sorter_waste"),
        1500.0,
        tolerance_ul=150.0,
    ),
    "concentrate": Case(
        "acoustic_sorter",
        "ConcentrateCells",
        {
            "source": "culture_vessel",
            "exchange": "medium",
            "destination": "harvest",
            "waste": "sorter_waste",
            "frequency_hz": FREQUENCY_HZ,
            "volume_ul": 40_000.0,
        },
        {"culture_vessel": 60_000.0},
        ("culture_vessel", "medium", "harvest", "sorter_waste"),
        900.0,
        tolerance_ul=150.0,
    ),
}


async def prepared(case: Case) -> Workbench:
    """Return a bench whose vessels have been filled from the buffer by the real module."""
    bench = Workbench()
    service = await bench.service("fluidics")
    for number, (vessel, volume_ul) in enumerate(case.fill.items()):
        goal = {"source": "buffer", "destination": vessel, "volume_ul": volume_ul, "flow_rate_ul_min": 40_000.0}
        outcome = await service.run("TransferFluid", goal, HEADER, f"{number:032x}")
        assert outcome.status == "succeeded", outcome.error_msg
        await service.command(ServiceCommand.RESET, "test", "")
    return bench


async def carried_out(case: Case, instants_s: list[float], path: Any) -> dict[str, float]:
    """Run the phase, killing its module after each of `instants_s`; return the volumes at the end."""
    bench = await prepared(case)
    for wait_s in [*instants_s, None]:
        service = await bench.service(case.module, GoalStore(path))
        if service.recall("a" * 32).status == "succeeded":
            break
        task = asyncio.ensure_future(service.run(case.action, case.goal, HEADER, "a" * 32))
        if wait_s is None:
            while not task.done() and service.state != ServiceState.HELD:
                await asyncio.sleep(10.0)
            assert service.state != ServiceState.HELD, service.last_error
            outcome = await task
            assert outcome.status == "succeeded", outcome.error_msg
        else:
            await asyncio.sleep(wait_s)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.sleep(20.0)  # the instruments go on by themselves until the module is back
    return {vessel: bench.volume_ul(vessel) for vessel in case.vessels}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Volumes after each phase without interruption."""
    return {
        name: run_virtual(carried_out(case, [], tmp_path_factory.mktemp(name) / "goals.sqlite"))
        for name, case in CASES.items()
    }


@pytest.mark.parametrize("name", CASES)
def test_killed_anywhere_the_volumes_come_out_right(name, undisturbed, tmp_path_factory):
    case = CASES[name]

    @settings(max_examples=8, deadline=None)
    @given(st.lists(st.floats(0.0, case.lasts_s), min_size=1, max_size=3))
    def check(instants_s: list[float]) -> None:
        volumes = run_virtual(carried_out(case, instants_s, tmp_path_factory.mktemp(name) / "goals.sqlite"))
        assert volumes == pytest.approx(undisturbed[name], abs=case.tolerance_ul)

    check()


class DyingStore(GoalStore):
    """A memory whose process is killed at its n-th checkpoint, before or after it is on disk."""

    def __init__(self, path: Any, last: int | None = None, *, written: bool = False) -> None:
        super().__init__(path)
        self.count, self._last, self._written = 0, last, written

    def checkpoint(self, goal_id: str, data: Any) -> None:
        """Count; at the last one, die."""
        self.count += 1
        if self.count != self._last or self._written:
            super().checkpoint(goal_id, data)
        if self.count == self._last:
            raise asyncio.CancelledError


async def movements(case: Case, path: Any, last: int | None, written: bool) -> tuple[dict[str, float] | None, int]:
    """Return what is on record of each movement [uL], twins left out, and the number of checkpoints.

    None for what is on record: it is held, since nothing tells how much has moved.
    """
    bench = await prepared(case)
    bench.events.clear()
    store = DyingStore(path, last, written=written)
    service = await bench.service(case.module, store)
    task = asyncio.ensure_future(service.run(case.action, case.goal, HEADER, "a" * 32))
    await asyncio.gather(task, return_exceptions=True)
    if last is not None:
        await asyncio.sleep(20.0)
        service = await bench.service(case.module, GoalStore(path))
        task = asyncio.ensure_future(service.run(case.action, case.goal, HEADER, "a" * 32))
        while not task.done() and service.state != ServiceState.HELD:
            await asyncio.sleep(10.0)
        if service.state == ServiceState.HELD:
            assert "neither vessel is weighed" in service.last_error
            task.cancel()
            return None, store.count
        outcome = await task
        assert outcome.status == "succeeded", outcome.error_msg
    told: dict[str, float] = {}
    for kind, what, data in bench.events:
        if kind in MOVEMENTS:
            volume_ul = float(data["volume_ul"] if "volume_ul" in data else data["weighed_destination_ul"])
            told.setdefault(f"{kind} {what} {data['event_key']}", volume_ul)
    return told, store.count


@pytest.mark.parametrize("name", ["label", "deplete", "formulate"])
def test_killed_between_any_two_writes_each_movement_is_on_record_once(name, tmp_path):
    case = CASES[name]
    whole, count = run_virtual(movements(case, tmp_path / "whole.sqlite", None, False))
    assert whole
    assert count > 3
    held = 0
    for last in range(1, count + 1, max(1, count // 16)):
        for written in (False, True):
            told, _ = run_virtual(movements(case, tmp_path / f"{last}-{written}.sqlite", last, written))
            held += told is None
            if told is not None:
                assert told == pytest.approx(whole, abs=200.0), f"killed at checkpoint {last}, {written=}"
    assert held <= 2  # between the order to the pump and the note of its plan, with no scale at either end
