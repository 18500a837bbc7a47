# SPDX-License-Identifier: Apache-2.0
"""Occluded lines behind pumps: from which resistance on a drive stalls, and when.

Below the stall pressure the pump wins and only the pressure tells. Above it the liquid stays in the compliance of
line and syringe until the drive's encoder loses steps: plunger overload, after the time in which a blocked or
narrowed line reaches the stall pressure (closed forms of models.fluidics).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from mimedi_sim.models.constants import UL_PER_MIN_IN_M3_S
from mimedi_sim.models.fluidics import occlusion_alarm_time_s

LINE_RESISTANCE_PA_S_M3 = 5.5e9
"""A metre of tubing of 1.6 mm bore, water at 25 degC: 128 eta L / (pi d^4)."""
LINE_COMPLIANCE_M3_PA = 1e-13
"""Tubing and syringe (PHYSICS §1: 1e-14 to 1e-12) [calibration]."""
STALL_PRESSURE_PA = 6.9e5
"""Rated pressure of the drive, 100 psi (Cavro XLP 6000: 6.8 bar with glass syringes)."""


def stall_time_s(delivery_ul_s: float, resistance_factor: float) -> float:
    """Return after which time a delivery stalls the drive [s]; inf when the pump wins."""
    flow_m3_s = delivery_ul_s * 60.0 * UL_PER_MIN_IN_M3_S
    return occlusion_alarm_time_s(
        flow_m3_s, LINE_RESISTANCE_PA_S_M3, resistance_factor, LINE_COMPLIANCE_M3_PA, STALL_PRESSURE_PA
    )


class Occlusions:
    """When the pumps that push against an occluded line stall."""

    def __init__(self) -> None:
        self._stalls: dict[str, tuple[float, float, float]] = {}  # rate, factor, process time of the stall

    @property
    def any(self) -> bool:
        """Whether any drive is on its way to a stall."""
        return bool(self._stalls)

    def watch(self, rates_ul_s: Mapping[str, float], factors: Mapping[str, float], time_s: float) -> None:
        """Take the plunger rates (negative: delivery) and the factors that hold from time_s on."""
        before, self._stalls = self._stalls, {}
        for pump, factor in factors.items():
            rate = rates_ul_s.get(pump, 0.0)
            if rate >= 0.0:
                continue
            known = before.get(pump)
            if known is not None and known[:2] == (rate, factor):
                self._stalls[pump] = known
            else:
                self._stalls[pump] = (rate, factor, time_s + stall_time_s(-rate, factor))

    def next_event(self) -> float:
        """Return when the first drive stalls [s]."""
        return min((stall[2] for stall in self._stalls.values()), default=math.inf)

    def stalled(self, time_s: float) -> list[str]:
        """Return the pumps that stall at or before time_s, and forget them."""
        due = [pump for pump, stall in self._stalls.items() if stall[2] <= time_s]
        for pump in due:
            del self._stalls[pump]
        return due
