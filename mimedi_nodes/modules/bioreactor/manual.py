# SPDX-License-Identifier: Apache-2.0
"""A bioreactor by hand: stirs for a while, and compares its temperature probe with a reference thermometer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...process.context import PhaseContext
from ..service.manual import VALID_D, ManualAct, ManualRefused, ManualValue
from .instruments import BioreactorInstruments

MOST_DEVIATION_C = 0.3
"""The controller takes no correction: a probe further off than this is exchanged (PROCESS: 37 ± 0.5 degC in a hold)."""


async def jog_stirrer(
    target: str, values: Mapping[str, Any], instruments: BioreactorInstruments, ctx: PhaseContext
) -> Mapping[str, Any]:
    """Stir for a while, then as before."""
    controller = instruments.controller
    before_rpm = (await controller.set_points()).stirring_rpm
    try:
        await controller.ensure_stirring(values["stirring_rpm"])
        await ctx.sleep(values["duration_s"])
        reached_rpm = (await controller.state()).stirring_rpm
    finally:
        await controller.ensure_stirring(before_rpm)
    return {"wanted_rpm": values["stirring_rpm"], "reached_rpm": reached_rpm, "left_at_rpm": before_rpm}


async def calibrate_temperature(
    target: str, values: Mapping[str, Any], instruments: BioreactorInstruments, ctx: PhaseContext
) -> Mapping[str, Any]:
    """Compare the liquid's probe with a reference; it passes or is exchanged."""
    state = await instruments.controller.state()
    found_c = state.liquid_temperature_c - values["reference_c"]
    if not abs(found_c) <= MOST_DEVIATION_C:  # written so that an unknown reading does not pass
        raise ManualRefused(
            f"the probe says {state.liquid_temperature_c:.2f} degC, the reference {values['reference_c']:.2f} degC: "
            f"{found_c:+.2f} K, allowed {MOST_DEVIATION_C:g} K; exchange the probe"
        )
    made = instruments.calibrations.keep(
        instruments.controller.name, "liquid temperature (K)", found=found_c, left=found_c,
        reference=f"{values['reference_c']:.2f} degC", by=ctx.header.requested_by, valid_d=values["valid_d"],
    )  # fmt: skip
    return {"found_k": made.found, "left_k": made.left, "due": made.due}


ACTS = (
    ManualAct(
        "jog", ("stirrer",), "stirs for a while, then as before", jog_stirrer,
        (ManualValue("stirring_rpm", "speed", 0.0, 200.0), ManualValue("duration_s", "for how long", 1.0, 600.0)),
    ),
    ManualAct(
        "calibrate", ("temperature",), "compares the liquid's probe with a thermometer", calibrate_temperature,
        (ManualValue("reference_c", "what the reference thermometer says", 4.0, 45.0), VALID_D),
    ),
)  # fmt: skip
