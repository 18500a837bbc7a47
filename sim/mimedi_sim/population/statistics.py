# SPDX-License-Identifier: Apache-2.0
"""Distributions of the figures of many batches and how they compare with the references."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mimedi_sim.population.references import MEDIAN_TOLERANCE, REFERENCES, TAIL_TOLERANCE, Reference

MEDIAN_CONFIDENCE = 1.96


@dataclass(frozen=True)
class Distribution:
    """Central 95 % range and median of a figure over the batches that have it, with the reference if there is one.

    median_error, low_error, high_error are relative deviations from the reference (NaN without one).
    median_sampling is the half-width of the median's 95 % confidence interval, relative to it. paired is the median
    over batches of figure / figure of the idealised chain with the same donor: what the process itself changes, free
    of which donors were drawn (NaN without).
    """

    name: str
    count: int
    low: float
    median: float
    high: float
    median_sampling: float
    reference: Reference | None
    median_error: float
    low_error: float
    high_error: float
    paired: float = math.nan

    @property
    def agrees(self) -> bool | None:
        """Whether median (± 5 %) and tails (± 15 %) are those of the reference; None without one."""
        if self.reference is None:
            return None
        return abs(self.median_error) <= MEDIAN_TOLERANCE and max(
            abs(self.low_error), abs(self.high_error)
        ) <= TAIL_TOLERANCE


def distributions(
    rows: Sequence[Mapping[str, float]], compare: bool = True, ideal: Sequence[Mapping[str, float]] = ()
) -> list[Distribution]:
    """Return the distribution of every figure that occurs, those of PHYSICS §12 first and in its order.

    Args: rows of figures by name, one a batch; compare=False leaves the references out (other
    donors); ideal are the figures of the idealised chain, one mapping a row.
    """
    names = [*REFERENCES, *sorted({name for row in rows for name in row} - set(REFERENCES))]
    result = []
    for name in names:
        values = np.sort([row[name] for row in rows if name in row and math.isfinite(row[name])])
        if values.size:
            ratios = [
                row[name] / chain[name] for row, chain in zip(rows, ideal, strict=False)
                if math.isfinite(row.get(name, math.nan)) and chain.get(name)
            ]
            paired = float(np.median(ratios)) if ratios and compare else math.nan
            result.append(_distribution(name, values, REFERENCES.get(name) if compare else None, paired))
    return result


def _distribution(name: str, values: np.ndarray, reference: Reference | None, paired: float) -> Distribution:
    low, median, high = (float(q) for q in np.quantile(values, (0.025, 0.5, 0.975)))
    # Order statistics around the middle: distribution-free confidence interval of the median.
    half = MEDIAN_CONFIDENCE * math.sqrt(values.size) / 2.0
    first = max(0, math.floor(values.size / 2.0 - half))
    last = min(values.size - 1, math.ceil(values.size / 2.0 + half))
    sampling = 0.5 * (values[last] - values[first]) / abs(median) if median else math.nan
    errors = [math.nan] * 3
    if reference is not None:
        pairs = ((median, reference.median), (low, reference.low), (high, reference.high))
        errors = [(got - expected) / abs(expected) for got, expected in pairs]
    return Distribution(
        name, int(values.size), low, median, high, float(sampling), reference,
        median_error=errors[0], low_error=errors[1], high_error=errors[2], paired=paired,
    )
