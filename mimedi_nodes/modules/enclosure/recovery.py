# SPDX-License-Identifier: Apache-2.0
"""The way back to a grade after an excursion: followed while everything is held, measured, and waited for.

Source: ISO 14644-3:2019, B.4 (recovery: the time until the air is back within its class).
"""

from __future__ import annotations

from ...process.context import PhaseContext
from .grades import grade_of, suffices
from .instruments import EnclosureInstruments
from .surroundings import AIR_FAILED, DOOR_OPEN, PRESSURE_LOW, trespasses

SAMPLE_S = 60.0


async def follow_recovery(wanted: str, since_s: float, instruments: EnclosureInstruments, ctx: PhaseContext) -> None:
    """Wait for a minute of air within the grade, doors shut and pressures back; tell how long it took.

    Runs beside a held phase as well: the counter is kept sampling, and nothing here moves anything.
    """
    await instruments.counter.stop()
    await instruments.counter.ensure_sampling(rolling_samples=1)
    while True:
        particles = await instruments.counter.state()
        climate = await instruments.controller.state()
        reached = grade_of(particles.per_m3(particles.rolling_05), particles.per_m3(particles.rolling_5))
        lacking = trespasses(climate, wanted)
        if particles.samples > 0 and not particles.faults and suffices(reached, wanted) and not lacking:
            break
        instruments.lacking = "; ".join(lacking.values()) or f"the air reaches grade {reached}, {wanted} is wanted"
        for alarm_id, text in lacking.items():
            ctx.alarm(alarm_id, text)
        ctx.feedback(0.0, f"recovering grade {wanted}")
        await ctx.sleep(SAMPLE_S)
    for alarm_id in (DOOR_OPEN, PRESSURE_LOW, AIR_FAILED):
        ctx.clear_alarm(alarm_id)
    instruments.lacking = ""
    # From here on a restart finds an excursion that is over.
    await ctx.checkpoint(recovered_s=ctx.now_s())
    ctx.measured("recovery_time_s", ctx.now_s() - since_s, "s")
    ctx.feedback(0.0, f"grade {wanted} is back")
    ctx.record("room_recovered", ctx.header.phase_id, f"grade {wanted} is back", grade=wanted, since_s=since_s)


def why_not_restarted(instruments: EnclosureInstruments) -> str:
    """Return why a held phase cannot go on yet; empty when it can."""
    if instruments.recovery is None or instruments.recovery.done():
        return ""
    return f"the room has not recovered: {instruments.lacking or 'a minute of air is being counted'}"
