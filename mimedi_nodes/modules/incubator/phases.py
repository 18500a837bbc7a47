# SPDX-License-Identifier: Apache-2.0
"""Culture, phase by phase."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import IntEnum
from typing import Any

from ...instruments.bioreactor import BioreactorState
from ...process.context import PhaseContext
from ...process.errors import PhaseError
from ..bioreactor.culture import Conditions, Log, hold_conditions, keep, viable_cells
from ..bioreactor.instruments import BioreactorInstruments
from ..bioreactor.standing_faults import Standing, fault_words, watch
from ..service.keeping import keeping


class IncubatorCode(IntEnum):
    """Why a phase of the incubator was aborted."""

    NOT_WARM = 410
    """The liquid did not reach its temperature in time."""
    RANGE = 411
    """Times of the goal that do not go together."""
    STIMULATION = 412
    """The stimulation asked for is outside what the vessel is qualified for."""
    NO_MEDIUM = 413
    """A change of medium did not come to its end: the bag is empty, or the perfusion stands."""


def _readings(state: BioreactorState, log: Log, ctx: PhaseContext) -> dict[str, float]:
    return {
        "viable_cells": viable_cells(state),
        "glucose_mm": state.glucose_mm,
        "lactate_mm": state.lactate_mm,
        "ph": state.ph,
        "volume_ul": state.volume_ul,
        "temperature_mean_c": log.temperature_mean_c,
        "temperature_min_c": math.nan if log.temperature_min_c is None else log.temperature_min_c,
        "temperature_max_c": math.nan if log.temperature_max_c is None else log.temperature_max_c,
        "duration_h": (ctx.now_s() - log.begun_s) / 3600.0,
    }


async def condition_chamber(goal: Any, instruments: BioreactorInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Have chamber and medium at temperature; released on the liquid, which follows the air by hours."""
    begun_s = float((ctx.restored or {}).get("begun_s", ctx.now_s()))
    await ctx.checkpoint(begun_s=begun_s)
    await hold_conditions(instruments, Conditions.of(goal))
    standing: Standing = {}

    async def warm() -> bool:
        state = await instruments.controller.state()
        reports = f"the controller reports {fault_words(state.faults)}"
        watch(ctx, standing, f"{instruments.module}.controller_fault", bool(state.faults), reports)
        ctx.feedback(math.nan, f"liquid at {state.liquid_temperature_c:.2f} °C")
        return abs(state.liquid_temperature_c - goal.temperature_c) <= goal.tolerance_c

    if not await ctx.until(warm, 300.0, begun_s + goal.timeout_h * 3600.0 - ctx.now_s()):
        state = await instruments.controller.state()
        look = "; ".join(words for _, words in standing.values()) or "look at heater, sensor and door"
        raise PhaseError(
            IncubatorCode.NOT_WARM,
            f"liquid at {state.liquid_temperature_c:.2f} °C after {goal.timeout_h:g} h, not {goal.temperature_c:g} ± "
            f"{goal.tolerance_c:g}; {look}",
        )
    state = await instruments.controller.state()
    return {
        "liquid_temperature_c": state.liquid_temperature_c,
        "air_temperature_c": state.air_temperature_c,
        "duration_s": ctx.now_s() - begun_s,
    }


async def expand_culture(goal: Any, instruments: BioreactorInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Grow the culture without perfusion."""
    log, state = await keep(Conditions.of(goal), goal.duration_h * 3600.0, instruments, ctx, module=instruments.module)
    return _readings(state, log, ctx)


async def perfuse_culture(goal: Any, instruments: BioreactorInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Grow the culture with perfusion until the probe reads the cells wanted, or the time is over."""
    if goal.not_before_h > goal.duration_h:
        raise PhaseError(
            IncubatorCode.RANGE,
            f"not_before_h = {goal.not_before_h:g} is after duration_h = {goal.duration_h:g}; lower the first",
        )
    before = await instruments.controller.state()
    kept = ctx.restored or {}
    flow_ul_min = float(kept.get("flow_ul_min", goal.perfusion_vvd * before.volume_ul / 1440.0))
    perfused_before_ul = float(kept.get("perfused_before_ul", before.perfused_ul))
    reached = False

    async def enough(state: BioreactorState, elapsed_s: float) -> bool:
        nonlocal reached
        # An unknown reading is alarmed by `keep` and never counts as enough.
        reached = viable_cells(state) >= goal.target_viable_cells and elapsed_s >= goal.not_before_h * 3600.0
        return reached

    whole = keeping(ctx, flow_ul_min=flow_ul_min, perfused_before_ul=perfused_before_ul)
    log, state = await keep(
        Conditions.of(goal), goal.duration_h * 3600.0, instruments, whole,
        module=instruments.module, perfusion_ul_min=flow_ul_min, enough=enough,
    )  # fmt: skip
    await instruments.controller.ensure_perfusion(0.0)
    return {
        "outcome": "target_reached" if reached else "time_out",
        "medium_used_ul": state.perfused_ul - perfused_before_ul,
        **_readings(state, log, ctx),
    }


async def harvest_culture(goal: Any, instruments: BioreactorInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """End the culture: perfusion off, cells kept suspended and warm until they are taken."""
    await instruments.controller.ensure_perfusion(0.0)
    await instruments.controller.ensure_stirring(goal.stirring_rpm)
    await ctx.sleep(60.0)  # the stirrer needs a minute to bring settled cells up
    state = await instruments.controller.state()
    return {
        "viable_cells": viable_cells(state),
        "volume_ul": state.volume_ul,
        "glucose_mm": state.glucose_mm,
        "lactate_mm": state.lactate_mm,
        "ph": state.ph,
    }
