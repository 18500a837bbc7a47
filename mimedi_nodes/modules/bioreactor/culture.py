# SPDX-License-Identifier: Apache-2.0
"""Keeping cells at culture conditions: polls the controller, watches limits, remembers through interruptions."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ...instruments.bioreactor import BioreactorState
from ...process.alarms.limits import Limits
from ...process.context import PhaseContext
from ...process.errors import PhaseHold
from .instruments import BioreactorInstruments
from .standing_faults import Standing, fault_words, unmended, watch
from .weight_watch import CONFIRM_EVERY_S, CONFIRM_LOOKS, GAP_LIMIT_UL, REST_BLOCKS, REST_UL, gap_ul

POLL_S = 1800.0
"""Time between two looks at a quiet culture [s]."""
WARM_UP_S = 8.0 * 3600.0
"""Cold medium warms in this time at the latest; until then a low temperature is no alarm and not in the statistics."""
TEMPERATURE_BAND_C = 0.5
TEMPERATURE_DEADBAND_C = 0.1
CO2_BAND = 0.01
CO2_DEADBAND = 0.002
GLUCOSE_MIN_MM = 2.0
GLUCOSE_DEADBAND_MM = 0.3
PERFUSED_SHARE = 0.5
"""Share of the ordered medium below which the perfusion counts as stopped."""
PERFUSED_AFTER_S = 60.0
"""Shortest time [s] between two counts of perfused medium that are compared."""
RECORD_EVERY = 2
"""Every so many looks the values go into the record."""
VIABLE_CV = 0.05
"""Relative standard uncertainty of the biomass probe (its qualification)."""


@dataclass
class Conditions:
    """What the controller is to hold."""

    temperature_c: float
    co2_fraction: float
    stirring_rpm: float

    @classmethod
    def of(cls, goal: Any) -> Conditions:
        """Return the conditions of a goal."""
        return cls(goal.temperature_c, goal.co2_fraction, goal.stirring_rpm)


@dataclass
class Log:
    """What has been seen so far; JSON-able, kept in the checkpoint."""

    begun_s: float
    warm: bool = False
    polls: int = 0
    looks: int = 0
    temperature_sum_c: float = 0.0
    temperature_min_c: float | None = None
    temperature_max_c: float | None = None
    volumes: list[tuple[float, float]] = field(default_factory=list)
    """Process time [s] and volume [uL] of the last looks, for the balance."""
    exceeded: list[str] = field(default_factory=list)
    """Limits that are exceeded now, with their deadbands."""
    standing: Standing = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    """Faults that have held the end of this culture once."""

    def take(self, temperature_c: float) -> None:
        """Add a liquid temperature to the statistics."""
        self.looks += 1
        self.temperature_sum_c += temperature_c
        low, high = self.temperature_min_c, self.temperature_max_c
        self.temperature_min_c = temperature_c if low is None else min(low, temperature_c)
        self.temperature_max_c = temperature_c if high is None else max(high, temperature_c)

    def kept(self) -> dict[str, Any]:
        """Return what the checkpoint stores; it is written before the log goes on, so nothing is copied deeply."""
        return dict(vars(self))

    @property
    def temperature_mean_c(self) -> float:
        """Mean liquid temperature since warm-up; NaN when nothing has been seen."""
        return self.temperature_sum_c / self.looks if self.looks else math.nan


def viable_cells(state: BioreactorState) -> float:
    """Return the viable cells in the vessel by the biomass probe."""
    return state.viable_cells_per_ml * state.volume_ul / 1000.0


async def hold_conditions(instruments: BioreactorInstruments, wanted: Conditions) -> None:
    """Have the controller hold the conditions; each is read back."""
    await instruments.controller.ensure_temperature(wanted.temperature_c)
    await instruments.controller.ensure_gas(wanted.co2_fraction)
    await instruments.controller.ensure_stirring(wanted.stirring_rpm)


@dataclass
class PerfusionWatch:
    """Tells from the controller's count of perfused medium whether the perfusion does what was ordered."""

    flow_ul_min: float
    _seen: tuple[float, float] | None = None
    """Process time [s] and perfused volume [uL] of the last look in this life; nobody knows what was before."""

    def stands(self, now_s: float, perfused_ul: float) -> bool:
        """Take a count; tell whether less than `PERFUSED_SHARE` of the medium has come since the last one."""
        before, self._seen = self._seen, (now_s, perfused_ul)
        if before is None or now_s - before[0] < PERFUSED_AFTER_S:
            return False
        ordered_ul = self.flow_ul_min * (now_s - before[0]) / 60.0
        return not perfused_ul - before[1] >= PERFUSED_SHARE * ordered_ul  # an unknown count is none


