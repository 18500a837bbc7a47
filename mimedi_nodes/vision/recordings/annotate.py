# SPDX-License-Identifier: Apache-2.0
"""A picture of what was found, for people."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.camera.frame import FrameTracks, check_image
from mimedi_nodes.vision.opencv import cv2

# BGR. Living, dead, not stained or no dye image; a cell that is only predicted is drawn grey. Where both colours are
# lit, the living are drawn by their class instead.
_ALIVE, _DEAD, _PLAIN, _PREDICTED = (80, 220, 80), (60, 60, 255), (255, 200, 60), (160, 160, 160)
_CLASS = {1: (80, 220, 80), 2: (60, 140, 255)}


def annotate(bright_field: NDArray[Any], frame: FrameTracks, um_per_px: float | None = None) -> NDArray[np.uint8]:
    """The frame (H, W) as a BGR uint8 picture (H, W, 3) with an outline, number and velocity for each cell.

    Only confirmed cells are drawn. 16-bit frames are stretched to their own range. `um_per_px` scales outlines
    and adds a 50 µm bar; without it each cell gets a circle of fixed size.

    Raises:
        VisionInputError: the image is not mono8 or mono16.
    """
    image = check_image("bright_field", bright_field, None)
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = ((image - low) * (255.0 / max(high - low, 1.0))).astype(np.uint8)
    picture = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    for cell in frame.tracks:
        if not cell.confirmed:
            continue
        if not cell.measured:
            colour = _PREDICTED
        elif cell.dead:
            colour = _DEAD
        elif frame.lit:
            colour = _CLASS.get(cell.cell_class, _PLAIN)
        else:
            colour = _PLAIN if cell.dead is None else _ALIVE
        known = um_per_px is not None and np.isfinite(cell.diameter_um)
        radius = round(0.5 * cell.diameter_um / um_per_px) if known and um_per_px is not None else 8
        centre = (round(cell.x_px), round(cell.y_px))
        cv2.circle(picture, centre, max(radius, 2), colour, 1, cv2.LINE_AA)
        # Velocity: where the cell will be in 10 ms.
        tip = (round(cell.x_px + 0.01 * cell.vx_px_s), round(cell.y_px + 0.01 * cell.vy_px_s))
        cv2.line(picture, centre, tip, colour, 1, cv2.LINE_AA)
        cv2.putText(picture, str(cell.track_id), (centre[0] + radius, centre[1] - radius),
                    cv2.FONT_HERSHEY_SIMPLEX, 0.3, colour, 1, cv2.LINE_AA)
    if um_per_px is not None:
        length, bottom = round(50.0 / um_per_px), image.shape[0] - 4
        cv2.line(picture, (6, bottom), (6 + length, bottom), (255, 255, 255), 2)
        cv2.putText(picture, "50 um", (6, bottom - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.3, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(picture, np.uint8)
