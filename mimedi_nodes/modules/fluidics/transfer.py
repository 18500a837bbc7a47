# SPDX-License-Identifier: Apache-2.0
"""Transfers: prime, transfer, rinse, and transfer past the magnet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...process.context import PhaseContext
from ...process.errors import PhaseError
from ..service.keeping import keeping
from .codes import FluidicsCode
from .instruments import FluidicsInstruments
from .moving import ASPIRATE_UL_MIN, Move, carry_out, close_balance


def _duration_s(volume_ul: float, flow_rate_ul_min: float) -> float:
    return volume_ul * 60.0 * (1.0 / flow_rate_ul_min + 1.0 / ASPIRATE_UL_MIN) * 1.1 + 30.0


def expected_s(goal: Any) -> float:
    """Return the expected duration [s] of a transfer; an hour when the volume is not known beforehand."""
    return _duration_s(goal.volume_ul, goal.flow_rate_ul_min) if goal.volume_ul else 3600.0


def expected_rinse_s(goal: Any) -> float:
    """Return the expected duration [s] of all rinses."""
    return goal.repeats * _duration_s(goal.volume_ul, ASPIRATE_UL_MIN / 4.0)


def expected_depletion_s(goal: Any) -> float:
    """Return the expected duration [s] of release and flow of a full culture vessel past the magnet."""
    return float(goal.release_s) + _duration_s(1.2e6, goal.flow_rate_ul_min)


async def transfer_fluid(goal: Any, instruments: FluidicsInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Move liquid and close the balance on measured weights."""
    restored = (ctx.restored or {}).get("move")
    if restored:
        move = Move.restored(restored)
    else:
        volume_ul = goal.volume_ul or await _everything(goal.source, instruments, ctx)
        await _check_enough(goal.source, volume_ul, instruments, ctx)
        move = Move(goal.source, goal.destination, volume_ul, goal.flow_rate_ul_min)
    begun_s = float((ctx.restored or {}).get("begun_s", ctx.now_s()))
    moved = await carry_out(move, instruments, ctx, "move")
    close_balance(moved, move, goal.tolerance_ul)
    ctx.record(
        "material",
        f"{goal.source} → {goal.destination}",
        volume_ul=moved.moved_ul,
        source=goal.source,
        destination=goal.destination,
        weighed_source_ul=moved.source_ul,
        weighed_destination_ul=moved.destination_ul,
    )
    return {
        "volume_moved_ul": moved.moved_ul,
        "volume_source_ul": moved.source_ul,
        "volume_destination_ul": moved.destination_ul,
        "volume_lost_ul": moved.lost_ul,
        "duration_s": ctx.now_s() - begun_s,
    }


async def prime_lines(goal: Any, instruments: FluidicsInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Push liquid through a line so that no air is left."""
    restored = (ctx.restored or {}).get("move")
    move = Move(goal.source, goal.destination, goal.volume_ul, goal.flow_rate_ul_min)
    if restored:
        move = Move.restored(restored)
    moved = await carry_out(move, instruments, ctx, "move")
    return {"volume_moved_ul": moved.moved_ul}


async def rinse_lines(goal: Any, instruments: FluidicsInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Rinse pump and lines several times."""
    checkpoint = dict(ctx.restored or {})
    used_ul = float(checkpoint.get("used_ul", 0.0))
    started = checkpoint.get("move")
    for number in range(int(checkpoint.get("rinse", 0)), goal.repeats):
        move = Move(goal.source, goal.destination, goal.volume_ul, ASPIRATE_UL_MIN / 4.0)
        if started:
            move, started = Move.restored(started), None
        share = (number / goal.repeats, (number + 1) / goal.repeats)
        moved = await carry_out(move, instruments, keeping(ctx, rinse=number, used_ul=used_ul), "move", share)
        used_ul += moved.moved_ul
        await ctx.checkpoint(rinse=number + 1, used_ul=used_ul)
    return {"volume_moved_ul": used_ul}


async def deplete_beads(goal: Any, instruments: FluidicsInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Let the beads come off, then take everything past the magnet column until nothing more arrives by weight."""
    if not instruments.scales.weighs(goal.destination):
        raise PhaseError(
            FluidicsCode.NOT_WEIGHED, f"{goal.destination} is not weighed here; depletion ends by its weight"
        )
    checkpoint = dict(ctx.restored or {})
    begun_s = float(checkpoint.get("begun_s", ctx.now_s()))
    if "moved_ul" not in checkpoint and "move" not in checkpoint:
        checkpoint["begun_s"] = begun_s
        await ctx.checkpoint(**checkpoint)
        ctx.feedback(0.0, "beads are coming off")
        await ctx.sleep(max(0.0, begun_s + goal.release_s - ctx.now_s()))
    before_ul = float(checkpoint.get("before_ul", await instruments.scales.volume_ul(goal.destination, ctx)))
    moved_ul = float(checkpoint.get("moved_ul", 0.0))
    stroke_ul = instruments.pump.syringe_ul
    move = Move.restored(checkpoint["move"]) if checkpoint.get("move") else None
    follows = False
    while True:
        move = move or Move(goal.source, goal.destination, stroke_ul, goal.flow_rate_ul_min)
        totals = keeping(ctx, begun_s=begun_s, before_ul=before_ul, moved_ul=moved_ul)
        stroke = await carry_out(move, instruments, totals, "move", (0.1, 0.9), follows=follows)
        moved_ul += stroke.destination_ul
        await ctx.checkpoint(begun_s=begun_s, before_ul=before_ul, moved_ul=moved_ul, move=None)
        ctx.feedback(min(0.95, 0.1 + moved_ul / 1.2e6), f"{moved_ul / 1000.0:.0f} mL past the magnet")
        if stroke.destination_ul < 0.5 * stroke_ul:
            break
        move, follows = None, True
    arrived_ul = await instruments.scales.volume_ul(goal.destination, ctx) - before_ul
    ctx.record(
        "material",
        f"{goal.source} → {goal.destination}",
        source=goal.source,
        destination=goal.destination,
        # No volume by strokes: the last one draws air, and the weight that arrives ends the depletion.
        weighed_destination_ul=arrived_ul,
        through="magnet column",
    )
    return {"volume_moved_ul": arrived_ul, "volume_source_ul": math.nan, "duration_s": ctx.now_s() - begun_s}


async def _everything(source: str, instruments: FluidicsInstruments, ctx: PhaseContext) -> float:
    volume_ul = await instruments.scales.volume_ul(source, ctx)
    if math.isnan(volume_ul):
        raise PhaseError(
            FluidicsCode.NOT_WEIGHED, f"{source} is not weighed here, so 'everything' is unknown; give volume_ul"
        )
    return volume_ul


async def _check_enough(source: str, volume_ul: float, instruments: FluidicsInstruments, ctx: PhaseContext) -> None:
    held_ul = await instruments.scales.volume_ul(source, ctx)
    if not math.isnan(held_ul) and volume_ul > held_ul + 100.0:
        raise PhaseError(
            FluidicsCode.NOT_ENOUGH,
            f"{source} holds {held_ul:.0f} uL by weight, {volume_ul:.0f} uL are wanted; fill it",
        )
