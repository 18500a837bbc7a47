# SPDX-License-Identifier: Apache-2.0
"""The overlap fit in NumPy, for hosts without the compiled kernel: all cells step together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

FloatImage = NDArray[np.floating]
FloatArray = NDArray[np.float64]

SWEEPS = 4
MAX_STEP_PX = 1.5


class OverlapFit(NamedTuple):
    """Fitted centres, px; amplitude relative to the remembered patch; what the fit leaves of the images (C, H, W)."""

    x: FloatArray
    y: FloatArray
    amplitude: FloatArray
    residual: FloatImage


def fit_together(images: FloatImage, scale: FloatImage, patches: FloatImage, block: FloatArray) -> OverlapFit:
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
