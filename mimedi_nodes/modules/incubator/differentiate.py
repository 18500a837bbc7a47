# SPDX-License-Identifier: Apache-2.0
"""Differentiation of attached cells: weeks of culture with a change of medium every few days."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...process.context import PhaseContext
from ...process.errors import PhaseError
from ..bioreactor.culture import Conditions, hold_conditions, keep
from ..bioreactor.instruments import BioreactorInstruments
from ..service.keeping import keeping
from .phases import IncubatorCode

CHANGE_VOLUMES = 1.5
"""Volumes of fresh medium for each change: what is left of the old one is exp(-1.5)."""
CHANGE_H = 2.0
REST_RPM, GENTLE_RPM = 30.0, 120.0
MOST_STIMULATION = 1.6
"""Rate of differentiation at GENTLE_RPM over that at rest: the vessel's qualification; faster tears cells off."""
_LOOK_S = 600.0


def stirring_for(stimulation_factor: float) -> float:
    """Return the stirring [rpm] whose shear gives a stimulation; raises PhaseError outside the qualified range."""
    if not 1.0 <= stimulation_factor <= MOST_STIMULATION:
        raise PhaseError(
            IncubatorCode.STIMULATION,
            f"stimulation_factor = {stimulation_factor:g}: this vessel is qualified for 1 to {MOST_STIMULATION:g}",
        )
    return REST_RPM + (stimulation_factor - 1.0) / (MOST_STIMULATION - 1.0) * (GENTLE_RPM - REST_RPM)


async def differentiate_cells(goal: Any, instruments: BioreactorInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Keep attached cells, exchanging their medium; what no probe here can see stays unknown (laboratory)."""
    wanted = Conditions(goal.temperature_c, goal.co2_fraction, stirring_for(goal.stimulation_factor))
    kept = dict(ctx.restored or {})
    begun_s = float(kept.get("begun_s", ctx.now_s()))
    done = int(kept.get("periods", 0))
    await hold_conditions(instruments, wanted)
    end_s = begun_s + goal.duration_d * 86400.0
    while True:
        # A period and the change after it; each is taken up where it was interrupted.
        whole = keeping(ctx, begun_s=begun_s, periods=done)
        until_s = min(end_s, begun_s + (done + 1) * goal.medium_change_every_d * 86400.0)
        if until_s > ctx.now_s():
            log = kept.pop("log", None)
            ctx.restored = None if log is None else {"log": log}
            period_begun_s = ctx.now_s() if log is None else float(log["begun_s"])
            await keep(wanted, until_s - period_begun_s, instruments, whole, module=instruments.module)
            ctx.restored = None
        if ctx.now_s() >= end_s - 1.0:
            break
        await _change_medium(kept, instruments, whole)
        kept.clear()
        done += 1
    await instruments.controller.ensure_perfusion(0.0)
    return {
        "mature_fraction": math.nan,
        "alp_relative": math.nan,
        "calcium_ug": math.nan,
        "duration_d": (ctx.now_s() - begun_s) / 86400.0,
    }


async def _change_medium(kept: Mapping[str, Any], instruments: BioreactorInstruments, ctx: PhaseContext) -> None:
    """Perfuse the vessel with fresh medium; the controller's counter tells how much has gone through."""
    state = await instruments.controller.state()
    from_ul = float(kept.get("change_from_ul", state.perfused_ul))
    wanted_ul = CHANGE_VOLUMES * state.volume_ul
    await ctx.checkpoint(change_from_ul=from_ul)
    await instruments.controller.ensure_perfusion(wanted_ul / (CHANGE_H * 60.0))

    async def enough() -> bool:
        ctx.feedback(math.nan, "medium change")
        return (await instruments.controller.state()).perfused_ul - from_ul >= wanted_ul

    changed = await ctx.until(enough, _LOOK_S, 3.0 * CHANGE_H * 3600.0)
    await instruments.controller.ensure_perfusion(0.0)
    state = await instruments.controller.state()
    ctx.record("medium_changed", instruments.vessel, volume_ul=state.perfused_ul - from_ul, complete=changed)
    if not changed:
        raise PhaseError(
            IncubatorCode.NO_MEDIUM,
            f"only {state.perfused_ul - from_ul:.0f} of {wanted_ul:.0f} uL of medium came in {3.0 * CHANGE_H:g} h; "
            "look at the medium bag and the perfusion pumps",
        )
