# SPDX-License-Identifier: Apache-2.0
"""Features of the dark blobs of a mask: by the compiled kernel, or by OpenCV where there is none."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.detection.background import FloatImage
from mimedi_nodes.vision.detection.blobs import BLOB_COLUMNS, BlobTable
from mimedi_nodes.vision.detection.shape import equivalent_diameter_px, hull_shape
from mimedi_nodes.vision.kernels import kernel
from mimedi_nodes.vision.opencv import cv2

# What is smaller than this share of the smallest diameter is not looked at.
_LEAST_SHARE = 0.75
_MOST = 2048


class BlobFinder:
    """Turns a mask into blobs.

    Args:
        min_px: diameter below which a blob is debris, px.
    """

    def __init__(self, min_px: float) -> None:
        self._min_px = min_px
        self._min_area = math.pi / 4.0 * (_LEAST_SHARE * min_px) ** 2
        self._labels = np.zeros((0, 0), np.int16)
        self._room = 0

    def find(self, mask: NDArray[np.uint8], smooth: FloatImage, level: float, small_px: float) -> BlobTable:
        """Blobs of a mask (H, W), which is replaced by their filled shapes.

        Below `small_px` of diameter a blob's width at half height decides whether it is a cell. The table's labels are
        right until the next image is looked at.

        Args:
            smooth: absorbance (H, W) that the mask was made of; level: that of the empty channel.
        """
        height, width = mask.shape
        if mask.shape != self._labels.shape:
            self._make_room(height, width)
        compiled = kernel.compiled("find_blobs")
        if compiled is None:
            return self._with_opencv(mask, smooth, level, small_px)
        table = np.empty((_MOST, BLOB_COLUMNS))
        rows = compiled(mask.ctypes.data, smooth.ctypes.data, width, height, level, self._min_area, self._min_px,
                        small_px, *self._scratch, self._room, table.ctypes.data, _MOST)
        return BlobTable(table[:rows], self._labels)

    def _make_room(self, height: int, width: int) -> None:
        self._room = (height + 2) * (width + 2)
        self._labels = np.zeros((height, width), np.int16)
        self._grid, self._stack = np.empty(self._room, np.uint8), np.empty(self._room, np.int32)
        self._work, self._points = np.empty(4 * height + 4), np.empty(2 * self._room, np.int32)
        self._scratch = tuple(a.ctypes.data for a in (self._labels, self._grid, self._stack, self._work, self._points))

    def _with_opencv(self, mask: NDArray[np.uint8], smooth: FloatImage, level: float, small_px: float) -> BlobTable:
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        mask[:] = 0
        self._labels[:] = 0
        rows: list[tuple[float, ...]] = []
        # From the top, as the kernel goes.
        for contour in reversed(contours):
            area = cv2.contourArea(contour)
            if area < self._min_area:
                continue
            diameter = equivalent_diameter_px(area, len(contour))
            if diameter < self._min_px:
                continue
            left, top, wide, high = cv2.boundingRect(contour)
            # A streak along the flow is what is left of a wall, not a cell.
            if wide > 4 * high and high < 0.8 * self._min_px:
                continue
            local = np.zeros((high, wide), np.uint8)
            cv2.drawContours(local, [contour], -1, 255, -1, offset=(-left, -top))
            part = smooth[top:top + high, left:left + wide]
            if diameter < small_px:
                _, highest, _, _ = cv2.minMaxLoc(part, local)
                pixels = cv2.countNonZero(cv2.compare(part, 0.5 * (highest + level), cv2.CMP_GT) & local)
                if 2.0 * math.sqrt(pixels / math.pi) < self._min_px:
                    continue
            mask[top:top + high, left:left + wide] |= local
            self._labels[top:top + high, left:left + wide][local > 0] = len(rows) + 1
            moments, shape = cv2.moments(contour), hull_shape(contour)
            turn = 0.5 * math.atan2(2.0 * moments["mu11"], moments["mu20"] - moments["mu02"])
            rows.append((area, diameter, left, top, wide, high, cv2.mean(part, local)[0] - level, shape.area_px2,
                         shape.deformation, moments["m10"] / moments["m00"], moments["m01"] / moments["m00"], turn))
        return BlobTable(np.array(rows, float).reshape(-1, BLOB_COLUMNS), self._labels)
