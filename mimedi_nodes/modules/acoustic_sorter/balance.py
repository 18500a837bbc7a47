# SPDX-License-Identifier: Apache-2.0
"""The balance of a run through the chip: what the syringes moved against what the vessels weigh."""

from __future__ import annotations

import math
from collections.abc import Iterator

ALLOWED_UL = 1500.0
"""Smallest difference that counts [uL]: four times what three weights and the dead volumes leave in a sound run."""
ALLOWED_SHARE = 0.01
"""Of the volume: the accuracy of a syringe's strokes (Cavro XLP 6000: better than 1 %)."""

BALANCE_GAP = "acoustic_sorter.balance_gap"


def gaps(
    sample_ul: float, buffer_ul: float, source_ul: float, centre_ul: float, waste_ul: float, *, into_centre: bool
) -> Iterator[str]:
    """Tell what the weights do not confirm, in words; nothing for a vessel that is not weighed here (NaN).

    Args:
        sample_ul, buffer_ul: by the syringes' strokes [uL].
        source_ul: what left the source; centre_ul, waste_ul: what came into these, by weight [uL].
        into_centre: the buffer's volume leaves by the centre outlet, so that the waste holds the sample's.
    """
    yield from _gap("left the source", source_ul, sample_ul, "the sample's syringes moved")
    if math.isfinite(centre_ul + waste_ul):
        yield from _gap("came out of the chip", centre_ul + waste_ul, sample_ul + buffer_ul, "all syringes moved")
    elif into_centre:
        yield from _gap("came into the waste", waste_ul, sample_ul, "the sample's syringes moved")


def _gap(what: str, weighed_ul: float, moved_ul: float, who_moved: str) -> Iterator[str]:
    allowed_ul = max(ALLOWED_UL, ALLOWED_SHARE * moved_ul)
    if abs(weighed_ul - moved_ul) > allowed_ul:
        yield (
            f"{weighed_ul / 1000.0:.1f} mL {what} by weight, {who_moved} {moved_ul / 1000.0:.1f} mL "
            f"(allowed difference {allowed_ul / 1000.0:.1f} mL)"
        )
