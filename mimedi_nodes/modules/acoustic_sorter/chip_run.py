# SPDX-License-Identifier: Apache-2.0
"""Both liquids through the chip at once, with sound: what sorting and concentrating have in common."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ...instruments.pump_pair import PairState, PumpPair
from ...process.context import PhaseContext
from ...process.errors import PhaseError, PhaseHold
from .after_power_loss import start_pumps
from .balance import BALANCE_GAP, gaps
from .codes import SorterCode
from .instruments import SorterInstruments
from .tune import find_resonance, watch_quality

ASPIRATE_FACTOR = 4.0
"""The filling syringe draws this much faster than the other delivers."""
SHORTEST_FILL_UL_MIN = 20_000.0
"""Cells sink while a syringe fills from a nearly empty vessel: the last 10 mL are drawn in half a minute."""
RETUNES = (
    (180.0, "three time constants after the start: the chip has warmed by its own sound"),
    (1800.0, "half an hour after the last time: the chip drifts with the room and what flows through it"),
)
"""How long the sound stays at a frequency [s] before the resonance is found again, and why; the last goes on. The chip
warms with a time constant of about 60 s."""
RETUNE_SPAN = 0.04
RETUNE_POINTS = 201


@dataclass(frozen=True)
class ChipPlan:
    """One run through the chip: vessels, volumes [uL], flows [uL/min] and drive."""

    source: str
    buffer: str
    centre: str
    waste: str
    sample_ul: float
    sample_flow_ul_min: float
    buffer_ul: float
    buffer_flow_ul_min: float
    frequency_hz: float
    amplitude_vpp: float
    into_centre: bool = False
    """Whether as much leaves by the centre outlet as buffer comes in (concentrating); a sort takes more there."""

    @property
    def duration_s(self) -> float:
        """Time [s] that the sample takes."""
        return self.sample_ul / self.sample_flow_ul_min * 60.0

    @property
    def waste_share(self) -> float:
        """Share of the whole flow that leaves by the side outlets; NaN for a sort, where the chip sets it."""
        total_ul_min = self.sample_flow_ul_min + self.buffer_flow_ul_min
        return self.sample_flow_ul_min / total_ul_min if self.into_centre else math.nan


@dataclass(frozen=True)
class ChipResult:
    """What went through [uL]; weighed where this module weighs, NaN elsewhere."""

    sample_ul: float
    buffer_ul: float
    centre_weighed_ul: float
    waste_weighed_ul: float
    frequency_hz: float
    duration_s: float


async def source_volume(goal: Any, instruments: SorterInstruments, ctx: PhaseContext) -> float:
    """Return the sample volume of a goal [uL]: the one asked for, or everything by weight.

    Raises:
        PhaseError: everything is asked for of a vessel that is not weighed here, or the vessel holds less.
    """
    held_ul = await instruments.scales.volume_ul(goal.source, ctx)
    if goal.volume_ul > 0.0:
        if not math.isnan(held_ul) and goal.volume_ul > held_ul + 200.0:
            raise PhaseError(
                SorterCode.NOT_ENOUGH, f"{goal.source} holds {held_ul:.0f} uL, {goal.volume_ul:.0f} uL are asked for"
            )
        return float(goal.volume_ul)
    if math.isnan(held_ul):
        raise PhaseError(
            SorterCode.NOT_ENOUGH, f"{goal.source} is not weighed here, so 'everything' is unknown; give volume_ul"
        )
    return held_ul


async def run_chip(plan: ChipPlan, instruments: SorterInstruments, ctx: PhaseContext) -> ChipResult:
    """Send both liquids through the chip with the sound on, from wherever an earlier run stopped.

    Raises:
        PhaseHold: once, when the weights do not confirm what the syringes moved.
    """
    kept: dict[str, Any] = dict(ctx.restored or {})
    pairs = (("sample", instruments.sample), ("buffer", instruments.buffer))
    for name, pair in pairs:
        pair.restore(PairState(**kept[name]) if name in kept else PairState())
    await instruments.open_paths(plan.source, plan.buffer, plan.centre, ctx)
    # A pump that has lost its power is emptied here, and its state counts it as full where it was filling. Weights know
    # better: the source's, or else the waste's.
    emptied = await start_pumps(plan.waste, plan.waste_share, kept, instruments, ctx)
    if emptied and ctx.restored:
        kept["by_weight"] = True
        if kept.get("source_before_ul") is not None:
            instruments.sample.count(kept["source_before_ul"] - await instruments.scales.volume_ul(plan.source, ctx))
        kept["sample"] = asdict(instruments.sample.state)
    kept.setdefault("begun_s", ctx.now_s())
    kept["sample_ul"] = plan.sample_ul
    kept |= {name: asdict(pair.state) for name, pair in pairs if name in kept}
    weighed = (
        (plan.source, "source_before_ul"), (plan.centre, "centre_before_ul"), (plan.waste, "waste_before_ul")
    )  # fmt: skip
    for vessel, label in weighed:
        if label not in kept:
            before_ul = await instruments.scales.volume_ul(vessel, ctx)
            kept[label] = None if math.isnan(before_ul) else before_ul
    await ctx.checkpoint(**kept)

    async def store(name: str, state: PairState) -> None:
        kept[name] = asdict(state)
        await ctx.checkpoint(**kept)

    async def deliver(name: str, pair: PumpPair, volume_ul: float, flow_ul_min: float) -> float:
        return await pair.deliver(
            volume_ul,
            flow_ul_min,
            ctx,
            aspirate_rate_ul_min=max(SHORTEST_FILL_UL_MIN, ASPIRATE_FACTOR * flow_ul_min),
            on_stroke=lambda state: store(name, state),
        )

    await instruments.sample.prepare(plan.sample_ul, ctx, SHORTEST_FILL_UL_MIN)
    await instruments.buffer.prepare(plan.buffer_ul, ctx, SHORTEST_FILL_UL_MIN)
    drive = asyncio.get_running_loop().create_task(_drive(plan, instruments, ctx))
    flows = asyncio.get_running_loop().create_task(
        _both(
            deliver("sample", instruments.sample, plan.sample_ul, plan.sample_flow_ul_min),
            deliver("buffer", instruments.buffer, plan.buffer_ul, plan.buffer_flow_ul_min),
        )
    )
    try:
        await asyncio.wait((drive, flows), return_when=asyncio.FIRST_COMPLETED)
        if drive.done():
            drive.result()
        sample_ul, buffer_ul = await flows
    finally:
        drive.cancel()
        flows.cancel()
        await asyncio.gather(drive, flows, return_exceptions=True)
    frequency_hz = await instruments.generator.frequency_hz()
    await instruments.generator.output_off()
    source_ul = -await _gain_ul(plan.source, kept["source_before_ul"], instruments, ctx)
    centre_ul = await _gain_ul(plan.centre, kept["centre_before_ul"], instruments, ctx)
    waste_ul = await _gain_ul(plan.waste, kept["waste_before_ul"], instruments, ctx)
    if kept.get("by_weight"):
        sample_ul = source_ul if math.isfinite(source_ul) else sample_ul
        # What came out is what went in.
        buffer_ul = centre_ul + waste_ul - sample_ul if math.isfinite(centre_ul + waste_ul) else buffer_ul
    wrong = tuple(gaps(sample_ul, buffer_ul, source_ul, centre_ul, waste_ul, into_centre=plan.into_centre))
    if wrong and "gap_told" not in kept:
        kept["gap_told"] = True  # whoever restarts has looked and goes on with what there is
        await ctx.checkpoint(**kept)
        raise PhaseHold(
            BALANCE_GAP,
            f"{plan.source} → {plan.centre}: {'; '.join(wrong)}; look for a leak, air, a stuck valve or a pump that "
            "does not move",
        )
    return ChipResult(
        sample_ul,
        buffer_ul,
        centre_ul,
        waste_ul,
        frequency_hz,
        ctx.now_s() - float(kept["begun_s"]),
    )


async def _both(first: Awaitable[float], second: Awaitable[float]) -> tuple[float, float]:
    volumes_ul = await asyncio.gather(first, second)
    return volumes_ul[0], volumes_ul[1]


async def _drive(plan: ChipPlan, instruments: SorterInstruments, ctx: PhaseContext) -> None:
    """Keep the sound on at the channel's resonance, found again as the chip warms; returns only by an error."""
    frequency_hz, begun_s = plan.frequency_hz, ctx.now_s()
    await instruments.generator.ensure_output(frequency_hz, plan.amplitude_vpp)
    turns = iter(RETUNES)
    wait_s, why = next(turns)
    while True:
        end_s = ctx.now_s() + wait_s
        while (left_s := end_s - ctx.now_s()) > 0.0:
            await ctx.sleep(min(left_s, 600.0))
            _tell(plan, frequency_hz, begun_s, ctx)
        half_hz = 0.5 * RETUNE_SPAN * frequency_hz
        # The plate's resonance must stay in the sweep, or the two branches cannot be told apart.
        fit = await find_resonance(
            instruments, min(frequency_hz - half_hz, 1.94e6), frequency_hz + half_hz, RETUNE_POINTS
        )
        watch_quality(fit, ctx)
        await instruments.generator.ensure_output(fit.channel_hz, plan.amplitude_vpp)
        half_width_hz = 1.96 * fit.channel_sd_hz
        ctx.measured(
            "channel_resonance_hz", fit.channel_hz, "Hz", fit.channel_hz - half_width_hz, fit.channel_hz + half_width_hz
        )
        ctx.record(
            "retuned", f"{plan.source} → {plan.centre}", why, old_hz=frequency_hz, new_hz=fit.channel_hz,
            channel_resonance_sd_hz=fit.channel_sd_hz, channel_q=fit.channel_q, after_s=ctx.now_s() - begun_s,
        )  # fmt: skip
        frequency_hz = fit.channel_hz
        wait_s, why = next(turns, RETUNES[-1])


def _tell(plan: ChipPlan, frequency_hz: float, begun_s: float, ctx: PhaseContext) -> None:
    share = min(1.0, (ctx.now_s() - begun_s) / plan.duration_s)
    ctx.feedback(share, f"{plan.source} → {plan.centre} at {frequency_hz / 1e6:.4f} MHz, {100.0 * share:.0f} %")


async def _gain_ul(vessel: str, before_ul: float | None, instruments: SorterInstruments, ctx: PhaseContext) -> float:
    return math.nan if before_ul is None else await instruments.scales.volume_ul(vessel, ctx) - before_ul


def record_material(plan: ChipPlan, result: ChipResult, ctx: PhaseContext) -> Mapping[str, Any]:
    """Record where the liquids went; returns what was written."""
    data = {
        "source": plan.source,
        "buffer": plan.buffer,
        "destination": plan.centre,
        "waste": plan.waste,
        "sample_ul": result.sample_ul,
        "buffer_ul": result.buffer_ul,
        "volume_ul": result.centre_weighed_ul,
        "waste_ul": result.waste_weighed_ul,
    }
    ctx.record("material", f"{plan.source} → {plan.centre}", "", **data)
    return data
