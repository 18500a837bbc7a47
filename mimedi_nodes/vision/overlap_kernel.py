# SPDX-License-Identifier: Apache-2.0
"""The overlap solver's compiled kernel: what it is handed over, and its two calls."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision import appearance, kernel
from mimedi_nodes.vision.background import FloatImage
from mimedi_nodes.vision.blobs import Blob, Expected

_MOST = 512
_CHANNELS = 3


class _Frame(ctypes.Structure):
    """`frame` of kernel_source/solve.c."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("channels", "h", "w", "size", "stride", "room", "most")),
        ("image", ctypes.c_void_p * _CHANNELS), ("weight", ctypes.c_double * _CHANNELS),
        ("lit", ctypes.c_double * _CHANNELS),
        *((name, ctypes.c_void_p) for name in (
            "pool", "reach", "labels", "residual", "work", "plane_a", "plane_b", "bytes_a", "bytes_b", "stack")),
        *((name, ctypes.c_double) for name in (
            "diameter", "contrast", "level", "limit", "blur", "tolerated", "seed_spread", "known_spread",
            "unknown_spread", "least_remains", "unexplained", "learnt_spread", "learn_rate", "twins", "twin_mass",
            "twin_slope", "max_step", "still", "hardly_lit")),
        ("sweeps", ctypes.c_int)]


class OverlapKernel:
    """Scratch and constants of the compiled overlap solver; use it only where `kernel.prepare()` is true.

    Args:
        constants: of `overlaps.py` by their field in the C structure.
    """

    def __init__(self, **constants: float) -> None:
        self._frame = _Frame(most=_MOST, known_spread=appearance.KNOWN_SPREAD, max_step=appearance.MAX_STEP_PX,
                             unknown_spread=appearance.UNKNOWN_SPREAD, learnt_spread=appearance.LEARNT_SPREAD,
                             learn_rate=appearance.LEARN_RATE, still=appearance.STILL_PX, sweeps=appearance.SWEEPS,
                             hardly_lit=appearance.HARDLY_LIT, **constants)
        self._one_or_two: Any = kernel.compiled("one_or_two")
        self._solve: Any = kernel.compiled("solve_overlaps")
        self._work = np.empty(24 * _MOST)
        self._out = np.empty((_MOST, 3))
        self._frame.work = self._work.ctypes.data
        self._address = ctypes.addressof(self._frame)
        self._residual = np.empty(0, np.float32)

    def one_or_two(self, expected: Expected, images: list[FloatImage], level: float, place: tuple[float, float],
                   apart: tuple[float, float],
                   stretch: tuple[float, float]) -> tuple[NDArray[np.float64], float, float]:
        """Fit one mean cell, stretched, and two at `place` -+ `apart`, to small images.

        Returns x, y, amplitude of the two (2, 3), and the squares that the one and the two leave of the bright field.
        """
        self._hand_over(expected, [np.ascontiguousarray(image) for image in images], level)
        out = np.empty(8)
        self._one_or_two(self._address, self._frame.reach, *place, *apart, *stretch, out.ctypes.data)
        return out[:6].reshape(2, 3), float(out[6]), float(out[7])

    def solve(self, expected: Expected, blobs: list[Blob], level: float, limit: float,
              diameter_px: float) -> list[tuple[float, float, float, int]]:
        """Cells of the overlaps: x, y, amplitude, row of the expected cell or -1."""
        frame = self._frame
        owners = [k for blob in blobs for k in blob.members]
        rows, count = np.array(owners, int), len(owners)
        hits = expected.hits[rows]
        # New places first: they may move the pool.
        slots, known = expected.appearances.learning_slots(expected.ids[rows], hits)
        self._hand_over(expected, expected.images, level)
        frame.limit, frame.diameter = limit, diameter_px
        self._make_room(max((blob.box[2] + 40) * (blob.box[3] + 40) for blob in blobs))
        frame.labels = blobs[0].labels.ctypes.data
        boxes = np.array([(*blob.box, blob.label, bool(blob.members or blob.seeds)) for blob in blobs], np.int32)
        box, label, seeded = boxes[:, :4].copy(), boxes[:, 4].copy(), boxes[:, 5].copy()
        area = np.array([blob.area for blob in blobs])
        seeds = [seed for blob in blobs if not blob.members for seed in blob.seeds]
        blob_of = np.array([b for b, blob in enumerate(blobs) for _ in blob.members], np.int32)
        places = np.empty((2, count + len(seeds)))
        places[0, :count], places[1, :count] = expected.x[rows], expected.y[rows]
        if seeds:
            places[:, count:] = np.array(seeds).T
        spread, diameter = expected.spread_px[rows], expected.blob_px[rows]
        apart = expected.apart[rows]
        row = places.ctypes.data
        found = self._solve(
            self._address, len(blobs), box.ctypes.data, label.ctypes.data, area.ctypes.data, seeded.ctypes.data, count,
            len(seeds), blob_of.ctypes.data, row, row + 8 * places.shape[1], spread.ctypes.data, slots.ctypes.data,
            known.ctypes.data, hits.ctypes.data, apart.ctypes.data, diameter.ctypes.data, self._out.ctypes.data)
        return [(x, y, amplitude, owners[k] if k < count else -1)
                for k, (x, y, amplitude) in enumerate(self._out[:found].tolist())]

    def _hand_over(self, expected: Expected, images: list[FloatImage], level: float) -> None:
        frame, height, width = self._frame, *images[0].shape
        # The kernel has their addresses: they must live as long.
        self._images = images
        frame.channels, frame.h, frame.w, frame.level = len(images), height, width, level
        frame.size = expected.appearances.size
        frame.pool, frame.reach, frame.stride = expected.appearances.addresses
        for k, (image, weight) in enumerate(zip(images, expected.weights, strict=True)):
            frame.image[k], frame.weight[k] = image.ctypes.data, weight * weight
            frame.lit[k] = expected.lit_levels[k - 1] if k else 0.0
        if len(self._residual) < len(images) * height * width + kernel.SLACK:
            # What lies behind the last image is read, too: it must be finite.
            self._residual = np.zeros(len(images) * height * width + kernel.SLACK, np.float32)
            self._frame.residual = self._residual.ctypes.data

    def _make_room(self, room: int) -> None:
        if room <= self._frame.room:
            return
        room = 1 << math.ceil(math.log2(room))
        self._planes = np.empty((2, room), np.float32)
        self._bytes = np.empty((2, room), np.uint8)
        self._stack = np.empty(room, np.int32)
        frame: Any = self._frame
        frame.room, frame.stack = room, self._stack.ctypes.data
        frame.plane_a, frame.plane_b = self._planes.ctypes.data, self._planes.ctypes.data + 4 * room
        frame.bytes_a, frame.bytes_b = self._bytes.ctypes.data, self._bytes.ctypes.data + room
