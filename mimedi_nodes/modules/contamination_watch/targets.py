# SPDX-License-Identifier: Apache-2.0
"""Rare cells among others, or molecules in a mixture, by the photons of a label that a laser excites.

The same sequential test as for microbes; the null hypothesis is what the unbound label and the cells' own fluorescence
give, as the label's qualification has it. Rates in counts/s and milliwatt. Source: PHYSICS §8 (detector); brightness
of label and cells: [calibration], validated with the labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from ...instruments.wire.photon_frames import Filter
from ...process.context import PhaseContext
from .assay import AFTERPULSE, Rate
from .counting import Counted, count, count_dark, detector_fault
from .instruments import WatchInstruments
from .screen import INVALID
from .sequential import ScreeningTest

FREE_LABEL_PER_S_MW, FREE_LABEL_RELATIVE_SD = 20.0, 0.05
"""Light of label that nothing has bound, and how washes differ."""
AUTOFLUORESCENCE_RELATIVE_SD = 0.05
"""Of the cells' own light: their number is known to 3 %, their brightness to 4 %."""


@dataclass(frozen=True)
class Label:
    """A label: filter, light of one target and of one cell's own [counts/s/mW], spread between targets, unit."""

    filter: Filter
    per_target: float
    per_cell: float
    target_cv: float
    unit: str


LABELS: Mapping[str, Label] = {
    "rare_cell": Label(Filter.GREEN, 0.5, 5.0e-5, 0.6, "cells"),
    "molecule": Label(Filter.RED, 0.2, 5.0e-5 / 3.0, 0.0, "pg"),
}


def expected_s(goal: Any) -> float:
    """Return the expected duration [s]."""
    return 60.0 + float(goal.duration_s)


def null_rate(label: Label, cells: float, excitation_mw: float, dark: Rate) -> Rate:
    """Return the rate of an aliquot without targets, with its systematic uncertainty."""
    free = FREE_LABEL_PER_S_MW * excitation_mw * (1.0 + AFTERPULSE)
    own = label.per_cell * cells * excitation_mw * (1.0 + AFTERPULSE)
    sd = math.sqrt(
        (FREE_LABEL_RELATIVE_SD * free) ** 2 + (AUTOFLUORESCENCE_RELATIVE_SD * own) ** 2 + dark.sd_per_s**2
    )
    return Rate(free + own + dark.per_s, sd)


async def detect_targets(goal: Any, instruments: WatchInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Count dark, then with the laser on, until the evidence decides or the time is over; the laser goes off after it.

    An interrupted detection begins anew: the aliquot is still there.
    """
    label, ml = LABELS[str(goal.target)], goal.volume_ul * 1e-3
    await instruments.counter.stop()
    await instruments.counter.ensure_excitation(0.0, Filter.OPEN)
    ctx.feedback(0.0, "dark counts")
    dark = await count_dark(instruments, ctx)
    if fault := detector_fault(dark, await instruments.counter.state()):
        return _invalid(fault, ctx)
    null = null_rate(label, goal.cells_per_ml * ml, goal.excitation_mw, dark.rate)
    per_target = label.per_target * goal.excitation_mw
    test = ScreeningTest(null, goal.false_alarm_rate, per_target)
    evidence, total = 0.0, Counted()
    await instruments.counter.ensure_excitation(goal.excitation_mw, label.filter)
    try:
        async with aclosing(count(goal.duration_s, instruments, ctx, shutter_open=True)) as counting:
            async for total, news in counting:
                evidence += test.evidence(news.counts, news.live_s)
                ctx.feedback(min(1.0, total.live_s / goal.duration_s), f"evidence {evidence:+.1f}")
                if total.saturated or not test.lower < evidence < test.upper:
                    break
    finally:
        await instruments.counter.stop()
        await instruments.counter.ensure_excitation(0.0, Filter.OPEN)
    state = await instruments.counter.state()
    if state.faults or total.live_s == 0.0 or total.saturated:
        return _invalid(f"the counter reports {state.faults.name or 'saturation or no gates'}", ctx)
    amount = (total.rate.per_s - null.per_s) / (per_target * (1.0 + AFTERPULSE))
    sd = math.hypot(total.rate.sd_per_s, null.sd_per_s) / (per_target * (1.0 + AFTERPULSE))
    half = 1.96 * math.hypot(sd, label.target_cv * math.sqrt(max(amount, 0.0)))
    value, low, high = (max(0.0, x) / ml for x in (amount, amount - half, amount + half))
    limit = test.detectable_cfu / ml
    ctx.measured(f"{goal.target}_per_ml", value, f"{label.unit}/mL", low, high)
    ctx.measured("detection_limit_per_ml", limit, f"{label.unit}/mL")
    ctx.clear_alarm(INVALID)
    method = f"fluorescence, {goal.excitation_mw:g} mW, {label.filter.name.lower()} filter, {label.unit}/mL"
    return {
        "outcome": "present" if evidence > 0.0 else "absent", "amount_per_ml": value, "amount_low_per_ml": low,
        "amount_high_per_ml": high, "detection_limit_per_ml": limit, "time_to_decision_s": total.live_s,
        "method": method,
    }  # fmt: skip


def _invalid(why: str, ctx: PhaseContext) -> Mapping[str, Any]:
    ctx.alarm(INVALID, f"{why}; nothing is known of the sample")
    unknown = ("amount_per_ml", "amount_low_per_ml", "amount_high_per_ml", "detection_limit_per_ml",
               "time_to_decision_s")  # fmt: skip
    return {"outcome": "invalid", **dict.fromkeys(unknown, math.nan), "method": ""}
