# SPDX-License-Identifier: Apache-2.0
"""Decontamination by vaporised hydrogen peroxide: a validated lethality, counted from the measured vapour.

Sources: ISO 22441:2022 (low temperature vaporized hydrogen peroxide, cycle and parametric release); resistance:
PHYSICS §7 (D value 60–120 s at 700 ppm, doubled and more in air drier than its optimum).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...instruments.enclosure import VhpState
from ...instruments.enclosure_map import VhpFault, VhpPhase
from ...process.context import PhaseContext
from ...process.errors import PhaseError, PhaseHold
from .codes import EnclosureCode
from .instruments import EnclosureInstruments

D_VALUE_S, REFERENCE_PPM = 120.0, 700.0
"""Decimal reduction time of the biological indicators at the reference: the slow end of the range."""
HOLD_SHARE = 0.90
"""The hold begins when this share of the concentration is reached; the plan counts on no more."""
PLAN_MARGIN = 1.05
DRY_TO_HUMIDITY, OPTIMUM_HUMIDITY = 0.35, 0.40
"""Below 40 % the vapour does not condense; it kills best there, and slower in drier air."""
LEAST_RESIDUE_PPM = 0.05
POLL_S, AERATION_POLL_S = 30.0, 120.0
LONGEST_S = 12.0 * 3600.0
KILLING = (VhpPhase.CONDITION, VhpPhase.HOLD)
ENDED = (VhpPhase.IDLE, VhpPhase.COMPLETE, VhpPhase.ABORTED)


def hold_time_s(log_reduction: float, concentration_ppm: float) -> float:
    """Return the time [s] that the hold needs for a log reduction, at the lowest concentration of a good hold."""
    return PLAN_MARGIN * log_reduction / lethality_per_s(HOLD_SHARE * concentration_ppm, DRY_TO_HUMIDITY)


def expected_s(goal: Any) -> float:
    """Return the expected duration [s]: drying, conditioning, hold and aeration."""
    return 1800.0 + 1800.0 + hold_time_s(goal.log_reduction, goal.concentration_ppm) + 4.0 * 3600.0


async def decontaminate_enclosure(
    goal: Any, instruments: EnclosureInstruments, ctx: PhaseContext
) -> Mapping[str, Any]:
    """Run a cycle, integrate its lethality, aerate, and verify lethality and residue.

    The generator runs its cycle by itself; a phase that is taken up again goes on counting where its checkpoint stands
    and counts nothing for the time in between.
    """
    if goal.residue_ppm < LEAST_RESIDUE_PPM:
        raise PhaseError(
            EnclosureCode.GOAL, f"residue_ppm = {goal.residue_ppm:g}: allowed from {LEAST_RESIDUE_PPM} ppm"
        )
    kept: dict[str, Any] = dict(ctx.restored or {})
    kept.setdefault("begun_s", ctx.now_s())
    state = await instruments.vhp.state()
    if kept.get("running") and state.phase in (VhpPhase.DEHUMIDIFY, *KILLING):
        kept["last_s"] = ctx.now_s()
    elif not (_has_killed(goal, kept) and state.phase in (VhpPhase.AERATE, VhpPhase.COMPLETE)):
        await _start(goal, instruments, ctx)
        kept.update(running=True, log_reduction=0.0, last_s=ctx.now_s())
    await ctx.checkpoint(**kept)
    state = await _until_aerated(goal, kept, instruments, ctx)
    reached, duration_s = float(kept["log_reduction"]), ctx.now_s() - float(kept["begun_s"])
    ctx.measured("log_reduction", reached, "log10")
    ctx.measured("peroxide_residue_ppm", state.peroxide_ppm, "ppm")
    # A cycle that was stopped by a hold of ours after it had killed enough is good: what counts is the lethality.
    if state.phase is VhpPhase.ABORTED and (state.faults or reached < goal.log_reduction):
        await ctx.checkpoint(begun_s=kept["begun_s"])  # what comes next is a cycle of its own
        raise PhaseHold("enclosure.vhp_aborted", f"cycle broken off: {_faults(state)}; {reached:.1f} log reached")
    if reached < goal.log_reduction:
        raise PhaseError(
            EnclosureCode.LOG_REDUCTION,
            f"log reduction {reached:.1f} of {goal.log_reduction:g} wanted: {_faults(state)}; look at the generator",
        )
    return {"log_reduction": reached, "residue_ppm": state.peroxide_ppm, "duration_s": duration_s}


def _has_killed(goal: Any, kept: Mapping[str, Any]) -> bool:
    """Tell whether what an earlier run counted is enough, so that only the aeration is left."""
    return bool(kept.get("running")) and float(kept.get("log_reduction", 0.0)) >= goal.log_reduction


def lethality_per_s(peroxide_ppm: float, relative_humidity: float) -> float:
    """Return the log reduction per second at a concentration and humidity."""
    return peroxide_ppm / REFERENCE_PPM / (D_VALUE_S * _dry_factor(relative_humidity))


def _dry_factor(relative_humidity: float) -> float:
    return 1.0 + 2.0 * max(0.0, OPTIMUM_HUMIDITY - relative_humidity)


async def _start(goal: Any, instruments: EnclosureInstruments, ctx: PhaseContext) -> None:
    """Wait for an earlier cycle's aeration to end, then start."""

    async def idle() -> bool:
        return (await instruments.vhp.state()).phase in ENDED

    ctx.feedback(0.0, "waiting for the generator")
    if not await ctx.until(idle, AERATION_POLL_S, LONGEST_S):
        raise PhaseHold("enclosure.vhp_generator_fault", f"the generator is still busy after {LONGEST_S / 3600.0:g} h")
    await instruments.vhp.start(
        target_ppm=goal.concentration_ppm,
        hold_s=hold_time_s(goal.log_reduction, goal.concentration_ppm),
        dry_to_humidity=DRY_TO_HUMIDITY,
        residue_ppm=goal.residue_ppm,
    )


async def _until_aerated(
    goal: Any, kept: dict[str, Any], instruments: EnclosureInstruments, ctx: PhaseContext
) -> VhpState:
    """Follow the cycle to its end; return the generator's last state."""
    deadline_s = ctx.now_s() + LONGEST_S
    before: VhpState | None = None
    while ctx.now_s() < deadline_s:
        state = await instruments.vhp.state()
        now_s = ctx.now_s()
        if before is not None and before.phase in KILLING and state.phase in KILLING:
            # The lower of two readings: a maximum between them is not counted.
            ppm = min(before.peroxide_ppm, state.peroxide_ppm)
            kept["log_reduction"] += lethality_per_s(ppm, state.relative_humidity) * (now_s - float(kept["last_s"]))
        kept["last_s"], before = now_s, state
        if state.phase in ENDED:
            return state
        ctx.feedback(min(0.9, kept["log_reduction"] / goal.log_reduction), state.phase.name.lower())
        await ctx.checkpoint(**kept)
        await ctx.sleep(AERATION_POLL_S if state.phase is VhpPhase.AERATE else POLL_S)
    raise PhaseError(EnclosureCode.RESIDUE, f"peroxide above {goal.residue_ppm:g} ppm after {LONGEST_S / 3600.0:g} h")


def _faults(state: VhpState) -> str:
    """Return the generator's faults in words."""
    words = [flag.name.lower().replace("_", " ") for flag in VhpFault if flag in state.faults and flag.name]
    return ", ".join(words) or "no fault told"
