# SPDX-License-Identifier: Apache-2.0
"""Verifying a grade, once or for as long as something is open: particles, pressure cascade and doors, by the minute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...instruments.enclosure import ParticleState
from ...process.context import PhaseContext
from ...process.errors import PhaseHold
from .emergency_stop import look
from .grades import LIMITS, EarlyWarning, grade_not_exceeded, grade_of, interval_per_m3, suffices, surely_exceeds
from .instruments import EnclosureInstruments
from .recovery import SAMPLE_S, follow_recovery, why_not_restarted
from .surroundings import trespasses, watch_climate

MOST_SAMPLES = 36
"""The rolling volume: one cubic metre at 28.3 L/min (EU GMP Annex 1, 9.16: the volume that a limit is stated for)."""
FALSE_WARNINGS_PER_SAMPLE = 1e-4
"""One a week of continuous sampling."""
WARNING = "enclosure.particles_rising"
LOST = "enclosure.grade_lost"


def expected_s(goal: Any) -> float:
    """Return the expected duration [s]; a longer one than a day's is ended from outside."""
    return float(goal.duration_s) + SAMPLE_S


async def verify_grade(goal: Any, instruments: EnclosureInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Count for the asked time, or until completed, and tell the best grade that holds.

    A counter that has sampled for as long as is asked, up to the rolling volume, gives the verdict at once when that is
    good: air that was watched all the time needs no second look. Otherwise counting begins anew and goes on for
    `duration_s`; the verdict is on the rolling volume (one cubic metre in 2118 s at 28.3 L/min).

    Air that surely exceeds the wanted grade, in the last minute or in the rolling volume, an open door or a lost
    pressure cascade hold the phase at once, an open emergency stop chain before it begins. The counter goes on while it
    is held; the time until the air, doors and pressures are back is the recovery time, and before that nobody can
    restart.
    """
    for alarm_id, words in (await look(instruments)).items():
        raise PhaseHold(alarm_id, words)  # what is to begin here would move without power
    wanted = str(goal.grade)
    samples = max(1, math.ceil(goal.duration_s / SAMPLE_S - 1e-9))
    rolling = min(samples, MOST_SAMPLES)
    kept = ctx.restored or {}
    if "excursion_s" in kept:
        # The node died in an excursion, or lost the line: the room is followed, and everything held, until it is back.
        instruments.follow(follow_recovery(wanted, float(kept["excursion_s"]), instruments, ctx))
        raise PhaseHold(LOST, why_not_restarted(instruments))
    particles = await instruments.counter.state()
    if not kept and particles.sampling and rolling == samples <= particles.samples:
        await instruments.counter.ensure_sampling(rolling_samples=rolling)
        particles = await instruments.counter.state()
        climate = await instruments.controller.state()
        if not particles.faults and not trespasses(climate, wanted) and suffices(_reached(particles), wanted):
            return await _verdict(wanted, _reached(particles), particles, instruments, ctx)
    if not kept.get("counting") or not particles.sampling:
        await instruments.counter.stop()
    await instruments.counter.ensure_sampling(rolling_samples=rolling)
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
            return await _verdict(wanted, _reached(particles), particles, instruments, ctx)
        if ctx.finish_requested and seen > 0:
            # Completed early: few litres may exceed a limit by chance, so what counts is what they prove.
            reached = grade_not_exceeded(particles.rolling_05, particles.rolling_5, particles.rolling_volume_l * 1e-3)
            return await _verdict(wanted, reached, particles, instruments, ctx)
        ctx.feedback(seen / samples, f"minute {seen} of {samples}")
        await ctx.sleep(SAMPLE_S)


def _reached(particles: ParticleState) -> str:
    return grade_of(particles.per_m3(particles.rolling_05), particles.per_m3(particles.rolling_5))


async def _look(
    wanted: str, particles: ParticleState, instruments: EnclosureInstruments, ctx: PhaseContext
) -> None:
    """Hold when the grade is lost for sure; alarm what does not endanger it."""
    climate = await instruments.controller.state()
    watch_climate(climate, ctx)
    lost = trespasses(climate, wanted)
    if text := _excess(wanted, particles):
        lost[LOST] = text
    if lost:
        await _excursion(wanted, instruments, ctx)
        alarm_id, message = next(iter(lost.items()))
        for other, text in list(lost.items())[1:]:
            ctx.alarm(other, text)
        raise PhaseHold(alarm_id, message)


def _excess(wanted: str, particles: ParticleState) -> str:
    """Return which counts surely exceed the grade, of the last minute or of the rolling volume; empty when none do."""
    limits, minute_m3 = LIMITS[wanted], particles.sample_flow_l_min * 1e-3 * particles.sample_time_s / 60.0
    rolling_m3 = particles.rolling_volume_l * 1e-3
    for size, counts, volume_m3, limit in (
        ("0.5 um", particles.rolling_05, rolling_m3, limits.per_m3_05),
        ("5 um", particles.rolling_5, rolling_m3, limits.per_m3_5),
        ("0.5 um", particles.last_05, minute_m3 if particles.samples else 0.0, limits.per_m3_05),
        ("5 um", particles.last_5, minute_m3 if particles.samples else 0.0, limits.per_m3_5),
    ):
        if surely_exceeds(counts, limit, volume_m3):
            return (
                f"{counts} particles of {size} and more in {1000.0 * volume_m3:.0f} L "
                f"are {counts / volume_m3:.0f} 1/m3, grade {wanted} allows {limit:g}"
            )
    return ""


async def _excursion(wanted: str, instruments: EnclosureInstruments, ctx: PhaseContext) -> None:
    """Note an excursion; from now on the recovery is followed, whatever becomes of the phase."""
    since_s = ctx.now_s()
    await ctx.checkpoint(excursion_s=since_s)
    ctx.record("room_excursion", ctx.header.phase_id, f"grade {wanted} was lost", grade=wanted, since_s=since_s)
    instruments.follow(follow_recovery(wanted, since_s, instruments, ctx))


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


async def _verdict(
    wanted: str, reached: str, particles: ParticleState, instruments: EnclosureInstruments, ctx: PhaseContext
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
    if not suffices(reached, wanted):
        await _excursion(wanted, instruments, ctx)
        raise PhaseHold(
            LOST, f"{small:.0f} and {large:.0f} 1/m3 of 0.5 and 5 um reach grade {reached}, {wanted} is wanted"
        )
    return {
        "grade_reached": reached,
        "particles_05_per_m3": small,
        "particles_5_per_m3": large,
        "pressure_pa": climate.chamber_pressure_pa,
    }
