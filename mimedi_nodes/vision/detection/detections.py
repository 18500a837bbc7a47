# SPDX-License-Identifier: Apache-2.0
"""The table of what one frame shows, before it is linked to other frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# One row a detection. Lengths in px, absorbance in ln units; 0 for a shape that could not be measured.
DETECTION = np.dtype([
    ("x", "f8"), ("y", "f8"),            # centre; the first pixel's centre is (0, 0)
    ("blob_px", "f8"),                   # diameter of the disc of equal area, at the detection threshold
    ("diameter_px", "f8"),               # the same at half the cell's own contrast; 0: not measured
    ("area_px2", "f8"),                  # convex hull
    ("deformation", "f8"),               # 1 - 2 sqrt(pi A)/P of the hull
    ("aspect", "f8"),                    # length along the flow / across, of the bounding box
    ("contrast", "f8"),                  # mean absorbance inside
    ("sharpness", "f8"),                 # steepness of the outline / contrast, 1/px; 0: not measured
    ("lone", "?"),                       # the blob holds this cell only
    ("edge", "?"),                       # cut by the frame's edge
    ("owner", "i4"),                     # row of the expected cell that this is, -1: nobody's yet
], align=True)
Detections = NDArray[np.void]


def empty(count: int = 0) -> Detections:
    """A table of `count` rows of zeros."""
    table = np.zeros(count, DETECTION)
    table["owner"] = -1
    return table
