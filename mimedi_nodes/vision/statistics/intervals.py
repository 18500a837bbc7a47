# SPDX-License-Identifier: Apache-2.0
"""Confidence intervals of what is counted: concentrations, fractions, means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds of its confidence interval; NaN where nothing was measured."""

    value: float
    low: float
    high: float


def concentration_interval(frames_in_view: NDArray[np.float64], frames: int, volume_ml: float, confidence: float,
                           sightings: NDArray[np.float64] | None = None) -> Interval:
    """Cells per mL from the number of frames that each distinct cell was in view.

    Cells arrive independently and stay for some frames, so that the sum of the stays is a compound Poisson
    variable: the relative variance of the mean count is sum(stay²) / sum(stay)², the same as of
    (sum stay)² / sum stay² independent cells. Their number gets the exact interval of a Poisson mean (Garwood,
    Biometrika 28 (1936) 437: chi-square quantiles with 2n and 2n + 2 degrees of freedom).

    Args:
        frames_in_view: for each distinct cell, frames with its centre inside the field, (N,).
        frames: number of frames measured.
        volume_ml: volume seen in one frame, mL.
        confidence: of the interval.
        sightings: for each distinct cell, in how many frames a cell in view is expected, from its speed, (N,):
            keeps the interval right where a track was broken in two. Default: the frames in view themselves.
    """
    if frames <= 0 or volume_ml <= 0.0:
        return Interval(math.nan, math.nan, math.nan)
    tail = (1.0 - confidence) / 2.0
    total = float(frames_in_view.sum())
    if total == 0.0:
        # Nothing seen: at least one field's volume was searched.
        return Interval(0.0, 0.0, _chi_square(2.0, tail) / 2.0 / volume_ml)
    value = total / frames / volume_ml
    independent = total**2 / float((frames_in_view * (frames_in_view if sightings is None else sightings)).sum())
    low = _chi_square(2.0 * independent, 1.0 - tail) / 2.0 / independent
    high = _chi_square(2.0 * independent + 2.0, tail) / 2.0 / independent
    return Interval(value, value * float(low), value * float(high))


def _chi_square(freedom: float, upper_tail: float) -> float:
    """The value that a chi-square variable exceeds with probability `upper_tail`."""
    # Takes a tenth of a second to import: not before the first result is asked for.
    from scipy.special import chdtri

    return float(chdtri(freedom, upper_tail))


def poisson_interval(count: int, confidence: float) -> Interval:
    """Mean of a Poisson number of which `count` were seen, with Garwood's exact interval (Biometrika 28 (1936) 437)."""
    tail = (1.0 - confidence) / 2.0
    low = _chi_square(2.0 * count, 1.0 - tail) / 2.0 if count else 0.0
    return Interval(float(count), low, _chi_square(2.0 * count + 2.0, tail) / 2.0)


def doublet_interval(stuck: int, cells: int, confidence: float, distinct_share: float = 1.0) -> Interval:
    """Share of `cells` that are stuck to another; NaN for no cells.

    What comes independently is an object of one cell or of two: of the objects a share q is doublets (Wilson's
    interval), and of the cells 2 q / (1 + q) are in them.
    """
    pairs = (stuck + 1) // 2
    objects = wilson_interval(pairs, cells - pairs, confidence, distinct_share)
    return Interval(*(2.0 * q / (1.0 + q) for q in (objects.value, objects.low, objects.high)))


def mean_interval(values: NDArray[np.float64], confidence: float, distinct_share: float = 1.0) -> Interval:
    """Mean of independent values (N,) with Student's interval; NaN for fewer than two.

    `distinct_share`: as in `wilson_interval`.
    """
    count = len(values) * distinct_share
    if len(values) < 2 or count <= 1.0:
        return Interval(float(values.mean()) if len(values) else math.nan, math.nan, math.nan)
    from scipy.special import stdtrit

    reach = float(stdtrit(count - 1.0, 0.5 + confidence / 2.0)) * float(values.std(ddof=1)) / math.sqrt(count)
    mean = float(values.mean())
    return Interval(mean, mean - reach, mean + reach)


def wilson_interval(successes: int, trials: int, confidence: float, distinct_share: float = 1.0) -> Interval:
    """Fraction with Wilson's score interval (Wilson, J. Am. Stat. Assoc. 22 (1927) 209); NaN for no trials.

    `distinct_share`, in (0, 1], is the share of the trials that count: fewer when some were counted twice.
    """
    if trials <= 0:
        return Interval(math.nan, math.nan, math.nan)
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    share = successes / trials
    count = trials * distinct_share
    centre = (share + z * z / (2.0 * count)) / (1.0 + z * z / count)
    reach = z / (1.0 + z * z / count) * math.sqrt(share * (1.0 - share) / count + z * z / (4.0 * count**2))
    return Interval(share, max(0.0, centre - reach), min(1.0, centre + reach))
