# SPDX-License-Identifier: Apache-2.0
"""What a chip shows of itself: round fiducial marks, the channel's walls, how sharp and how evenly lit they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.camera.calibration import MIN_MARKS, CalibrationError
from mimedi_nodes.vision.camera.frame import check_image
from mimedi_nodes.vision.opencv import cv2

FloatArray = NDArray[np.float64]

# The edge of a sharp image rises over so many px: pixels and diffraction blur more.
_SHARP_RISE_PX = 2.5
_WALL_REACH_PX = 12
_LEAST_WALL_DEPTH = 0.03


class Walls(NamedTuple):
    """Rows of both walls, px, in columns x_px: dark lines along the flow. `focus`: see `focus_of_edge`."""

    x_px: FloatArray
    top_px: FloatArray
    bottom_px: FloatArray
    focus: float


def still_image(frames: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Median of frames (H, W): what does not move."""
    images = [check_image("calibration image", frame, None) for frame in frames]
    return np.median(np.stack(images), axis=0).astype(np.float32)


def flat_field(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Light in each place over the brightest (H, W): smooth, without marks and walls.

    Source: shading correction by a surface of second order, as in Model & Burkhardt, Cytometry 44 (2001) 309.
    """
    height, width = image.shape
    y, x = np.mgrid[0:height, 0:width]
    u, v = x.ravel() / width - 0.5, y.ravel() / height - 0.5
    basis = np.column_stack([np.ones_like(u), u, v, u * u, u * v, v * v])
    values = image.ravel().astype(float)
    keep = np.ones(len(values), bool)
    for _ in range(4):
        surface = basis @ np.linalg.lstsq(basis[keep], values[keep], rcond=None)[0]
        error = values - surface
        keep = np.abs(error) < 2.0 * max(1.4826 * float(np.median(np.abs(error))), 1e-3)
    return (surface / surface.max()).reshape(height, width).astype(np.float32)


def find_marks(image: NDArray[Any], diameter_px: float) -> FloatArray:
    """Centres (N, 2) x, y in px of dark round marks of about `diameter_px` in an image (H, W), left to right.

    Raises:
        VisionInputError: not a mono8 or mono16 image.
    """
    grey = image if image.dtype == np.float32 else check_image("calibration image", image, None).astype(np.float32)
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.0)
    level = float(np.median(smooth))
    depth = np.maximum(level - smooth, 0.0)
    mask = (depth > 0.5 * float(depth.max())).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    centres = []
    for contour in contours:
        left, top, wide, high = cv2.boundingRect(contour)
        if not (0.7 * diameter_px < wide < 1.4 * diameter_px and 0.7 * diameter_px < high < 1.4 * diameter_px):
            continue
        if left == 0 or top == 0 or left + wide >= grey.shape[1] or top + high >= grey.shape[0]:
            continue
        x0, y0 = max(0, left - 3), max(0, top - 3)
        part = depth[y0:top + high + 3, x0:left + wide + 3]
        y, x = np.mgrid[0:part.shape[0], 0:part.shape[1]]
        weight = float(part.sum())
        centres.append((x0 + float((part * x).sum()) / weight, y0 + float((part * y).sum()) / weight))
    return np.array(sorted(centres)).reshape(-1, 2)


def match_marks(found_px: FloatArray, marks_um: FloatArray, um_per_px: float,
                tolerance: float) -> tuple[FloatArray, FloatArray]:
    """Pairs (N, 2) px and (N, 2) µm of the marks found and those of the chip's drawing.

    Every shift that lays one onto another is tried; the one with most pairs wins. `tolerance` is how far scale and
    rotation (rad) may be from what is expected: a pair may be that share of its distance away.

    Raises:
        CalibrationError: fewer than four pairs.
    """
    drawn = np.asarray(marks_um, float) / um_per_px
    best: tuple[int, FloatArray, FloatArray] = 0, np.empty((0, 2)), np.empty((0, 2))
    for anchor in range(len(drawn)):
        reach = 2.0 + tolerance * np.hypot(*(drawn - drawn[anchor]).T)
        for shift in found_px - drawn[anchor]:
            distance = np.hypot(*(drawn[:, None] + shift - found_px[None]).transpose(2, 0, 1))
            nearest = distance.argmin(axis=1)
            hit = distance[np.arange(len(drawn)), nearest] < reach
            count = len(set(nearest[hit].tolist()))
            if count == hit.sum() and count > best[0]:
                best = count, found_px[nearest[hit]], np.asarray(marks_um, float)[hit]
    if best[0] < MIN_MARKS:
        raise CalibrationError(f"{best[0]} of the chip's {len(drawn)} marks were found among {len(found_px)} spots; "
                               f"allowed: >= {MIN_MARKS}. Clean the chip, check focus and which chip is mounted.")
    return best[1], best[2]


def focus_of_marks(image: NDArray[np.float32], centres_px: FloatArray, diameter_px: float) -> float:
    """Median sharpness of the marks' left and right edges, see `focus_of_edge`."""
    reach = round(diameter_px)
    scores = []
    for x, y in np.rint(centres_px).astype(int).tolist():
        line = image[max(0, y - 1):y + 2, max(0, x - reach):x + reach + 1].mean(axis=0)
        if len(line) == 2 * reach + 1:
            scores += [focus_of_edge(line[:reach + 1]), focus_of_edge(line[reach:])]
    return float(np.median(scores)) if scores else math.nan


def focus_of_edge(line: NDArray[np.floating]) -> float:
    """1 for a sharp edge: steepest step between pixels over the whole step, times the rise of a sharp edge; <= 1."""
    values = np.asarray(line, float)
    whole = float(values.max() - values.min())
    return min(1.0, _SHARP_RISE_PX * float(np.abs(np.diff(values)).max()) / whole) if whole > 0.0 else 0.0


def find_walls(image: NDArray[np.float32], top_px: float, bottom_px: float) -> Walls:
    """The channel's walls near the rows where they are expected, in eight parts of the image (H, W).

    Raises:
        CalibrationError: no dark line there.
    """
    height, width = image.shape
    parts = np.array_split(np.arange(width), 8)
    rows: list[list[float]] = []
    focus = []
    for name, expected in (("upper", top_px), ("lower", bottom_px)):
        first = max(0, round(expected) - _WALL_REACH_PX)
        last = min(height, round(expected) + _WALL_REACH_PX + 1)
        places = []
        for columns in parts:
            line = image[first:last, columns].mean(axis=1).astype(float)
            if len(line) < 5:
                raise CalibrationError(f"the {name} wall is expected in row {expected:.0f} of {height}; allowed: "
                                       "inside the image. Move the chip or mend the site file.")
            depth = float(np.median(line)) - line
            k = int(depth[1:-1].argmax()) + 1
            if depth[k] < _LEAST_WALL_DEPTH * float(np.median(line)):
                raise CalibrationError(f"no dark line within {_WALL_REACH_PX} px of row {expected:.0f}, where the "
                                       f"{name} wall should be. Move the chip, check focus and lamp, or mend the site "
                                       "file.")
            bend = depth[k - 1] + depth[k + 1] - 2.0 * depth[k]
            places.append(first + k + (0.5 * (depth[k - 1] - depth[k + 1]) / bend if bend < 0.0 else 0.0))
            focus.append(focus_of_edge(line))
        rows.append(places)
    middle = np.array([columns.mean() for columns in parts])
    return Walls(middle, np.array(rows[0]), np.array(rows[1]), float(np.median(focus)))


def walls_as_marks(walls: Walls, walls_um: tuple[float, float], um_per_px: float) -> tuple[FloatArray, FloatArray]:
    """Pairs (N, 2) px and (N, 2) µm for a chip without marks: its walls are parallel, and how far apart is known.

    Walls tell nothing about the scale along themselves: it is taken to be that across, found from their distance.
    """
    both = walls.top_px + walls.bottom_px
    slope = float(np.polyfit(walls.x_px, 0.5 * (both - both.mean()), 1)[0])
    apart_px = float((walls.bottom_px - walls.top_px).mean()) * math.cos(math.atan(slope))
    scale = (walls_um[1] - walls_um[0]) / apart_px
    if not abs(scale / um_per_px - 1.0) < 0.5:
        raise CalibrationError(f"walls {apart_px:.1f} px apart mean {scale:.3f} µm/px; allowed: about {um_per_px:.3f}. "
                               "Check the objective and which chip is mounted.")
    along = walls.x_px * math.sqrt(1.0 + slope * slope) * scale
    # Across a tilted wall the same chip place is a little further along.
    shift = slope * scale * (walls.bottom_px.mean() - walls.top_px.mean()) / math.sqrt(1.0 + slope * slope)
    px = np.concatenate([np.column_stack([walls.x_px, walls.top_px]), np.column_stack([walls.x_px, walls.bottom_px])])
    um = np.concatenate([np.column_stack([along, np.full(len(along), walls_um[0])]),
                         np.column_stack([along + shift, np.full(len(along), walls_um[1])])])
    return px, um
