# SPDX-License-Identifier: Apache-2.0
"""Mixing by drawing and returning liquid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...instruments.wire.pacing import settle
from ...process.context import PhaseContext
from .instruments import FluidicsInstruments
from .leftover import discard_leftover

KEPT_STROKES = 1.5
"""Strokes [volumes of one] that a vessel must hold to be mixed while another pump draws from it."""


async def mix_stroke(
    volume_ul: float, flow_rate_ul_min: float, instruments: FluidicsInstruments, ctx: PhaseContext
) -> None:
    """Draw `volume_ul` from the vessel that both valves stand on, after `give_back`, and return it."""
    await settle(instruments.pump, ctx, expected_s=await instruments.pump.mix(volume_ul, flow_rate_ul_min))


async def give_back(
    container: str, flow_rate_ul_min: float, instruments: FluidicsInstruments, ctx: PhaseContext
) -> None:
    """Return to a vessel what a broken mixing stroke left in the syringe, and leave both valves on the vessel."""
    await instruments.open_path(container, container, ctx)
    duration_s = await instruments.pump.empty_to(0.0, flow_rate_ul_min)
    await settle(instruments.pump, ctx, expected_s=duration_s)


async def mix_container(goal: Any, instruments: FluidicsInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Mix a vessel every so often, until the time is over or COMPLETE is commanded.

    A vessel that somebody else empties meanwhile is not mixed to its end: a stroke that holds the rest would let the
    other pump draw air.
    """
    checkpoint = dict(ctx.restored or {})
    begun_s = float(checkpoint.get("begun_s", ctx.now_s()))
    strokes = int(checkpoint.get("strokes", 0))
    begun_ul = checkpoint.get("begun_ul")
    await instruments.ready_pump(ctx)
    if not checkpoint:
        await discard_leftover(instruments, ctx)
        await ctx.checkpoint(begun_s=begun_s, strokes=strokes, begun_ul=begun_ul)  # from now on it is this vessel's
    await give_back(goal.container, goal.flow_rate_ul_min, instruments, ctx)
    while not ctx.finish_requested and (left_s := begun_s + goal.duration_s - ctx.now_s()) > 0.0:
        held_ul = await instruments.scales.volume_ul(goal.container, ctx)
        stroke_ul = goal.stroke_volume_ul if math.isnan(held_ul) else min(goal.stroke_volume_ul, 0.5 * held_ul)
        begun_ul = begun_ul or (None if math.isnan(held_ul) else held_ul)
        if begun_ul and held_ul < 0.9 * begun_ul and held_ul < KEPT_STROKES * goal.stroke_volume_ul:
            stroke_ul = 0.0
        if stroke_ul >= 100.0:
            await mix_stroke(stroke_ul, goal.flow_rate_ul_min, instruments, ctx)
            strokes += 1
            await ctx.checkpoint(begun_s=begun_s, strokes=strokes, begun_ul=begun_ul)
        ctx.feedback(1.0 - left_s / goal.duration_s, f"{goal.container}: {strokes} mixing strokes")
        await ctx.sleep(min(goal.every_s, max(0.0, begun_s + goal.duration_s - ctx.now_s())))
    return {"strokes": strokes, "duration_s": ctx.now_s() - begun_s}
