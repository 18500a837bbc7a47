# SPDX-License-Identifier: Apache-2.0
"""Activation and transduction, phase by phase."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from enum import IntEnum
from typing import Any

from ...process.context import PhaseContext
from ...process.errors import PhaseError
from ..bioreactor.culture import Conditions, keep, viable_cells
from ..bioreactor.instruments import BioreactorInstruments

MODULE_NAME = "transduction"
MOI_TOLERANCE = 0.2
"""Relative difference between the multiplicity reached and the one wanted, from which the phase refuses to start."""
LAYER_LIMIT_UL = 12_660.0
"""Liquid that lies 200 um deep on the vessel's floor of 633 cm2 [uL]: diffusion crosses 150 um in two hours and 3 mm in
weeks, so what is deeper would look done and be a fifth (PROCESS step 9)."""


class TransductionCode(IntEnum):
    """Why a phase of transduction was aborted."""

    WRONG_MOI = 310
    """The vector that was added does not give the multiplicity that was wanted."""
    MODE = 311
    """The vessel cannot work that way."""


async def activate_cells(goal: Any, instruments: BioreactorInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Keep cells with their beads at culture conditions."""
    log, state = await keep(Conditions.of(goal), goal.duration_h * 3600.0, instruments, ctx, module=MODULE_NAME)
    return {
        "duration_h": (ctx.now_s() - log.begun_s) / 3600.0,
        "temperature_mean_c": log.temperature_mean_c,
        "temperature_min_c": math.nan if log.temperature_min_c is None else log.temperature_min_c,
        "viable_cells": viable_cells(state),
        "ph": state.ph,
    }


async def transduce_cells(goal: Any, instruments: BioreactorInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Keep cells with the vector that was added; the multiplicity is checked before time is spent on it."""
    wanted = Conditions.of(goal)
    if goal.mode == "thin_layer":
        wanted = await _thin_layer(wanted, instruments)
    used_tu = goal.vector_volume_ul / 1000.0 * goal.vector_titre_tu_ml
    reached = used_tu / goal.viable_cells
    if abs(reached - goal.moi) > MOI_TOLERANCE * goal.moi:
        raise PhaseError(
            TransductionCode.WRONG_MOI,
            f"{goal.vector_volume_ul:.0f} uL at {goal.vector_titre_tu_ml:.2e} TU/mL on {goal.viable_cells:.2e} cells: "
            f"MOI {reached:.2f}; wanted {goal.moi:.2f} ± {MOI_TOLERANCE:.0%}: check volume, titre and count",
        )
    log, _ = await keep(wanted, goal.contact_h * 3600.0, instruments, ctx, module=MODULE_NAME)
    return {
        "vector_used_tu": used_tu,
        "moi_reached": reached,
        "contact_h": (ctx.now_s() - log.begun_s) / 3600.0,
        "temperature_mean_c": log.temperature_mean_c,
    }


async def _thin_layer(wanted: Conditions, instruments: BioreactorInstruments) -> Conditions:
    """Return the conditions of a layer through which the vector comes by diffusion: not stirred.

    Raises:
        PhaseError: the liquid lies too deep, or its volume is not known.
    """
    volume_ul = (await instruments.controller.state()).volume_ul
    if not volume_ul <= LAYER_LIMIT_UL:
        raise PhaseError(
            TransductionCode.MODE,
            f"mode = 'thin_layer': {instruments.vessel} holds {volume_ul:.0f} uL, a layer of 200 um at most "
            f"{LAYER_LIMIT_UL:.0f} uL; concentrate the cells more, or use 'mixed'",
        )
    return replace(wanted, stirring_rpm=0.0)
