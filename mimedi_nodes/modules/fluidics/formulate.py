# SPDX-License-Identifier: Apache-2.0
"""Formulation: dose bag, retained sample and surplus bank from the washed harvest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ...process.context import PhaseContext
from ...process.errors import PhaseError
from ..service.keeping import keeping
from .codes import FluidicsCode
from .instruments import FluidicsInstruments
from .leftover import discard_leftover
from .mix import give_back, mix_stroke
from .moving import Move, carry_out, close_balance

FLOW_UL_MIN = 10_000.0
MIX_STROKE_UL, MIX_FLOW_UL_MIN = 5000.0, 20_000.0
TOLERANCE_UL = 500.0
RESIDUE_UL = 200.0
"""Left in the source so that no air is drawn into a bag."""


async def formulate_dose(goal: Any, instruments: FluidicsInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Fill the dose bag with the cells that the dose needs and excipient, then retain and bank the rest."""
    checkpoint: dict[str, Any] = dict(ctx.restored or {})
    cells_ul = goal.dose_car_cells / goal.car_fraction / goal.viable_per_ml * 1000.0
    await instruments.ready_pump(ctx)
    if "held_ul" not in checkpoint:
        await discard_leftover(instruments, ctx)
        checkpoint["held_ul"] = await instruments.scales.volume_ul(goal.source, ctx)
    held_ul = float(checkpoint["held_ul"])
    if math.isnan(held_ul):
        raise PhaseError(FluidicsCode.NOT_WEIGHED, f"{goal.source} is not weighed here; formulation needs its volume")
    await ctx.checkpoint(**checkpoint)  # from now on what the syringe holds is this phase's
    if cells_ul + goal.retain_volume_ul > held_ul - RESIDUE_UL:
        raise PhaseError(
            FluidicsCode.NOT_ENOUGH,
            f"the dose needs {cells_ul:.0f} uL and the retain {goal.retain_volume_ul:.0f} uL, {goal.source} holds "
            f"{held_ul:.0f} uL: too few CAR+ cells ({_density(goal)}); a smaller dose, or supply out of specification "
            "at the physician's request",
        )
    if cells_ul > goal.dose_volume_ul:
        raise PhaseError(
            FluidicsCode.NO_ROOM,
            f"the dose's cells take {cells_ul:.0f} uL, more than dose_volume_ul = {goal.dose_volume_ul:.0f} uL "
            f"({_density(goal)}); concentrate more or give a larger dose volume",
        )
    surplus_ul = held_ul - cells_ul - goal.retain_volume_ul - RESIDUE_UL
    plan = (
        ("cells", goal.source, goal.destination, cells_ul),
        ("excipient", goal.excipient, goal.destination, goal.dose_volume_ul - cells_ul),
        ("retain", goal.source, goal.retain, goal.retain_volume_ul),
        ("surplus", goal.source, goal.surplus, surplus_ul),
    )
    moved_ul: dict[str, float] = {}
    for number, (label, source, destination, volume_ul) in enumerate(plan):
        move = Move(source, destination, volume_ul, FLOW_UL_MIN)
        if label in checkpoint:
            move = Move.restored(checkpoint[label])
        share = (number / len(plan), (number + 1) / len(plan))
        on_record = f"{label}_on_record"  # a move may be done and its weights not yet read when something fails
        if on_record not in checkpoint and (volume_ul >= 100.0 or label in checkpoint):
            if label in ("cells", "retain") and label not in checkpoint:
                await give_back(source, MIX_FLOW_UL_MIN, instruments, ctx)
                await mix_stroke(MIX_STROKE_UL, MIX_FLOW_UL_MIN, instruments, ctx)
            whole = keeping(ctx, **checkpoint)
            moved = await carry_out(move, instruments, whole, label, share)
            close_balance(moved, move, TOLERANCE_UL)
            ctx.record(
                "material",
                f"{source} → {destination}",
                source=source,
                destination=destination,
                volume_ul=moved.moved_ul,
                weighed_source_ul=moved.source_ul,
                weighed_destination_ul=moved.destination_ul,
            )
            checkpoint |= {label: asdict(move), on_record: True}
            await ctx.checkpoint(**checkpoint)
        moved_ul[label] = move.moved_ul
    viable_cells = moved_ul["cells"] / 1000.0 * goal.viable_per_ml
    return {
        "cells_volume_ul": moved_ul["cells"],
        "dose_volume_ul": moved_ul["cells"] + moved_ul["excipient"],
        "dose_viable_cells": viable_cells,
        "dose_car_cells": viable_cells * goal.car_fraction,
        "surplus_volume_ul": moved_ul["surplus"],
        "retain_volume_ul": moved_ul["retain"],
        "expires_s": ctx.now_s() + goal.expiry_h * 3600.0,
    }


def _density(goal: Any) -> str:
    return f"{goal.viable_per_ml:.1e} viable cells/mL, {goal.car_fraction:.1%} of them CAR+"
