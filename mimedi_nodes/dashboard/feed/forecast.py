# SPDX-License-Identifier: Apache-2.0
"""When a growing culture reaches a number of cells, by what it did lately: for display, never for decisions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

WINDOW_S = 36.0 * 3600.0
LEAST_POINTS = 6


@dataclass(frozen=True)
class Forecast:
    """Process times [s] at which the number is reached; the band holds 95 % of what scatter would allow.

    Args:
        rate_per_d: specific growth rate [1/d].
    """

    at_s: float
    earliest_s: float
    latest_s: float
    rate_per_d: float


def reaches(times_s: Sequence[float], cells: Sequence[float], target: float) -> Forecast | None:
    """Return when cells that grow exponentially reach `target`; None when they do not grow or too little is known.

    A straight line is fitted by least squares to the logarithm of the counts of the last 36 h; the band is the inverse
    of its 95 % prediction interval (Draper and Smith, Applied Regression Analysis, 3rd ed., 3.2). Other errors than
    scatter, such as growth that slows down, are not in it.
    """
    if not times_s or not target > 0.0:
        return None
    known = [(t, math.log(c)) for t, c in zip(times_s, cells, strict=True) if c > 0.0 and t >= times_s[-1] - WINDOW_S]
    if len(known) < LEAST_POINTS or known[-1][0] <= known[0][0]:
        return None
    t = np.array([point[0] for point in known])
    y = np.array([point[1] for point in known])
    mean_t = t.mean()
    spread = float(((t - mean_t) ** 2).sum())
    slope = float(((t - mean_t) * (y - y.mean())).sum()) / spread
    if slope <= 0.0:
        return None
    level = float(y.mean())
    residual = y - level - slope * (t - mean_t)
    scatter = math.sqrt(float((residual**2).sum()) / (len(t) - 2))
    wanted = math.log(target)
    at_s = mean_t + (wanted - level) / slope
    # Fieller: the times at which the target lies on an edge of the prediction interval.
    q = float(stats.t.ppf(0.975, len(t) - 2)) * scatter
    a = slope**2 - q**2 / spread
    if a <= 0.0:
        return Forecast(float(at_s), -math.inf, math.inf, slope * 86400.0)
    b = slope * (wanted - level)
    root = q * math.sqrt(max((wanted - level) ** 2 / spread + a * (1.0 + 1.0 / len(t)), 0.0))
    return Forecast(float(at_s), float(mean_t + (b - root) / a), float(mean_t + (b + root) / a), slope * 86400.0)
