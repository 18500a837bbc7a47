# SPDX-License-Identifier: Apache-2.0
"""Leak test by pressure decay.

Source: ISO 10648-2:1994, class 2 (hourly leak rate up to 2.5e-3 of the volume at 250 Pa); through an orifice the rate
goes with the root of the pressure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...instruments.enclosure_map import LeakTestPhase
from ...process.context import PhaseContext
from ...process.errors import PhaseError
from .codes import EnclosureCode
from .instruments import EnclosureInstruments

HOURLY_LEAK_RATE, CLASS_PRESSURE_PA, ATMOSPHERE_PA = 2.5e-3, 250.0, 101_325.0
PRESSURISING_S = 300.0
READINGS = 60
"""Readings of the pressure over the observation, evenly: their noise of some tenths of a pascal averages out."""
LEAST_SHARE = 0.8
"""Share of the test pressure with which the observation must begin."""


def allowed_decay_pa_min(pressure_pa: float) -> float:
    """Return the decay [Pa/min] of an enclosure at the limit of its class, at a test pressure."""
    return HOURLY_LEAK_RATE * ATMOSPHERE_PA / 60.0 * math.sqrt(pressure_pa / CLASS_PRESSURE_PA)


def expected_s(goal: Any) -> float:
    """Return the expected duration [s]."""
    return float(goal.duration_s) + 60.0


async def test_leaks(goal: Any, instruments: EnclosureInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Pressurise, observe, fit the decay. Always begins anew: a test that was broken off says nothing.

    The decay is the slope of a straight line; its interval is that of the fit. Temperature is recorded beside it: one
    kelvin more in a closed volume would be 345 Pa (ideal gas), so the air must be at rest thermally.
    """
    await instruments.controller.stop_leak_test()
    await instruments.controller.start_leak_test(goal.pressure_pa)

    async def closed() -> bool:
        return (await instruments.controller.state()).leak_phase is LeakTestPhase.DECAY

    try:
        ctx.feedback(0.0, "pressurising")
        if not await ctx.until(closed, 5.0, PRESSURISING_S):
            raise PhaseError(EnclosureCode.PRESSURE, f"{goal.pressure_pa:g} Pa not reached in {PRESSURISING_S:g} s")
        times_s, pressures_pa, temperatures_c = [], [], []
        for k in range(READINGS + 1):
            state = await instruments.controller.state()
            if state.leak_phase is not LeakTestPhase.DECAY or not math.isfinite(state.chamber_pressure_pa):
                raise PhaseError(EnclosureCode.PRESSURE, "the test was broken off; look at doors and emergency stop")
            times_s.append(ctx.now_s())
            pressures_pa.append(state.chamber_pressure_pa)
            temperatures_c.append(state.temperature_c)
            ctx.feedback(k / READINGS, f"{state.chamber_pressure_pa:.0f} Pa")
            if k < READINGS:
                await ctx.sleep(goal.duration_s / READINGS)
        if pressures_pa[0] < LEAST_SHARE * goal.pressure_pa:
            raise PhaseError(
                EnclosureCode.PRESSURE,
                f"only {pressures_pa[0]:.0f} of {goal.pressure_pa:g} Pa were reached; look at doors and seals",
            )
    finally:
        await instruments.controller.stop_leak_test()
    (slope, _), covariance = np.polyfit(np.subtract(times_s, times_s[0]), pressures_pa, 1, cov=True)
    decay, half = -60.0 * float(slope), 60.0 * 1.96 * math.sqrt(float(covariance[0, 0]))
    ctx.measured("pressure_decay_pa_min", decay, "Pa/min", decay - half, decay + half)
    ctx.measured("leak_test_temperature_span_c", max(temperatures_c) - min(temperatures_c), "degC")
    return {"decay_pa_min": decay, "tight": bool(decay + half <= allowed_decay_pa_min(goal.pressure_pa))}
