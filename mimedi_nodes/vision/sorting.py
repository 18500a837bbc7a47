# SPDX-License-Identifier: Apache-2.0
"""What counts at the outlets say about a sort: purity and recovery, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mimedi_nodes.vision.intervals import Interval, wilson_interval
from mimedi_nodes.vision.settings import VisionInputError


@dataclass(frozen=True)
class OutletCount:
    """Distinct cells counted at one outlet.

    Args:
        targets, others: cells that should, and should not, leave here through the centre.
        counted_share: share of the outlet's whole volume that was looked at, in (0, 1].
    """

    targets: int
    others: int
    counted_share: float = 1.0

    def __post_init__(self) -> None:
        for name in ("targets", "others"):
            if getattr(self, name) < 0:
                raise VisionInputError(name, getattr(self, name), ">= 0 cells")
        if not 0.0 < self.counted_share <= 1.0:
            raise VisionInputError("counted_share", self.counted_share, "0 < counted_share <= 1")


def purity(centre: OutletCount, confidence: float = 0.95) -> Interval:
    """Share of target cells among the cells of the centre outlet; NaN when it is empty."""
    return wilson_interval(centre.targets, centre.targets + centre.others, confidence)


def recovery(centre: OutletCount, side: OutletCount, confidence: float = 0.95) -> Interval:
    """Share of all target cells that left through the centre; NaN when there was none.

    Counts of two volumes are independent Poisson numbers: given their sum, the centre's is binomial, with a share that
    also depends on how much of each outlet was looked at (Przyborowski & Wilenski, Biometrika 31 (1940) 313). The
    interval of that share is turned into the recovery's.
    """
    seen = wilson_interval(centre.targets, centre.targets + side.targets, confidence)
    return Interval(*(_unbiased(share, centre.counted_share, side.counted_share)
                      for share in (seen.value, seen.low, seen.high)))


def _unbiased(share: float, centre: float, side: float) -> float:
    """The true share when `share` of the counted cells is seen and the outlets are looked at in part."""
    if math.isnan(share):
        return math.nan
    return share * side / (share * side + (1.0 - share) * centre)
