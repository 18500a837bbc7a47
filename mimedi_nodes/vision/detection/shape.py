# SPDX-License-Identifier: Apache-2.0
"""Shape of one cell from its outer contour, as deformability cytometry defines it.

Source: area and deformation of the convex hull, deform = 1 - 2 sqrt(pi A) / P (Otto et al., Nature Methods
12 (2015) 199; Herbig, Mietke, Müller, Otto, Biomicrofluidics 12 (2018) 042214).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.opencv import cv2


class HullShape(NamedTuple):
    """Hull area in px², deformation (0 for a circle), and the hull's points (N, 1, 2) int32."""

    area_px2: float
    deformation: float
    hull: NDArray[Any]


def hull_shape(contour: NDArray[Any]) -> HullShape:
    """Area and deformation of the convex hull of an outer OpenCV contour (N, 1, 2), px; a point gives 0, 0."""
    hull = cv2.convexHull(contour)
    area = cv2.contourArea(hull)
    perimeter = cv2.arcLength(hull, True)
    deformation = 1.0 - 2.0 * math.sqrt(math.pi * area) / perimeter if perimeter > 0.0 and area > 0.0 else 0.0
    return HullShape(area, deformation, hull)


def outer_contour(mask: NDArray[Any]) -> NDArray[np.int32]:
    """The longest outer contour of a boolean or uint8 mask (H, W); an empty mask gives shape (0, 1, 2)."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return np.empty((0, 1, 2), np.int32)
    return np.asarray(max(contours, key=len), np.int32)


def equivalent_diameter_px(polygon_area_px2: float, boundary_points: int) -> float:
    """Diameter of the disc with as many pixels as a contour encloses, px.

    A contour runs through pixel centres; Pick's theorem gives the pixels inside and on it.
    """
    pixels = polygon_area_px2 + 0.5 * boundary_points + 1.0
    return 2.0 * math.sqrt(pixels / math.pi)
