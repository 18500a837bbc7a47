# SPDX-License-Identifier: Apache-2.0
"""Concentrating and washing: cells into a narrow stream of new liquid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...process.context import PhaseContext
from ...process.errors import PhaseError
from .chip_run import ChipPlan, record_material, run_chip, source_volume
from .codes import SorterCode
from .instruments import SorterInstruments

EXCHANGE_EXPONENT = 3.5
"""Old liquid that stays in the concentrate is exp(-3.5 exchange volumes): the chip's qualification data."""


def expected_s(goal: Any) -> float:
    """Return the expected duration [s]; that of a full culture vessel when everything is to be concentrated."""
    return (goal.volume_ul or 1.0e6) / goal.flow_rate_ul_min * 60.0 + 300.0


async def concentrate_cells(goal: Any, instruments: SorterInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Concentrate cells; the new liquid flows in the centre, the concentrate leaves with the centre stream."""
    if not 0.5 <= goal.exchange_volumes <= 1.5:
        raise PhaseError(
            SorterCode.FLOW,
            f"exchange_volumes = {goal.exchange_volumes:g}: the concentrate leaves with the centre stream, so the chip "
            "exchanges 0.5 to 1.5 volumes in a pass; repeat the phase for more",
        )
    sample_ul = float((ctx.restored or {}).get("sample_ul", 0.0)) or await source_volume(goal, instruments, ctx)
    buffer_flow_ul_min = goal.exchange_volumes * goal.flow_rate_ul_min / goal.concentration_factor
    if buffer_flow_ul_min >= goal.flow_rate_ul_min:
        raise PhaseError(
            SorterCode.FLOW,
            f"exchange_volumes = {goal.exchange_volumes:g} at concentration_factor {goal.concentration_factor:g} needs "
            "more new liquid than cells; lower the first or raise the second",
        )
    buffer_ul = sample_ul * goal.exchange_volumes / goal.concentration_factor
    plan = ChipPlan(
        goal.source,
        goal.exchange,
        goal.destination,
        goal.waste,
        sample_ul,
        goal.flow_rate_ul_min,
        buffer_ul,
        buffer_flow_ul_min,
        goal.frequency_hz,
        goal.amplitude_vpp,
        into_centre=True,
    )
    result = await run_chip(plan, instruments, ctx)
    record_material(plan, result, ctx)
    by_flow_ul = result.buffer_ul
    weighed_ul = result.centre_weighed_ul
    destination_ul = by_flow_ul if math.isnan(weighed_ul) else weighed_ul
    waste_ul = result.waste_weighed_ul
    if math.isnan(waste_ul):
        waste_ul = result.sample_ul + result.buffer_ul - destination_ul
    return {
        "volume_source_ul": result.sample_ul,
        "volume_exchange_ul": result.buffer_ul,
        "volume_destination_ul": destination_ul,
        "volume_waste_ul": waste_ul,
        "residual_fraction": math.exp(-EXCHANGE_EXPONENT * goal.exchange_volumes),
        "duration_s": result.duration_s,
    }
