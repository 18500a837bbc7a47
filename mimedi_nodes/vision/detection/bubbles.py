# SPDX-License-Identifier: Apache-2.0
"""Gas bubbles among dark blobs: large, round, with a dark rim around a middle as bright as the empty channel.

A bubble's curved surface refracts light out of the objective at its rim and lets it pass in its middle; a cell of any
size, and a heap of cells, is dark all over. While one comes into view it is an open ring at the frame's edge.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.detection.background import FloatImage
from mimedi_nodes.vision.detection.blobs import BlobTable
from mimedi_nodes.vision.kernels import kernel

# Of a typical cell's diameter: the least bubble that is told, and the least one at the frame's edge.
_LEAST, _LEAST_AT_EDGE = 1.6, 2.2
# Of an ellipse in the box: how much of it a whole bubble's outline fills (cells may hang on it), and how far the bright
# middle reaches at least: what a bubble in water bends by less than 0.2 rad, 2 (n - 1) h / R, passes a dry lens.
_ROUND, _MIDDLE = 0.85, 0.3
_LONGEST = 1.35
# The middle may be as dark as this share of the threshold, or of the whole blob.
_BRIGHT, _BRIGHT_OF_BLOB = 0.5, 0.15
# Directions looked into, how many of them must be in view, and how even the ring is: the pale ones of the dark ones.
_STEPS, _LEAST_STEPS = 48, 20
_EVEN = 0.55
# Of a bubble's half axes: places in its middle, and ways outwards from there (along and across, 12, directions).
_MIDDLE_POINTS = [(share * _MIDDLE * math.cos(turn), share * _MIDDLE * math.sin(turn))
                  for share, turn in ((0.0, 0.0), (0.45, 0.0), (0.45, 2.1), (0.45, 4.2), *((0.8, k) for k in range(6)))]
_TURN = np.linspace(0.0, 2.0 * math.pi, _STEPS, endpoint=False)
_OUTWARDS = np.linspace(_MIDDLE, 1.0, 12)[:, None] * np.stack([np.cos(_TURN), np.sin(_TURN)])[:, None]
# As the compiled kernel has them.
_LIMITS = np.array([_LEAST, _LEAST_AT_EDGE, _ROUND, _MIDDLE, _LONGEST, _BRIGHT, _BRIGHT_OF_BLOB, _EVEN, _LEAST_STEPS])
_LIMITS_AT = _LIMITS.ctypes.data


def find_bubbles(blobs: BlobTable, smooth: FloatImage, level: float, threshold: float,
                 diameter_px: float) -> NDArray[np.integer]:
    """Rows of the bubbles.

    Args:
        smooth: the absorbance (H, W) that the blobs were found in; level: that of the empty channel.
        threshold: above that level, where blobs begin.
        diameter_px: of a typical cell.
    """
    compiled = kernel.compiled("find_bubbles")
    if compiled is not None:
        if not len(blobs):
            return np.empty(0, np.int32)
        rows = np.empty(len(blobs), np.int32)
        height, width = smooth.shape
        return rows[:compiled(len(blobs), blobs.rows.ctypes.data, smooth.ctypes.data, width, height, level, threshold,
                              diameter_px, _LIMITS_AT, rows.ctypes.data)]
    tall = np.flatnonzero(blobs.high > _LEAST * diameter_px).tolist()
    return np.array([row for row in tall if _has_outline(blobs, row, diameter_px)
                     and _is_ring(blobs, row, smooth, level, threshold)], int)


def _has_outline(blobs: BlobTable, row: int, diameter_px: float) -> bool:
    """Whether a blob is as large and as round as a bubble, as far as it is in view."""
    wide, high = float(blobs.wide[row]), float(blobs.high[row])
    if blobs.edge[row]:
        return high > _LEAST_AT_EDGE * diameter_px and wide < _LONGEST * high
    return min(wide, high) > _LEAST * diameter_px and max(wide, high) < _LONGEST * min(wide, high) \
        and float(blobs.hull_area[row]) > _ROUND * math.pi / 4.0 * wide * high


def leave_out(blobs: BlobTable, rows: NDArray[np.integer]) -> None:
    """Make these blobs nobody's: too large for any overlap, and no place of theirs in the image of numbers."""
    for row in rows.tolist():
        blobs.diameter[row] = math.inf
        blobs.labels[blobs.labels == row + 1] = -1


def _is_ring(blobs: BlobTable, row: int, smooth: FloatImage, level: float, threshold: float) -> bool:
    """Whether a blob's middle is bright and the ring around it dark all the way, as far as it is in view."""
    left, top, wide, high = blobs.blob(row, []).box
    # Cut by the frame's edge it is part of a circle as high as it is: its middle may be out of view.
    along, across = (0.5 * high if blobs.edge[row] else 0.5 * wide), 0.5 * high
    x = left + along if not blobs.edge[row] or left else left + wide - along
    y = top + across
    bright = level + max(_BRIGHT * threshold, _BRIGHT_OF_BLOB * float(blobs.contrast[row]))
    # Most blobs end here: a few pixels are looked at one by one.
    middle = [float(smooth[int(y + v * across), int(x + u * along)]) for u, v in _MIDDLE_POINTS
              if left <= x + u * along < left + wide]
    if middle and sorted(middle)[(len(middle) - 1) // 2] >= bright:
        return False
    # The darkest place on each way outwards.
    columns = np.floor(x + along * _OUTWARDS[0]).astype(int)
    rows = np.floor(y + across * _OUTWARDS[1]).astype(int)
    inside = (columns >= 0) & (columns < smooth.shape[1]) & (rows >= 0) & (rows < smooth.shape[0])
    dark = np.where(inside, smooth[np.where(inside, rows, 0), np.where(inside, columns, 0)], -np.inf).max(axis=0)
    dark = np.sort(dark[inside.all(axis=0)]) - level
    tenth = round(0.1 * (len(dark) - 1))
    return len(dark) >= _LEAST_STEPS and bool(dark[tenth] > _EVEN * dark[-1 - tenth])
