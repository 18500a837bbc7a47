# SPDX-License-Identifier: Apache-2.0
"""Labelling cells with beads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ...process.context import PhaseContext
from .instruments import FluidicsInstruments
from .mix import give_back, mix_stroke
from .moving import Move, carry_out

MIX_EVERY_S = 120.0
MIX_STROKE_UL = 5000.0
MIX_FLOW_UL_MIN = 20_000.0
ADD_FLOW_UL_MIN = 2000.0


async def label_cells(goal: Any, instruments: FluidicsInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Add the beads that give `beads_per_cell` and keep cells and beads mixed while they bind."""
    checkpoint = dict(ctx.restored or {})
    volume_ul = goal.beads_per_cell * goal.target_cells / goal.bead_concentration_per_ml * 1000.0
    move = (
        Move.restored(checkpoint["move"])
        if checkpoint.get("move")
        else Move(goal.reagent, goal.container, volume_ul, ADD_FLOW_UL_MIN)
    )
    contact_from_s = checkpoint.get("contact_from_s")
    if contact_from_s is None:
        await carry_out(move, instruments, ctx, "move", (0.0, 0.1))
        contact_from_s = ctx.now_s()
        # Before the checkpoint: what is told twice is known by its key, what was never told is lost.
        ctx.record(
            "material",
            f"{goal.reagent} → {goal.container}",
            source=goal.reagent,
            destination=goal.container,
            volume_ul=move.moved_ul,
        )
        await ctx.checkpoint(move=asdict(move), contact_from_s=contact_from_s)
    await instruments.ready_pump(ctx)
    await give_back(goal.container, MIX_FLOW_UL_MIN, instruments, ctx)
    end_s = float(contact_from_s) + goal.duration_s
    while (left_s := end_s - ctx.now_s()) > 0.0:
        await mix_stroke(MIX_STROKE_UL, MIX_FLOW_UL_MIN, instruments, ctx)
        ctx.feedback(1.0 - 0.9 * left_s / goal.duration_s, f"beads bind, {left_s / 60.0:.0f} min left")
        await ctx.sleep(min(MIX_EVERY_S, max(0.0, end_s - ctx.now_s())))
    beads = move.moved_ul / 1000.0 * goal.bead_concentration_per_ml
    return {
        "beads_added": beads,
        "volume_added_ul": move.moved_ul,
        "beads_per_cell": beads / goal.target_cells,
        "contact_s": ctx.now_s() - float(contact_from_s),
    }
