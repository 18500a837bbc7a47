# SPDX-License-Identifier: Apache-2.0
"""The table of what one frame shows, before it is linked to other frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# One row a detection. Lengths in px, absorbance in ln units; 0 for a shape that could not be measured.
DETECTION = np.dtype([
    ("x", "f8"), ("y", "f8"),            # centre; the first pixel's centre is (0, 0)
    ("diameter_px", "f8"),               # of the disc of equal area
    ("area_px2", "f8"),                  # convex hull
    ("deformation", "f8"),               # 1 - 2 sqrt(pi A)/P of the hull
    ("aspect", "f8"),                    # length along the flow / across, of the bounding box
    ("contrast", "f8"),                  # mean absorbance inside
    ("focus", "f8"),                     # 0..1, sharpness of the outline against the typical cell
    ("lone", "?"),                       # the blob holds this cell only
    ("edge", "?"),                       # cut by the frame's edge
    ("owner", "i4"),                     # row of the expected cell that this is, -1: nobody's yet
])
Detections = NDArray[np.void]


def empty(count: int = 0) -> Detections:
    """A table of `count` rows of zeros."""
    table = np.zeros(count, DETECTION)
    table["owner"] = -1
    return table
