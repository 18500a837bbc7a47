# SPDX-License-Identifier: Apache-2.0
"""Drawing a named sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...process.context import PhaseContext
from ..keeping import keeping
from .instruments import FluidicsInstruments
from .moving import Move, carry_out

SAMPLE_FLOW_UL_MIN = 4000.0


async def take_sample(goal: Any, instruments: FluidicsInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Draw a sample; its label is made of the batch, the test point and the second, so that no two are alike."""
    checkpoint = dict(ctx.restored or {})
    default_id = f"{ctx.header.batch_id or 'workcell'}-{goal.test_point}-{ctx.now_s():.0f}"
    sample_id = str(checkpoint.get("sample_id", default_id))
    move = (
        Move.restored(checkpoint["move"])
        if checkpoint.get("move")
        else Move(goal.container, goal.destination, goal.volume_ul, SAMPLE_FLOW_UL_MIN)
    )
    before_ul = await instruments.scales.volume_ul(goal.container, ctx)
    moved = await carry_out(move, instruments, keeping(ctx, sample_id=sample_id), "move")
    ctx.record(
        "sample_taken",
        sample_id,
        container=goal.container,
        destination=goal.destination,
        volume_ul=moved.moved_ul,
        test_point=goal.test_point,
    )
    return {
        "sample_id": sample_id,
        "volume_ul": moved.moved_ul,
        "fraction_of_container": moved.moved_ul / before_ul if before_ul > 0.0 else float("nan"),
    }
