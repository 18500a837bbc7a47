# SPDX-License-Identifier: Apache-2.0
"""Particles that no flow carries: found by contrast with their surroundings, linked by shortest ways.

What does not leave its place becomes background for a tracker that learns the empty channel in time. Where no flow was
found, particles are therefore sought in each picture by itself: spots of the size and sign that stand out most, at
the centroid of their band-passed light, as in Crocker & Grier, J. Colloid Interface Sci. 179 (1996) 298; scale by
normalised Laplacians (Lindeberg, Int. J. Comput. Vision 30 (1998) 79), approximated by differences of Gaussians.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.camera.frame import FrameTracks, TrackedCell
from mimedi_nodes.vision.detection.medians import median
from mimedi_nodes.vision.opencv import cv2

FloatArray = NDArray[np.float64]
FloatImage = NDArray[np.floating]

# Scales that are tried, px (standard deviation of the inner Gaussian), and the ratio of the outer to the inner one.
_SCALES = tuple(1.0 * 2.0 ** (k / 2.0) for k in range(8))
_RATIO = 1.6
_SAMPLE = 5
# A spot stands out by so many standard deviations of the band-passed picture without its spots.
_STANDS_OUT = 5.0
_AS_GOOD = 0.9
_MEMORY_FRAMES = 3
# Two particles' ways are not mixed up while a step is shorter than this share of the usual distance of neighbours.
_STEP_SHARE = 0.45
_REFINEMENTS = 3


class SpotFinder:
    """Finds spots of one size and sign; both are learnt from the first pictures.

    Args:
        frames: some pictures (H, W) of the recording, at least one.
    """

    def __init__(self, frames: Sequence[NDArray[Any]]) -> None:
        best = 0.0
        self.scale_px, self.sign, self._noise = _SCALES[0], 1.0, 1.0
        for scale in _SCALES:
            bands = [_band(frame, scale) for frame in frames]
            noise = median(np.array([_noise(band) for band in bands]))
            for sign in (1.0, -1.0):
                # How far the brightest (darkest) hundredth stands out: particles cover little of a picture.
                score = float(np.mean([np.percentile(sign * band, 99.0) for band in bands])) / noise
                # Of scales that do about as well, the larger one: its centroids are steadier.
                if score > _AS_GOOD * best:
                    self.scale_px, self.sign, self._noise = scale, sign, noise
                best = max(best, score)

    def find(self, frame: NDArray[Any]) -> FloatArray:
        """Centres (N, 2) x, y of the spots in a picture (H, W), px."""
        band = self.sign * _band(frame, self.scale_px)
        reach = max(2, round(2.0 * self.scale_px))
        window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        highest = cv2.dilate(band, window)
        rows, columns = np.nonzero((band >= highest) & (band > _STANDS_OUT * self._noise))
        height, width = band.shape
        inside = (rows >= reach) & (rows < height - reach) & (columns >= reach) & (columns < width - reach)
        x, y = columns[inside].astype(float), rows[inside].astype(float)
        near = np.arange(-reach, reach + 1)
        disc = (near[:, None] ** 2 + near**2 <= reach * reach).astype(float)
        light = np.maximum(band, 0.0)
        for _ in range(_REFINEMENTS):
            column, row = np.rint(x).astype(int), np.rint(y).astype(int)
            column, row = np.clip(column, reach, width - reach - 1), np.clip(row, reach, height - reach - 1)
            part = light[(row[:, None] + near)[:, :, None], (column[:, None] + near)[:, None, :]] * disc
            mass = np.maximum(part.sum(axis=(1, 2)), 1e-9)
            x = column + (part.sum(axis=1) @ near) / mass
            y = row + (part.sum(axis=2) @ near) / mass
        return np.column_stack([x, y])


class StillTracker:
    """Tracks particles that diffuse; their sizes and shapes are not measured (NaN).

    Args:
        frames: the recording (T, H, W), T >= 1: some of its pictures tell the particles' size and sign.
        frame_rate_hz: turns steps into speeds.
    """

    def __init__(self, frames: NDArray[Any], frame_rate_hz: float) -> None:
        some = np.linspace(0, len(frames) - 1, min(_SAMPLE, len(frames))).astype(int)
        self._finder = SpotFinder([frames[k] for k in some])
        self._steps, self._rate, self._index = _Steps(), frame_rate_hz, -1

    def process(self, frame: NDArray[Any], stamp_s: float) -> FrameTracks:
        """Find and link the particles of the next picture (H, W)."""
        self._index += 1
        places = self._finder.find(frame)
        ids, steps = self._steps.link(places)
        cells = [_cell(track, place, step) for track, place, step in
                 zip(ids.tolist(), places.tolist(), (steps * self._rate).tolist(), strict=True)]
        return FrameTracks(stamp_s, self._index, cells, frame.shape[1], frame.shape[0])


class _Steps:
    """Links places by the shortest ways altogether, over gaps of a few frames."""

    def __init__(self) -> None:
        self._places, self._ids = np.empty((0, 2)), np.empty(0, int)
        self._missed, self._next = np.empty(0, int), 1

    def link(self, places: FloatArray) -> tuple[NDArray[np.int_], FloatArray]:
        """Identity of each place (N,), and its step from where it was before (N, 2), 0 for a new one."""
        # Costs a third of a second to import.
        from scipy.optimize import linear_sum_assignment
        from scipy.spatial import cKDTree

        ids, steps = np.zeros(len(places), int), np.zeros((len(places), 2))
        if len(places) and len(self._places):
            apart = cKDTree(places).query(places, k=2)[0][:, 1] if len(places) > 1 else np.array([math.inf])
            most = _STEP_SHARE * (median(apart) if np.isfinite(apart).all() else 20.0)
            squares = ((self._places[:, None] - places[None]) ** 2).sum(axis=2)
            # A way not gone costs as much as the longest one allowed.
            rows, columns = linear_sum_assignment(np.minimum(squares, most * most))
            good = squares[rows, columns] < most * most
            rows, columns = rows[good], columns[good]
            ids[columns] = self._ids[rows]
            steps[columns] = places[columns] - self._places[rows]
            self._missed += 1
            self._missed[rows] = 0
            self._places[rows] = places[columns]
        else:
            self._missed += 1
        fresh = np.flatnonzero(ids == 0)
        ids[fresh] = self._next + np.arange(len(fresh))
        self._next += len(fresh)
        keep = self._missed <= _MEMORY_FRAMES
        self._places = np.concatenate([self._places[keep], places[fresh]])
        self._ids = np.concatenate([self._ids[keep], ids[fresh]])
        self._missed = np.concatenate([self._missed[keep], np.zeros(len(fresh), int)])
        return ids, steps


def _band(frame: NDArray[Any], scale_px: float) -> FloatImage:
    """Difference of two Gaussians: spots of that size, without noise and uneven light."""
    image = frame.astype(np.float32)
    return np.asarray(cv2.subtract(cv2.GaussianBlur(image, (0, 0), scale_px),
                                   cv2.GaussianBlur(image, (0, 0), _RATIO * scale_px)))


def _noise(band: FloatImage) -> float:
    """Standard deviation between the spots: from the lower half of what there is."""
    sample = np.abs(band[::2, ::2]).ravel()
    return max(1.4826 * median(sample), 1e-3)


def _cell(track: int, place: Sequence[float], velocity: Sequence[float]) -> TrackedCell:
    unknown = math.nan
    return TrackedCell(track, place[0], place[1], velocity[0], velocity[1], unknown, unknown, unknown,
                       unknown, unknown, unknown, unknown, None, 0, False)
