# SPDX-License-Identifier: Apache-2.0
"""How each tracked cell looks, and where it is inside an overlap.

Absorbances of overlapping cells add up, and so does fluorescence. Each track remembers a patch of itself from
frames in which it stood alone. Inside an overlap the sum of the patches is fitted to the images: positions and
amplitudes by Gauss-Newton, held near the predicted positions. What the sum does not explain is left over and
may be a cell that nobody has seen alone yet.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.detection.detections import Detections
from mimedi_nodes.vision.detection.overlap_fit import (
    MAX_STEP_PX,
    SWEEPS,
    FloatArray,
    FloatImage,
    OverlapFit,
    fit_together,
)
from mimedi_nodes.vision.detection.patch_pool import MEAN, SCRATCH, PatchPool
from mimedi_nodes.vision.kernels import kernel
from mimedi_nodes.vision.opencv import cv2

if TYPE_CHECKING:
    from mimedi_nodes.vision.tracking.linker import Tracks

_MEMORY_FRAMES = 8
_MEAN_FRAMES = 300
# An own patch is that cell's; the mean one may be darker or lighter than an unknown cell.
KNOWN_SPREAD, LEARNT_SPREAD, UNKNOWN_SPREAD = 0.15, 0.25, 0.5
# Share of what a fit leaves that a cell in an overlap takes in from frame to frame, once seen so often.
LEARN_RATE = 0.15
LEARN_AFTER = 3
# A cell whose next step is shorter than this has arrived, px.
STILL_PX = 0.05
# Below this share of what lit cells give, a cell's light does not tell where it is.
HARDLY_LIT = 0.12
# A patch ends at this many half lengths and half widths of its cell.
_WINDOW = 1.55


class Appearances:
    """Patches (C, P, P) float32 of tracks, and the mean patch of all cells.

    Args:
        size: odd side of a patch, px: room for the largest common cell.
        channels: images fitted together (bright field first).
    """

    def __init__(self, size: int, channels: int) -> None:
        self.size, self.channels = size, channels
        self.pool = PatchPool(size, channels)
        reach = size // 2
        axis = np.arange(-reach, reach + 1, dtype=np.float32)
        self._dx, self._dy = np.meshgrid(axis, axis)

    def forget_all_but(self, tracks: Tracks) -> None:
        """Drop the patches of tracks that are not in this table."""
        compiled = kernel.compiled("release_places")
        if compiled is None:
            self.pool.release_all_but(tracks["id"])
        else:
            compiled(self.pool.address, len(tracks), tracks.ctypes.data)

    def remember(self, tracks: Tracks, found: Detections, images: list[FloatImage], settled: bool) -> None:
        """Take in the patches of the tracks that stand alone among the detections `found`, eight times each.

        With `settled`, only of those that were linked before.
        """
        self.pool.make_room(len(tracks))
        compiled = kernel.compiled("remember_alone")
        if compiled is None:
            self._remember(tracks, found, images, settled)
            return
        pointers = (ctypes.c_void_p * self.channels)(*[image.ctypes.data for image in images])
        height, width = images[0].shape
        compiled(self.pool.address, height, width, ctypes.addressof(pointers), len(tracks), tracks.ctypes.data,
                 found.ctypes.data, settled, _MEMORY_FRAMES, _MEAN_FRAMES, _WINDOW)

    def _remember(self, tracks: Tracks, found: Detections, images: list[FloatImage], settled: bool) -> None:
        pool, state = self.pool, self.pool.state
        shown = tracks[(tracks["detection"] >= 0) & ((tracks["hits"] > 1) | (not settled))]
        cells = found[shown["detection"]]
        alone = cells["lone"] & ~cells["edge"]
        extents = []
        for track_id, cell in zip(shown["id"][alone].tolist(), cells[alone], strict=True):
            place, root = pool.place_for(track_id), float(np.sqrt(cell["aspect"]))
            if pool.seen[place] >= _MEMORY_FRAMES:
                continue
            sides = np.array([cell["blob_px"] * root, cell["blob_px"] / root])
            self._take_in(place, images, float(cell["x"]), float(cell["y"]), *sides.tolist())
            pool.seen[place] += 1
            extents.append(np.ceil(0.5 * _WINDOW * sides))
            pool.reach[place] = np.maximum(pool.reach[place], np.minimum(extents[-1], self.size // 2))
        if not extents:
            return
        # The few largest cells hardly show in the mean.
        rate = min(1.0, len(extents) / state.mean_count)
        for k, extent in enumerate(np.mean(extents, axis=0).tolist()):
            state.extent[k] += rate * (extent - state.extent[k])
            pool.reach[MEAN, k] = min(round(state.extent[k]) + 1, self.size // 2)

    def _take_in(self, place: int, images: list[FloatImage], x: float, y: float, length_px: float,
                 width_px: float) -> None:
        pool, state = self.pool, self.pool.state
        rho = np.sqrt((self._dx / (0.5 * length_px)) ** 2 + (self._dy / (0.5 * width_px)) ** 2)
        window = np.clip((_WINDOW - rho) / 0.3, 0.0, 1.0)
        patch = np.stack([cv2.getRectSubPix(image, (self.size, self.size), (x, y)) for image in images]) * window
        pool.patches[place] += (patch - pool.patches[place]) / (pool.seen[place] + 1)
        state.mean_count = min(state.mean_count + 1, _MEAN_FRAMES)
        pool.patches[MEAN] += (patch - pool.patches[MEAN]) / state.mean_count

    def _light_factor(self, images: list[FloatImage], x: FloatArray, y: FloatArray) -> NDArray[np.float32]:
        """How much brighter than the mean cell's the fluorescence at (x, y) is, (N, C): an unknown cell's class."""
        factors = np.ones((len(x), self.channels), np.float32)
        reach = self.size // 2
        height, width = images[0].shape
        for k in range(1, self.channels):
            usual = float(self.pool.patches[MEAN, k, reach - 2:reach + 3, reach - 2:reach + 3].mean())
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
        for layer, mean in zip(self.pool.patches[SCRATCH], self.pool.patches[MEAN], strict=True):
            layer[:] = cv2.warpAffine(np.ascontiguousarray(mean), back, (self.size, self.size),
                                      flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)

    def lights(self, tracks: Tracks, side_px: int) -> NDArray[np.float64]:
        """Mean light of these cells' cores over `side_px` in each fluorescence channel (N, C - 1); NaN for whom no
        patch is kept."""
        compiled = kernel.compiled("patch_lights")
        if compiled is not None:
            light = np.empty((len(tracks), self.channels - 1))
            compiled(self.pool.address, len(tracks), tracks.ctypes.data, side_px, light.ctypes.data)
            return light
        places = self.pool.places_of(tracks["id"])
        reach, half = self.size // 2, side_px // 2
        cores = self.pool.patches[places, 1:, reach - half:reach + half + 1, reach - half:reach + half + 1]
        return np.where(self.pool.kept(places)[:, None], cores.mean(axis=(2, 3), dtype=np.float64), np.nan)

    def relative_sizes(self, ids: NDArray[np.int64], core_px: float) -> NDArray[np.float64]:
        """Diameter of each of these cells over the mean cell's, from what was learnt in overlaps (N,); else NaN.

        The area in which a patch is darker than half of its own core, `core_px` in diameter.
        """
        sizes = np.full(len(ids), np.nan)
        compiled = kernel.compiled("patch_sizes")
        if compiled is not None:
            numbers = np.ascontiguousarray(ids)
            compiled(self.pool.address, len(ids), numbers.ctypes.data, core_px, sizes.ctypes.data)
            return sizes
        places = self.pool.places_of(ids)
        kept = np.flatnonzero(self.pool.kept(places))
        if not len(kept):
            return sizes
        patches = self.pool.patches[np.concatenate([[MEAN], places[kept]]), 0]
        inside = (self._dx**2 + self._dy**2 <= 0.25 * core_px**2).astype(np.float32)
        half = 0.5 * np.tensordot(patches, inside, axes=2) / inside.sum()
        area = (patches > half[:, None, None]).sum(axis=(1, 2))
        sizes[kept] = np.sqrt(area[1:] / max(area[0], 1))
        return sizes

    def ready(self) -> bool:
        """True once the mean cell is known."""
        return bool(self.pool.state.mean_count >= 8)

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
        unknown = MEAN
        if stretch != (1.0, 1.0):
            unknown = SCRATCH
            self._stretch(*stretch)
            self.pool.reach[SCRATCH] = np.minimum(np.ceil(self.pool.reach[MEAN] * np.array(stretch)), self.size // 2)
        slots = self.pool.places_of(ids)
        known = self.pool.seen[slots] >= 2
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
            patches = self.pool.patches[slots] * factors[:, :, None, None]
            return fit_together(np.stack(images), np.asarray(weights, np.float32)[:, None, None], patches, block)
        squares, reach = np.asarray(weights, float) ** 2, self.pool.reach[slots]
        first = block.ctypes.data
        compiled(count, before, channels, self.size, self.pool.stride, height, width, left.ctypes.data,
                 self.pool.start,
                 slots.ctypes.data, reach.ctypes.data, factors.ctypes.data, squares.ctypes.data,
                 *[first + 8 * count * row for row in range(8)], SWEEPS, MAX_STEP_PX, STILL_PX)
        return OverlapFit(block[0], block[1], block[2], left)
