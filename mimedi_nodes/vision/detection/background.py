# SPDX-License-Identifier: Apache-2.0
"""The empty channel behind the cells: logarithm of the bright-field background, followed through drift.

Everything works on logarithms, where cells add up (Beer-Lambert) and uneven light is a plain difference.
The background starts from one frame (high percentile along the flow), is replaced by a temporal high
percentile after the first frames, and then follows the pixels that no cell covers.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.detection.order_statistics import percentile_in_time
from mimedi_nodes.vision.kernels import kernel
from mimedi_nodes.vision.opencv import cv2

FloatImage = NDArray[np.float32]

# High percentile in time: cells only darken, and may cover a pixel more than half of the time.
PERCENTILE = 70.0
# A slow cell looks like dirt until it has moved on: the guess from one frame serves first.
_WARM_FRAMES = (15, 40, 100)
_WARM_STRIDE = (1, 2, 4)
# A lamp that varies by more than this (ln units) over at least so many first frames is followed frame by frame.
_FLICKER, _FLICKER_FRAMES = 0.004, 5
_FOLLOW_RATE = 0.03
_CREEP = 4e-4
_MAX_SHIFT_PX = 6.0
_LEAST_WALL_SLOPE = 0.01
_LEAST_SHIFT_PX = 0.02


class Background:
    """Logarithm of the empty image (H, W) float32, with the vertical shift of the stage removed.

    `absorbance(frame)` gives ln(background / frame); `follow(mask)` learns from what no cell covers.
    """

    def __init__(self, wall_top_px: float, wall_bottom_px: float) -> None:
        self._walls = (wall_top_px, wall_bottom_px)
        self._log_table = np.log(np.maximum(np.arange(256, dtype=np.float32), 0.5)).astype(np.float32)
        self._level: FloatImage | None = None
        self._warm: list[FloatImage] = []
        self._seen = 0
        self._reference: NDArray[np.float64] | None = None
        self._log: FloatImage | None = None
        self._flickers = False
        self._steady_light: float | None = None
        self._absorbance: FloatImage = np.empty((0, 0), np.float32)
        self.shift_px = 0.0
        self._rows: NDArray[np.int32] | None = None
        self._nuisance: NDArray[np.float64] = np.empty((0, 0))

    @property
    def ready(self) -> bool:
        """True once a temporal background has replaced the guess from the first frame."""
        return self._seen > _WARM_FRAMES[0]

    def prime(self, frames: Sequence[NDArray[Any]], settled: bool = True) -> None:
        """Set the background from frames (H, W) of the same position, some cell displacements apart.

        With `settled` it only follows from then on. Without, the percentiles of later frames replace it as usual, and
        the first one is the median: of few frames the high percentile would keep the bright fringes of passing cells.
        A lamp that flickers shows beyond the walls, in these frames or later; frames are then brought to one light.
        """
        self._flickers, self._steady_light = False, None
        logs = [self._logarithm(f) for f in frames]
        light = [self._light(log) for log in logs]
        if len(logs) >= _FLICKER_FRAMES:
            self._steady_light = float(np.mean(light))
            if float(np.std(light)) > _FLICKER:
                self._flickers = True
                logs = [cv2.subtract(log, level) for log, level in zip(logs, light, strict=True)]
        self._settle(logs, PERCENTILE if settled else 50.0)
        self._seen = max(self._seen, (_WARM_FRAMES[-1] if settled else _WARM_FRAMES[0]) + 1)
        self._warm = [] if settled else logs

    def absorbance(self, frame: NDArray[Any]) -> FloatImage:
        """ln(background / frame) of a (H, W) uint8 or uint16 frame; about 0 where the channel is empty.

        The image is right until the next frame.
        """
        log = self._logarithm(frame)
        self._log = log
        if self._level is None:
            self._level = _along_flow(log)
            self._set_reference()
        if self._seen <= _WARM_FRAMES[-1]:
            self._warm_up(log)
        self._seen += 1
        self._register(log)
        compiled = kernel.compiled("against_shifted")
        if compiled is None or not (log.flags.c_contiguous and self._level.flags.c_contiguous):
            return cv2.subtract(self._shifted(self._level, self.shift_px), log)
        if self._absorbance.shape != log.shape:
            self._absorbance = np.empty(log.shape, np.float32)
        compiled(self._level.ctypes.data, log.ctypes.data, log.shape[1], log.shape[0],
                 self.shift_px if abs(self.shift_px) >= _LEAST_SHIFT_PX else 0.0, self._absorbance.ctypes.data)
        return self._absorbance

    def follow(self, free: NDArray[np.uint8], frames: int = 1) -> None:
        """Learn from the last frame where `free` (H, W) is not 0; creep elsewhere, so that dirt settles in.

        `frames` is how many have passed since it was called before.
        """
        assert self._level is not None
        assert self._log is not None
        rate = 1.0 - (1.0 - _FOLLOW_RATE)**frames
        compiled = kernel.compiled("follow_level")
        if compiled is not None and self._level.flags.c_contiguous and self._log.flags.c_contiguous:
            compiled(self._level.ctypes.data, self._log.ctypes.data, free.ctypes.data, free.shape[1], free.shape[0],
                     self.shift_px if abs(self.shift_px) > 0.05 else 0.0, rate, _CREEP * frames)
            return
        unshifted = self._shifted(self._log, -self.shift_px) if abs(self.shift_px) > 0.05 else self._log
        cv2.accumulateWeighted(unshifted, self._level, rate, mask=free)
        cv2.subtract(self._level, _CREEP * frames, dst=self._level, mask=cv2.bitwise_not(free))

    def _logarithm(self, frame: NDArray[Any]) -> FloatImage:
        if frame.dtype == np.uint8:
            if self._flickers:
                light = _mean_of([cv2.LUT(part, self._log_table) for part in self._beyond(frame)])
                return cv2.LUT(frame, self._log_table - np.float32(light))
            log = cv2.LUT(frame, self._log_table)
        else:
            log = cv2.log(np.maximum(frame.astype(np.float32), 0.5))
        if self._steady_light is None and not self._flickers:
            return log
        light = self._light(log)
        if not self._flickers and abs(light - (self._steady_light or 0.0)) > 3.0 * _FLICKER:
            self._begin_to_follow_light()
        return cv2.subtract(log, light) if self._flickers else log

    def _begin_to_follow_light(self) -> None:
        """The lamp was steady and is no more: what was learnt is brought to the light that later frames get."""
        assert self._steady_light is not None
        self._flickers = True
        if self._level is not None:
            self._level = cv2.subtract(self._level, self._steady_light)
            self._reference = _row_means(self._level)
        self._warm = [cv2.subtract(log, self._steady_light) for log in self._warm]

    def _light(self, log: FloatImage) -> float:
        """Mean of an image's logarithm beyond both walls, where no cell comes; 0 where the picture ends before."""
        return _mean_of(self._beyond(log))

    def _beyond(self, image: NDArray[Any]) -> list[NDArray[Any]]:
        """The rows above and below the channel, [] where the picture ends before."""
        above, below = max(0, math.floor(self._walls[0]) - 1), math.ceil(self._walls[1]) + 2
        return [] if above < 2 or image.shape[0] - below < 2 else [image[:above], image[below:]]

    def _warm_up(self, log: FloatImage) -> None:
        stage = bisect.bisect_left(_WARM_FRAMES, self._seen)
        if self._seen % _WARM_STRIDE[stage] == 0:
            self._warm.append(log)
        if self._seen in _WARM_FRAMES:
            self._settle(self._warm[::2] if len(self._warm) > 24 else self._warm)
            if self._seen == _WARM_FRAMES[-1]:
                self._warm = []

    def _settle(self, logs: list[FloatImage], percent: float = PERCENTILE) -> None:
        """Percentile in time over frames that are first moved onto each other."""
        self._reference = np.mean([_row_means(log) for log in logs], axis=0)
        for _ in range(2):
            shifts = [self._measure(log, 0.0) for log in logs]
            moved = [self._shifted(log, -shift) for log, shift in zip(logs, shifts, strict=True)]
            self._reference = np.mean([_row_means(log) for log in moved], axis=0)
        self._level = percentile_in_time(moved, percent)
        self._set_reference()

    def _set_reference(self) -> None:
        assert self._level is not None
        self._reference = _row_means(self._level)
        self.shift_px = 0.0

    def _register(self, log: FloatImage) -> None:
        """Follow the vertical shift of the stage."""
        assert self._reference is not None
        compiled = kernel.compiled("measure_shift")
        if compiled is None or not log.flags.c_contiguous:
            measured = self._measure(log, self.shift_px, steps=1)
        else:
            if self._rows is None:
                self._rows, self._nuisance = self._wall_rows(log.shape[0])
            if len(self._rows) == 0:
                return
            measured = compiled(log.ctypes.data, log.shape[1], log.shape[0], len(self._rows), self._rows.ctypes.data,
                                self._nuisance.ctypes.data, self._nuisance.shape[1], self._reference.ctypes.data,
                                self.shift_px, _LEAST_WALL_SLOPE**2, _MAX_SHIFT_PX)
        self.shift_px = 0.8 * measured + 0.2 * self.shift_px

    def _measure(self, log: FloatImage, start_px: float, steps: int = 3) -> float:
        """Vertical shift of a frame against the background, from the walls' row profile (least squares), px."""
        assert self._reference is not None
        height = log.shape[0]
        if self._rows is None:
            self._rows, self._nuisance = self._wall_rows(height)
        rows, nuisance = self._rows, self._nuisance
        if len(rows) == 0:
            return start_px
        profile = cv2.reduce(log, 1, cv2.REDUCE_AVG)[rows, 0].astype(np.float64)
        y = np.arange(height, dtype=np.float64)
        shift = start_px
        for _ in range(steps):
            model = np.interp(rows - shift, y, self._reference)
            slope = 0.5 * (np.interp(rows - shift - 1.0, y, self._reference)
                           - np.interp(rows - shift + 1.0, y, self._reference))
            error = profile - model
            slope -= nuisance @ (slope @ nuisance)
            error -= nuisance @ (error @ nuisance)
            energy = float(slope @ slope)
            if energy < _LEAST_WALL_SLOPE**2:
                return start_px
            step = float(slope @ error) / energy
            shift += min(max(step, -2.0), 2.0)
            if abs(step) < 0.05:
                break
        return shift if abs(shift) <= _MAX_SHIFT_PX else start_px

    def _wall_rows(self, height: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Rows near the walls, and what cells may do to their means: an offset and a tilt at each wall."""
        near = [np.arange(max(1, round(wall) - 7), min(height - 1, round(wall) + 8)) for wall in self._walls]
        near = [rows for rows in near if len(rows) >= 6]
        if not near:
            return np.empty(0, np.int32), np.empty((0, 0))
        columns = []
        for k, rows in enumerate(near):
            for values in (np.ones(len(rows)), rows - rows.mean()):
                columns.append(np.concatenate([values if j == k else np.zeros(len(other))
                                               for j, other in enumerate(near)]))
        basis = np.ascontiguousarray(np.linalg.qr(np.column_stack(columns))[0])
        return np.concatenate(near).astype(np.int32), basis

    @staticmethod
    def _shifted(image: FloatImage, shift_px: float) -> FloatImage:
        """The image moved down by a fraction of rows, linear interpolation, edge rows repeated."""
        if abs(shift_px) < _LEAST_SHIFT_PX:
            return image
        whole = int(np.floor(shift_px))
        part = shift_px - whole
        padded = cv2.copyMakeBorder(image, max(whole + 1, 0), max(-whole, 0), 0, 0, cv2.BORDER_REPLICATE)
        height = image.shape[0]
        start = max(whole + 1, 0) - whole
        lower, upper = padded[start:start + height], padded[start - 1:start - 1 + height]
        return cv2.addWeighted(lower, 1.0 - part, upper, part, 0.0)


def _mean_of(parts: list[FloatImage]) -> float:
    """Mean of the parts' means, 0 of none."""
    return sum(cv2.mean(part)[0] for part in parts) / len(parts) if parts else 0.0


def _row_means(image: FloatImage) -> NDArray[np.float64]:
    """Mean of each row (H,), summed in double precision: OpenCV needs no copy of the image for it."""
    return cv2.reduce(image, 1, cv2.REDUCE_AVG, dtype=cv2.CV_64F)[:, 0]


def _along_flow(log: FloatImage) -> FloatImage:
    """Background guess from one frame: the channel is alike along the flow, and cells only darken."""
    width = log.shape[1]
    block = max(16, width // 4)
    centres, columns = [], []
    for start in range(0, max(1, width - block // 2), block // 2):
        part = log[:, start:start + block]
        centres.append(start + part.shape[1] / 2.0)
        columns.append(np.percentile(part, PERCENTILE, axis=1))
    grid = np.stack(columns, axis=1)
    # Uneven light is smooth along the flow: a parabola per row, exact at the ends too.
    powers = np.vander((np.array(centres) - width / 2.0) / width, min(3, len(centres)))
    x = np.vander((np.arange(width) - width / 2.0) / width, powers.shape[1])
    return (np.linalg.lstsq(powers, grid.T, rcond=None)[0].T @ x.T).astype(np.float32)
