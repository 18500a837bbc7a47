# SPDX-License-Identifier: Apache-2.0
"""What went through the chip when its pumps have lost their power: read from the waste, where the source has no scale.

A pump that is initialized empties its syringe into the chip, and nobody knows what one held that was just filling:
counted as full, up to 10 mL of cells would stay behind in the source and be on record as sorted. While cells are
concentrated the waste takes as much as the sample's pumps deliver; while they empty alone, their share of the flow,
since the outlets go on parting it as they did.
"""

from __future__ import annotations

import math
from typing import Any

from ...process.context import PhaseContext
from .instruments import SorterInstruments


async def start_pumps(
    waste: str, sample_share: float, kept: dict[str, Any], instruments: SorterInstruments, ctx: PhaseContext
) -> bool:
    """Initialize the pumps that need it; return whether one did: it had lost its power, and is empty now.

    Args:
        waste: vessel of the side outlets. sample_share: of the whole flow, that leaves there; NaN when that is another.
        kept: the run's checkpoint; `waste_mark` in it becomes what the waste held [uL] when so much sample [uL] was
            known to have gone through.

    Raises:
        NotStable: the waste does not come to rest.
    """
    by_waste = kept.get("waste_before_ul") is not None and math.isfinite(sample_share)
    standing_ul = await instruments.scales.volume_ul(waste, ctx) if by_waste else math.nan
    sample_started = await instruments.sample.initialize(ctx)
    if sample_started and by_waste:
        seen_ul, counted_ul = kept.get("waste_mark", (kept["waste_before_ul"], 0.0))
        let_go_ul = (await instruments.scales.volume_ul(waste, ctx) - standing_ul) / sample_share
        instruments.sample.count(counted_ul + standing_ul - seen_ul + let_go_ul)
    buffer_started = await instruments.buffer.initialize(ctx)
    if by_waste and (sample_started or buffer_started):
        delivered_ul = await instruments.sample.delivered_ul()
        kept["waste_mark"] = (await instruments.scales.volume_ul(waste, ctx), delivered_ul)
    return sample_started or buffer_started
