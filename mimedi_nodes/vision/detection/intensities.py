# SPDX-License-Identifier: Apache-2.0
"""Brightness of cells in fluorescence images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.detection.light_field import LightField
from mimedi_nodes.vision.detection.medians import percentile_of_sorted
from mimedi_nodes.vision.kernels import kernel
from mimedi_nodes.vision.opencv import cv2

_LOOK_EVERY, _LEARN_EVERY = 8, 4


class FluorescenceImage:
    """One fluorescence channel through time: its background and its noise are learnt from the empty places.

    Args:
        phase: in which of eight frames it looks at its noise: not all channels in the same.
    """

    def __init__(self, phase: int = 0) -> None:
        self._phase = phase
        self._field: LightField | None = None
        self.background = 0.0
        self.pixel_noise = 1.0
        self._frames = 0

    def prepare(self, image: NDArray[Any], scale: float = 1.0) -> NDArray[np.float32]:
        """The image above its background, (H, W) float32, in its own grey levels times `scale`, evenly lit."""
        if self._frames % _LOOK_EVERY == self._phase or self._frames == 0:
            sample = np.sort(image[::3, ::5], axis=None, kind="stable")
            # The unlit part of the image: its lower half, whose mirror image is the noise.
            middle, low = (scale * percentile_of_sorted(sample, percent) for percent in (30.0, 5.0))
            noise = max((middle - low) / 1.12, 0.3)
            level = middle + 0.52 * noise
            rate = 1.0 if self._frames == 0 else 0.3
            self.background += rate * (level - self.background)
            self.pixel_noise += rate * (noise - self.pixel_noise)
        self._frames += 1
        if scale == 1.0:
            above = cv2.subtract(image, self.background, dtype=cv2.CV_32F)
        else:
            above = image.astype(np.float32) * np.float32(scale) - np.float32(self.background)
        if self._field is not None and self._field.gain is not None:
            cv2.multiply(above, self._field.gain, dst=above)
        return above

    def learn_light(self, shape: tuple[int, int], x_px: NDArray[np.float64], y_px: NDArray[np.float64],
                    light: NDArray[np.float64], ids: NDArray[np.int64]) -> None:
        """Take in where in an image of this shape lit cells (N,) were, and how bright: see `LightField.note`.

        Every fourth frame is enough for a lamp.
        """
        if self._frames % _LEARN_EVERY:
            return
        if self._field is None:
            self._field = LightField(shape[1], shape[0])
        self._field.note(x_px, y_px, light, ids)

    def noise_of_mean(self, side_px: int) -> float:
        """Standard deviation of a mean over a square without a cell, grey levels."""
        return self.pixel_noise / side_px


def mean_around(image: NDArray[np.float32], x_px: NDArray[np.float64], y_px: NDArray[np.float64],
                side_px: int) -> NDArray[np.float64]:
    """Mean of the image over a square of `side_px` (odd) around each place (N,)."""
    height, width = image.shape
    compiled = kernel.compiled("means_around")
    if compiled is not None and image.flags.c_contiguous and len(x_px):
        places, means = np.array([x_px, y_px], np.float64), np.empty(len(x_px))
        at = places.ctypes.data
        compiled(image.ctypes.data, width, height, len(x_px), at, at + 8 * len(x_px), side_px, means.ctypes.data)
        return means
    column = np.clip(np.rint(x_px).astype(int), 0, width - 1)
    row = np.clip(np.rint(y_px).astype(int), 0, height - 1)
    # Beyond the edge the image goes on as a mirror.
    near = np.arange(side_px) - side_px // 2
    rows, columns = np.abs(row[:, None] + near), np.abs(column[:, None] + near)
    rows, columns = height - 1 - np.abs(height - 1 - rows), width - 1 - np.abs(width - 1 - columns)
    return image[rows[:, :, None], columns[:, None, :]].mean(axis=(1, 2), dtype=np.float64)
