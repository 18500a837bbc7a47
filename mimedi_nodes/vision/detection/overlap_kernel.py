# SPDX-License-Identifier: Apache-2.0
"""The compiled kernel that sorts blobs and takes overlaps apart: what it is handed over, and its calls."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.detection import appearance
from mimedi_nodes.vision.detection.background import FloatImage
from mimedi_nodes.vision.detection.blobs import BlobTable, Expected
from mimedi_nodes.vision.detection.detections import Detections, empty
from mimedi_nodes.vision.kernels import kernel

_MOST = 512
_CHANNELS = 3
# Pairs of unknown cells of which one frame asks whether they are one large cell.
_MOST_ASKED = 10


class _Frame(ctypes.Structure):
    """`frame` of kernel_source/cells.c."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("channels", "h", "w", "size", "stride", "room", "most")),
        ("image", ctypes.c_void_p * _CHANNELS), ("weight", ctypes.c_double * _CHANNELS),
        ("lit", ctypes.c_double * _CHANNELS),
        *((name, ctypes.c_void_p) for name in (
            "pool", "reach", "labels", "residual", "crop", "work", "plane_a", "plane_b", "bytes_a", "bytes_b",
            "stack")),
        *((name, ctypes.c_double) for name in (
            "diameter", "contrast", "level", "limit", "blur", "tolerated", "seed_spread", "known_spread",
            "unknown_spread", "aspect", "merge_reach", "one_is_better", "least_remains", "unexplained",
            "learnt_spread", "learn_rate", "twins", "twin_mass", "twin_slope", "max_step", "still", "hardly_lit")),
        *((name, ctypes.c_int) for name in ("sweeps", "turn", "most_asked"))]


class _Expectation(ctypes.Structure):
    """`expectation` of kernel_source/sort.c."""

    _fields_ = [
        ("count", ctypes.c_int), ("sizes", ctypes.c_int),
        *((name, ctypes.c_void_p) for name in ("x", "y", "blob_px", "contrast", "spread", "hits", "sized", "apart")),
        *((name, ctypes.c_double) for name in (
            "largest", "aspect", "largest_overlap", "solid", "unusual", "pair_is_better", "two_are_worse"))]


_COLUMNS = {"spread": "spread_px"}
_TABLES: dict[str, type] = {
    **dict.fromkeys(("count", "member", "lone", "wanted", "box", "label", "seeded", "owner", "blob", "hits"), np.int32),
    "apart": np.uint8, **dict.fromkeys(("area", "spread", "diameter", "x", "y"), np.float64)}


