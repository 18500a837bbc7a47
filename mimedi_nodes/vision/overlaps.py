# SPDX-License-Identifier: Apache-2.0
"""Cells that touch or hide each other: which are there, and where, from the sum of what they look like."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.appearance import OverlapFit
from mimedi_nodes.vision.background import FloatImage
from mimedi_nodes.vision.blobs import Blob, Expected, TypicalCell, part_row
from mimedi_nodes.vision.opencv import cv2

# Blur under which blobs and remains are looked for, px.
BLUR_SIGMA_PX = 1.2
_SEED_SPREAD_PX = 3.0
_LEAST_AMPLITUDE = 0.4
_LEAST_REMAINS = 0.3
_UNEXPLAINED = 0.7
_PAIR_IS_BETTER = 0.75
_OPEN = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


class OverlapSolver:
    """Takes overlaps apart with the appearance of the cells expected in them; `typical` is shared and may change."""

    def __init__(self, typical: TypicalCell) -> None:
        self.typical = typical

    def is_pair(self, blob: Blob, expected: Expected, level: float) -> bool:
        """Compare one stretched mean cell with two mean cells along the blob's long axis; keep the two's places."""
        left, upper, wide, high = blob.box
        height, width = expected.images[0].shape
        x0, x1 = max(0, left - 4), min(width, left + wide + 4)
        y0, y1 = max(0, upper - 4), min(height, upper + high + 4)
        images = [image[y0:y1, x0:x1] for image in expected.images]
        typical_high = self.typical.diameter_px / math.sqrt(self.typical.aspect)
        typical_wide = self.typical.diameter_px * math.sqrt(self.typical.aspect)
        moments = cv2.moments(blob.contour)
        turn = 0.5 * math.atan2(2.0 * moments["mu11"], moments["mu20"] - moments["mu02"])
        along = np.array([math.cos(turn), math.sin(turn)])
        extent = abs(along[0]) * wide + abs(along[1]) * high
        usual = math.hypot(along[0] * typical_wide, along[1] * typical_high)
        reach = max(0.5 * (extent - usual), 0.18 * usual)
        one = expected.appearances.fit(images, expected.weights, np.array([-1]), np.array([blob.x - x0]),
                                       np.array([blob.y - y0]), np.array([_SEED_SPREAD_PX]),
                                       (wide / typical_wide, high / typical_high))
        ends = np.array([blob.x - x0, blob.y - y0]) + np.array([[-reach], [reach]]) * along
        two = expected.appearances.fit(images, expected.weights, np.array([-1, -1]), ends[:, 0], ends[:, 1],
                                       np.full(2, _SEED_SPREAD_PX))
        if not (two.amplitude.min() > 0.5 and two.amplitude.max() < 1.8):
            return False
        if math.hypot(two.x[0] - two.x[1], two.y[0] - two.y[1]) < 0.3 * self.typical.diameter_px:
            return False
        left_one, left_two = (cv2.norm(cv2.subtract(images[0], fit.model[0]) - level, cv2.NORM_L2SQR)
                              for fit in (one, two))
        if left_two > _PAIR_IS_BETTER * left_one:
            return False
        blob.seeds.extend((float(x) + x0, float(y) + y0) for x, y in zip(two.x, two.y, strict=True))
        return True

    def solve(self, expected: Expected, overlaps: list[Blob], level: float, threshold: float,
              width: int) -> list[tuple[Any, ...]]:
        """Positions of cells inside overlaps: expected ones, unknown ones, and those in what these leave over."""
        owners = [k for blob in overlaps for k in blob.members]
        seeds = [seed for blob in overlaps if not blob.members for seed in blob.seeds or self.peaks(blob)]
        if not owners and not seeds:
            # Blobs too flat for a peak: their middle is as good a guess.
            seeds = [(blob.x, blob.y) for blob in overlaps]
        fit, hits = self._fit_cells(expected, owners, seeds)
        more = self._left_over(expected, overlaps, level, threshold, fit)
        more += self._unclaimed_peaks(expected, overlaps, fit, more)
        if more:
            unknown = [(float(x), float(y)) for x, y in zip(fit.x[len(owners):], fit.y[len(owners):], strict=True)]
            fit, hits = self._fit_cells(expected, owners, unknown + more)
        self._drop_twins(fit, hits)
        owner = owners + [-1] * (len(fit.x) - len(owners))
        return [part_row(x, y, self.typical.contrast, x < 3.0 or x > width - 4.0, k)
                for x, y, amplitude, k in zip(fit.x.tolist(), fit.y.tolist(), fit.amplitude.tolist(), owner,
                                              strict=True) if amplitude > _LEAST_AMPLITUDE]

    @staticmethod
    def _fit_cells(expected: Expected, owners: list[int],
                   seeds: list[tuple[float, float]]) -> tuple[OverlapFit, NDArray[np.int_]]:
        """Fit expected cells `owners` and unknown cells at `seeds` together."""
        known = np.array(owners, int)
        more = np.array(seeds, float).reshape(-1, 2)
        fit = expected.appearances.fit(
            expected.images, expected.weights,
            np.concatenate([expected.ids[known], np.full(len(more), -1)]),
            np.concatenate([expected.x[known], more[:, 0]]), np.concatenate([expected.y[known], more[:, 1]]),
            np.concatenate([expected.spread_px[known], np.full(len(more), _SEED_SPREAD_PX)]))
        return fit, np.concatenate([expected.hits[known], np.zeros(len(more), int)])

    def _left_over(self, expected: Expected, overlaps: list[Blob], level: float, threshold: float,
                   fit: OverlapFit) -> list[tuple[float, float]]:
        """Centres of dark remains large enough for another cell."""
        residual = cv2.GaussianBlur(cv2.subtract(expected.images[0], fit.model[0]), (0, 0), BLUR_SIGMA_PX)
        tolerated = cv2.max(fit.model[0], 0.0)
        cv2.addWeighted(residual, 1.0, tolerated, -0.3, -level, dst=residual)
        dark = cv2.compare(residual, max(threshold, 0.4 * self.typical.contrast), cv2.CMP_GT)
        dark = cv2.morphologyEx(dark, cv2.MORPH_OPEN, _OPEN)
        least = _LEAST_REMAINS * math.pi / 4.0 * self.typical.diameter_px**2
        centres = []
        for blob in overlaps:
            left, upper, wide, high = blob.box
            part = dark[upper:upper + high, left:left + wide] & blob.mask
            if cv2.countNonZero(part) < least:
                continue
            contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            for contour in contours:
                area = cv2.contourArea(contour)
                if area >= least:
                    moments = cv2.moments(contour)
                    centres.append((moments["m10"] / area + left, moments["m01"] / area + upper))
        for k, lit in enumerate(expected.lit_levels, start=1):
            if lit > 0.0:
                self._unexplained_light(expected.images[k] - fit.model[k], lit, overlaps, fit, centres)
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
            contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            for contour in contours:
                if cv2.contourArea(contour) < 0.1 * math.pi / 4.0 * self.typical.diameter_px**2:
                    continue
                moments = cv2.moments(contour)
                x, y = moments["m10"] / moments["m00"] + left, moments["m01"] / moments["m00"] + upper
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
        left, upper = blob.box[:2]
        padded = cv2.copyMakeBorder(blob.mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        depth = cv2.GaussianBlur(cv2.distanceTransform(padded, cv2.DIST_L2, 3), (0, 0), 1.0)
        reach = 2 * int(0.22 * self.typical.diameter_px) + 1
        peak = cv2.dilate(depth, np.ones((reach, reach), np.uint8))
        y, x = np.nonzero((depth >= peak) & (depth > 0.28 * self.typical.diameter_px))
        cells: list[tuple[float, float]] = []
        for px, py in zip((x - 1 + left).tolist(), (y - 1 + upper).tolist(), strict=True):
            if all((px - ox) ** 2 + (py - oy) ** 2 > (0.3 * self.typical.diameter_px) ** 2 for ox, oy in cells):
                cells.append((px, py))
        return cells
