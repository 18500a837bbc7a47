# SPDX-License-Identifier: Apache-2.0
"""How each tracked cell looks, and where it is inside an overlap.

Absorbances of overlapping cells add up, and so does fluorescence. Each track remembers a patch of itself from
frames in which it stood alone. Inside an overlap the sum of the patches is fitted to the images: positions and
amplitudes by Gauss-Newton, held near the predicted positions. What the sum does not explain is left over and
may be a cell that nobody has seen alone yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from mimedi_nodes.vision.kernel import fit_overlaps
from mimedi_nodes.vision.opencv import cv2

FloatImage = NDArray[np.floating]
FloatArray = NDArray[np.float64]

_MEMORY_FRAMES = 8
_SWEEPS = 4
_MAX_STEP_PX = 1.5


class OverlapFit(NamedTuple):
    """Fitted centres, px; amplitude relative to the remembered patch; their common residual (C, H, W)."""

    x: FloatArray
    y: FloatArray
    amplitude: FloatArray
    model: FloatImage


@dataclass
class Appearances:
    """Patches (C, P, P) float32 by track id, and the mean patch of all cells.

    Args:
        size: odd side of a patch, px: room for the largest common cell.
        channels: images fitted together (bright field first).
    """

    size: int
    channels: int
    _patches: dict[int, FloatImage] = field(default_factory=dict)
    _frames: dict[int, int] = field(default_factory=dict)
    _mean: FloatImage | None = None
    _mean_count: int = 0

    def __post_init__(self) -> None:
        reach = self.size // 2
        axis = np.arange(-reach, reach + 1, dtype=np.float32)
        self._dx, self._dy = np.meshgrid(axis, axis)

    def knows(self, track_id: int) -> bool:
        """True when this track was seen alone at least twice."""
        return self._frames.get(track_id, 0) >= 2

    def forget_all_but(self, alive: NDArray[np.int64]) -> None:
        """Drop the patches of tracks that are gone."""
        keep = set(alive.tolist())
        for gone in [key for key in self._patches if key not in keep]:
            del self._patches[gone], self._frames[gone]

    def remember(self, track_id: int, images: list[FloatImage], x: float, y: float,
                 length_px: float, width_px: float) -> None:
        """Take in the patch of a cell that stands alone at (x, y), of that bounding length and width."""
        seen = self._frames.get(track_id, 0)
        if seen >= _MEMORY_FRAMES:
            return
        rho = np.sqrt((self._dx / (0.5 * length_px)) ** 2 + (self._dy / (0.5 * width_px)) ** 2)
        window = np.clip((1.55 - rho) / 0.3, 0.0, 1.0)
        patch = np.stack([cv2.getRectSubPix(image, (self.size, self.size), (x, y)) for image in images]) * window
        if seen == 0:
            self._patches[track_id] = patch
        else:
            self._patches[track_id] += (patch - self._patches[track_id]) / (seen + 1)
        self._frames[track_id] = seen + 1
        self._mean_count = min(self._mean_count + 1, 300)
        if self._mean is None:
            self._mean = patch.copy()
        else:
            self._mean += (patch - self._mean) / self._mean_count

    def _lit_like(self, patch: FloatImage, images: list[FloatImage], x: float, y: float) -> FloatImage:
        """A mean patch whose fluorescence is as bright as the images are at (x, y): an unknown cell's class."""
        if len(images) == 1:
            return patch
        height, width = images[0].shape
        column, row = min(max(round(x), 0), width - 1), min(max(round(y), 0), height - 1)
        reach = self.size // 2
        factors = np.ones(len(images))
        for k in range(1, len(images)):
            here = float(images[k][max(0, row - 2):row + 3, max(0, column - 2):column + 3].mean())
            usual = float(patch[k, reach - 2:reach + 3, reach - 2:reach + 3].mean())
            factors[k] = max(here, 0.0) / max(usual, 1e-6)
        return patch * factors[:, None, None].astype(np.float32)

    def _stretched(self, length: float, width: float) -> FloatImage:
        """The mean patch, larger by these factors along and across the flow."""
        assert self._mean is not None
        reach = self.size // 2
        # From the stretched patch's coordinates back to the mean patch's.
        back = np.array([[1.0 / length, 0.0, reach - reach / length], [0.0, 1.0 / width, reach - reach / width]])
        return np.stack([cv2.warpAffine(layer.astype(np.float32), back, (self.size, self.size),
                                        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP) for layer in self._mean])

    def ready(self) -> bool:
        """True once the mean cell is known."""
        return self._mean_count >= 8

    def fit(self, images: list[FloatImage], weights: list[float], ids: NDArray[np.int64], x: FloatArray,
            y: FloatArray, prior_px: FloatArray, stretch: tuple[float, float] = (1.0, 1.0)) -> OverlapFit:
        """Fit the cells `ids` predicted at (x, y) to `images` (H, W each), weights 1/noise of each image.

        `prior_px` is how far a cell may be from its prediction (standard deviation). Cells not yet seen alone
        look like the mean cell, made longer and wider by `stretch`.
        """
        assert self._mean is not None
        if not len(ids):
            none = np.empty(0)
            return OverlapFit(none, none, none, np.zeros((len(images), *images[0].shape), np.float32))
        known = np.array([self.knows(i) for i in ids.tolist()], bool)
        unknown = self._mean if stretch == (1.0, 1.0) else self._stretched(*stretch)
        count, channels, (height, width) = len(ids), len(images), images[0].shape
        scale = np.asarray(weights, np.float32)[:, None, None]
        patches = np.empty((count, channels, self.size, self.size), np.float32)
        for k, (i, own, cx, cy) in enumerate(zip(ids.tolist(), known.tolist(), x.tolist(), y.tolist(), strict=True)):
            np.multiply(self._patches[i] if own else self._lit_like(unknown, images, cx, cy), scale, out=patches[k],
                        casting="same_kind")
        stack = np.empty((channels, height, width), np.float32)
        for layer, image, weight in zip(stack, images, weights, strict=True):
            np.multiply(image, np.float32(weight), out=layer, casting="same_kind")
        # An own patch is that cell's; the mean one may be darker or lighter than an unknown cell.
        spread = np.where(known, 0.15, 0.5)
        compiled = fit_overlaps()
        if compiled is None:
            return _fit_numpy(stack, scale, patches, x, y, prior_px, spread)
        residual = stack.copy()
        # One block: x, y, amplitude as they change, then their priors.
        block = np.empty((7, count))
        block[0], block[1], block[2], block[3], block[4], block[5], block[6] = x, y, 1.0, x, y, prior_px, spread
        first = block.ctypes.data
        compiled(count, channels, self.size, height, width, residual.ctypes.data, patches.ctypes.data,
                 *[first + 8 * count * row for row in range(7)], _SWEEPS, _MAX_STEP_PX)
        np.subtract(stack, residual, out=residual)
        residual /= scale
        return OverlapFit(block[0], block[1], block[2], residual)


