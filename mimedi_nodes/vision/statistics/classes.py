# SPDX-License-Identifier: Apache-2.0
"""What the cells of a sample are, from their light in two colours: each colour's gate, and shares with intervals."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.statistics.intervals import Interval, wilson_interval

GATE_SHARE = 0.45
"""Gate of a colour over the median light of the cells that are lit in it. Stained cells differ by a quarter (standard
deviation of the logarithm): three of these below the median. What a neighbour's edge adds to a cell is mostly less."""
APART = 6.0
"""Lit cells stand so many robust standard deviations above the median of the unlit ones, their negative control."""


def classify(lights: NDArray[np.float64], control_level: float) -> NDArray[np.int64]:
    """The class of each cell, (N,): 0 unlit, 1 or 2 the colour in which it is lit.

    A cell is lit in one colour: the one in which it stands higher over that colour's gate; through the other one's
    filter it shines less.

    Args:
        lights: light of each cell in both colours above the background, grey levels, (N, 2), finite.
        control_level: light below which no cell is lit, grey levels: of an unstained control.
    """
    relative = lights / np.maximum([_gate(light, control_level) for light in lights.T], 1e-9)
    best = relative.argmax(axis=1)
    return np.where(relative[np.arange(len(lights)), best] > 1.0, best + 1, 0).astype(np.int64)


def _gate(light: NDArray[np.float64], control_level: float) -> float:
    """Light from which on a cell is lit, grey levels."""
    lit = light[light > control_level]
    gate = max(control_level, GATE_SHARE * float(np.median(lit)) if len(lit) else 0.0)
    unlit = light[light <= gate]
    if not len(unlit):
        return gate
    middle = float(np.median(unlit))
    return max(gate, middle + APART * 1.4826 * float(np.median(np.abs(unlit - middle))))


def class_share(members: int, cells: int, confidence: float, distinct_share: float = 1.0,
                hidden: tuple[float, float] = (0.0, 0.0)) -> Interval:
    """Share p of the cells that are of a lit class; NaN for no cells.

    Two cells that are seen as one show the light of the one that is lit: of m hidden cells per counted one, p (1 - p)
    hid behind a lit cell that they are not, and the share read is p + m p (1 - p).

    Args:
        distinct_share: as in `wilson_interval`.
        hidden: m >= 0, and its standard deviation.
    """
    read = wilson_interval(members, cells, confidence, distinct_share)
    if math.isnan(read.value):
        return read
    missing, deviation = hidden
    value, low, high = (p - missing * p * (1.0 - p) for p in (read.value, read.low, read.high))
    apart = NormalDist().inv_cdf(0.5 + confidence / 2.0) * deviation * read.value * (1.0 - read.value)
    return Interval(value, max(0.0, value - math.hypot(value - low, apart)),
                    min(1.0, value + math.hypot(high - value, apart)))
