# SPDX-License-Identifier: Apache-2.0
"""Cells that hide each other: how many are missing, from the pairs of near cells that are missing.

Cells of a suspension lie anywhere, so that the number of pairs nearer than a distance is known. Two cells seen as one
leave a gap: each pair that is missing is a cell that was not counted. The images themselves say how near is too near.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_FARTHEST_PX = 64
# Pairs nearer than this many mean diameters are looked at: beyond it all cells are told apart.
_REACH = 1.0


class PairCounter:
    """Counts pairs of cells by distance over the frames of one run."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all frames."""
        self._pairs = np.zeros(_FARTHEST_PX + 1, np.int64)
        self._possible = 0.0
        self._sightings = 0

    def add(self, distance_px: NDArray[np.float64]) -> None:
        """Take in the distances (N, N) between all cells of one frame, px."""
        count = len(distance_px)
        self._sightings += count
        self._possible += count * (count - 1) / 2.0
        near = np.minimum(distance_px.ravel(), _FARTHEST_PX).astype(np.int64)
        twice = np.bincount(near, minlength=_FARTHEST_PX + 1)
        twice[0] -= count
        self._pairs += twice

    def missing(self, diameter_px: float, length_px: float, width_px: float, repeats: float,
                hidden: float = 0.0) -> tuple[float, float]:
        """Cells missing per cell counted, >= 0, and the standard deviation of that.

        Args:
            diameter_px: mean diameter of the cells, px.
            length_px, width_px: sides of the field in which their centres may lie, px.
            repeats: in how many frames the same pair is seen, >= 1: makes the standard deviation honest.
            hidden: sightings that a track made up for: it went on where its cell was hidden.
        """
        reach = min(round(_REACH * diameter_px), _FARTHEST_PX, int(min(length_px, width_px)))
        if reach < 1 or self._sightings == 0:
            return 0.0, 0.0
        found = float(self._pairs[:reach].sum()) / 2.0
        # Share of random pairs in a rectangle that are nearer than r <= both sides.
        r, a, b = float(reach), length_px, width_px
        share = (math.pi * r * r * a * b - 4.0 / 3.0 * r**3 * (a + b) + 0.5 * r**4) / (a * b) ** 2
        expected = share * self._possible
        counted = self._sightings + hidden
        lost = max(0.0, expected - found - hidden) / counted
        deviation = math.sqrt(max(found, 1.0) * repeats) / counted
        # A gap that chance may have made is believed in part only.
        return lost * lost**2 / (lost**2 + deviation**2), deviation
