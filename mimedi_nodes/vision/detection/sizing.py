# SPDX-License-Identifier: Apache-2.0
"""Where a lone cell's boundary is: between its dark body, a dark ring and a bright fringe."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.detection.background import FloatImage
from mimedi_nodes.vision.detection.blobs import Blob, BlobTable
from mimedi_nodes.vision.detection.shape import equivalent_diameter_px
from mimedi_nodes.vision.kernels import kernel
from mimedi_nodes.vision.opencv import cv2

# A ring is a ring when its crest stands above the inside by this share of the cell's contrast.
_RING = 0.15
_DEPTHS = 8
# The boundary lies between the half-height outline (blur pushes it out) and the ring's crest (the body's slope
# pulls it in). How far rings lie inside is the optics' property: learnt from all cells, not cell by cell.
_BOUNDARY = 0.75
_RATE = 0.02
_MARGIN = 4
_NEAR = np.ones((3, 3), np.uint8)


class CellSizer:
    """Measures lone cells; learns from them how the optics draws a boundary."""

    def __init__(self) -> None:
        # Depth of the ring's crest / diameter; fringe / plateau.
        self._shares = np.zeros(2)
        self._room = 0

    def measure(self, blobs: BlobTable, rows: NDArray[np.integer], image: FloatImage, level: float,
                threshold: float) -> NDArray[np.float64]:
        """Diameter of the boundary, px, and sharpness of the outline, 1/px, of the cells in `rows` (N, 2).

        The contour half-way between a blurred disc and its surroundings lies on the true edge, whatever the
        detection threshold; where a bright fringe surrounds the cell, half-way from dark to bright.
        """
        sizes = np.zeros((len(rows), 2))
        compiled = kernel.compiled("size_blobs")
        if compiled is None:
            for size, row in zip(sizes, rows.tolist(), strict=True):
                size[:] = self._measure(blobs.blob(row, []), image, level, threshold)
        elif len(rows):
            room = int(((blobs.wide[rows] + 2 * _MARGIN) * (blobs.high[rows] + 2 * _MARGIN)).max())
            if room > self._room:
                self._make_room(2 * room)
            numbers = rows.astype(np.int32)
            compiled(len(rows), numbers.ctypes.data, blobs.rows.ctypes.data, image.ctypes.data, image.shape[1],
                     image.shape[0], blobs.labels.ctypes.data, level, threshold, _RATE, _RING, _BOUNDARY,
                     *self._scratch, sizes.ctypes.data)
        return sizes

    def _make_room(self, room: int) -> None:
        self._room = room
        self._grid, self._stack = np.empty(room, np.uint8), np.empty(room, np.int32)
        self._patch = np.empty(room, np.float32)
        self._scratch = tuple(a.ctypes.data for a in (self._shares, self._grid, self._stack, self._patch))

    def _measure(self, blob: Blob, image: FloatImage, level: float, threshold: float) -> tuple[float, float]:
        plateau, fringe, diameter, inward = self._with_opencv(blob, image, level)
        if plateau <= 0.0:
            return 0.0, 0.0
        self._shares[1] += _RATE * (fringe / plateau - self._shares[1])
        if diameter <= 0.0:
            return 0.0, 0.0
        # From the threshold's contour to that at half height the absorbance climbs this much over this way.
        way = max(0.5 * (blob.diameter - diameter), 0.25)
        self._shares[0] += _RATE * (inward / diameter - self._shares[0])
        rise = max(0.5 * plateau - threshold, 0.05 * plateau) / max(plateau, 1e-6)
        return diameter * (1.0 - 2.0 * _BOUNDARY * float(self._shares[0])), rise / way

    def _middle(self, plateau: float, fringe: float) -> float:
        """Half height above the empty channel, with this cell's fringe taken in."""
        share = float(self._shares[1] + _RATE * (fringe / plateau - self._shares[1]))
        return 0.5 * plateau * (1.0 + min(share, 0.0))

    def _with_opencv(self, blob: Blob, image: FloatImage, level: float) -> tuple[float, float, float, float]:
        left, upper, wide, high = blob.box
        # Less blur than for detection: it would smear the boundary into the fringe.
        x0, y0 = max(0, left - _MARGIN), max(0, upper - _MARGIN)
        around = cv2.GaussianBlur(image[y0:upper + high + _MARGIN, x0:left + wide + _MARGIN], (3, 3), 0.6)
        patch = around[upper - y0:upper - y0 + high, left - x0:left - x0 + wide]
        mask = blob.mask
        core = cv2.compare(patch, level + blob.contrast, cv2.CMP_GT) & mask
        plateau = cv2.mean(patch, core)[0] - level
        fringe = self._fringe(blob, around, (left - x0, upper - y0), level)
        if plateau <= 0.0:
            return plateau, fringe, 0.0, 0.0
        half = cv2.compare(patch, level + self._middle(plateau, fringe), cv2.CMP_GT) & mask
        contours, _ = cv2.findContours(half, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if not contours:
            return plateau, fringe, 0.0, 0.0
        outline = max(contours, key=len)
        diameter = equivalent_diameter_px(cv2.contourArea(outline), len(outline))
        return plateau, fringe, diameter, _crest_depth(patch, outline, level, plateau)

    @staticmethod
    def _fringe(blob: Blob, around: FloatImage, corner: tuple[int, int], level: float) -> float:
        """Absorbance of the ring around a blob, negative where it is brighter than the empty channel."""
        _, _, wide, high = blob.box
        inner = np.zeros(around.shape, np.uint8)
        inner[corner[1]:corner[1] + high, corner[0]:corner[0] + wide] = blob.mask
        near = cv2.dilate(inner, _NEAR)
        return float(min(cv2.mean(around, near & ~inner)[0], cv2.mean(around, cv2.dilate(near, _NEAR) & ~near)[0])
                     - level)


def _crest_depth(patch: FloatImage, outline: NDArray[Any], level: float, plateau: float) -> float:
    """How far inside the half-height outline a dark ring has its crest, px; 0 without a ring.

    A cell's boundary refracts light out of the objective: where there is a dark ring, its crest is the boundary.
    """
    filled = np.zeros((patch.shape[0] + 2, patch.shape[1] + 2), np.uint8)
    cv2.drawContours(filled, [outline], -1, 1, -1, offset=(1, 1))
    depth = cv2.distanceTransform(filled, cv2.DIST_L2, 3)[1:-1, 1:-1]
    step = np.minimum((depth + 0.5).astype(np.int32), _DEPTHS).ravel()
    count = np.bincount(step, minlength=_DEPTHS + 1)[1:].astype(float)
    total = np.bincount(step, weights=patch.ravel(), minlength=_DEPTHS + 1)[1:]
    used = count >= 6
    height = np.where(used, total / np.maximum(count, 1.0) - level, 0.0)
    crest = int(height.argmax())
    inside = height[crest + 1:][used[crest + 1:]]
    if not len(inside) or height[crest] - inside.min() < _RING * plateau:
        return 0.0
    before = height[crest - 1] if crest else 0.5 * plateau
    after = height[crest + 1]
    bend = before + after - 2.0 * height[crest]
    offset = 0.5 * (before - after) / bend if bend < 0.0 else 0.0
    return max(0.0, crest + 0.5 + min(max(offset, -0.5), 0.5))