async def keep(
    wanted: Conditions,
    duration_s: float,
    instruments: BioreactorInstruments,
    ctx: PhaseContext,
    *,
    module: str,
    perfusion_ul_min: float = 0.0,
    enough: Callable[[BioreactorState, float], Awaitable[bool]] | None = None,
    poll_s: float = POLL_S,
) -> tuple[Log, BioreactorState]:
    """Keep the culture until the time is over or `enough(state, elapsed_s)` says so; return the log and the last state.

    Raises the alarms `<module>.liquid_temperature_low`, `…_high`, `.co2_low`, `.glucose_low`, `.reading_unknown`,
    `.perfusion_stopped` and `.controller_fault`; the culture goes on, since switching anything off would harm it more.
    What a controller no longer holds, after a power cut say, it is told again. A volume that changed though nobody
    moved liquid holds the phase with `.balance_gap`: a closed system may be open. A fault that still stands at the end
    holds it there, once.
    """
    restored = (ctx.restored or {}).get("log")
    log = Log(**restored) if restored else Log(ctx.now_s())
    perfusion = PerfusionWatch(perfusion_ul_min)
    await hold_conditions(instruments, wanted)
    await instruments.controller.ensure_perfusion(perfusion_ul_min)
    while True:
        state = await instruments.controller.state()
        elapsed_s = ctx.now_s() - log.begun_s
        _look(state, wanted, elapsed_s, log, ctx, module)
        stands = perfusion.stands(ctx.now_s(), state.perfused_ul)
        if stands or log.exceeded:
            await _order_again(wanted, perfusion_ul_min, instruments, ctx, module, log, stands)
        elif perfusion_ul_min > 0.0:
            watch(ctx, log.standing, f"{module}.perfusion_stopped", False, "")
        gap = gap_ul(log.volumes, ctx.now_s(), state.volume_ul)
        if abs(gap) > GAP_LIMIT_UL:
            await _confirm_gap(gap - state.volume_ul, log, instruments, ctx, module)
        await ctx.checkpoint(log=log.kept())
        share = elapsed_s / duration_s
        ctx.feedback(share, f"{state.liquid_temperature_c:.2f} °C, {viable_cells(state):.2e} viable cells")
        if elapsed_s >= duration_s or (enough is not None and await enough(state, elapsed_s)):
            hold = unmended(log.standing, log.told, ctx.now_s())
            if hold is None:
                return log, state
            await ctx.checkpoint(log=log.kept())
            raise hold
        await ctx.sleep(min(poll_s, duration_s - elapsed_s))


async def _order_again(
    wanted: Conditions,
    perfusion_ul_min: float,
    instruments: BioreactorInstruments,
    ctx: PhaseContext,
    module: str,
    log: Log,
    perfusion_stands: bool,
) -> None:
    """Have the controller hold what it was to hold; alarm when medium does not come, with what it held instead."""
    held = await instruments.controller.set_points()
    await hold_conditions(instruments, wanted)
    await instruments.controller.ensure_perfusion(perfusion_ul_min)
    if perfusion_stands:
        _watch = partial(watch, ctx, log.standing)
        was = f"less than {PERFUSED_SHARE:.0%} of {perfusion_ul_min:.1f} uL/min came since the last look"
        if math.isclose(held.perfusion_ul_min, perfusion_ul_min, rel_tol=1e-3):
            why = "the controller holds the rate; look at pump, line and medium"
        else:
            why = f"the controller held {held.perfusion_ul_min:.1f} uL/min; it has the rate again; look at its power"
        _watch(f"{module}.perfusion_stopped", True, f"{was}: {why}")


