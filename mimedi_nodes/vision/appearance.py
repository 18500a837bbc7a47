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

from mimedi_nodes.vision.opencv import cv2

FloatImage = NDArray[np.floating]
FloatArray = NDArray[np.float64]

_MEMORY_FRAMES = 10
_ITERATIONS = 3
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

    def ready(self) -> bool:
        """True once the mean cell is known."""
        return self._mean_count >= 8

    def fit(self, images: list[FloatImage], weights: list[float], ids: NDArray[np.int64], x: FloatArray,
            y: FloatArray, prior_px: FloatArray) -> OverlapFit:
        """Fit the cells `ids` predicted at (x, y) to `images` (H, W each), weights 1/noise of each image.

        `prior_px` is how far a cell may be from its prediction (standard deviation).
        """
        assert self._mean is not None
        height, width = images[0].shape
        reach = self.size // 2
        pad = reach + 3
        stack = np.zeros((len(images), height + 2 * pad, width + 2 * pad), np.float32)
        inside = np.zeros((height + 2 * pad, width + 2 * pad), np.float32)
        inside[pad:-pad, pad:-pad] = 1.0
        for target, image, weight in zip(stack, images, weights, strict=True):
            np.multiply(image, weight, out=target[pad:-pad, pad:-pad])
        scale = np.asarray(weights, np.float32)[:, None, None]
        patches = np.stack([self._patches[i] if self.knows(i) else self._mean for i in ids.tolist()]) * scale
        known = np.array([self.knows(i) for i in ids.tolist()])
        grad_y, grad_x = np.gradient(patches, axis=(2, 3))
        fx, fy = x.copy(), y.copy()
        amplitude = np.ones(len(ids))
        amplitude_prior = np.where(known, 0.15, 0.5)
        model = np.zeros_like(stack)
        windows = sliding_window_view(inside, (self.size, self.size))
        images_windows = sliding_window_view(stack, (self.size, self.size), axis=(1, 2))
        model_windows = sliding_window_view(model, (self.size, self.size), axis=(1, 2))
        for iteration in range(_ITERATIONS + 1):
            px = np.clip(np.rint(fx).astype(int), -2, width + 1)
            py = np.clip(np.rint(fy).astype(int), -2, height + 1)
            sub_x, sub_y = np.clip(fx - px, -1, 1), np.clip(fy - py, -1, 1)
            own = (patches - sub_x[:, None, None, None].astype(np.float32) * grad_x
                   - sub_y[:, None, None, None].astype(np.float32) * grad_y)
            shown = own * amplitude[:, None, None, None].astype(np.float32)
            model[:] = 0.0
            row, column = py + pad - reach, px + pad - reach
            for k in range(len(ids)):
                model[:, row[k]:row[k] + self.size, column[k]:column[k] + self.size] += shown[k]
            if iteration == _ITERATIONS:
                break
            mask = windows[row, column][:, None]
            left = (images_windows[:, row, column] - model_windows[:, row, column]).transpose(1, 0, 2, 3) * mask
            # Gauss-Newton in (x, y, amplitude) of each cell, the others held (Jacobi); priors on the diagonal.
            basis = np.stack([-grad_x * amplitude[:, None, None, None].astype(np.float32),
                              -grad_y * amplitude[:, None, None, None].astype(np.float32), own], axis=1) * mask[:, None]
            flat = basis.reshape(len(ids), 3, -1)
            normal = (flat @ flat.transpose(0, 2, 1)).astype(np.float64)
            right = (flat @ left.reshape(len(ids), -1, 1))[..., 0].astype(np.float64)
            inverse_prior = np.column_stack([prior_px**-2.0, prior_px**-2.0, amplitude_prior**-2.0])
            normal[:, np.arange(3), np.arange(3)] += inverse_prior + 1e-6
            right -= inverse_prior * np.column_stack([fx - x, fy - y, amplitude - 1.0])
            step = np.linalg.solve(normal, right[..., None])[..., 0] * 0.8
            fx += np.clip(step[:, 0], -_MAX_STEP_PX, _MAX_STEP_PX)
            fy += np.clip(step[:, 1], -_MAX_STEP_PX, _MAX_STEP_PX)
            amplitude = np.clip(amplitude + step[:, 2], 0.0, 2.5)
        return OverlapFit(fx, fy, amplitude, model[:, pad:-pad, pad:-pad] / scale)