class _Sorted(ctypes.Structure):
    """`sorted_blobs` of kernel_source/sort.c."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("lone_count", "wanted_count", "overlaps", "owners", "seeds", "room")),
        *((name, ctypes.c_void_p) for name in _TABLES)]


class OverlapKernel:
    """Scratch and constants of the compiled overlap solver; use it only where `kernel.prepare()` is true.

    Args:
        limits, constants: of `detector.py` and `overlaps.py` by their fields in the C structures.
    """

    def __init__(self, limits: Mapping[str, float], **constants: float) -> None:
        self._frame = _Frame(most=_MOST, known_spread=appearance.KNOWN_SPREAD, max_step=appearance.MAX_STEP_PX,
                             unknown_spread=appearance.UNKNOWN_SPREAD, learnt_spread=appearance.LEARNT_SPREAD,
                             learn_rate=appearance.LEARN_RATE, still=appearance.STILL_PX, sweeps=appearance.SWEEPS,
                             hardly_lit=appearance.HARDLY_LIT, most_asked=_MOST_ASKED, **constants)
        self._expectation = _Expectation(**limits)
        self._sorted = _Sorted()
        self._sorted_at = ctypes.addressof(self._sorted)
        self._sort: Any = kernel.compiled("sort_by_expectation")
        self._solve: Any = kernel.compiled("solve_overlaps")
        self._learn: Any = kernel.compiled("places_to_learn")
        self._list: Any = kernel.compiled("list_detections")
        self._most = self._parts = 0
        self._tables: dict[str, NDArray[Any]] = {}
        self._work = np.empty(24 * _MOST)
        self._out = np.empty((_MOST, 3))
        self._out_at = self._out.ctypes.data
        self._frame.work = self._work.ctypes.data
        self._address = ctypes.addressof(self._frame)
        self._residual = np.empty(0, np.float32)

    def take_apart(self, blobs: BlobTable, expected: Expected, level: float, limit: float, contrast: float,
                   aspect: float, diameter_px: float) -> tuple[NDArray[np.int32], int]:
        """Sort the blobs and solve the overlaps among them; `list_detections` has the result.

        Returns the rows of the lone blobs to be measured, and how many rows the table may have.
        """
        frame = self._frame
        self._hand_over(expected, expected.images, level)
        frame.labels = blobs.labels.ctypes.data
        frame.limit, frame.diameter, frame.contrast, frame.aspect = limit, diameter_px, contrast, aspect
        count, most = len(expected.ids), len(blobs) + len(expected.ids) + 1
        if most > self._most:
            self._make_tables(2 * most)
        expectation, found = self._expectation, self._sorted
        expectation.count, expectation.aspect = count, aspect
        for name in ("x", "y", "blob_px", "contrast", "spread", "hits", "sized", "apart"):
            setattr(expectation, name, getattr(expected, _COLUMNS.get(name, name)).ctypes.data)
        self._sort(self._address, frame.reach, ctypes.addressof(expectation), len(blobs), blobs.rows.ctypes.data,
                   self._blob_of.ctypes.data, self._crop.ctypes.data, self._sorted_at)
        self._parts = 0
        if found.overlaps:
            self._make_room(found.room)
            frame.turn += 1
            # New places first: they may move the pool.
            pool = expected.appearances.pool
            pool.make_room(found.owners)
            frame.pool, frame.reach = pool.start, pool.reach_at
            self._ids = np.ascontiguousarray(expected.ids)
            self._learn(pool.address, found.owners, found.owner, self._ids.ctypes.data, found.hits,
                        appearance.LEARN_AFTER, self._slots_at, self._known_at)
            self._parts = self._solve(
                self._address, frame.reach, found.overlaps, found.box, found.label, found.area, found.seeded,
                found.owners, found.seeds, found.blob, found.x, found.y, found.spread, self._slots_at,
                self._known_at, found.hits, found.apart, found.diameter, self._out_at)
        return self._tables["wanted"][:found.wanted_count], found.lone_count + self._parts

    def list_detections(self, blobs: BlobTable, sizes: NDArray[np.float64], most: int, least_amplitude: float,
                        top: int) -> Detections:
        """The table of what `take_apart` found: at most `most` rows; `sizes` of the lone blobs to be measured."""
        table = empty(most)
        rows = self._list(blobs.rows.ctypes.data, self._sorted_at, sizes.ctypes.data, self._parts, self._out_at,
                          least_amplitude, self._frame.contrast, blobs.labels.shape[1], top, table.ctypes.data)
        return table[:rows]

    def _make_tables(self, most: int) -> None:
        self._most = most
        self._tables = {name: np.empty(4 * most, kind) for name, kind in _TABLES.items()}
        self._blob_of = np.empty(most, np.int32)
        self._slots, self._known = np.empty(most, np.int32), np.empty(most, np.uint8)
        self._slots_at, self._known_at = self._slots.ctypes.data, self._known.ctypes.data
        for name, table in self._tables.items():
            setattr(self._sorted, name, table.ctypes.data)

    def _hand_over(self, expected: Expected, images: list[FloatImage], level: float) -> None:
        frame, height, width = self._frame, *images[0].shape
        # The kernel has their addresses: they must live as long.
        self._images = images
        frame.channels, frame.h, frame.w, frame.level = len(images), height, width, level
        frame.size = expected.appearances.size
        pool = expected.appearances.pool
        frame.pool, frame.reach, frame.stride = pool.start, pool.reach_at, pool.stride
        for k, (image, weight) in enumerate(zip(images, expected.weights, strict=True)):
            frame.image[k], frame.weight[k] = image.ctypes.data, weight * weight
            frame.lit[k] = expected.lit_levels[k - 1] if k else 0.0
        if len(self._residual) < len(images) * height * width + kernel.SLACK:
            # What lies behind the last image is read, too: it must be finite.
            self._residual = np.zeros(len(images) * height * width + kernel.SLACK, np.float32)
            self._crop = np.zeros_like(self._residual)
            self._frame.residual, self._frame.crop = self._residual.ctypes.data, self._crop.ctypes.data

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
