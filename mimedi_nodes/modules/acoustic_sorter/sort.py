# SPDX-License-Identifier: Apache-2.0
"""Sorting: bead-bound cells to the centre outlet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...process.context import PhaseContext
from ...process.errors import PhaseError
from .chip_run import ChipPlan, record_material, run_chip, source_volume
from .codes import SorterCode
from .instruments import SorterInstruments


def expected_s(goal: Any) -> float:
    """Return the expected duration [s]; that of 42 mL when everything is to be sorted."""
    return (goal.volume_ul or 42_000.0) / goal.sample_flow_ul_min * 60.0 + 300.0


async def sort_cells(goal: Any, instruments: SorterInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Sort a sample: it flows at the walls beside the buffer, and what sound moves fast enough ends in the centre."""
    if goal.sample_flow_ul_min >= 0.5 * goal.total_flow_ul_min:
        raise PhaseError(
            SorterCode.FLOW,
            f"sample_flow_ul_min = {goal.sample_flow_ul_min:g} must be below half of total_flow_ul_min = "
            f"{goal.total_flow_ul_min:g}: the buffer has to fill the centre",
        )
    sample_ul = float((ctx.restored or {}).get("sample_ul", 0.0)) or await source_volume(goal, instruments, ctx)
    buffer_flow_ul_min = goal.total_flow_ul_min - goal.sample_flow_ul_min
    plan = ChipPlan(
        goal.source,
        goal.buffer,
        goal.destination,
        goal.waste,
        sample_ul,
        goal.sample_flow_ul_min,
        sample_ul * buffer_flow_ul_min / goal.sample_flow_ul_min,
        buffer_flow_ul_min,
        goal.frequency_hz,
        goal.amplitude_vpp,
    )
    result = await run_chip(plan, instruments, ctx)
    record_material(plan, result, ctx)
    return {
        "volume_sample_ul": result.sample_ul,
        "volume_buffer_ul": result.buffer_ul,
        "volume_target_ul": result.centre_weighed_ul,
        "volume_waste_ul": result.waste_weighed_ul,
        "frequency_hz": result.frequency_hz,
        "amplitude_vpp": goal.amplitude_vpp,
        "duration_s": result.duration_s,
    }