def _fit_numpy(stack: FloatImage, scale: FloatImage, patches: FloatImage, x: FloatArray, y: FloatArray,
               prior_px: FloatArray, amplitude_prior: FloatArray) -> OverlapFit:
    """The same fit without the compiled kernel: all cells step together (Jacobi) instead of in turn."""
    count, size = patches.shape[0], patches.shape[2]
    height, width = stack.shape[1:]
    reach = size // 2
    pad = reach + 3
    padded = np.pad(stack, ((0, 0), (pad, pad), (pad, pad)))
    inside = np.zeros(padded.shape[1:], np.float32)
    inside[pad:-pad, pad:-pad] = 1.0
    model = np.zeros_like(padded)
    grad_y, grad_x = np.gradient(patches, axis=(2, 3))
    fx, fy, amplitude = x.astype(float), y.astype(float), np.ones(count)
    windows = sliding_window_view(inside, (size, size))
    seen = sliding_window_view(padded, (size, size), axis=(1, 2))
    explained = sliding_window_view(model, (size, size), axis=(1, 2))
    inverse_prior = np.column_stack([prior_px**-2.0, prior_px**-2.0, amplitude_prior**-2.0])
    for iteration in range(_SWEEPS + 1):
        px = np.clip(np.rint(fx).astype(int), -2, width + 1)
        py = np.clip(np.rint(fy).astype(int), -2, height + 1)
        sub_x, sub_y = np.clip(fx - px, -1, 1), np.clip(fy - py, -1, 1)
        own = (patches - _column(sub_x) * grad_x - _column(sub_y) * grad_y)
        shown = own * _column(amplitude)
        model[:] = 0.0
        row, column = py + pad - reach, px + pad - reach
        for k in range(count):
            model[:, row[k]:row[k] + size, column[k]:column[k] + size] += shown[k]
        if iteration == _SWEEPS:
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
        fx += np.clip(step[:, 0], -_MAX_STEP_PX, _MAX_STEP_PX)
        fy += np.clip(step[:, 1], -_MAX_STEP_PX, _MAX_STEP_PX)
        amplitude = np.clip(amplitude + step[:, 2], 0.0, 2.5)
    return OverlapFit(fx, fy, amplitude, model[:, pad:-pad, pad:-pad] / scale)


def _column(values: FloatArray) -> FloatImage:
    return values[:, None, None, None].astype(np.float32)
