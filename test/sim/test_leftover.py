# SPDX-License-Identifier: Apache-2.0
"""Liquid of a phase that was stopped for good reaches no vessel of the next one."""

from __future__ import annotations

import asyncio

import pytest

from mimedi_nodes.process.service_state import ServiceCommand
from mimedi_sim.headless.virtual_loop import run_virtual
from mimedi_sim.plant.fault_board import WORKCELL

from .workbench import HEADER, Workbench

CELLS = {"source": "apheresis", "destination": "sorter_inlet", "volume_ul": 20_000.0, "flow_rate_ul_min": 20_000.0}
MEDIUM = {"source": "medium", "destination": "culture_vessel", "volume_ul": 5_000.0, "flow_rate_ul_min": 20_000.0}
MIX = {"container": "culture_vessel", "duration_s": 600.0, "every_s": 60.0}


async def stopped_with_a_full_syringe() -> tuple[Workbench, object, float]:
    """Stop a transfer for good while its syringe is full; return the bench, the service and what it holds [uL]."""
    bench = Workbench(1)
    service = await bench.service("fluidics")
    task = asyncio.ensure_future(service.run("TransferFluid", CELLS, HEADER, "a" * 32))
    await drawn(bench)
    await service.command(ServiceCommand.STOP, "test", "the batch is stopped")
    await task
    await service.command(ServiceCommand.RESET, "test", "")
    return bench, service, await service.instruments.pump.plunger_ul()


async def drawn(bench: Workbench) -> None:
    """Return when some of the cells have left their bag."""
    before_ul = bench.volume_ul("apheresis")
    while before_ul - bench.volume_ul("apheresis") < 5_000.0:
        await asyncio.sleep(0.5)
        bench.plant.advance_to(bench.clock.now_s())


@pytest.mark.parametrize(("action", "goal"), [("TransferFluid", MEDIUM), ("MixContainer", MIX)])
def test_what_the_syringe_holds_goes_to_the_waste_and_on_record(action: str, goal: dict[str, object]) -> None:
    async def run() -> None:
        bench, service, held_ul = await stopped_with_a_full_syringe()
        assert held_ul > 4_000.0
        before_ul, waste_ul = bench.volume_ul("culture_vessel"), bench.volume_ul("waste")
        outcome = await service.run(action, goal, HEADER, "b" * 32)
        assert outcome.status == "succeeded", outcome.error_msg
        moved_ul = float(goal.get("volume_ul", 0.0))
        assert bench.volume_ul("culture_vessel") == pytest.approx(before_ul + moved_ul, abs=0.01 * held_ul)
        assert bench.plant.truth()["vessels"]["culture_vessel"].get("viable_cells", 0.0) == 0.0
        assert bench.volume_ul("waste") == pytest.approx(waste_ul + held_ul, rel=0.02)
        booked = [data["value"] for kind, what, data in bench.events if what == "leftover_to_waste_ul"]
        assert booked == [pytest.approx(held_ul, rel=1e-3)]
        told = [text for name, text, active in bench.alarms if name == "fluidics.syringe_emptied" and active]
        assert len(told) == 1
        assert f"{held_ul:.0f} uL" in told[0]

    run_virtual(run())


def test_a_transfer_that_was_interrupted_keeps_its_own_liquid() -> None:
    async def run() -> None:
        bench = Workbench(1)
        service = await bench.service("fluidics")
        task = asyncio.ensure_future(service.run("TransferFluid", CELLS, HEADER, "a" * 32))
        await drawn(bench)
        await service.command(ServiceCommand.HOLD, "test", "a look")
        await asyncio.sleep(30.0)
        await service.command(ServiceCommand.UNHOLD, "test", "")
        assert (await task).status == "succeeded"
        assert bench.volume_ul("sorter_inlet") == pytest.approx(20_000.0, rel=0.01)
        assert not [name for name, _, active in bench.alarms if name == "fluidics.syringe_emptied" and active]

    run_virtual(run())


def test_a_sample_that_nobody_knows_the_volume_of_is_given_up_and_drawn_anew() -> None:
    """The pump loses its power between two vessels without a scale: alarm, the loss on record, another label."""

    async def run() -> None:
        bench = Workbench(1)
        service = await bench.service("fluidics")
        assert (await service.run("TransferFluid", CELLS, HEADER, "a" * 32)).status == "succeeded"
        await service.command(ServiceCommand.RESET, "test", "")
        before_ul = bench.volume_ul("sorter_inlet")
        goal = {"container": "sorter_inlet", "destination": "imaging_cell", "volume_ul": 500.0, "test_point": "look"}
        task = asyncio.ensure_future(service.run("TakeSample", goal, HEADER, "b" * 32))
        while before_ul - bench.volume_ul("sorter_inlet") < 100.0:
            await asyncio.sleep(0.1)
            bench.plant.advance_to(bench.clock.now_s())
            assert not task.done(), "the sample was drawn before its power could be cut"
        bench.plant.inject("power_loss", WORKCELL, {}, True, bench.clock.now_s())
        await asyncio.sleep(60.0)
        bench.plant.inject("power_loss", WORKCELL, {}, False, bench.clock.now_s())
        await asyncio.sleep(5.0)
        await service.command(ServiceCommand.UNHOLD, "test", "power is back")
        outcome = await task
        assert outcome.status == "succeeded", outcome.error_msg
        assert outcome.result["volume_ul"] == pytest.approx(500.0, rel=0.01)
        lost, drawn_anew = [data for kind, _, data in bench.events if kind == "sample_taken"]
        assert (lost["low_ul"], lost["volume_ul"], lost["high_ul"]) == (0.0, 250.0, 500.0)
        assert outcome.result["sample_id"] in lost["given_up"]
        assert drawn_anew["volume_ul"] == outcome.result["volume_ul"]
        assert 450.0 < before_ul - bench.volume_ul("sorter_inlet") < 1050.0
        assert [active for name, _, active in bench.alarms if name == "fluidics.sample_repeated"] == [True, False]

    run_virtual(run())
