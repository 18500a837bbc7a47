# SPDX-License-Identifier: Apache-2.0
"""Calibrating the background: dark counts, then the blank of the kit in use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ...process.context import PhaseContext
from ...process.errors import PhaseError
from .assay import MOST_BLANK_PER_S, Background, Rate
from .codes import WatchCode
from .counting import Counted, count, count_dark, detector_fault
from .instruments import WatchInstruments

DARK_SHARE = 0.3
"""Of the time: the dark rate is about half of the blank's, so both come out about as sure."""


async def calibrate_background(goal: Any, instruments: WatchInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Count the dark and the blank; what is found is the null hypothesis of the screenings to come."""
    ctx.feedback(0.0, "dark counts")
    dark = await count_dark(instruments, ctx, DARK_SHARE * goal.duration_s)
    if fault := detector_fault(dark, await instruments.counter.state()):
        raise PhaseError(WatchCode.DETECTOR, fault)
    bright = Counted()
    async for bright, _ in count((1.0 - DARK_SHARE) * goal.duration_s, instruments, ctx, shutter_open=True):
        ctx.feedback(min(1.0, DARK_SHARE + bright.live_s / goal.duration_s), "blank")
    blank_per_s = bright.rate.per_s - dark.rate.per_s
    if bright.saturated or not 0.0 < blank_per_s <= MOST_BLANK_PER_S:
        raise PhaseError(
            WatchCode.BACKGROUND,
            f"blank of {blank_per_s:.0f} counts/s, allowed above 0 to {MOST_BLANK_PER_S:g}; look at cover and reagent",
        )
    blank = Rate(blank_per_s, math.hypot(bright.rate.sd_per_s, dark.rate.sd_per_s))
    instruments.memory.keep_background(Background(blank, dark.rate))
    for name, rate in (("background_per_s", blank), ("dark_per_s", dark.rate)):
        half = 1.96 * rate.sd_per_s
        ctx.measured(name, rate.per_s, "1/s", rate.per_s - half, rate.per_s + half)
    return {"background_per_s": blank.per_s, "dark_per_s": dark.rate.per_s}
