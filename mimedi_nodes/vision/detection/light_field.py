# SPDX-License-Identifier: Apache-2.0
"""How evenly a fluorescence lamp lights the view, learnt from the lit cells that pass through it.

Every lit cell is carried through the whole view, and which row carries it has nothing to do with how much stain it
took up: where cells seem brighter, more light is. A camera's offset does not show in it, as it does in the background.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Terms of the logarithm of the light besides its level: slope and bend along the flow and across.
_TERMS = 4
# Standard deviation of these before anything is seen: a slope of 1 is a factor of 2.7 from edge to edge.
_PRIOR_SD = 0.6
# A term counts when it stands out by so many of its standard deviations; nothing is said from fewer cells.
_SURE, _LEAST_CELLS = 3.0, 20
_FIT_EVERY = 8
_MEMORY_SIGHTINGS = 6000.0
# The fit believes in no more than this factor between the middle and any place.
_LIMIT = 2.5


class LightField:
    """Light of one lamp over a view of `width_px` x `height_px`; even until the cells say otherwise.

    Fits ln(light of a cell) = level + a u + b u² + c v + d v² (u, v: place over the view's width and height) by least
    squares, as `flat_field` does for the bright field (Model & Burkhardt, Cytometry 44 (2001) 309). The sightings of
    one cell tell its row once only: errors are reckoned by cells, not by sightings.
    """

    def __init__(self, width_px: int, height_px: int) -> None:
        self._size = np.array([width_px, height_px], float)
        self._normal, self._right = np.zeros((_TERMS + 1, _TERMS + 1)), np.zeros(_TERMS + 1)
        self._squares = 0.0
        self._cells = self._in_view = 0.0
        self._newest = -1
        self._noted = 0
        self._level = 0.0
        self._terms, self._offset = np.zeros(_TERMS), 0.0
        self.gain: NDArray[np.float32] | None = None
        """What an image (H, W) is to be multiplied by to be evenly lit, mean of 1/gain 1; None: it is even."""

    def note(self, x_px: FloatArray, y_px: FloatArray, light: FloatArray, ids: NDArray[np.int64]) -> None:
        """Take in lit cells (N,) of one frame: places, light > 0 in an image already multiplied by `gain`, tracks."""
        if not len(ids):
            return
        basis = self._basis(x_px, y_px)
        # As the camera saw it.
        value = np.log(light) + basis[:, 1:] @ self._terms - self._offset
        if not self._noted:
            self._level = float(np.median(value))
        value -= self._level
        keep = 1.0 - min(len(ids) / _MEMORY_SIGHTINGS, 0.5)
        self._normal = keep * self._normal + basis.T @ basis
        self._right = keep * self._right + basis.T @ value
        self._squares = keep * self._squares + float(value @ value)
        self._cells = keep * self._cells + np.count_nonzero(ids > self._newest)
        self._newest = max(self._newest, int(ids.max()))
        self._in_view = max(0.9 * self._in_view, float(len(ids)))
        self._noted += 1
        if self._noted % _FIT_EVERY == 0 and self._cells >= _LEAST_CELLS:
            self._fit()

    def _basis(self, x_px: FloatArray, y_px: FloatArray) -> FloatArray:
        u, v = x_px / self._size[0] - 0.5, y_px / self._size[1] - 0.5
        return np.stack([np.ones_like(u), u, u * u - 1.0 / 12.0, v, v * v - 1.0 / 12.0], axis=1)

    def _fit(self) -> None:
        share = self._cells / self._normal[0, 0]
        normal, right = share * self._normal, share * self._right
        solution = np.linalg.lstsq(normal, right, rcond=None)[0]
        variance = max(share * self._squares - float(solution @ right), 0.0) / self._cells + 1e-4
        prior = np.diag([0.0] + [variance / _PRIOR_SD**2] * _TERMS)
        inverse = np.linalg.pinv(normal + prior)
        terms, errors = (inverse @ right)[1:], np.sqrt(variance * np.diag(inverse))[1:]
        # A cell that went all the way was as bright a cell in all columns: only those in view now tell less.
        errors[:2] *= np.sqrt(min(1.0, 2.0 * self._in_view / self._cells))
        sure = np.abs(terms) > _SURE * errors
        self._terms = np.where(sure, terms, 0.0)
        if not sure.any():
            self.gain, self._offset = None, 0.0
            return
        width, height = self._size.astype(int)
        along = self._basis(np.arange(width), np.full(width, 0.5 * height))[:, 1:3] @ self._terms[:2]
        across = self._basis(np.full(height, 0.5 * width), np.arange(height))[:, 3:] @ self._terms[2:]
        light = np.clip(np.exp(across)[:, None] * np.exp(along), 1.0 / _LIMIT, _LIMIT)
        self.gain = (light.mean() / light).astype(np.float32)
        self._offset = float(np.log(light.mean()))
