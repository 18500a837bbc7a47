# SPDX-License-Identifier: Apache-2.0
"""Features of the dark blobs of a mask: by the compiled kernel, or by OpenCV where there is none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.background import FloatImage
from mimedi_nodes.vision.blobs import Blob
from mimedi_nodes.vision.kernel import blob_features
from mimedi_nodes.vision.opencv import cv2
from mimedi_nodes.vision.shape import equivalent_diameter_px, hull_shape

# What is smaller than this share of the smallest diameter is not looked at.
_LEAST_SHARE = 0.75
_COLUMNS = 12


class BlobFinder:
    """Turns a mask into blobs.

    Args:
        min_px: diameter below which a blob is debris, px.
    """

    def __init__(self, min_px: float) -> None:
        self._min_px = min_px
        self._min_area = math.pi / 4.0 * (_LEAST_SHARE * min_px) ** 2
        self._shape = (0, 0)
        self._labels = np.zeros((0, 0), np.int16)
        self._grid = np.empty(0, np.uint8)
        self._stack = np.empty(0, np.int32)
        self._work = np.empty(0)

    def find(self, mask: NDArray[np.uint8], smooth: FloatImage, level: float, small_px: float) -> list[Blob]:
        """Blobs of a mask (H, W), which is replaced by their filled shapes.

        Below `small_px` of diameter a blob's width at half height decides whether it is a cell.

        Args:
            smooth: absorbance (H, W) that the mask was made of; level: that of the empty channel.
        """
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        mask[:] = 0
        if not contours:
            return []
        if mask.shape != self._shape:
            self._shape = (mask.shape[0], mask.shape[1])
            room = (mask.shape[0] + 2) * (mask.shape[1] + 2)
            self._labels = np.zeros(mask.shape, np.int16)
            self._grid, self._stack = np.empty(room, np.uint8), np.empty(room, np.int32)
            self._work = np.empty(4 * mask.shape[0] + 4)
        self._labels[:] = 0
        compiled = blob_features()
        if compiled is None:
            return self._with_opencv(contours, mask, smooth, level, small_px)
        height, width = mask.shape
        start = np.zeros(len(contours) + 1, np.int32)
        np.cumsum([len(contour) for contour in contours], out=start[1:])
        points = np.concatenate(contours)
        table = np.empty((len(contours), _COLUMNS))
        rows = compiled(len(contours), points.ctypes.data, start.ctypes.data, smooth.ctypes.data, width, height, level,
                        self._min_area, self._min_px, small_px, mask.ctypes.data, self._labels.ctypes.data,
                        self._grid.ctypes.data, self._stack.ctypes.data, self._work.ctypes.data, len(self._grid),
                        table.ctypes.data)
        return [Blob(contours[int(k)], area, diameter, (int(left), int(top), int(wide), int(high)), self._labels,
                     label, contrast, hull_area, deformation, x, y, left == 0, left + wide >= width)
                for label, (k, area, diameter, left, top, wide, high, contrast, hull_area, deformation, x, y)
                in enumerate(table[:rows].tolist(), start=1)]

    def _with_opencv(self, contours: Any, mask: NDArray[np.uint8], smooth: FloatImage, level: float,
                     small_px: float) -> list[Blob]:
        blobs: list[Blob] = []
        width = mask.shape[1]
        for contour in contours:
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
            mask[top:top + high, left:left + wide] |= local
            part = smooth[top:top + high, left:left + wide]
            if diameter < small_px:
                _, highest, _, _ = cv2.minMaxLoc(part, local)
                pixels = cv2.countNonZero(cv2.compare(part, 0.5 * (highest + level), cv2.CMP_GT) & local)
                if 2.0 * math.sqrt(pixels / math.pi) < self._min_px:
                    continue
            label = len(blobs) + 1
            self._labels[top:top + high, left:left + wide][local > 0] = label
            moments, shape = cv2.moments(contour), hull_shape(contour)
            blobs.append(Blob(contour, area, diameter, (left, top, wide, high), self._labels, label,
                              cv2.mean(part, local)[0] - level, shape.area_px2, shape.deformation,
                              moments["m10"] / moments["m00"], moments["m01"] / moments["m00"],
                              left == 0, left + wide >= width))
        return blobs
