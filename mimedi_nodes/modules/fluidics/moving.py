# SPDX-License-Identifier: Apache-2.0
"""Moving liquid from one vessel to another so that it can be interrupted anywhere and nothing moves twice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...instruments.cavro import TransferPlan
from ...instruments.wire.link import InstrumentError
from ...process.context import PhaseContext
from ...process.errors import PhaseHold
from .instruments import FluidicsInstruments
from .leftover import discard_leftover

MOVE_UNKNOWN = "fluidics.move_unknown"
POLL_S = 20.0
ASPIRATE_UL_MIN = 40_000.0
"""Flow while the syringe fills; slow enough for cells, fast enough not to matter."""
STROKE_ACCURACY = 0.01
"""Relative accuracy of a syringe's strokes (Cavro XLP 6000: better than 1 %); weights are held to no less."""


@dataclass
class Move:
    """One move and how far it is; JSON-able by `asdict`, kept in the phase's checkpoint.

    Args:
        source, destination: vessels.
        volume_ul: what is to be moved [uL].
        flow_rate_ul_min: flow while delivering.
        source_before_ul, destination_before_ul: by weight before the move; NaN (None in JSON) when not weighed.
        moved_ul: delivered by strokes that are finished and accounted for.
        plan: the strokes that are under way, None between them.
        starting: true from before the pump is told to start until `plan` is stored.
    """

    source: str
    destination: str
    volume_ul: float
    flow_rate_ul_min: float
    source_before_ul: float | None = None
    destination_before_ul: float | None = None
    moved_ul: float = 0.0
    plan: Mapping[str, Any] | None = None
    starting: bool = False
    done: bool = False

    @classmethod
    def restored(cls, data: Mapping[str, Any]) -> Move:
        """Return the move of a checkpoint."""
        return cls(**data)


@dataclass(frozen=True)
class Moved:
    """What a move did, by strokes and by weight [uL]; NaN where there is no scale."""

    moved_ul: float
    source_ul: float
    destination_ul: float

    @property
    def lost_ul(self) -> float:
        """What left the source (by weight, else by strokes) but did not arrive by weight; NaN when not weighed."""
        left_ul = self.moved_ul if math.isnan(self.source_ul) else self.source_ul
        return left_ul - self.destination_ul


def _known(value_ul: float) -> float | None:
    return None if math.isnan(value_ul) else value_ul


async def carry_out(
    move: Move,
    instruments: FluidicsInstruments,
    ctx: PhaseContext,
    label: str,
    share: tuple[float, float] = (0.0, 1.0),
    *,
    follows: bool = False,
) -> Moved:
    """Carry a move to its end from wherever it is; the caller's checkpoint must hold `move` under `label`.

    Args:
        share: start and end of this move in the phase's progress.
        follows: this run of the phase has just ended a move between the same vessels: the pump is at rest and empty,
            the valves stand where they have to, and a pump that has lost its power since refuses to move.

    Raises:
        PhaseError: a vessel is out of reach or has no room.
        PhaseHold: it cannot be known how much an interrupted move has moved.
    """
    if not follows and await instruments.ready_pump(ctx) and move.plan is not None:
        # It has lost its power: its plunger tells nothing of the strokes any more, only the weights do.
        move.plan, move.starting = None, True
        await ctx.checkpoint(**{label: asdict(move)})
    scales = instruments.scales
    if move.source_before_ul is None and move.destination_before_ul is None and move.plan is None and not move.starting:
        if move.moved_ul == 0.0 and not follows:
            await discard_leftover(instruments, ctx)
        move.destination_before_ul = _known(await instruments.check_room(move.destination, move.volume_ul, ctx))
        move.source_before_ul = _known(await scales.volume_ul(move.source, ctx))
    elif not move.done:
        await _account(move, instruments, ctx)
    if not follows:
        await instruments.open_path(move.source, move.destination, ctx)
    while not move.done and move.volume_ul - move.moved_ul > instruments.pump.volume_ul(1):
        move.starting, move.plan = True, None
        await ctx.checkpoint(**{label: asdict(move)})
        plan = await instruments.pump.start_transfer(
            move.volume_ul - move.moved_ul, move.flow_rate_ul_min, ASPIRATE_UL_MIN
        )
        move.starting, move.plan = False, asdict(plan)
        await ctx.checkpoint(**{label: asdict(move)})
        await _wait(plan, move, instruments, ctx, share)
        await _account(move, instruments, ctx)
    move.done = True
    await ctx.checkpoint(**{label: asdict(move)})
    return Moved(move.moved_ul, await _gone(move, instruments, ctx), await _arrived(move, instruments, ctx))


