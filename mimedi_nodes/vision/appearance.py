# SPDX-License-Identifier: Apache-2.0
"""How each tracked cell looks, and where it is inside an overlap.

Absorbances of overlapping cells add up, and so does fluorescence. Each track remembers a patch of itself from
frames in which it stood alone. Inside an overlap the sum of the patches is fitted to the images: positions and
amplitudes by Gauss-Newton, held near the predicted positions. What the sum does not explain is left over and
may be a cell that nobody has seen alone yet.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mimedi_nodes.vision import kernel
from mimedi_nodes.vision.opencv import cv2

FloatImage = NDArray[np.floating]
FloatArray = NDArray[np.float64]

_MEMORY_FRAMES = 8
_MEAN_FRAMES = 300
SWEEPS = 4
MAX_STEP_PX = 1.5
# An own patch is that cell's; the mean one may be darker or lighter than an unknown cell.
KNOWN_SPREAD, LEARNT_SPREAD, UNKNOWN_SPREAD = 0.15, 0.25, 0.5
# Share of what a fit leaves that a cell in an overlap takes in from frame to frame, once seen so often.
LEARN_RATE = 0.15
_LEARN_AFTER = 3
# A cell whose next step is shorter than this has arrived, px.
STILL_PX = 0.05
# Below this share of what lit cells give, a cell's light does not tell where it is.
HARDLY_LIT = 0.12
# A patch ends at this many half lengths and half widths of its cell.
_WINDOW = 1.55
# The kernel reads so many numbers at a time.
_LANES = 16
# Places in the pool of patches: the mean cell, and the mean cell made longer and wider.
_MEAN, _STRETCHED, _FIRST = 0, 1, 2


class OverlapFit(NamedTuple):
    """Fitted centres, px; amplitude relative to the remembered patch; what the fit leaves of the images (C, H, W)."""

    x: FloatArray
    y: FloatArray
    amplitude: FloatArray
    residual: FloatImage


@dataclass
class Appearances:
    """Patches (C, P, P) float32 by track id, and the mean patch of all cells.

    Args:
        size: odd side of a patch, px: room for the largest common cell.
        channels: images fitted together (bright field first).
    """

    size: int
    channels: int
    _slots: dict[int, int] = field(default_factory=dict)
    _mean_count: int = 0

    def __post_init__(self) -> None:
        # A patch stands between rows and columns of zeros: shifted by part of a pixel it still ends softly.
        self._stride = (self.size + 2 + _LANES + _LANES - 1) // _LANES * _LANES
        self._free: list[int] = []
        self._pool, self._seen, self._reach = np.empty(0, np.float32), np.empty(0, np.int32), np.empty((0, 2), np.int32)
        self._learnt = np.empty(0, bool)
        self._extent = np.zeros(2)
        self._grow(64)
        reach = self.size // 2
        axis = np.arange(-reach, reach + 1, dtype=np.float32)
        self._dx, self._dy = np.meshgrid(axis, axis)

    def _grow(self, places: int) -> None:
        one = self.channels * (self.size + 2) * self._stride
        pool = np.zeros(2 * kernel.SLACK + places * one, np.float32)
        pool[:len(self._pool)] = self._pool
        seen, reach = np.zeros(places, np.int32), np.zeros((places, 2), np.int32)
        seen[:len(self._seen)], reach[:len(self._seen)] = self._seen, self._reach
        self._free += range(max(len(self._seen), _FIRST), places)
        self._pool, self._seen, self._reach = pool, seen, reach
        self._learnt = np.concatenate([self._learnt, np.zeros(places - len(self._learnt), bool)])
        own = pool[kernel.SLACK:kernel.SLACK + places * one]
        planes = own.reshape(places, self.channels, self.size + 2, self._stride)
        self._patches = planes[:, :, 1:-1, :self.size]
        self._start = pool.ctypes.data + 4 * kernel.SLACK

    def knows(self, track_id: int) -> bool:
        """True when this track was seen alone at least twice."""
        slot = self._slots.get(track_id)
        return slot is not None and bool(self._seen[slot] >= 2)

    def wants(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these tracks were not seen alone often enough yet, (N,)."""
        slots = np.array([self._slots.get(i, _STRETCHED) for i in ids.tolist()], np.int32)
        wanted: NDArray[np.bool_] = self._seen[slots] < _MEMORY_FRAMES
        return wanted

    def forget_all_but(self, alive: NDArray[np.int64]) -> None:
        """Drop the patches of tracks that are gone."""
        for gone in self._slots.keys() - set(alive.tolist()):
            slot = self._slots.pop(gone)
            self._seen[slot] = 0
            self._reach[slot] = 0
            self._learnt[slot] = False
            self._free.append(slot)

    def remember(self, ids: NDArray[np.int64], images: list[FloatImage], x: FloatArray, y: FloatArray,
                 length_px: FloatArray, width_px: FloatArray) -> None:
        """Take in the patches of cells that stand alone at (x, y), of that bounding length and width, all (N,)."""
        slots = []
        for track_id in ids.tolist():
            slot = self._slots.get(track_id)
            if slot is None:
                slot = self._slots[track_id] = self._place()
            slots.append(slot)
        slot_of = np.array(slots, np.int32)
        use = np.flatnonzero(self._seen[slot_of] < _MEMORY_FRAMES)
        if not len(use):
            return
        slot_of = slot_of[use]
        seen = self._seen[slot_of]
        places = np.stack([x[use], y[use], length_px[use], width_px[use]])
        compiled = kernel.compiled("remember_cells")
        if compiled is None:
            for slot, before, place in zip(slot_of.tolist(), seen.tolist(), places.T.tolist(), strict=True):
                self._take_in(slot, before, images, *place)
        else:
            pointers = (ctypes.c_void_p * self.channels)(*[image.ctypes.data for image in images])
            row = places.ctypes.data
            height, width = images[0].shape
            self._mean_count = compiled(
                len(use), self.channels, self.size, self._stride, height, width, ctypes.addressof(pointers),
                self._start, slot_of.ctypes.data, seen.ctypes.data, *[row + 8 * len(use) * k for k in range(4)],
                self._mean_count, _MEAN_FRAMES)
        self._seen[slot_of] = seen + 1
        extent = np.ceil(0.5 * _WINDOW * places[2:].T)
        self._reach[slot_of] = np.maximum(self._reach[slot_of], np.minimum(extent, self.size // 2))
        # The few largest cells hardly show in the mean.
        self._extent += min(1.0, len(use) / self._mean_count) * (extent.mean(axis=0) - self._extent)
        self._reach[_MEAN] = np.minimum(np.rint(self._extent) + 1.0, self.size // 2)

    def _take_in(self, slot: int, seen: int, images: list[FloatImage], x: float, y: float, length_px: float,
                 width_px: float) -> None:
        rho = np.sqrt((self._dx / (0.5 * length_px)) ** 2 + (self._dy / (0.5 * width_px)) ** 2)
        window = np.clip((_WINDOW - rho) / 0.3, 0.0, 1.0)
        patch = np.stack([cv2.getRectSubPix(image, (self.size, self.size), (x, y)) for image in images]) * window
        self._patches[slot] += (patch - self._patches[slot]) / (seen + 1)
        self._mean_count = min(self._mean_count + 1, _MEAN_FRAMES)
        self._patches[_MEAN] += (patch - self._patches[_MEAN]) / self._mean_count

    def _light_factor(self, images: list[FloatImage], x: FloatArray, y: FloatArray) -> NDArray[np.float32]:
        """How much brighter than the mean cell's the fluorescence at (x, y) is, (N, C): an unknown cell's class."""
        factors = np.ones((len(x), self.channels), np.float32)
        reach = self.size // 2
        height, width = images[0].shape
        for k in range(1, self.channels):
            usual = float(self._patches[_MEAN, k, reach - 2:reach + 3, reach - 2:reach + 3].mean())
            for i, (cx, cy) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
                column, row = min(max(round(cx), 0), width - 1), min(max(round(cy), 0), height - 1)
                here = float(images[k][max(0, row - 2):row + 3, max(0, column - 2):column + 3].mean())
                factors[i, k] = max(here, 0.0) / max(usual, 1e-6)
        return factors

    def _stretch(self, length: float, width: float) -> None:
        """Make the mean patch longer and wider by these factors along and across the flow."""
        reach = self.size // 2
        # From the stretched patch's coordinates back to the mean patch's.
        back = np.array([[1.0 / length, 0.0, reach - reach / length], [0.0, 1.0 / width, reach - reach / width]])
        for layer, mean in zip(self._patches[_STRETCHED], self._patches[_MEAN], strict=True):
            layer[:] = cv2.warpAffine(np.ascontiguousarray(mean), back, (self.size, self.size),
                                      flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)

    def known_slots(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Places of these tracks in the pool (the mean cell's for whom none is kept), and who was seen alone twice."""
        slots = np.array([self._slots.get(i, _MEAN) for i in ids.tolist()], np.int32)
        known: NDArray[np.bool_] = self._seen[slots] >= 2
        return slots, known

    def learning_slots(self, ids: NDArray[np.int64],
                       hits: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Places of these tracks in the pool, and what they show: 0 nothing yet, 1 the cell alone, 2 what was learnt
        from overlaps, 3 a place to learn in from now on."""
        places = []
        for track_id, seen in zip(ids.tolist(), hits.tolist(), strict=True):
            slot = self._slots.get(track_id, _MEAN)
            if slot == _MEAN and seen >= _LEARN_AFTER:
                slot = self._slots[track_id] = self._place()
            places.append(slot)
        slots = np.array(places, np.int32)
        before = self._seen[slots]
        known = np.where(before >= 2, 1, np.where((before > 0) | self._learnt[slots], 2, 3))
        known[slots == _MEAN] = 0
        own = slots[slots != _MEAN]
        self._learnt[own] = True
        self._reach[own] = np.maximum(self._reach[own], self._reach[_MEAN])
        return slots, known.astype(np.uint8)

    def lights(self, ids: NDArray[np.int64], side_px: int) -> NDArray[np.float64]:
        """Mean light of these cells' cores over `side_px` in each fluorescence channel (N, C - 1); NaN for whom no
        patch is kept."""
        slots, kept = self._kept(ids)
        compiled = kernel.compiled("patch_lights")
        if compiled is not None:
            light = np.empty((len(ids), self.channels - 1))
            compiled(len(ids), slots.ctypes.data, self.channels, self.size, self._stride, self._start, side_px,
                     light.ctypes.data)
            light[~kept] = np.nan
            return light
        reach, half = self.size // 2, side_px // 2
        cores = self._patches[slots, 1:, reach - half:reach + half + 1, reach - half:reach + half + 1]
        return np.where(kept[:, None], cores.mean(axis=(2, 3), dtype=np.float64), np.nan)

    def relative_sizes(self, ids: NDArray[np.int64], core_px: float) -> NDArray[np.float64]:
        """Diameter of each of these cells over the mean cell's, from what was learnt in overlaps (N,); else NaN.

        The area in which a patch is darker than half of its own core, `core_px` in diameter.
        """
        slots, known = self._kept(ids)
        compiled = kernel.compiled("patch_sizes")
        if compiled is not None:
            sizes = np.empty(len(ids))
            compiled(len(ids), slots.ctypes.data, self.channels, self.size, self._stride, self._start, core_px,
                     sizes.ctypes.data)
            sizes[~known] = np.nan
            return sizes
        sizes, kept = np.full(len(ids), np.nan), np.flatnonzero(known)
        if not len(kept):
            return sizes
        patches = self._patches[np.concatenate([[_MEAN], slots[kept]]), 0]
        inside = (self._dx**2 + self._dy**2 <= 0.25 * core_px**2).astype(np.float32)
        half = 0.5 * np.tensordot(patches, inside, axes=2) / inside.sum()
        area = (patches > half[:, None, None]).sum(axis=(1, 2))
        sizes[kept] = np.sqrt(area[1:] / max(area[0], 1))
        return sizes

    def _kept(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Places of these tracks in the pool, and for whom a patch is kept."""
        slots = np.array([self._slots.get(i, _STRETCHED) for i in ids.tolist()], np.int32)
        kept: NDArray[np.bool_] = self._learnt[slots] | (self._seen[slots] > 0)
        return slots, kept

    def _place(self) -> int:
        if not self._free:
            self._grow(2 * len(self._seen))
        return self._free.pop()

    @property
    def addresses(self) -> tuple[int, int, int]:
        """Where the compiled kernel finds the pool of patches and how far each reaches, and a patch's stride."""
        return self._start, self._reach.ctypes.data, self._stride

    def ready(self) -> bool:
        """True once the mean cell is known."""
        return self._mean_count >= 8

    def fit(self, images: list[FloatImage], weights: list[float], ids: NDArray[np.int64], x: FloatArray,
            y: FloatArray, prior_px: FloatArray, stretch: tuple[float, float] = (1.0, 1.0),
            start: OverlapFit | None = None) -> OverlapFit:
        """Fit the cells `ids` predicted at (x, y) to `images` (H, W each), weights 1/noise of each image.

        `prior_px` is how far a cell may be from its prediction (standard deviation). Cells not yet seen alone
        look like the mean cell, made longer and wider by `stretch`. With `start`, a fit of the first of these cells
        to the same images, the fit goes on from there; that fit is used up.
        """
        count, channels, (height, width) = len(ids), len(images), images[0].shape
        if start is None:
            # What lies behind the last image is read, too: it must be finite.
            room = np.zeros(channels * height * width + kernel.SLACK, np.float32)
            left = room[:-kernel.SLACK].reshape(channels, height, width)
            for layer, image in zip(left, images, strict=True):
                layer[:] = image
        else:
            left = start.residual
        if not count:
            none = np.empty(0)
            return OverlapFit(none, none, none, left)
        unknown = _MEAN
        if stretch != (1.0, 1.0):
            unknown = _STRETCHED
            self._stretch(*stretch)
            self._reach[_STRETCHED] = np.minimum(np.ceil(self._reach[_MEAN] * np.array(stretch)), self.size // 2)
        slots, known = self.known_slots(ids)
        slots[~known] = unknown
        factors = np.ones((count, channels), np.float32)
        if channels > 1 and not known.all():
            factors[~known] = self._light_factor(images, x[~known], y[~known])
        # One block: x, y, amplitude as they change, then their priors, then work.
        block = np.empty((14, count))
        block[0], block[1], block[2], block[3], block[4], block[5] = x, y, 1.0, x, y, prior_px
        block[6] = np.where(known, KNOWN_SPREAD, UNKNOWN_SPREAD)
        before = 0
        if start is not None:
            before = len(start.x)
            block[0, :before], block[1, :before], block[2, :before] = start.x, start.y, start.amplitude
        compiled = kernel.compiled("fit_cells")
        if compiled is None:
            patches = self._patches[slots] * factors[:, :, None, None]
            return _fit_numpy(np.stack(images), np.asarray(weights, np.float32)[:, None, None], patches, block)
        squares, reach = np.asarray(weights, float) ** 2, self._reach[slots]
        first = block.ctypes.data
        compiled(count, before, channels, self.size, self._stride, height, width, left.ctypes.data, self._start,
                 slots.ctypes.data, reach.ctypes.data, factors.ctypes.data, squares.ctypes.data,
                 *[first + 8 * count * row for row in range(8)], SWEEPS, MAX_STEP_PX, STILL_PX)
        return OverlapFit(block[0], block[1], block[2], left)


def _fit_numpy(images: FloatImage, scale: FloatImage, patches: FloatImage, block: FloatArray) -> OverlapFit:
    """The same fit without the compiled kernel: all cells step together (Jacobi) instead of in turn.

    `block` holds x, y, amplitude to begin with, then x, y, their spread and the amplitude's spread of the priors.
    """
    stack, patches = images * scale, patches * scale
    fx, fy, amplitude, x, y, prior_px, amplitude_prior = block[:7].copy()
    count, size = patches.shape[0], patches.shape[2]
    height, width = stack.shape[1:]
    reach = size // 2
    pad = reach + 3
    padded = np.pad(stack, ((0, 0), (pad, pad), (pad, pad)))
    inside = np.zeros(padded.shape[1:], np.float32)
    inside[pad:-pad, pad:-pad] = 1.0
    model = np.zeros_like(padded)
    grad_y, grad_x = np.gradient(patches, axis=(2, 3))
    windows = sliding_window_view(inside, (size, size))
    seen = sliding_window_view(padded, (size, size), axis=(1, 2))
    explained = sliding_window_view(model, (size, size), axis=(1, 2))
    inverse_prior = np.column_stack([prior_px**-2.0, prior_px**-2.0, amplitude_prior**-2.0])
    for iteration in range(SWEEPS + 1):
        px = np.clip(np.rint(fx).astype(int), -2, width + 1)
        py = np.clip(np.rint(fy).astype(int), -2, height + 1)
        sub_x, sub_y = np.clip(fx - px, -1, 1), np.clip(fy - py, -1, 1)
        own = (patches - _column(sub_x) * grad_x - _column(sub_y) * grad_y)
        shown = own * _column(amplitude)
        model[:] = 0.0
        row, column = py + pad - reach, px + pad - reach
        for k in range(count):
            model[:, row[k]:row[k] + size, column[k]:column[k] + size] += shown[k]
        if iteration == SWEEPS:
            break
        mask = windows[row, column][:, None]
        left = (seen[:, row, column] - explained[:, row, column]).transpose(1, 0, 2, 3) * mask
        basis = np.stack([-grad_x * _column(amplitude), -grad_y * _column(amplitude), own], axis=1) * mask[:, None]
        flat = basis.reshape(count, 3, -1)
        normal = (flat @ flat.transpose(0, 2, 1)).astype(np.float64)
        right = (flat @ left.reshape(count, -1, 1))[..., 0].astype(np.float64)
        normal[:, np.arange(3), np.arange(3)] += inverse_prior + 1e-6
        right -= inverse_prior * np.column_stack([fx - x, fy - y, amplitude - 1.0])
        # Cells that overlap push each other: a shorter step keeps the joint iteration from swinging.
        step = np.linalg.solve(normal, right[..., None])[..., 0] * 0.8
        fx += np.clip(step[:, 0], -MAX_STEP_PX, MAX_STEP_PX)
        fy += np.clip(step[:, 1], -MAX_STEP_PX, MAX_STEP_PX)
        amplitude = np.clip(amplitude + step[:, 2], 0.0, 2.5)
    return OverlapFit(fx, fy, amplitude, images - model[:, pad:-pad, pad:-pad] / scale)


def _column(values: FloatArray) -> FloatImage:
    return values[:, None, None, None].astype(np.float32)
