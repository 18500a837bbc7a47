# SPDX-License-Identifier: Apache-2.0
"""Drawing a named sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...process.context import PhaseContext
from ...process.errors import PhaseHold
from ..service.keeping import keeping
from .instruments import FluidicsInstruments
from .moving import MOVE_UNKNOWN, Move, Moved, carry_out

SAMPLE_FLOW_UL_MIN = 4000.0
REPEATED = "fluidics.sample_repeated"


async def take_sample(goal: Any, instruments: FluidicsInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Draw a sample; its label is made of the batch, the test point and the second, so that no two are alike.

    A sample of which a power loss leaves unknown how much has moved is given up and drawn anew, with alarm, under
    another label: it costs its container one sample more at most, which is on record.
    """
    checkpoint = dict(ctx.restored or {})
    sample_id = str(checkpoint.get("sample_id", _label(goal, ctx)))
    move = Move.restored(checkpoint["move"]) if checkpoint.get("move") else _move(goal)
    before_ul = await instruments.scales.volume_ul(goal.container, ctx)
    try:
        moved = await carry_out(move, instruments, keeping(ctx, sample_id=sample_id), "move")
    except PhaseHold as hold:
        if hold.alarm_id != MOVE_UNKNOWN:
            raise
        lost_id, sample_id = sample_id, _label(goal, ctx)
        text = f"{lost_id} was interrupted, between 0 and {move.volume_ul:.0f} uL of it moved; {sample_id} is drawn"
        ctx.alarm(REPEATED, text)
        half = Moved(0.5 * move.volume_ul, float("nan"), float("nan"))
        _taken(ctx, goal, lost_id, half, low_ul=0.0, high_ul=move.volume_ul, given_up=text)
        await ctx.checkpoint(sample_id=sample_id)
        moved = await carry_out(_move(goal), instruments, keeping(ctx, sample_id=sample_id), "move")
        ctx.clear_alarm(REPEATED)
    _taken(ctx, goal, sample_id, moved)
    return {
        "sample_id": sample_id,
        "volume_ul": moved.moved_ul,
        "fraction_of_container": moved.moved_ul / before_ul if before_ul > 0.0 else float("nan"),
    }


def _label(goal: Any, ctx: PhaseContext) -> str:
    return f"{ctx.header.batch_id or 'workcell'}-{goal.test_point}-{ctx.now_s():.0f}"


def _move(goal: Any) -> Move:
    return Move(goal.container, goal.destination, goal.volume_ul, SAMPLE_FLOW_UL_MIN)


def _taken(ctx: PhaseContext, goal: Any, sample_id: str, moved: Moved, **more: Any) -> None:
    ctx.record(
        "sample_taken",
        sample_id,
        container=goal.container,
        destination=goal.destination,
        volume_ul=moved.moved_ul,
        test_point=goal.test_point,
        **more,
    )
