# SPDX-License-Identifier: Apache-2.0
"""Fluidics by hand: turns valves, moves supplies to waste, calibrates the pump by weight and load cells by a reference.

What is a patient's is never touched: liquid goes from a supply to the waste only.
Source of the gravimetric method: ISO 8655-6:2022 (mean of repeated deliveries by mass over density); limits of a
Cavro XLP 6000's accuracy, 1 %.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

from ...process.context import PhaseContext
from ..service.manual import VALID_D, ManualAct, ManualRefused, ManualValue
from .instruments import FluidicsInstruments
from .leftover import WASTE
from .moving import Move, Moved, carry_out

SUPPLIES = ("buffer", "medium")
PUMP_LINE = "fluidics_pumps"
MOST_SPREAD = 0.01
"""Largest relative standard deviation of the deliveries: above it a factor would mean nothing."""
MOST_DEVIATION = 0.05
"""A pump further off than this is mended, not corrected."""
MOST_OFFSET_G = 200.0
MOST_LEFT_G = 0.5
"""Deviation that a corrected load cell may show at the reference [g]."""


async def jog_pump(
    target: str, values: Mapping[str, Any], instruments: FluidicsInstruments, ctx: PhaseContext
) -> Mapping[str, Any]:
    """Move a supply to the waste."""
    moved = await _deliver(values["source"], values["volume_ul"], values["flow_rate_ul_min"], instruments, ctx)
    return {"moved_ul": moved.moved_ul, "weighed_source_ul": moved.source_ul, "weighed_waste_ul": moved.destination_ul}


async def jog_valve(
    target: str, values: Mapping[str, Any], instruments: FluidicsInstruments, ctx: PhaseContext
) -> Mapping[str, Any]:
    """Turn a selector valve to a port."""
    await instruments.ready_pump(ctx)
    valve = instruments.source_valve if target == "source_valve" else instruments.destination_valve
    before = await valve.port()
    await valve.ensure_port(int(values["port"]), ctx)
    return {"port_before": before, "port": await valve.port()}


async def calibrate_pump(
    target: str, values: Mapping[str, Any], instruments: FluidicsInstruments, ctx: PhaseContext
) -> Mapping[str, Any]:
    """Deliver a volume several times and weigh what arrives; correct the stroke, and deliver once more to see."""
    volume_ul, repeats = float(values["volume_ul"]), int(values["repeats"])
    ratios = []
    for number in range(repeats):
        ctx.feedback(number / (repeats + 1), f"delivery {number + 1} of {repeats}")
        ratios.append(await _ratio(values["source"], volume_ul, instruments, ctx))
    mean, spread = statistics.fmean(ratios), statistics.stdev(ratios)
    if spread > MOST_SPREAD:
        raise ManualRefused(f"deliveries differ by {spread:.2%} (allowed {MOST_SPREAD:.0%}); look for air and leaks")
    if abs(mean - 1.0) > MOST_DEVIATION:
        raise ManualRefused(f"the pump delivers {mean - 1.0:+.1%} (corrected up to {MOST_DEVIATION:.0%}); mend it")
    before = instruments.stroke_factor
    instruments.correct_pump(before * mean)
    try:
        left = await _ratio(values["source"], volume_ul, instruments, ctx) - 1.0
        if abs(left) > MOST_SPREAD:
            raise ManualRefused(f"the corrected pump delivers {left:+.2%} (allowed {MOST_SPREAD:.0%}); begin again")
    except BaseException:
        instruments.correct_pump(before)
        raise
    made = instruments.calibrations.keep(
        PUMP_LINE, "delivered volume (share)", found=mean - 1.0, left=left, factor=before * mean,
        reference=f"{repeats} deliveries of {volume_ul:g} uL by weight", by=ctx.header.requested_by,
        valid_d=values["valid_d"],
    )  # fmt: skip
    return {"found": made.found, "left": made.left, "factor": made.factor, "spread": spread, "due": made.due}


async def calibrate_scale(
    target: str, values: Mapping[str, Any], instruments: FluidicsInstruments, ctx: PhaseContext
) -> Mapping[str, Any]:
    """Compare a load cell with the mass that stands on it, and take the difference as its offset."""
    line = instruments.scales.line_of(target)
    reading_g = await instruments.scales.mass_g(target, ctx)
    found_g = reading_g - float(values["reference_g"])
    if abs(found_g) > MOST_OFFSET_G:
        raise ManualRefused(
            f"{line} is {found_g:+.1f} g off (corrected up to {MOST_OFFSET_G:g} g); is the reference on it? mend it"
        )
    before_g = instruments.scales.offset_g(target)
    instruments.scales.correct(target, before_g - found_g)
    left_g = await instruments.scales.mass_g(target, ctx) - float(values["reference_g"])
    if abs(left_g) > MOST_LEFT_G:
        instruments.scales.correct(target, before_g)
        raise ManualRefused(f"{line} is still {left_g:+.2f} g off (allowed {MOST_LEFT_G:g} g); it is not at rest")
    made = instruments.calibrations.keep(
        line, "mass (g)", found=found_g, left=left_g, offset=before_g - found_g,
        reference=f"{values['reference_g']:g} g", by=ctx.header.requested_by, valid_d=values["valid_d"],
    )  # fmt: skip
    return {"found_g": made.found, "left_g": made.left, "offset_g": made.offset, "due": made.due}


async def _deliver(
    source: str, volume_ul: float, flow_rate_ul_min: float, instruments: FluidicsInstruments, ctx: PhaseContext
) -> Moved:
    if not await instruments.scales.volume_ul(source, ctx) >= volume_ul:
        raise ManualRefused(f"{source} holds less than {volume_ul:g} uL by weight; fill it")
    return await carry_out(Move(source, WASTE, volume_ul, flow_rate_ul_min), instruments, ctx, "move")


async def _ratio(source: str, volume_ul: float, instruments: FluidicsInstruments, ctx: PhaseContext) -> float:
    moved = await _deliver(source, volume_ul, 10_000.0, instruments, ctx)
    if not math.isfinite(moved.source_ul):
        raise ManualRefused(f"{source} is not weighed here; a pump is calibrated by weight")
    return moved.source_ul / moved.moved_ul


_SOURCE = ManualValue("source", "supply that is drawn from", choices=SUPPLIES, default=SUPPLIES[0])


def acts(scales: tuple[str, ...]) -> tuple[ManualAct, ...]:
    """Return the module's manual acts; `scales` are the vessels that it weighs."""
    return (
        ManualAct(
            "jog", ("pump",), "moves a supply to the waste", jog_pump,
            (_SOURCE, ManualValue("volume_ul", "how much", 10.0, 50_000.0),
             ManualValue("flow_rate_ul_min", "how fast", 100.0, 40_000.0, default=10_000.0)),
        ),
        ManualAct(
            "jog", ("source_valve", "destination_valve"), "turns a selector valve", jog_valve,
            (ManualValue("port", "port to turn to", 1.0, 16.0),),
        ),
        ManualAct(
            "calibrate", ("pump",), "weighs deliveries to the waste and corrects the stroke", calibrate_pump,
            # Two weighings of 0.03 g each are 0.2 % of 20 mL; of 10 mL they had refused one sound pump in thirty.
            (_SOURCE, ManualValue("volume_ul", "each delivery", 2000.0, 25_000.0, default=20_000.0),
             ManualValue("repeats", "deliveries", 3.0, 10.0, default=5.0), VALID_D),
        ),
        ManualAct(
            "calibrate", scales, "compares a load cell with a known mass and corrects its offset", calibrate_scale,
            (ManualValue("reference_g", "mass that stands on it, vessel and all", 0.0, 15_000.0), VALID_D),
        ),
    )  # fmt: skip
