# SPDX-License-Identifier: Apache-2.0
"""Power lost while a syringe of the sorter fills: what went through is counted, though the source has no scale."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mimedi_nodes.modules.service.goal_store import GoalStore
from mimedi_nodes.process.service_state import ServiceState
from mimedi_sim.headless.virtual_loop import run_virtual
from mimedi_sim.plant.fault_board import WORKCELL

from .test_phases_interrupted import CASES, prepared
from .workbench import HEADER, Workbench

LEFT_UL = 20_000.0
PUMPS = ("sample_a", "sample_b")
GOAL = {"destination": "activation_vessel"}
"""Neither the source nor this one stands on a scale of the sorter; its waste does."""


def refill_ul_s(bench: Workbench) -> float:
    """Return how fast a sample syringe fills [uL/s] while the other delivers; 0 when none does."""
    bench.plant.advance_to(bench.clock.now_s())
    rates = [bench.plant._instruments.pumps[name].rate_ul_s for name in PUMPS]
    return max(rates) if min(rates) < 0.0 < max(rates) else 0.0


async def left_after_power_loss(path: Path, held_ul: float, times: int) -> tuple[float, float]:
    """Cut the power when a syringe has drawn so much; return what the source keeps, and what is said to have left."""
    case = CASES["concentrate"]
    bench = await prepared(case)
    service = await bench.service(case.module, GoalStore(path))
    task = asyncio.ensure_future(service.run(case.action, {**case.goal, **GOAL}, HEADER, "a" * 32))
    for _ in range(times):
        while not task.done() and not refill_ul_s(bench):
            await asyncio.sleep(0.2)
        assert not task.done(), "no syringe was seen filling"
        await asyncio.sleep(held_ul / refill_ul_s(bench))
        bench.plant.inject("power_loss", WORKCELL, {}, True, bench.clock.now_s())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(60.0)
        bench.plant.inject("power_loss", WORKCELL, {}, False, bench.clock.now_s())
        await asyncio.sleep(20.0)
        service = await bench.service(case.module, GoalStore(path))
        task = asyncio.ensure_future(service.run(case.action, {**case.goal, **GOAL}, HEADER, "a" * 32))
    while not task.done() and service.state != ServiceState.HELD:
        await asyncio.sleep(10.0)
    assert service.state != ServiceState.HELD, service.last_error
    outcome = await task
    assert outcome.status == "succeeded", outcome.error_msg
    return bench.volume_ul("culture_vessel"), float(outcome.result["volume_source_ul"])


@pytest.mark.parametrize(("held_ul", "times"), [(1000.0, 1), (6000.0, 1), (3000.0, 2)])
def test_a_syringe_that_was_filling_is_not_counted_as_full(tmp_path: Path, held_ul: float, times: int) -> None:
    left_ul, counted_ul = run_virtual(left_after_power_loss(tmp_path / "goals.sqlite", held_ul, times))
    # Two weighings for each power loss, and the strokes' own percent of 40 mL.
    assert left_ul == pytest.approx(LEFT_UL, abs=600.0 + 400.0 * times)
    assert counted_ul == pytest.approx(60_000.0 - left_ul, abs=600.0 + 400.0 * times)
