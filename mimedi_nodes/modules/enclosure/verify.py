# SPDX-License-Identifier: Apache-2.0
"""Verifying a grade: a rolling cubic metre of air, the pressure cascade and the doors, minute by minute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...instruments.enclosure import ParticleState
from ...process.context import PhaseContext
from ...process.errors import PhaseHold
from .grades import LIMITS, EarlyWarning, grade_of, interval_per_m3, suffices, surely_exceeds
from .instruments import EnclosureInstruments
from .surroundings import AIR_FAILED, DOOR_OPEN, PRESSURE_LOW, trespasses, watch_climate

SAMPLE_S = 60.0
MOST_SAMPLES = 120
"""The counter's longest rolling volume."""
FALSE_WARNINGS_PER_SAMPLE = 1e-4
"""One a week of continuous sampling."""
WARNING = "enclosure.particles_rising"
LOST = "enclosure.grade_lost"


async def verify_grade(goal: Any, instruments: EnclosureInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Count for the asked time and tell the best grade that holds.

    Counting goes on for `duration_s`; the verdict is on the rolling volume (one cubic metre in 2118 s at 28.3 L/min).
    Air that surely exceeds the wanted grade, an open door or a lost pressure cascade hold the phase at once; after the
    restart counting begins anew, and the recovery time is measured from the excursion to the first clean minute.
    """
    wanted = str(goal.grade)
    samples = max(1, math.ceil(goal.duration_s / SAMPLE_S - 1e-9))
    excursion_s = (ctx.restored or {}).get("excursion_s")
    if excursion_s is not None:
        await _recover(wanted, float(excursion_s), instruments, ctx)
    if ctx.restored is None or excursion_s is not None or not (await instruments.counter.state()).sampling:
        await instruments.counter.stop()
    await instruments.counter.ensure_sampling(rolling_samples=min(samples, MOST_SAMPLES))
    await ctx.checkpoint(counting=True)
    warnings = {"0.5 um": EarlyWarning(FALSE_WARNINGS_PER_SAMPLE), "5 um": EarlyWarning(FALSE_WARNINGS_PER_SAMPLE)}
    seen = 0
    while True:
        particles = await instruments.counter.state()
        if particles.faults:
            raise PhaseHold(
                "enclosure.particle_counter_fault", f"particle counter: {particles.faults.name}; look at its inlet"
            )
        await _look(wanted, particles, instruments, ctx)
        if particles.samples > seen:
            seen = particles.samples
            _warn(particles, warnings, ctx)
        if seen >= samples:
            break
        ctx.feedback(seen / samples, f"minute {seen} of {samples}")
        await ctx.sleep(SAMPLE_S)
    return await _verdict(wanted, particles, instruments, ctx)


async def _look(
    wanted: str, particles: ParticleState, instruments: EnclosureInstruments, ctx: PhaseContext
) -> None:
    """Hold when the grade is lost for sure; alarm what does not endanger it."""
    climate = await instruments.controller.state()
    watch_climate(climate, ctx)
    lost = trespasses(climate, wanted)
    limits, volume_m3 = LIMITS[wanted], particles.rolling_volume_l * 1e-3
    for size, counts, limit in (
        ("0.5 um", particles.rolling_05, limits.per_m3_05), ("5 um", particles.rolling_5, limits.per_m3_5),
    ):
        if surely_exceeds(counts, limit, volume_m3):
            lost[LOST] = (
                f"{counts} particles of {size} and more in {1000.0 * volume_m3:.0f} L "
                f"are {particles.per_m3(counts):.0f} 1/m3, grade {wanted} allows {limit:g}"
            )
    if lost:
        await ctx.checkpoint(excursion_s=ctx.now_s())
        alarm_id, message = next(iter(lost.items()))
        for other, text in list(lost.items())[1:]:
            ctx.alarm(other, text)
        raise PhaseHold(alarm_id, message)


def _warn(particles: ParticleState, warnings: Mapping[str, EarlyWarning], ctx: PhaseContext) -> None:
    """Warn when the last minute holds more than the ones before let expect."""
    told = {}
    for size, counts in (("0.5 um", particles.last_05), ("5 um", particles.last_5)):
        most = warnings[size].limit()
        if warnings[size].take(counts):
            told[size] = f"{counts} particles of {size} and more in the last minute, at most {most:.0f} expected"
    if told:
        ctx.alarm(WARNING, "; ".join(told.values()))
    else:
        ctx.clear_alarm(WARNING)


async def _recover(wanted: str, since_s: float, instruments: EnclosureInstruments, ctx: PhaseContext) -> None:
    """Wait for a minute of air within the grade, doors shut and pressures back; tell how long it took.

    ISO 14644-3 B.12: the time until the air is back within its class.
    """
    await instruments.counter.stop()
    await instruments.counter.ensure_sampling(rolling_samples=1)
    while True:
        particles = await instruments.counter.state()
        climate = await instruments.controller.state()
        clean = particles.samples > 0 and suffices(
            grade_of(particles.per_m3(particles.rolling_05), particles.per_m3(particles.rolling_5)), wanted
        )
        lacking = trespasses(climate, wanted)
        if clean and not lacking:
            break
        for alarm_id, text in lacking.items():
            ctx.alarm(alarm_id, text)
        ctx.feedback(0.0, f"recovering grade {wanted}")
        await ctx.sleep(SAMPLE_S)
    for alarm_id in (DOOR_OPEN, PRESSURE_LOW, AIR_FAILED):
        ctx.clear_alarm(alarm_id)
    ctx.measured("recovery_time_s", ctx.now_s() - since_s, "s")


async def _verdict(
    wanted: str, particles: ParticleState, instruments: EnclosureInstruments, ctx: PhaseContext
) -> Mapping[str, Any]:
    """Return the result; hold when the concentrations, though not surely too high, are above the wanted grade."""
    climate = await instruments.controller.state()
    small, large = particles.per_m3(particles.rolling_05), particles.per_m3(particles.rolling_5)
    volume_m3 = particles.rolling_volume_l * 1e-3
    ctx.measured("particles_05_per_m3", small, "1/m3", *interval_per_m3(particles.rolling_05, volume_m3))
    ctx.measured("particles_5_per_m3", large, "1/m3", *interval_per_m3(particles.rolling_5, volume_m3))
    ctx.measured("chamber_pressure_pa", climate.chamber_pressure_pa, "Pa")
    ctx.measured("air_temperature_c", climate.temperature_c, "degC")
    ctx.measured("relative_humidity", climate.relative_humidity, "1")
    reached = grade_of(small, large)
    if not suffices(reached, wanted):
        await ctx.checkpoint(excursion_s=ctx.now_s())
        raise PhaseHold(
            LOST, f"{small:.0f} and {large:.0f} 1/m3 of 0.5 and 5 um reach grade {reached}, {wanted} is wanted"
        )
    return {
        "grade_reached": reached,
        "particles_05_per_m3": small,
        "particles_5_per_m3": large,
        "pressure_pa": climate.chamber_pressure_pa,
    }
