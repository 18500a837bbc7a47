# SPDX-License-Identifier: Apache-2.0
"""Connected dark regions, what is expected of them, and what most cells look like."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.detection.appearance import Appearances
from mimedi_nodes.vision.detection.background import FloatImage
from mimedi_nodes.vision.detection.detections import Detections, empty

SOLID = 0.92
UNUSUAL = 1.25


@dataclass(slots=True)
class Blob:
    """One connected dark region: area px², diameter px, box (left, top, width, height), its number in a label image,
    direction of its long axis (rad, from the flow downwards)."""

    area: float
    diameter: float
    box: tuple[int, int, int, int]
    labels: NDArray[np.int16]
    label: int
    contrast: float
    x: float
    y: float
    turn: float
    members: list[int] = field(default_factory=list)
    seeds: list[tuple[float, float]] = field(default_factory=list)

    @property
    def mask(self) -> NDArray[np.uint8]:
        """Filled mask of the box (height, width), 255 inside; right until the next image is looked at."""
        left, top, wide, high = self.box
        return np.where(self.labels[top:top + high, left:left + wide] == self.label, np.uint8(255), np.uint8(0))


BLOB_COLUMNS = 12
_AREA, _DIAMETER, _LEFT, _TOP, _WIDE, _HIGH, _CONTRAST, _HULL, _DEFORMATION, _X, _Y, _TURN = range(BLOB_COLUMNS)


class BlobTable:
    """All blobs of one image: a column (N,) each of what `Blob` holds, and the image of their numbers (row + 1)."""

    def __init__(self, rows: NDArray[np.float64], labels: NDArray[np.int16]) -> None:
        self.rows = rows
        self.labels = labels
        columns = rows.T
        self.area, self.diameter, self.contrast = columns[_AREA], columns[_DIAMETER], columns[_CONTRAST]
        self.wide, self.high, self.hull_area = columns[_WIDE], columns[_HIGH], columns[_HULL]
        left = columns[_LEFT]
        self.edge = (left == 0.0) | (left + self.wide >= labels.shape[1])

    def __len__(self) -> int:
        return len(self.rows)

    def blob(self, row: int, members: list[int]) -> Blob:
        """One of them by itself."""
        area, diameter, left, top, wide, high, contrast, _, _, x, y, turn = self.rows[row].tolist()
        return Blob(area, diameter, (int(left), int(top), int(wide), int(high)), self.labels, row + 1, contrast, x, y,
                    turn, members)

    def detections(self, rows: NDArray[np.int_], sizes: NDArray[np.float64], more: int) -> Detections:
        """Rows that show one cell each, with diameter px and sharpness 1/px (N, 2), 0 where not measured.

        `more` rows are left empty behind them.
        """
        table, seen = empty(len(rows) + more), self.rows[rows].T
        found = table[:len(rows)]
        found["x"], found["y"], found["blob_px"] = seen[_X], seen[_Y], seen[_DIAMETER]
        found["diameter_px"], found["sharpness"] = sizes[:, 0], sizes[:, 1]
        found["area_px2"], found["deformation"], found["contrast"] = seen[_HULL], seen[_DEFORMATION], seen[_CONTRAST]
        found["aspect"] = seen[_WIDE] / seen[_HIGH]
        found["lone"], found["edge"] = True, self.edge[rows]
        return table


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
    apart: NDArray[np.bool_]
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

    def looks_single(self, blobs: BlobTable) -> NDArray[np.bool_]:
        """Which blobs are small, or round, solid and not much larger than most lone cells."""
        solid = blobs.area > SOLID * blobs.hull_area
        round_enough = np.maximum(blobs.wide, blobs.high) < 2.1 * np.minimum(blobs.wide, blobs.high)
        return (blobs.diameter < 0.8 * self.diameter_px) \
            | (solid & round_enough & (blobs.diameter < 1.6 * self.diameter_px))

    def unusual(self, blobs: BlobTable) -> NDArray[np.bool_]:
        """Which blobs have not the size or the proportions of most lone cells."""
        if self.aspect == 0.0:
            return np.zeros(len(blobs), bool)
        proportion = blobs.wide / blobs.high / self.aspect
        odd = (blobs.diameter > 1.12 * self.diameter_px) | (proportion <= 1.0 / UNUSUAL) | (proportion >= UNUSUAL)
        return np.where(blobs.edge, blobs.high > UNUSUAL * self.diameter_px / math.sqrt(self.aspect), odd)


def part_row(x: float, y: float, contrast: float, edge: bool, owner: int = -1) -> tuple[Any, ...]:
    """The table row of a cell inside an overlap: a place, and no shape."""
    return (x, y, 0.0, 0.0, 0.0, 0.0, 0.0, contrast, 0.0, False, edge, owner)