async def _wait(
    plan: TransferPlan, move: Move, instruments: FluidicsInstruments, ctx: PhaseContext, share: tuple[float, float]
) -> None:
    begun_s, end_s = ctx.now_s(), ctx.now_s() + plan.duration_s
    step = f"{move.source} → {move.destination}"
    busy = True
    while (left_s := end_s - ctx.now_s()) > 0.0:
        await ctx.sleep(min(left_s + 0.01, max(POLL_S, plan.duration_s / 20.0)))
        part = min(1.0, (ctx.now_s() - begun_s) / max(plan.duration_s, 1e-9))
        moved_ml = (move.moved_ul + part * (move.volume_ul - move.moved_ul)) / 1000.0
        done = share[0] + part * (share[1] - share[0])
        ctx.feedback(done, f"{step} {moved_ml:.1f} of {move.volume_ul / 1000.0:.1f} mL")
        busy = await instruments.pump.is_busy()  # an error of the pump is raised here, not only at the end
    late_s = 0.0
    while busy:
        if late_s > 60.0:
            raise InstrumentError("pump", f"{step}: still busy 60 s after the expected end; look at pump and line")
        await ctx.sleep(1.0)
        late_s += 1.0
        busy = await instruments.pump.is_busy()


async def _account(move: Move, instruments: FluidicsInstruments, ctx: PhaseContext) -> None:
    """Book what strokes that have come to rest delivered; by weight when a crash fell between start and plan."""
    if move.plan is not None:
        progress = await instruments.pump.transferred(TransferPlan(**move.plan), at_rest=True)
        move.moved_ul += progress.delivered_ul
        move.plan = None
    elif move.starting:
        arrived_ul, gone_ul = await _arrived(move, instruments, ctx), await _gone(move, instruments, ctx)
        in_syringe_ul = await instruments.pump.plunger_ul()
        known_ul = arrived_ul if not math.isnan(arrived_ul) else gone_ul - in_syringe_ul
        if math.isnan(known_ul):
            raise PhaseHold(
                MOVE_UNKNOWN,
                f"{move.source} → {move.destination} was interrupted at its start and neither vessel is weighed here; "
                "see how much has moved, then stop the phase and move the rest by hand or by a new phase",
            )
        move.moved_ul = max(0.0, known_ul)
        move.starting = False


async def _gone(move: Move, instruments: FluidicsInstruments, ctx: PhaseContext) -> float:
    if move.source_before_ul is None:
        return math.nan
    return move.source_before_ul - await instruments.scales.volume_ul(move.source, ctx)


async def _arrived(move: Move, instruments: FluidicsInstruments, ctx: PhaseContext) -> float:
    if move.destination_before_ul is None:
        return math.nan
    return await instruments.scales.volume_ul(move.destination, ctx) - move.destination_before_ul


def close_balance(moved: Moved, move: Move, tolerance_ul: float) -> None:
    """Raise PhaseHold when weights do not confirm the strokes, or the destination the source."""
    step = f"{move.source} → {move.destination}"
    allowed_ul = max(tolerance_ul, STROKE_ACCURACY * moved.moved_ul)
    gaps = (
        ("left the source by weight", moved.source_ul, moved.moved_ul),
        ("reached the destination by weight", moved.destination_ul, moved.moved_ul),
    )
    for what, weighed_ul, expected_ul in gaps:
        if not math.isnan(weighed_ul) and abs(weighed_ul - expected_ul) > allowed_ul:
            raise PhaseHold(
                "fluidics.balance_gap",
                f"{step}: {weighed_ul:.0f} uL {what}, the strokes moved {expected_ul:.0f} uL "
                f"(allowed difference {allowed_ul:.0f} uL); look for a leak, air or a blocked line",
            )
