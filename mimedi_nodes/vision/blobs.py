# SPDX-License-Identifier: Apache-2.0
"""Connected dark regions, what is expected of them, and what most cells look like."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.appearance import Appearances
from mimedi_nodes.vision.background import FloatImage

_SOLID = 0.92
_UNUSUAL = 1.25


@dataclass(slots=True)
class Blob:
    """One connected dark region: contour, area px², box (left, top, width, height), its number in a label image."""

    contour: NDArray[Any]
    area: float
    diameter: float
    box: tuple[int, int, int, int]
    labels: NDArray[np.int16]
    label: int
    contrast: float
    hull_area: float
    deformation: float
    x: float
    y: float
    left_edge: bool
    right_edge: bool
    members: list[int] = field(default_factory=list)
    seeds: list[tuple[float, float]] = field(default_factory=list)

    @property
    def mask(self) -> NDArray[np.uint8]:
        """Filled mask of the box (height, width), 255 inside; right until the next image is looked at."""
        left, top, wide, high = self.box
        return np.where(self.labels[top:top + high, left:left + wide] == self.label, np.uint8(255), np.uint8(0))

    def row(self, lone: bool, size_px: float = 0.0, sharpness: float = 0.0) -> tuple[Any, ...]:
        """The blob as one detection."""
        _, _, wide, high = self.box
        return (self.x, self.y, self.diameter, size_px, self.hull_area, self.deformation, wide / high,
                self.contrast, sharpness, lone, self.left_edge or self.right_edge, -1)


class Expected(NamedTuple):
    """Tracked cells at their predicted places, px, with what they look like and the images to fit."""

    ids: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    hits: NDArray[np.int32]
    sized: NDArray[np.int32]
    blob_px: NDArray[np.float64]
    contrast: NDArray[np.float64]
    spread_px: NDArray[np.float64]
    appearances: Appearances
    images: list[FloatImage]
    weights: list[float]
    lit_levels: list[float]


@dataclass
class TypicalCell:
    """Running medians over the cells that stood alone; contrast 0 until the first of them.

    diameter_px: at the detection threshold, px; contrast: mean absorbance; aspect: length along the flow / across,
    0 until known.
    """

    diameter_px: float
    contrast: float = 0.0
    aspect: float = 0.0

    def looks_single(self, blob: Blob) -> bool:
        """True for a small or a round, solid blob not much larger than most lone cells."""
        if blob.diameter < 0.8 * self.diameter_px:
            return True
        solid = blob.area / max(blob.hull_area, 1e-9)
        _, _, wide, high = blob.box
        round_enough = max(wide, high) < 2.1 * min(wide, high)
        return solid > _SOLID and round_enough and blob.diameter < 1.6 * self.diameter_px

    def unusual(self, blob: Blob) -> bool:
        """True when size or proportions are not those of most lone cells."""
        if self.aspect == 0.0:
            return False
        _, _, wide, high = blob.box
        if blob.left_edge or blob.right_edge:
            return bool(high > _UNUSUAL * self.diameter_px / math.sqrt(self.aspect))
        proportion = wide / high / self.aspect
        return blob.diameter > 1.12 * self.diameter_px or not 1.0 / _UNUSUAL < proportion < _UNUSUAL


def part_row(x: float, y: float, contrast: float, edge: bool, owner: int = -1) -> tuple[Any, ...]:
    """The table row of a cell inside an overlap: a place, and no shape."""
    return (x, y, 0.0, 0.0, 0.0, 0.0, 0.0, contrast, 0.0, False, edge, owner)
