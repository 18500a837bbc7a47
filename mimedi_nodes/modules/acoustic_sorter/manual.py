# SPDX-License-Identifier: Apache-2.0
"""The sorter by hand: turns valves, and calibrates the chip's transducer: where it resonates, how sharply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...instruments.wire.pacing import settle
from ...process.context import PhaseContext
from ..service.manual import VALID_D, ManualAct, ManualRefused, ManualValue
from .instruments import SorterInstruments
from .tune import EXPECTED_CHANNEL_HZ, LEAST_CHANNEL_Q, find_resonance

TRANSDUCER_LINE = "sorter_impedance"
MOST_DRIFT = 0.02
"""Half wave of the channel between 20 and 37 degC moves by 2.5 % (FIELD A3): further off, the chip is another one."""


async def jog_valve(
    target: str, values: Mapping[str, Any], instruments: SorterInstruments, ctx: PhaseContext
) -> Mapping[str, Any]:
    """Turn a selector valve to a port."""
    valve = {v.name: v for v in (instruments.sample_valve, instruments.buffer_valve, instruments.centre_valve)}[target]
    await valve.initialize()
    await settle(valve, ctx, patience_s=30.0)
    before = await valve.port()
    await valve.ensure_port(int(values["port"]), ctx)
    return {"port_before": before, "port": await valve.port()}


async def calibrate_transducer(
    target: str, values: Mapping[str, Any], instruments: SorterInstruments, ctx: PhaseContext
) -> Mapping[str, Any]:
    """Sweep the impedance with the drive off, fit it, and keep resonance and quality as the chip's own."""
    fit = await find_resonance(instruments, 1.9e6, 2.1e6, 801)
    drift = fit.channel_hz / EXPECTED_CHANNEL_HZ - 1.0
    if fit.channel_q < LEAST_CHANNEL_Q:
        raise ManualRefused(f"the channel's Q is {fit.channel_q:.0f}, at least {LEAST_CHANNEL_Q:.0f}: look for bubbles")
    if abs(drift) > MOST_DRIFT:
        raise ManualRefused(f"the channel resonates {drift:+.1%} off (allowed {MOST_DRIFT:.0%}); which chip is this?")
    known = instruments.calibrations.of(TRANSDUCER_LINE)
    before = known.left if known is not None else 0.0
    made = instruments.calibrations.keep(
        TRANSDUCER_LINE, "channel resonance (share off the half wave)", found=drift - before, left=drift,
        reference=f"half wave of the channel, {EXPECTED_CHANNEL_HZ:g} Hz", by=ctx.header.requested_by,
        valid_d=values["valid_d"],
    )  # fmt: skip
    return {
        "channel_resonance_hz": fit.channel_hz,
        "channel_q": fit.channel_q,
        "moved_since_last": made.found,
        "due": made.due,
    }


ACTS = (
    ManualAct(
        "jog", ("sample_valve", "buffer_valve", "centre_valve"), "turns a selector valve", jog_valve,
        (ManualValue("port", "port to turn to", 1.0, 16.0),),
    ),
    ManualAct(
        "calibrate", ("transducer",), "sweeps the impedance and keeps the chip's resonance", calibrate_transducer,
        (VALID_D,),
    ),
)  # fmt: skip
