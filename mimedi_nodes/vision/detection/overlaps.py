# SPDX-License-Identifier: Apache-2.0
"""Cells that touch or hide each other: which are there, and where, from the sum of what they look like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.detection.appearance import OverlapFit
from mimedi_nodes.vision.detection.background import FloatImage
from mimedi_nodes.vision.detection.blobs import Blob, Expected, TypicalCell, part_row
from mimedi_nodes.vision.detection.overlap_kernel import OverlapKernel
from mimedi_nodes.vision.kernels import kernel
from mimedi_nodes.vision.opencv import cv2

# Blur under which blobs and remains are looked for, px.
BLUR_SIGMA_PX = 1.2
_SEED_SPREAD_PX = 3.0
LEAST_AMPLITUDE = 0.4
_LEAST_REMAINS = 0.37
_TOLERATED = 0.3
_UNEXPLAINED = 0.7
_TWINS, _TWIN_MASS, _TWIN_SLOPE = 0.45, 2.35, 3.0
_PAIR_IS_BETTER, _TWO_ARE_WORSE = 0.75, 1.2
# How near two unknown cells are that may be one large one, of a diameter; what one may leave over what two leave.
_MERGE_REACH, _ONE_IS_BETTER = 0.75, 1.0
_OPEN = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


class OverlapSolver:
    """Takes overlaps apart with the appearance of the cells expected in them; `typical` is shared and may change.

    Where there is a compiled kernel, `kernel` does the same, and learns what cells look like on the way.

    Args:
        limits: of the detector, for the compiled kernel.
    """

    def __init__(self, typical: TypicalCell, limits: Mapping[str, float]) -> None:
        self.typical = typical
        self.kernel: OverlapKernel | None = None
        if kernel.compiled("sort_by_expectation") is not None:
            self.kernel = OverlapKernel(
                {**limits, "pair_is_better": _PAIR_IS_BETTER, "two_are_worse": _TWO_ARE_WORSE},
                blur=BLUR_SIGMA_PX, tolerated=_TOLERATED,
                seed_spread=_SEED_SPREAD_PX, least_remains=_LEAST_REMAINS, unexplained=_UNEXPLAINED, twins=_TWINS,
                twin_mass=_TWIN_MASS, twin_slope=_TWIN_SLOPE, merge_reach=_MERGE_REACH, one_is_better=_ONE_IS_BETTER)

    def is_pair(self, blob: Blob, expected: Expected, level: float) -> bool:
        """Compare one stretched mean cell with two mean cells along the blob's long axis; keep the two's places."""
        left, upper, wide, high = blob.box
        height, width = expected.images[0].shape
        x0, x1 = max(0, left - 4), min(width, left + wide + 4)
        y0, y1 = max(0, upper - 4), min(height, upper + high + 4)
        images = [image[y0:y1, x0:x1] for image in expected.images]
        root = math.sqrt(self.typical.aspect)
        typical_wide, typical_high = self.typical.diameter_px * root, self.typical.diameter_px / root
        along = math.cos(blob.turn), math.sin(blob.turn)
        extent = abs(along[0]) * wide + abs(along[1]) * high
        usual = math.hypot(along[0] * typical_wide, along[1] * typical_high)
        reach = max(0.5 * (extent - usual), 0.18 * usual)
        two, left_one, left_two = self._one_or_two(
            expected, images, level, (blob.x - x0, blob.y - y0), (reach * along[0], reach * along[1]),
            (wide / typical_wide, high / typical_high))
        (ax, ay, first), (bx, by, second) = two.tolist()
        if not (min(first, second) > 0.5 and max(first, second) < 1.8):
            return False
        if math.hypot(ax - bx, ay - by) < 0.3 * self.typical.diameter_px or left_two > _PAIR_IS_BETTER * left_one:
            return False
        blob.seeds.extend([(ax + x0, ay + y0), (bx + x0, by + y0)])
        return True

    @staticmethod
    def _one_or_two(expected: Expected, images: list[FloatImage], level: float, place: tuple[float, float],
                    apart: tuple[float, float],
                    stretch: tuple[float, float]) -> tuple[NDArray[np.float64], float, float]:
        """Fit one mean cell, stretched, and two at `place` -+ `apart`, to small images.

        Returns x, y, amplitude of the two (2, 3), and the squares that the one and the two leave of the images.
        """
        x, y = place
        one = expected.appearances.fit(images, expected.weights, np.array([-1]), np.array([x]), np.array([y]),
                                       np.array([_SEED_SPREAD_PX]), stretch)
        two = expected.appearances.fit(
            images, expected.weights, np.array([-1, -1]), np.array([x - apart[0], x + apart[0]]),
            np.array([y - apart[1], y + apart[1]]), np.full(2, _SEED_SPREAD_PX))
        left_one, left_two = (sum(weight**2 * cv2.norm(layer - (0.0 if k else level), cv2.NORM_L2SQR)
                                  for k, (weight, layer) in enumerate(zip(expected.weights, fit.residual, strict=True)))
                              for fit in (one, two))
        return np.column_stack([two.x, two.y, two.amplitude]), left_one, left_two

    def remains_limit(self, level: float, threshold: float) -> float:
        """How dark what a fit leaves must be to be a cell."""
        return max(threshold, 0.4 * self.typical.contrast) + level

    def solve(self, expected: Expected, overlaps: list[Blob], level: float, threshold: float,
              width: int) -> list[tuple[Any, ...]]:
        """Positions of cells inside overlaps: expected ones, unknown ones, and those in what these leave over."""
        cells = self._solve(expected, overlaps, self.remains_limit(level, threshold))
        return [part_row(x, y, self.typical.contrast, x < 3.0 or x > width - 4.0, owner)
                for x, y, amplitude, owner in cells if amplitude > LEAST_AMPLITUDE]

    def _solve(self, expected: Expected, overlaps: list[Blob],
               limit: float) -> list[tuple[float, float, float, int]]:
        owners = [k for blob in overlaps for k in blob.members]
        seeds = [seed for blob in overlaps if not blob.members for seed in blob.seeds]
        seeds += [place for b in overlaps if not b.members and not b.seeds for place in self.peaks(b)]
        if not owners and not seeds:
            # Blobs too flat for a peak: their middle is as good a guess.
            seeds = [(b.box[0] + 0.5 * b.box[2], b.box[1] + 0.5 * b.box[3]) for b in overlaps]
        fit = self._fit_cells(expected, owners, seeds)
        more = self._left_over(expected, overlaps, limit, fit)
        more += self._unclaimed_peaks(expected, overlaps, fit, more)
        if more:
            fit = self._fit_cells(expected, owners, seeds + more, fit)
        owner = owners + [-1] * (len(fit.x) - len(owners))
        hits = np.array([0 if k < 0 else int(expected.hits[k]) for k in owner])
        self._drop_twins(fit, hits)
        return list(zip(fit.x.tolist(), fit.y.tolist(), fit.amplitude.tolist(), owner, strict=True))

    @staticmethod
    def _fit_cells(expected: Expected, owners: list[int], seeds: list[tuple[float, float]],
                   start: OverlapFit | None = None) -> OverlapFit:
        """Fit expected cells `owners` and unknown cells at `seeds` together."""
        known, count = np.array(owners, int), len(owners)
        ids = np.full(count + len(seeds), -1)
        places = np.empty((3, count + len(seeds)))
        ids[:count] = expected.ids[known]
        places[0, :count], places[1, :count] = expected.x[known], expected.y[known]
        places[2, :count], places[2, count:] = expected.spread_px[known], _SEED_SPREAD_PX
        if seeds:
            places[:2, count:] = np.array(seeds).T
        return expected.appearances.fit(expected.images, expected.weights, ids, places[0], places[1], places[2],
                                        start=start)

    def _left_over(self, expected: Expected, overlaps: list[Blob], limit: float,
                   fit: OverlapFit) -> list[tuple[float, float]]:
        """Centres of dark remains large enough for another cell."""
        least = math.ceil(_LEAST_REMAINS * math.pi / 4.0 * self.typical.diameter_px**2)
        centres = _remains(expected.images[0], fit.residual[0], overlaps, limit, least)
        for k, lit in enumerate(expected.lit_levels, start=1):
            if lit > 0.0:
                self._unexplained_light(fit.residual[k], lit, overlaps, fit, centres)
        return centres

    def _unclaimed_peaks(self, expected: Expected, overlaps: list[Blob], fit: OverlapFit,
                         centres: list[tuple[float, float]]) -> list[tuple[float, float]]:
        """Peaks of blobs that are larger than their known cells, or whose cells were never seen alone."""
        found: list[tuple[float, float]] = []
        for blob in overlaps:
            own = expected.blob_px[blob.members]
            known = np.where(own > 0.0, own, self.typical.diameter_px)
            if not blob.members or (bool((own > 0.0).all()) and math.pi / 4.0 * float((known**2).sum()) > blob.area):
                continue
            for x, y in self.peaks(blob):
                taken = [*centres, *found, *zip(fit.x.tolist(), fit.y.tolist(), strict=True)]
                if all(math.hypot(x - ox, y - oy) > 0.5 * self.typical.diameter_px for ox, oy in taken):
                    found.append((x, y))
        return found

    def _unexplained_light(self, residual: FloatImage, lit: float, overlaps: list[Blob], fit: OverlapFit,
                           centres: list[tuple[float, float]]) -> None:
        """Add the places inside overlaps whose fluorescence no fitted cell accounts for."""
        smooth = cv2.GaussianBlur(residual, (0, 0), 0.15 * self.typical.diameter_px)
        bright = cv2.compare(smooth, _UNEXPLAINED * lit, cv2.CMP_GT)
        apart = 0.35 * self.typical.diameter_px
        for blob in overlaps:
            left, upper, wide, high = blob.box
            part = bright[upper:upper + high, left:left + wide] & blob.mask
            if not cv2.countNonZero(part):
                continue
            _, _, stats, middles = cv2.connectedComponentsWithStats(part)
            for (x, y), area in zip((middles[1:] + np.array([left, upper])).tolist(),
                                    stats[1:, cv2.CC_STAT_AREA].tolist(), strict=True):
                if area < 0.1 * math.pi / 4.0 * self.typical.diameter_px**2:
                    continue
                taken = [*centres, *zip(fit.x.tolist(), fit.y.tolist(), strict=True)]
                if all(math.hypot(x - ox, y - oy) > apart for ox, oy in taken):
                    centres.append((x, y))

    def _drop_twins(self, fit: OverlapFit, hits: NDArray[np.int_]) -> None:
        """Set the amplitude of the younger of two fitted cells to 0 where both together explain but one."""
        near = (np.hypot(fit.x[:, None] - fit.x[None, :], fit.y[:, None] - fit.y[None, :])
                < 0.35 * self.typical.diameter_px)
        for i, j in zip(*np.nonzero(np.triu(near, 1)), strict=True):
            both = fit.amplitude[i] + fit.amplitude[j]
            if both < 1.5 and fit.amplitude[i] > 0.0 and fit.amplitude[j] > 0.0:
                young, old = (i, j) if hits[i] < hits[j] else (j, i)
                fit.amplitude[young] = 0.0
                fit.amplitude[old] = both

    def peaks(self, blob: Blob) -> list[tuple[float, float]]:
        """Likely centres of the cells in a blob: peaks of its distance transform."""
        reach, least, apart = (share * self.typical.diameter_px for share in (0.22, 0.28, 0.3))
        left, upper = blob.box[:2]
        padded = cv2.copyMakeBorder(blob.mask, 4, 4, 4, 4, cv2.BORDER_CONSTANT, value=0)
        depth = cv2.GaussianBlur(cv2.distanceTransform(padded, cv2.DIST_L2, 3), (7, 7), 1.0)[4:-4, 4:-4]
        highest = cv2.dilate(depth, np.ones((2 * int(reach) + 1, 2 * int(reach) + 1), np.uint8))
        y, x = np.nonzero((depth >= highest) & (depth > least))
        cells: list[tuple[float, float]] = []
        for px, py in zip((x + left).tolist(), (y + upper).tolist(), strict=True):
            if all((px - ox) ** 2 + (py - oy) ** 2 > apart**2 for ox, oy in cells):
                cells.append((px, py))
        return cells


def _remains(image: FloatImage, residual: FloatImage, overlaps: list[Blob], limit: float,
             least: int) -> list[tuple[float, float]]:
    """Middles of what the fit leaves dark inside the blobs."""
    smooth = cv2.GaussianBlur(residual, (11, 11), BLUR_SIGMA_PX)
    explained = cv2.max(cv2.subtract(image, residual), 0.0)
    dark = cv2.compare(cv2.addWeighted(smooth, 1.0, explained, -_TOLERATED, 0.0), limit, cv2.CMP_GT)
    dark = cv2.morphologyEx(dark, cv2.MORPH_OPEN, _OPEN)
    centres = []
    for blob in overlaps:
        left, upper, wide, high = blob.box
        part = dark[upper:upper + high, left:left + wide] & blob.mask
        _, _, stats, middles = cv2.connectedComponentsWithStats(part)
        for (x, y), area in zip(middles[1:].tolist(), stats[1:, cv2.CC_STAT_AREA].tolist(), strict=True):
            if area >= least:
                centres.append((x + left, y + upper))
    return centres
