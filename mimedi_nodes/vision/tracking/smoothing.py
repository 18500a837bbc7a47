# SPDX-License-Identifier: Apache-2.0
"""Places of many tracks at once, smoothed over their whole time.

A Kalman filter and Rauch-Tung-Striebel smoother (Rauch, Tung, Striebel, AIAA Journal 3 (1965) 1445) on two numbers a
track: its place, which is carried by a known step from frame to frame and wanders besides, and a steady error of that
step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.detection.medians import median
from mimedi_nodes.vision.kernels import kernel

FloatArray = NDArray[np.float64]

_FEWEST_STEPS = 50
_LEAST_WANDER_PX2, _LEAST_ERROR_PX2 = 0.01, 0.003
_STEP_ERROR_WANDER_PX2 = 0.002
_FAR_PX2 = 1e4


class Wander(NamedTuple):
    """Variance of a cell's way beside the carrying flow, per frame, and of a lone cell's measured place, px²."""

    way_px2: float = 0.04
    place_px2: float = 0.02


def wander_of(steps_px: FloatArray, double_steps_px: FloatArray) -> Wander:
    """Both variances from ways beside the flow over one frame and over two frames, px, (N,) each.

    One way has the variance way + 2 place, two ways in one 2 way + 2 place. Spreads by the median absolute deviation.
    """
    if min(len(steps_px), len(double_steps_px)) < _FEWEST_STEPS:
        return Wander()
    one, two = ((1.4826 * median(np.abs(ways - median(ways)))) ** 2 for ways in (steps_px, double_steps_px))
    return Wander(max(two - one, _LEAST_WANDER_PX2), max(one - 0.5 * two, _LEAST_ERROR_PX2))


def smooth(place: FloatArray, variance: FloatArray, step: FloatArray, length: NDArray[np.int_], way_px2: FloatArray,
           step_error_px: FloatArray) -> FloatArray:
    """Smoothed places (L, N), px, of N tracks over at most L frames; what lies behind a track's end means nothing.

    Args:
        place: measured, px, NaN where not seen, (L, N); every track is seen at least once.
        variance: of each measured place, px², (L, N).
        step: by which the flow carries the track into each frame, px, (L, N).
        length: frames of each track, (N,).
        way_px2: variance of the wander per frame, (N,).
        step_error_px: standard deviation of the steady error of the steps, px, (N,).
    """
    frames, count = place.shape
    compiled = kernel.compiled("smooth_tracks")
    if compiled is not None:
        tables = [np.ascontiguousarray(table, np.float64) for table in (place, variance, step, way_px2, step_error_px)]
        lengths, work, result = np.ascontiguousarray(length, np.int64), np.empty(10 * frames), np.empty((frames, count))
        place_at, variance_at, step_at, way_at, error_at = (table.ctypes.data for table in tables)
        compiled(count, place_at, variance_at, step_at, lengths.ctypes.data, way_at, error_at, _FAR_PX2,
                 _STEP_ERROR_WANDER_PX2, work.ctypes.data, result.ctypes.data)
        return result
    return _smooth_numpy(place, variance, step, length, way_px2, step_error_px)


def _smooth_numpy(place: FloatArray, variance: FloatArray, step: FloatArray, length: NDArray[np.int_],
                  way_px2: FloatArray, step_error_px: FloatArray) -> FloatArray:
    frames, count = place.shape
    seen = ~np.isnan(place)
    # The prior mean: the first sighting, carried back to the beginning.
    first = seen.argmax(axis=0)
    carried = np.cumsum(step, axis=0)
    tracks = np.arange(count)
    x = place[first, tracks] - carried[first, tracks] + carried[0]
    b = np.zeros(count)
    pxx, pxb, pbb = np.full(count, _FAR_PX2), np.zeros(count), step_error_px**2
    gain = np.where(seen, 1.0 / np.where(seen, variance, 1.0), 0.0)
    measured = np.where(seen, place, 0.0)
    states = np.empty((frames, 5, count))
    predicted = np.empty((frames, 5, count))
    for k in range(frames):
        if k:
            x = x + b + step[k]
            pxx = pxx + 2.0 * pxb + pbb + way_px2
            pxb = pxb + pbb
            pbb = pbb + _STEP_ERROR_WANDER_PX2
        predicted[k] = x, b, pxx, pxb, pbb
        weight = gain[k] / (1.0 + pxx * gain[k])
        off = weight * (measured[k] - x)
        x, b = x + pxx * off, b + pxb * off
        pxx, pxb, pbb = pxx - weight * pxx * pxx, pxb - weight * pxx * pxb, pbb - weight * pxb * pxb
        states[k] = x, b, pxx, pxb, pbb
    result = np.empty((frames, count))
    later_x, later_b = states[-1, 0], states[-1, 1]
    result[-1] = later_x
    for k in range(frames - 2, -1, -1):
        x, b, pxx, pxb, pbb = states[k]
        qx, qb, vxx, vxb, vbb = predicted[k + 1]
        # Smoother gain P F' V^-1 with F = (1 1; 0 1).
        a, c = pxx + pxb, pxb + pbb
        one = 1.0 / (vxx * vbb - vxb * vxb)
        dx, db = later_x - qx, later_b - qb
        ends = k >= length - 1
        later_x = np.where(ends, x, x + one * ((a * vbb - pxb * vxb) * dx + (pxb * vxx - a * vxb) * db))
        later_b = np.where(ends, b, b + one * ((c * vbb - pbb * vxb) * dx + (pbb * vxx - c * vxb) * db))
        result[k] = later_x
    return result
