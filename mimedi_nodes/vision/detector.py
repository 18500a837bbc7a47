# SPDX-License-Identifier: Apache-2.0
"""Cells in one absorbance image: dark blobs, with touching and overlapping cells taken apart."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.appearance import Appearances, OverlapFit
from mimedi_nodes.vision.background import FloatImage
from mimedi_nodes.vision.detections import Detections, empty
from mimedi_nodes.vision.opencv import cv2
from mimedi_nodes.vision.settings import VisionSettings
from mimedi_nodes.vision.shape import HullShape, equivalent_diameter_px, hull_shape

_BLUR_SIGMA_PX = 1.2
# Noise left by that blur: 1 / (2 sqrt(pi) sigma) for white noise.
_BLUR_NOISE = 1.0 / (2.0 * math.sqrt(math.pi) * _BLUR_SIGMA_PX)
_THRESHOLD_SIGMAS = 4.0
_TYPICAL_RATE = 0.02
_SOLID = 0.92
# A cell's size is settled after so many frames.
_SIZES = 6
_SEED_SPREAD_PX = 3.0
_LEAST_AMPLITUDE = 0.4
_LEAST_REMAINS = 0.3
_UNEXPLAINED = 0.7
_LARGEST_OVERLAP = 6.0
_UNUSUAL = 1.25
_PAIR_IS_BETTER = 0.75
# A ring is a ring when its crest stands above the inside by this share of the cell's contrast.
_RING = 0.15
_DEPTHS = 8
# The boundary lies between the half-height outline (blur pushes it out) and the ring's crest (the body's slope
# pulls it in). How far rings lie inside is the optics' property: learnt from all cells, not cell by cell.
_BOUNDARY = 0.75
_MARGIN = 4
_NEAR = np.ones((3, 3), np.uint8)
# Below this share of the typical diameter a blob's width at half height decides whether it is a cell: the
# detection threshold makes a speck look as wide as a small cell.
_SMALL = 0.8


class Blob(NamedTuple):
    """One connected dark region: contour, area px², box (left, top, width, height), filled mask of the box."""

    contour: NDArray[Any]
    area: float
    diameter: float
    box: Any
    mask: NDArray[np.uint8]
    contrast: float
    shape: HullShape
    x: float
    y: float
    left_edge: bool
    right_edge: bool
    members: list[int]
    seeds: list[tuple[float, float]]

    def row(self, lone: bool, size_px: float = 0.0, sharpness: float = 0.0) -> tuple[Any, ...]:
        """The blob as one detection."""
        _, _, wide, high = self.box
        return (self.x, self.y, self.diameter, size_px, self.shape.area_px2, self.shape.deformation, wide / high,
                self.contrast, sharpness, lone, self.left_edge or self.right_edge, -1)


class Expected(NamedTuple):
    """Tracked cells at their predicted places, px, with what they look like and the images to fit."""

    ids: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    hits: NDArray[np.int32]
    sized: NDArray[np.int32]
    blob_px: NDArray[np.float64]
    contrast: NDArray[np.float64]
    spread_px: NDArray[np.float64]
    appearances: Appearances
    images: list[FloatImage]
    weights: list[float]
    lit_levels: list[float]


class CellDetector:
    """Finds cells in absorbance images (H, W) float32 of one position; learns noise and typical size."""

    def __init__(self, settings: VisionSettings) -> None:
        px = settings.um_per_px
        self._min_px, self._max_px = settings.cell_diameter_min_um / px, settings.cell_diameter_max_um / px
        self._walls = (settings.wall_top_px, settings.wall_bottom_px)
        # Before any lone cell was seen: the geometric middle of the allowed sizes.
        self.typical_diameter_px = math.sqrt(self._min_px * self._max_px)
        self.typical_contrast = 0.0
        self.typical_aspect = 0.0
        self.typical_sharpness = 0.0
        self.noise = 0.0
        self.threshold = 0.0
        self.pixel_noise = 0.0
        self._ring_share = 0.0
        self._fringe_share = 0.0
        self._level = 0.0
        self._frames = 0
        self._cover: NDArray[np.uint8] | None = None
        self._close = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
        self._open = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
        self._guard = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))

    @property
    def free(self) -> NDArray[np.uint8]:
        """255 where the last image shows no cell and none near (H, W)."""
        assert self._cover is not None
        return cv2.bitwise_not(self._cover)

    def detect(self, absorbance: FloatImage, shift_px: float = 0.0, expected: Expected | None = None) -> Detections:
        """Cells of one image; `shift_px` is how far the walls have moved down.

        With `expected` cells, blobs that hold several of them, or more than the one, are fitted with their sum.
        """
        height, width = absorbance.shape
        top = max(0, math.ceil(self._walls[0] + shift_px) + 1)
        bottom = min(height, math.floor(self._walls[1] + shift_px))
        if self._cover is None or self._cover.shape != absorbance.shape:
            self._cover = np.zeros((height, width), np.uint8)
        self._cover[:] = 0
        inside = absorbance[top:bottom]
        smooth = cv2.GaussianBlur(inside, (0, 0), _BLUR_SIGMA_PX)
        if self._frames % 4 == 0:
            noise = _pixel_noise(inside)
            self.pixel_noise = noise if self.pixel_noise == 0.0 else 0.8 * self.pixel_noise + 0.2 * noise
        if self._frames == 0:
            self._level = _mode(smooth)
        self._frames += 1
        self.noise = _BLUR_NOISE * self.pixel_noise
        level = self._level
        self.threshold = max(_THRESHOLD_SIGMAS * self.noise, 0.2 * self.typical_contrast)
        mask = cv2.compare(smooth, level + self.threshold, cv2.CMP_GT)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, self._close)
        blobs = self._blobs(mask, smooth, level, width)
        rows: list[tuple[Any, ...]] = []
        if expected is not None:
            expected = expected._replace(y=expected.y - top, images=[image[top:bottom] for image in expected.images])
            self._assign(blobs, expected)
        overlaps: list[Blob] = []
        for blob in blobs:
            if expected is not None and self._doubtful(blob, expected) and self._is_pair(blob, expected, level):
                # Whoever was expected here will be linked to the nearer of the two.
                blob.members.clear()
                overlaps.append(blob)
            elif blob.members and not self._is_one(blob, expected):
                overlaps.append(blob)
            elif blob.members or self._looks_single(blob):
                if blob.diameter <= self._max_px:
                    known = expected is not None and len(blob.members) == 1 \
                        and expected.sized[blob.members[0]] >= _SIZES
                    rows.append(blob.row(True) if known or blob.left_edge or blob.right_edge
                                else blob.row(True, *self._size(blob, inside, level)))
            elif expected is not None and blob.diameter <= _LARGEST_OVERLAP * self._max_px:
                overlaps.append(blob)
            else:
                rows += self._split(blob)
        if overlaps:
            assert expected is not None
            rows += self._fit(expected, overlaps, level, width)
        cover = self._cover[top:bottom]
        cv2.dilate(mask, self._guard, dst=cover)
        free = cv2.compare(cover, 0, cv2.CMP_EQ)
        if cv2.countNonZero(free) > 800:
            self._level += 0.3 * (cv2.mean(smooth, free)[0] - self._level)
        found = empty(len(rows))
        if rows:
            found[:] = rows
            found["y"] += top
        self._learn(found)
        return found

    def _blobs(self, mask: NDArray[np.uint8], smooth: FloatImage, level: float, width: int) -> list[Blob]:
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        min_area = math.pi / 4.0 * (0.75 * self._min_px) ** 2
        blobs = []
        mask[:] = 0
        for contour in contours:
            area = cv2.contourArea(contour)
            if area < min_area:
                continue
            diameter = equivalent_diameter_px(area, len(contour))
            if diameter < self._min_px:
                continue
            box = cv2.boundingRect(contour)
            left, upper, wide, high = box
            # A streak along the flow is what is left of a wall, not a cell.
            if wide > 4 * high and high < 0.8 * self._min_px:
                continue
            local = np.zeros((high, wide), np.uint8)
            cv2.drawContours(local, [contour], -1, 255, -1, offset=(-left, -upper))
            mask[upper:upper + high, left:left + wide] |= local
            if diameter < _SMALL * self.typical_diameter_px:
                peak = smooth[upper:upper + high, left:left + wide]
                _, highest, _, _ = cv2.minMaxLoc(peak, local)
                pixels = cv2.countNonZero(cv2.compare(peak, 0.5 * (highest + level), cv2.CMP_GT) & local)
                if 2.0 * math.sqrt(pixels / math.pi) < self._min_px:
                    continue
            contrast = cv2.mean(smooth[upper:upper + high, left:left + wide], local)[0] - level
            moments = cv2.moments(contour)
            blobs.append(Blob(contour, area, diameter, box, local, contrast, hull_shape(contour),
                              moments["m10"] / moments["m00"], moments["m01"] / moments["m00"],
                              left == 0, left + wide >= width, [], []))
        return blobs

    def _size(self, blob: Blob, image: FloatImage, level: float) -> tuple[float, float]:
        """Diameter of the cell's boundary, px, and sharpness of its outline, 1/px.

        The contour half-way between a blurred disc and its surroundings lies on the true edge, whatever the
        detection threshold; where a bright fringe surrounds the cell, half-way from dark to bright.
        """
        left, upper, wide, high = blob.box
        # Less blur than for detection: it would smear the boundary into the fringe.
        x0, y0 = max(0, left - _MARGIN), max(0, upper - _MARGIN)
        around = cv2.GaussianBlur(image[y0:upper + high + _MARGIN, x0:left + wide + _MARGIN], (3, 3), 0.6)
        patch = around[upper - y0:upper - y0 + high, left - x0:left - x0 + wide]
        core = cv2.compare(patch, level + blob.contrast, cv2.CMP_GT) & blob.mask
        plateau = cv2.mean(patch, core)[0] - level
        fringe = self._fringe(blob, around, (left - x0, upper - y0), level)
        self._fringe_share += 0.02 * (fringe / plateau - self._fringe_share)
        middle = 0.5 * plateau * (1.0 + min(self._fringe_share, 0.0))
        half = cv2.compare(patch, level + middle, cv2.CMP_GT) & blob.mask
        contours, _ = cv2.findContours(half, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if not contours:
            return 0.0, 0.0
        outline = max(contours, key=len)
        diameter = equivalent_diameter_px(cv2.contourArea(outline), len(outline))
        inward = _crest_depth(patch, outline, level, plateau)
        # From the threshold's contour to that at half height the absorbance climbs this much over this way.
        way = max(0.5 * (blob.diameter - diameter), 0.25)
        self._ring_share += 0.02 * (inward / diameter - self._ring_share)
        rise = max(0.5 * plateau - self.threshold, 0.05 * plateau) / max(plateau, 1e-6)
        return diameter * (1.0 - 2.0 * _BOUNDARY * self._ring_share), rise / way

    @staticmethod
    def _fringe(blob: Blob, around: FloatImage, corner: tuple[int, int], level: float) -> float:
        """Absorbance of the ring around a blob, negative where it is brighter than the empty channel."""
        _, _, wide, high = blob.box
        inner = np.zeros(around.shape, np.uint8)
        inner[corner[1]:corner[1] + high, corner[0]:corner[0] + wide] = blob.mask
        near = cv2.dilate(inner, _NEAR)
        return float(min(cv2.mean(around, near & ~inner)[0], cv2.mean(around, cv2.dilate(near, _NEAR) & ~near)[0])
                     - level)

    def _looks_single(self, blob: Blob) -> bool:
        if blob.diameter < 0.8 * self.typical_diameter_px:
            return True
        solid = blob.area / max(blob.shape.area_px2, 1e-9)
        _, _, wide, high = blob.box
        round_enough = max(wide, high) < 2.1 * min(wide, high)
        return solid > _SOLID and round_enough and blob.diameter < 1.6 * self.typical_diameter_px

    def _doubtful(self, blob: Blob, expected: Expected) -> bool:
        """True for a blob that may be one cell or two: unusual in size or proportions, and not seen before."""
        if len(blob.members) > 1:
            return False
        if blob.members and expected.sized[blob.members[0]] >= _SIZES:
            return False
        return self._looks_single(blob) and self._unusual(blob)

    def _unusual(self, blob: Blob) -> bool:
        """True when size or proportions are not those of most lone cells."""
        if self.typical_aspect == 0.0:
            return False
        _, _, wide, high = blob.box
        if blob.left_edge or blob.right_edge:
            return bool(high > _UNUSUAL * self.typical_diameter_px / math.sqrt(self.typical_aspect))
        proportion = wide / high / self.typical_aspect
        return blob.diameter > 1.12 * self.typical_diameter_px or not 1.0 / _UNUSUAL < proportion < _UNUSUAL

    def _is_pair(self, blob: Blob, expected: Expected, level: float) -> bool:
        """Compare one stretched mean cell with two mean cells along the blob's long axis; keep the two's places."""
        left, upper, wide, high = blob.box
        height, width = expected.images[0].shape
        x0, x1 = max(0, left - 4), min(width, left + wide + 4)
        y0, y1 = max(0, upper - 4), min(height, upper + high + 4)
        images = [image[y0:y1, x0:x1] for image in expected.images]
        typical_high = self.typical_diameter_px / math.sqrt(self.typical_aspect)
        typical_wide = self.typical_diameter_px * math.sqrt(self.typical_aspect)
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
        if math.hypot(two.x[0] - two.x[1], two.y[0] - two.y[1]) < 0.3 * self.typical_diameter_px:
            return False
        left_one, left_two = (float(((images[0] - level - fit.model[0]) ** 2).sum()) for fit in (one, two))
        if left_two > _PAIR_IS_BETTER * left_one:
            return False
        blob.seeds.extend((float(x) + x0, float(y) + y0) for x, y in zip(two.x, two.y, strict=True))
        return True

    @staticmethod
    def _assign(blobs: list[Blob], expected: Expected) -> None:
        """Give each expected cell to the blob whose mask holds its centre."""
        for k, (x, y) in enumerate(zip(expected.x.tolist(), expected.y.tolist(), strict=True)):
            column, row = round(x), round(y)
            for blob in blobs:
                left, upper, wide, high = blob.box
                if left <= column < left + wide and upper <= row < upper + high \
                        and blob.mask[row - upper, column - left]:
                    blob.members.append(k)
                    break

    def _is_one(self, blob: Blob, expected: Expected | None) -> bool:
        """True when a blob shows one cell: the only one expected there, with its own size."""
        assert expected is not None
        if not self._looks_single(blob):
            return False
        oldest = max(blob.members, key=lambda k: int(expected.hits[k]))
        own = float(expected.blob_px[oldest])
        if own > 0.0 and blob.diameter > 1.18 * own + 0.5:
            return False
        if own <= 0.0 and len(blob.members) > 1 and self._unusual(blob):
            return False
        if len(blob.members) > 1:
            # Two cells on one spot are darker than one: otherwise it is one cell that was taken for two.
            usual = float(expected.contrast[oldest]) if own > 0.0 else self.typical_contrast
            if blob.contrast > 1.35 * usual:
                return False
            blob.members[:] = [oldest]
        return True

    def _peaks(self, blob: Blob) -> list[tuple[float, float]]:
        """Likely centres of the cells in a blob: peaks of its distance transform."""
        left, upper = blob.box[:2]
        padded = cv2.copyMakeBorder(blob.mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        depth = cv2.GaussianBlur(cv2.distanceTransform(padded, cv2.DIST_L2, 3), (0, 0), 1.0)
        reach = 2 * int(0.22 * self.typical_diameter_px) + 1
        peak = cv2.dilate(depth, np.ones((reach, reach), np.uint8))
        y, x = np.nonzero((depth >= peak) & (depth > 0.28 * self.typical_diameter_px))
        cells: list[tuple[float, float]] = []
        for px, py in zip((x - 1 + left).tolist(), (y - 1 + upper).tolist(), strict=True):
            if all((px - ox) ** 2 + (py - oy) ** 2 > (0.3 * self.typical_diameter_px) ** 2 for ox, oy in cells):
                cells.append((px, py))
        return cells

    def _split(self, blob: Blob) -> list[tuple[Any, ...]]:
        """Take a blob apart at its peaks, while it is not yet known what a cell looks like."""
        cells = self._peaks(blob)
        if len(cells) <= 1:
            return [blob.row(lone=False)] if blob.diameter <= self._max_px else []
        return [self._part(x, y, blob.contrast, blob.left_edge or blob.right_edge) for x, y in cells]

    @staticmethod
    def _part(x: float, y: float, contrast: float, edge: bool, owner: int = -1) -> tuple[Any, ...]:
        return (x, y, 0.0, 0.0, 0.0, 0.0, 0.0, contrast, 0.0, False, edge, owner)

    def _fit(self, expected: Expected, overlaps: list[Blob], level: float, width: int) -> list[tuple[Any, ...]]:
        """Positions of cells inside overlaps: expected ones, unknown ones, and those in what these leave over."""
        owners = [k for blob in overlaps for k in blob.members]
        seeds = [seed for blob in overlaps if not blob.members for seed in blob.seeds or self._peaks(blob)]
        if not owners and not seeds:
            # Blobs too flat for a peak: their middle is as good a guess.
            seeds = [(blob.x, blob.y) for blob in overlaps]
        fit, hits = self._fit_cells(expected, owners, seeds)
        more = self._left_over(expected, overlaps, level, fit)
        more += self._unclaimed_peaks(expected, overlaps, fit, more)
        if more:
            unknown = [(float(x), float(y)) for x, y in zip(fit.x[len(owners):], fit.y[len(owners):], strict=True)]
            fit, hits = self._fit_cells(expected, owners, unknown + more)
        self._drop_twins(fit, hits)
        owner = owners + [-1] * (len(fit.x) - len(owners))
        return [self._part(x, y, self.typical_contrast, x < 3.0 or x > width - 4.0, k)
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

    def _left_over(self, expected: Expected, overlaps: list[Blob], level: float,
                   fit: OverlapFit) -> list[tuple[float, float]]:
        """Centres of dark remains large enough for another cell."""
        residual = cv2.GaussianBlur(expected.images[0] - level - fit.model[0], (0, 0), _BLUR_SIGMA_PX)
        tolerance = 0.3 * np.maximum(fit.model[0], 0.0) + max(self.threshold, 0.4 * self.typical_contrast)
        dark = np.where(residual > tolerance, np.uint8(255), np.uint8(0))
        dark = cv2.morphologyEx(dark, cv2.MORPH_OPEN, self._open)
        least = _LEAST_REMAINS * math.pi / 4.0 * self.typical_diameter_px**2
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
            known = np.where(own > 0.0, own, self.typical_diameter_px)
            if not blob.members or (bool((own > 0.0).all()) and math.pi / 4.0 * float((known**2).sum()) > blob.area):
                continue
            for x, y in self._peaks(blob):
                taken = [*centres, *found, *zip(fit.x.tolist(), fit.y.tolist(), strict=True)]
                if all(math.hypot(x - ox, y - oy) > 0.5 * self.typical_diameter_px for ox, oy in taken):
                    found.append((x, y))
        return found

    def _unexplained_light(self, residual: FloatImage, lit: float, overlaps: list[Blob], fit: OverlapFit,
                           centres: list[tuple[float, float]]) -> None:
        """Add the places inside overlaps whose fluorescence no fitted cell accounts for."""
        smooth = cv2.GaussianBlur(residual, (0, 0), 0.15 * self.typical_diameter_px)
        bright = cv2.compare(smooth, _UNEXPLAINED * lit, cv2.CMP_GT)
        apart = 0.35 * self.typical_diameter_px
        for blob in overlaps:
            left, upper, wide, high = blob.box
            part = bright[upper:upper + high, left:left + wide] & blob.mask
            if not cv2.countNonZero(part):
                continue
            contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            for contour in contours:
                if cv2.contourArea(contour) < 0.1 * math.pi / 4.0 * self.typical_diameter_px**2:
                    continue
                moments = cv2.moments(contour)
                x, y = moments["m10"] / moments["m00"] + left, moments["m01"] / moments["m00"] + upper
                taken = [*centres, *zip(fit.x.tolist(), fit.y.tolist(), strict=True)]
                if all(math.hypot(x - ox, y - oy) > apart for ox, oy in taken):
                    centres.append((x, y))

    def _drop_twins(self, fit: OverlapFit, hits: NDArray[np.int_]) -> None:
        """Set the amplitude of the younger of two fitted cells to 0 where both together explain but one."""
        near = (np.hypot(fit.x[:, None] - fit.x[None, :], fit.y[:, None] - fit.y[None, :])
                < 0.35 * self.typical_diameter_px)
        for i, j in zip(*np.nonzero(np.triu(near, 1)), strict=True):
            both = fit.amplitude[i] + fit.amplitude[j]
            if both < 1.5 and fit.amplitude[i] > 0.0 and fit.amplitude[j] > 0.0:
                young, old = (i, j) if hits[i] < hits[j] else (j, i)
                fit.amplitude[young] = 0.0
                fit.amplitude[old] = both

    def _learn(self, found: Detections) -> None:
        lone = found[found["lone"] & ~found["edge"] & (found["aspect"] < 2.0)]
        if not len(lone):
            return
        rate = min(1.0, _TYPICAL_RATE * len(lone))
        if self.typical_contrast == 0.0:
            rate = 1.0
            self.typical_aspect = float(np.median(lone["aspect"]))
        self.typical_aspect += rate * (float(np.median(lone["aspect"])) - self.typical_aspect)
        self.typical_diameter_px += rate * (float(np.median(lone["blob_px"])) - self.typical_diameter_px)
        self.typical_contrast += rate * (float(np.median(lone["contrast"])) - self.typical_contrast)


def _crest_depth(patch: FloatImage, outline: NDArray[Any], level: float, plateau: float) -> float:
    """How far inside the half-height outline a dark ring has its crest, px; 0 without a ring.

    A cell's boundary refracts light out of the objective: where there is a dark ring, its crest is the boundary.
    """
    filled = np.zeros((patch.shape[0] + 2, patch.shape[1] + 2), np.uint8)
    cv2.drawContours(filled, [outline], -1, 1, -1, offset=(1, 1))
    depth = cv2.distanceTransform(filled, cv2.DIST_L2, 3)[1:-1, 1:-1]
    step = np.minimum((depth + 0.5).astype(np.int32), _DEPTHS).ravel()
    count = np.bincount(step, minlength=_DEPTHS + 1)[1:].astype(float)
    total = np.bincount(step, weights=patch.ravel(), minlength=_DEPTHS + 1)[1:]
    used = count >= 6
    height = np.where(used, total / np.maximum(count, 1.0) - level, 0.0)
    crest = int(height.argmax())
    inside = height[crest + 1:][used[crest + 1:]]
    if not len(inside) or height[crest] - inside.min() < _RING * plateau:
        return 0.0
    before = height[crest - 1] if crest else 0.5 * plateau
    after = height[crest + 1]
    bend = before + after - 2.0 * height[crest]
    offset = 0.5 * (before - after) / bend if bend < 0.0 else 0.0
    return max(0.0, crest + 0.5 + min(max(offset, -0.5), 0.5))


def _mode(smooth: FloatImage) -> float:
    """Most frequent value of an image: the empty channel's, since cells spread over many values."""
    sample = smooth[::3, ::3].ravel()
    low, high = np.percentile(sample, (1.0, 80.0))
    if high <= low:
        return float(low)
    counts, edges = np.histogram(sample, bins=60, range=(float(low), float(high)))
    smoothed = np.convolve(counts, np.ones(7), mode="same")
    return float(edges[int(smoothed.argmax())] + 0.5 * (edges[1] - edges[0]))


def _pixel_noise(image: FloatImage) -> float:
    """Standard deviation of one pixel, from differences of neighbours (their median ignores outlines)."""
    right = image[::3, 1::4]
    difference = np.abs(right - image[::3, 0:-1:4][:, :right.shape[1]])
    return max(1.4826 / math.sqrt(2.0) * float(np.median(difference)), 1e-4)
