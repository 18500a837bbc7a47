# SPDX-License-Identifier: Apache-2.0
"""What counts at the outlets say about a sort: purity and recovery, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mimedi_nodes.vision.camera.frame import FrameTracks
from mimedi_nodes.vision.camera.settings import VisionInputError
from mimedi_nodes.vision.statistics.counting import CountingLine, Crossing
from mimedi_nodes.vision.statistics.intervals import Interval, wilson_interval


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


@dataclass(frozen=True)
class SortCounts:
    """What a movie of the outlets' fork shows: cells over a line, by where they cross it and what they are."""

    centre: OutletCount
    side: OutletCount

    @property
    def purity(self) -> Interval:
        """Of the centre outlet."""
        return purity(self.centre)

    @property
    def recovery(self) -> Interval:
        """Of the targets."""
        return recovery(self.centre, self.side)


def count_outlets(frames: Sequence[FrameTracks], line_px: float, centre_rows_px: tuple[float, float],
                  target_class: int) -> SortCounts:
    """Cells over the line x = `line_px`, each once: between the centre rows, or beside them.

    Args:
        frames: of one movie, in order. target_class: class of the cells that should leave through the centre; what a
            cell is, is told by its last frame. What flows back is taken off.

    Raises:
        VisionInputError: rows in the wrong order.
    """
    upper, lower = centre_rows_px
    middle, all_rows = CountingLine(line_px, upper, lower), CountingLine(line_px)
    classes: dict[int, int] = {}
    for frame in frames:
        middle.add(frame)
        all_rows.add(frame)
        classes.update((cell.track_id, cell.cell_class) for cell in frame.tracks if cell.measured)

    def tally(crossings: Iterable[Crossing]) -> tuple[int, int]:
        net = [0, 0]
        for crossing in crossings:
            net[classes.get(crossing.track_id, 0) != target_class] += crossing.direction
        return max(net[0], 0), max(net[1], 0)

    inside = tally(middle.crossings)
    outside = tally(c for c in all_rows.crossings if not upper <= c.y_px <= lower)
    return SortCounts(OutletCount(*inside), OutletCount(*outside))


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