async def _confirm_gap(
    offset_ul: float, log: Log, instruments: BioreactorInstruments, ctx: PhaseContext, module: str
) -> None:
    """Weigh again; alarm and hold when volume + offset_ul, the unexplained change, is still beyond its limit.

    The alarm comes at once; the hold when the weight has come to rest, so that its reason tells the whole change.
    """
    gap, before = await _mean_volume_ul(instruments, ctx) + offset_ul, math.inf
    if abs(gap) <= GAP_LIMIT_UL:
        log.volumes.pop()
        return

    def text() -> str:
        return (
            f"{instruments.vessel} changed by {gap / 1000.0:+.1f} mL by weight though nobody moved liquid (limit "
            f"{GAP_LIMIT_UL / 1000.0:g} mL): look for a leak at vessel, lines and perfusion"
        )

    ctx.alarm(f"{module}.balance_gap", text())
    for _ in range(REST_BLOCKS):
        if abs(gap - before) <= REST_UL:
            break
        gap, before = await _mean_volume_ul(instruments, ctx) + offset_ul, gap
    log.volumes.clear()  # once it has been looked into, the balance begins anew
    await ctx.checkpoint(log=log.kept())
    raise PhaseHold(f"{module}.balance_gap", text())


async def _mean_volume_ul(instruments: BioreactorInstruments, ctx: PhaseContext) -> float:
    volumes_ul = []
    for _ in range(CONFIRM_LOOKS):
        await ctx.sleep(CONFIRM_EVERY_S)
        volumes_ul.append((await instruments.controller.state()).volume_ul)
    return sum(volumes_ul) / len(volumes_ul)


def _look(
    state: BioreactorState, wanted: Conditions, elapsed_s: float, log: Log, ctx: PhaseContext, module: str
) -> None:
    if log.polls % RECORD_EVERY == 0:
        _measure(state, ctx)
    log.polls += 1
    limits = Limits(log.exceeded)
    temperature_c = state.liquid_temperature_c
    unknown = [
        n for n in ("liquid_temperature_c", "viable_cells_per_ml", "glucose_mm") if math.isnan(getattr(state, n))
    ]
    _watch = partial(watch, ctx, log.standing)
    _watch(f"{module}.reading_unknown", bool(unknown), f"the controller does not know {', '.join(unknown)}")
    if not math.isnan(temperature_c):
        deviation_c = temperature_c - wanted.temperature_c
        log.warm = log.warm or abs(deviation_c) <= TEMPERATURE_BAND_C or elapsed_s >= WARM_UP_S
        text = f"liquid at {temperature_c:.2f} °C, set {wanted.temperature_c:.2f} °C ± {TEMPERATURE_BAND_C} K"
        if log.warm:
            log.take(temperature_c)
            cold = limits.low("cold", deviation_c, -TEMPERATURE_BAND_C, TEMPERATURE_DEADBAND_C)
            hot = limits.high("hot", deviation_c, TEMPERATURE_BAND_C, TEMPERATURE_DEADBAND_C)
            _watch(f"{module}.liquid_temperature_low", cold, text)
            _watch(f"{module}.liquid_temperature_high", hot, text)
    if log.warm:
        _watch(
            f"{module}.co2_low",
            limits.low("co2", state.co2_fraction, wanted.co2_fraction - CO2_BAND, CO2_DEADBAND),
            f"CO2 at {state.co2_fraction:.1%} of dry gas, set {wanted.co2_fraction:.1%}; look at supply and door",
        )
    _watch(
        f"{module}.glucose_low",
        limits.low("glucose", state.glucose_mm, GLUCOSE_MIN_MM, GLUCOSE_DEADBAND_MM),
        f"glucose {state.glucose_mm:.1f} mmol/L, limit {GLUCOSE_MIN_MM:g}; raise the perfusion or feed",
    )
    _watch(f"{module}.controller_fault", bool(state.faults), f"the controller reports {fault_words(state.faults)}")


def _measure(state: BioreactorState, ctx: PhaseContext) -> None:
    cells = viable_cells(state)
    half = 1.96 * VIABLE_CV * cells
    ctx.measured("viable_cells", cells, "cells", cells - half, cells + half)
    for name, unit in (
        ("liquid_temperature_c", "degC"),
        ("ph", "1"),
        ("glucose_mm", "mmol/L"),
        ("lactate_mm", "mmol/L"),
        ("dissolved_oxygen_fraction", "1"),
        ("volume_ul", "uL"),
    ):
        ctx.measured(name, getattr(state, name), unit)
