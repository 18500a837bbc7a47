# SPDX-License-Identifier: Apache-2.0
"""What a test of the simulated laboratory is made of: how long it takes, what it needs, how it measures.

A measurement turns the true content of a sample into a value with its 95 % interval; its noise comes from the
stream that it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mimedi_sim.plant.ledger import INDEX, FloatArray
from mimedi_sim.random_streams import RandomStream

Z95 = 1.959964
"""Standard normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True)
class Result:
    """A measured value with its 95 % interval, or a word; NaN where there is no number."""

    value: float | str
    low: float
    high: float
    status: str = "final"


Measure = Callable[[FloatArray, RandomStream], Result]


@dataclass(frozen=True)
class Test:
    """How a test is done: turnaround [h], sample needed [uL], unit, method, measurement, cells that do [cells].

    A test of cells takes `volume_ul` of a thin sample, and of a dense one what holds the `cells` that it needs.
    """

    turnaround_h: float
    volume_ul: float
    unit: str
    method: str
    measure: Measure
    cells: float = math.inf

    def needed_ul(self, cells_per_ml: float) -> float:
        """Return the volume [uL] that the test needs of a sample with so many nucleated cells."""
        dense_ul = 1e3 * self.cells / cells_per_ml if cells_per_ml > 0.0 else math.inf
        return min(self.volume_ul, max(PIPETTED_UL, dense_ul))


PIPETTED_UL = 20.0
"""Smallest volume that is taken out of a sample [calibration]."""
UNKNOWN = Result(math.nan, math.nan, math.nan, "invalid")
"""Of a sample in which there is nothing to measure."""


def sum_of(content: FloatArray, names: Sequence[str]) -> float:
    """Return the sum of some quantities of a content."""
    return float(sum(content[INDEX[name]] for name in names))


def fraction(part: float, whole: float, events: int, systematic_sd: float, draw: RandomStream) -> Result:
    """Return a share of counted events: binomial counting and a systematic error of gating."""
    if whole <= 0.0:
        return UNKNOWN
    true = min(1.0, max(0.0, part / whole + draw.normal(1, 0.0, systematic_sd)))
    value = draw.binomial(2, events, true) / events
    half = Z95 * math.hypot(systematic_sd, math.sqrt(max(value * (1.0 - value), 1.0 / events) / events))
    return Result(value, max(0.0, value - half), min(1.0, value + half))


def relative(true: float, cv: float, draw: RandomStream) -> Result:
    """Return a value with a relative error of standard deviation `cv`."""
    value = true * (1.0 + cv * draw.normal(1))
    return Result(max(0.0, value), max(0.0, value * (1.0 - Z95 * cv)), value * (1.0 + Z95 * cv))


def word(text: str, status: str = "final") -> Result:
    """Return a result in words."""
    return Result(text, math.nan, math.nan, status)


def absent(content: FloatArray, draw: RandomStream) -> Result:
    """Return that nothing was found."""
    return word("negative")
