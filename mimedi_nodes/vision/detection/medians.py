# SPDX-License-Identifier: Apache-2.0
"""Medians and percentiles of few numbers: NumPy's own take longer to start than to sort."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def median(values: NDArray[np.floating]) -> float:
    """Median of finite numbers (N,), N >= 1."""
    return percentile(values, 50.0)


def percentile(values: NDArray[np.floating], percent: float) -> float:
    """Percentile (0..100, linear interpolation as `np.percentile`) of finite numbers (N,), N >= 1."""
    return percentile_of_sorted(np.sort(values), percent)


def percentile_of_sorted(ordered: NDArray[Any], percent: float) -> float:
    """Percentile of numbers (N,) that are in order already."""
    place = percent / 100.0 * (len(ordered) - 1)
    lower = int(place)
    low = float(ordered[lower])
    if lower + 1 == len(ordered):
        return low
    return low + (place - lower) * (float(ordered[lower + 1]) - low)
