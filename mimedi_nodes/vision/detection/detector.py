# SPDX-License-Identifier: Apache-2.0
"""Cells in one absorbance image: dark blobs, with touching and overlapping cells taken apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.camera.settings import VisionSettings
from mimedi_nodes.vision.detection.background import FloatImage
from mimedi_nodes.vision.detection.blob_finder import BlobFinder
from mimedi_nodes.vision.detection.blobs import SOLID, UNUSUAL, Blob, BlobTable, Expected, TypicalCell, part_row
from mimedi_nodes.vision.detection.bubbles import find_bubbles, leave_out
from mimedi_nodes.vision.detection.detections import Detections
from mimedi_nodes.vision.detection.medians import median
from mimedi_nodes.vision.detection.overlaps import BLUR_SIGMA_PX, LEAST_AMPLITUDE, OverlapSolver
from mimedi_nodes.vision.detection.sizing import CellSizer
from mimedi_nodes.vision.kernels import kernel
from mimedi_nodes.vision.opencv import cv2

# Noise left by that blur: 1 / (2 sqrt(pi) sigma) for white noise.
_BLUR_NOISE = 1.0 / (2.0 * math.sqrt(math.pi) * BLUR_SIGMA_PX)
_BLUR_REACH_PX = 3
# Nearer to a cell than this nothing counts as empty; of fewer empty places nothing is learnt.
_GUARD_REACH_PX, _LEAST_EMPTY_PX = 4, 800
# `SIDE` of kernel_source/images.c.
_SIDE = 16
_THRESHOLD_SIGMAS = 4.0
_TYPICAL_RATE = 0.02
# A cell's size is settled after so many frames.
_SIZES = 6
_LARGEST_OVERLAP = 6.0
_LEAST_SIDE_PX = 16
# Below this share of the typical diameter a blob's width at half height decides whether it is a cell: the
# detection threshold makes a speck look as wide as a small cell.
_SMALL = 0.8


class CellDetector:
    """Finds cells in absorbance images (H, W) float32 of one position; learns noise and typical size.

    `bubbles` is how many gas bubbles the last image showed; they are no cells.
    """

    def __init__(self, settings: VisionSettings) -> None:
        px = settings.um_per_px
        self._min_px, self._max_px = settings.particle_diameter_min_um / px, settings.cell_diameter_max_um / px
        self._cell_px = settings.cell_diameter_min_um / px
        self._walls = (settings.wall_top_px, settings.wall_bottom_px)
        # Before any lone cell was seen: the geometric middle of the allowed sizes.
        self.typical = TypicalCell(math.sqrt(settings.cell_diameter_min_um / px * self._max_px))
        self._solver = OverlapSolver(self.typical, {
            "largest": self._max_px, "largest_overlap": _LARGEST_OVERLAP, "sizes": _SIZES, "solid": SOLID,
            "unusual": UNUSUAL})
        self._finder = BlobFinder(self._min_px)
        self._sizer = CellSizer()
        self.noise = 0.0
        self.threshold = 0.0
        self.pixel_noise = 0.0
        self.bubbles = 0
        self._level = 0.0
        self._frames = 0
        self._smooth, self._lines = np.empty(0, np.float32), np.empty(0, np.float32)
        self._seen: tuple[NDArray[np.uint8], FloatImage, int, int] | None = None
        self._close = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
        side = 2 * _GUARD_REACH_PX + 1
        self._guard = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        self._guard_halves = (self._guard.sum(axis=1, dtype=np.int32) - 1) // 2
        self._guard_at = self._guard_halves.ctypes.data
        self._bytes, self._mean = np.empty(0, np.uint8), np.zeros(1)

    def empty_places(self) -> NDArray[np.uint8]:
        """255 where the last image shows no cell and none near (H, W); settles the empty channel's level by them."""
        assert self._seen is not None
        mask, smooth, top, height = self._seen
        free = np.full((height, mask.shape[1]), 255, np.uint8)
        inside = free[top:top + len(mask)]
        compiled = kernel.compiled("empty_around")
        if compiled is None:
            cv2.compare(cv2.dilate(mask, self._guard), 0, cv2.CMP_EQ, dst=inside)
            count, mean = cv2.countNonZero(inside), cv2.mean(smooth, inside)[0]
        else:
            rows, width = mask.shape
            count = compiled(mask.ctypes.data, smooth.ctypes.data, width, rows, _GUARD_REACH_PX, self._guard_at,
                             self._bytes.ctypes.data, inside.ctypes.data, self._mean.ctypes.data)
            mean = float(self._mean[0])
        if count > _LEAST_EMPTY_PX:
            self._level += 0.3 * (mean - self._level)
        return free

    def dark_places(self) -> tuple[NDArray[np.uint8], int]:
        """255 where the last image shows something dark enough for a cell (h, W), and the row where that begins."""
        assert self._seen is not None
        mask, _, top, _ = self._seen
        return mask, top

    def detect(self, absorbance: FloatImage, shift_px: float = 0.0, expected: Expected | None = None) -> Detections:
        """Cells of one image; `shift_px` is how far the walls have moved down.

        With `expected` cells, blobs that hold several of them, or more than the one, are fitted with their sum.
        """
        height, width = absorbance.shape
        top = max(0, math.ceil(self._walls[0] + shift_px) + 1)
        bottom = min(height, math.floor(self._walls[1] + shift_px))
        inside = absorbance[top:bottom]
        if self._frames % 4 == 0:
            noise = _pixel_noise(inside)
            self.pixel_noise = noise if self.pixel_noise == 0.0 else 0.8 * self.pixel_noise + 0.2 * noise
        if self._frames == 0:
            self._level = _mode(cv2.GaussianBlur(inside, (7, 7), BLUR_SIGMA_PX))
        self._frames += 1
        self.noise = _BLUR_NOISE * self.pixel_noise
        level = self._level
        self.threshold = max(_THRESHOLD_SIGMAS * self.noise, 0.2 * self.typical.contrast)
        smooth, mask = self._smooth_and_mark(inside, level + self.threshold)
        blobs = self._finder.find(mask, smooth, level, _SMALL * self.typical.diameter_px)
        bubbles = find_bubbles(blobs, smooth, level, self.threshold, self.typical.diameter_px)
        self.bubbles = len(bubbles)
        if self.bubbles:
            leave_out(blobs, bubbles)
        if expected is not None:
            expected = expected._replace(y=expected.y - top, images=[image[top:bottom] for image in expected.images])
        by_kernel = self._solver.kernel if expected is not None and min(inside.shape) >= _LEAST_SIDE_PX else None
        if by_kernel is not None and expected is not None:
            wanted, most = by_kernel.take_apart(
                blobs, expected, level, self._solver.remains_limit(level, self.threshold), self.typical.contrast,
                self.typical.aspect, self.typical.diameter_px)
            sizes = self._sizer.measure(blobs, wanted, inside, level, self.threshold)
            found = by_kernel.list_detections(blobs, sizes, most, LEAST_AMPLITUDE, top)
        else:
            lone, overlaps, rows = self._sort(blobs, expected, level)
            if overlaps:
                assert expected is not None
                rows += self._solver.solve(expected, overlaps, level, self.threshold, width)
            found = self._cells(blobs, lone, rows, inside, expected)
            found["y"] += top
        self._seen = mask, smooth, top, height
        self._learn(found)
        return found

    def _smooth_and_mark(self, image: FloatImage, limit: float) -> tuple[FloatImage, NDArray[np.uint8]]:
        """The blurred image, and 255 where it is above the limit, small gaps closed."""
        compiled = kernel.compiled("smooth_and_mark")
        height, width = image.shape
        if compiled is None or not image.flags.c_contiguous or min(height, width) <= _BLUR_REACH_PX:
            smooth = cv2.GaussianBlur(image, (2 * _BLUR_REACH_PX + 1, 2 * _BLUR_REACH_PX + 1), BLUR_SIGMA_PX)
            return smooth, cv2.morphologyEx(cv2.compare(smooth, limit, cv2.CMP_GT), cv2.MORPH_CLOSE, self._close)
        room = height * width + kernel.SLACK
        if len(self._smooth) < room:
            self._smooth = np.empty(room, np.float32)
            self._lines = np.zeros((height + 2 * _BLUR_REACH_PX + 2) * (width + 2 * _BLUR_REACH_PX + kernel.SLACK),
                                   np.float32)
            self._bytes = np.empty(room + (_GUARD_REACH_PX + 1) * (width + 2 * _SIDE), np.uint8)
        smooth = self._smooth[:height * width].reshape(height, width)
        mask = np.empty((height, width), np.uint8)
        compiled(image.ctypes.data, width, height, BLUR_SIGMA_PX, _BLUR_REACH_PX, limit, self._lines.ctypes.data,
                 smooth.ctypes.data, mask.ctypes.data)
        gaps: Any = kernel.compiled("close_gaps")
        gaps(mask.ctypes.data, width, height, self._bytes.ctypes.data)
        return smooth, mask

    def _sort(self, blobs: BlobTable, expected: Expected | None,
              level: float) -> tuple[NDArray[np.int_], list[Blob], list[tuple[Any, ...]]]:
        """Rows of the blobs that show one cell, the overlaps, and cells taken from blobs without a fit."""
        single = self.typical.looks_single(blobs)
        lone = single & (blobs.diameter <= self._max_px)
        rows: list[tuple[Any, ...]] = []
        if expected is None:
            for k in np.flatnonzero(~single).tolist():
                rows += self._split(blobs.blob(k, []), bool(blobs.edge[k]))
            return np.flatnonzero(lone), [], rows
        self._expected_in(blobs, expected)
        unusual = self.typical.unusual(blobs)
        overlaps: list[Blob] = []
        member, counts = self._member, self._counts
        none = counts == 0
        own, sized = expected.blob_px[member], expected.sized[member] >= _SIZES
        larger = (own > 0.0) & (blobs.diameter > 1.18 * own + 0.5)
        doubtful = single & unusual & (none | ((counts == 1) & ~sized))
        # Whoever alone is expected in a blob of its own size is that blob.
        clear = ~doubtful & single & (none | ((counts == 1) & ~larger))
        for k in np.flatnonzero(~clear).tolist():
            lone[k] = False
            held = np.flatnonzero(self._blob_of == k + 1).tolist()
            blob = blobs.blob(k, held.copy())
            if doubtful[k] and self._solver.is_pair(blob, expected, level):
                # Whoever was expected here will be linked to the nearer of the two.
                blob.members.clear()
                overlaps.append(blob)
            elif blob.members and (not self._is_one(blob, bool(single[k]), bool(unusual[k]), expected)
                                   or (len(held) == 2 and self._solver.is_pair(blob, expected, level))):
                # Whom two explain by far better stay two, however like one they look.
                blob.members[:] = held
                blob.seeds.clear()
                overlaps.append(blob)
            elif blob.members or single[k]:
                lone[k] = blob.diameter <= self._max_px
                member[k] = blob.members[0] if blob.members else 0
                counts[k] = len(blob.members)
            elif blob.diameter <= _LARGEST_OVERLAP * self._max_px:
                overlaps.append(blob)
            else:
                rows += self._split(blob, bool(blobs.edge[k]))
        return np.flatnonzero(lone), overlaps, rows

    def _expected_in(self, blobs: BlobTable, expected: Expected) -> None:
        """Give each expected cell to the blob whose mask holds its centre."""
        height, width = blobs.labels.shape
        column, row = np.rint(expected.x).astype(int), np.rint(expected.y).astype(int)
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        column[~inside] = row[~inside] = 0
        label = np.where(inside, np.maximum(blobs.labels[row, column], 0), 0)
        self._blob_of = label
        self._counts = np.bincount(label, minlength=len(blobs) + 1)[1:]
        member = np.zeros(len(blobs) + 1, int)
        member[label] = np.arange(len(label))
        self._member = member[1:]

    def _cells(self, blobs: BlobTable, lone: NDArray[np.int_], parts: list[tuple[Any, ...]], image: FloatImage,
               expected: Expected | None) -> Detections:
        """The table of what was found: lone cells, measured where their size is not settled, and parts of overlaps."""
        wanted = ~blobs.edge[lone]
        if expected is not None:
            wanted &= ~((self._counts[lone] == 1) & (expected.sized[self._member[lone]] >= _SIZES))
        sizes = np.zeros((len(lone), 2))
        sizes[wanted] = self._sizer.measure(blobs, lone[wanted], image, self._level, self.threshold)
        found = blobs.detections(lone, sizes, len(parts))
        if parts:
            found[len(lone):] = parts
        return found

    def _is_one(self, blob: Blob, single: bool, unusual: bool, expected: Expected) -> bool:
        """True when a blob shows one cell: the only one expected there, with its own size."""
        if not single:
            return False
        oldest = max(blob.members, key=lambda k: int(expected.hits[k]))
        own = float(expected.blob_px[oldest])
        if own > 0.0 and blob.diameter > 1.18 * own + 0.5:
            return False
        if own <= 0.0 and len(blob.members) > 1 and unusual:
            return False
        if len(blob.members) > 1:
            # Two cells on one spot are darker than one: otherwise it is one cell that was taken for two.
            usual = float(expected.contrast[oldest]) if own > 0.0 else self.typical.contrast
            if blob.contrast > 1.35 * usual:
                return False
            blob.members[:] = [oldest]
        return True

    def _split(self, blob: Blob, edge: bool) -> list[tuple[Any, ...]]:
        """Take a blob apart at its peaks, while it is not yet known what a cell looks like."""
        if blob.diameter > _LARGEST_OVERLAP * self._max_px:
            return []
        cells = self._solver.peaks(blob)
        if len(cells) <= 1:
            return [part_row(blob.x, blob.y, blob.contrast, edge)] if blob.diameter <= self._max_px else []
        return [part_row(x, y, blob.contrast, edge) for x, y in cells]

    def _learn(self, found: Detections) -> None:
        # A typical cell: beads and specks may be more, and beside them cells would pass for heaps.
        typical = self.typical
        compiled = kernel.compiled("typical_of")
        if compiled is not None:
            work = np.empty(len(found) + 3)
            count = compiled(len(found), found.ctypes.data, self._cell_px, work.ctypes.data + 24, work.ctypes.data)
            aspect, diameter_px, contrast = work[:3].tolist()
        else:
            lone = found[found["lone"] & ~found["edge"] & (found["aspect"] < 2.0)]
            if ((found["diameter_px"] > 0.0) & (found["diameter_px"] < self._cell_px) & found["lone"]).any():
                lone = lone[lone["diameter_px"] >= self._cell_px]
            count = len(lone)
            if count:
                aspect, diameter_px, contrast = (median(lone[name]) for name in ("aspect", "blob_px", "contrast"))
        if not count:
            return
        rate = min(1.0, _TYPICAL_RATE * count)
        if typical.contrast == 0.0:
            rate, typical.aspect = 1.0, aspect
        typical.aspect += rate * (aspect - typical.aspect)
        typical.diameter_px += rate * (diameter_px - typical.diameter_px)
        typical.contrast += rate * (contrast - typical.contrast)


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
    return max(1.4826 / math.sqrt(2.0) * median(difference.ravel()), 1e-4)
