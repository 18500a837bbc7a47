# SPDX-License-Identifier: Apache-2.0
"""What must hold around open cells besides the particles: doors, pressures, air, climate.

Sources: EU GMP Annex 1 (2022), 4.14 (at least 10 Pa between grades); site limits for climate.
"""

from __future__ import annotations

import math

from ...instruments.enclosure import EnclosureState
from ...instruments.enclosure_map import EnclosureFault
from ...process.context import PhaseContext

CASCADE_PA = 10.0
"""Chamber over hatch and hatch over room where it is a step between grades; chamber over room in any case."""
TEMPERATURE_C, HUMIDITY = (18.0, 25.0), (0.25, 0.65)
DOOR_OPEN = "enclosure.door_open"
PRESSURE_LOW = "enclosure.pressure_low"
AIR_FAILED = "enclosure.air_failed"
TEMPERATURE_OUTSIDE = "enclosure.temperature_outside"
HUMIDITY_OUTSIDE = "enclosure.humidity_outside"
ROOM_GRADES = ("C", "D")
"""Grades that the room around may have itself: no step of pressure is asked for."""


def trespasses(state: EnclosureState, grade: str) -> dict[str, str]:
    """Return what endangers the grade now: alarm → what was seen, with value and limit. Unknown is never fine."""
    found = {}
    if state.doors_open:
        found[DOOR_OPEN] = f"{_names(state.doors_open)} open while grade {grade} is needed; close it"
    if grade not in ROOM_GRADES:
        chamber, hatch = state.chamber_pressure_pa, state.hatch_pressure_pa
        # Written so that NaN is too little.
        if not chamber >= CASCADE_PA:
            found[PRESSURE_LOW] = f"chamber {chamber:.1f} Pa over the room, allowed from {CASCADE_PA:g} Pa"
        elif not chamber > hatch:
            found[PRESSURE_LOW] = f"chamber at {chamber:.1f} Pa is not above the hatch at {hatch:.1f} Pa"
    if state.faults & EnclosureFault.FAN or not state.air_speed_m_s > 0.0:
        found[AIR_FAILED] = f"air moves at {state.air_speed_m_s:g} m/s; look at the fan"
    return found


def watch_climate(state: EnclosureState, ctx: PhaseContext) -> None:
    """Alarm while temperature or humidity is outside the site's limits; nothing is held for it."""
    for alarm_id, value, (low, high), unit in (
        (TEMPERATURE_OUTSIDE, state.temperature_c, TEMPERATURE_C, "degC"),
        (HUMIDITY_OUTSIDE, state.relative_humidity, HUMIDITY, "of saturation"),
    ):
        if math.isfinite(value) and low <= value <= high:
            ctx.clear_alarm(alarm_id)
        else:
            ctx.alarm(alarm_id, f"{value:.2f} {unit}, allowed {low:g} to {high:g}")


def _names(doors: object) -> str:
    return str(getattr(doors, "name", doors)).replace("|", " and ").lower()
