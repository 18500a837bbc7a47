# SPDX-License-Identifier: Apache-2.0
"""Distributions of the figures of many batches and how they compare with the references."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mimedi_sim.population.references import MEDIAN_TOLERANCE, REFERENCES, TAIL_TOLERANCE, Reference

MEDIAN_CONFIDENCE = 1.96
QUANTILES = (0.025, 0.5, 0.975)


@dataclass(frozen=True)
class Distribution:
    """Central 95 % range and median of a figure over the batches that have it, with the reference if there is one.

    median_error, low_error, high_error are relative deviations from the reference (NaN without one).
    median_sampling is the half-width of the median's 95 % confidence interval, relative to it. paired_low, paired and
    paired_high are the deviations from the idealised chain with the same donors and the steps of PROCESS
    (models.process_chain), the median batch by batch, the tails quantile by quantile: what the plant itself changes,
    free of which donors were drawn (NaN without).
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
    paired_low: float = math.nan
    paired: float = math.nan
    paired_high: float = math.nan

    @property
    def agrees_raw(self) -> bool | None:
        """Whether median (± 5 %) and tails (± 15 %) are those of the reference as they stand; None without one."""
        return self._within(self.low_error, self.median_error, self.high_error)

    @property
    def agrees(self) -> bool | None:
        """Whether they are, for the donors that were drawn and the steps of PROCESS; None without a reference."""
        if not math.isfinite(self.paired):
            return self.agrees_raw
        return self._within(self.paired_low, self.paired, self.paired_high)

    def _within(self, low: float, median: float, high: float) -> bool | None:
        if self.reference is None:
            return None
        return abs(median) <= MEDIAN_TOLERANCE and max(abs(low), abs(high)) <= TAIL_TOLERANCE


def distributions(
    rows: Sequence[Mapping[str, float]], compare: bool = True, ideal: Sequence[Mapping[str, float]] = ()
) -> list[Distribution]:
    """Return the distribution of every figure that occurs, those of PHYSICS §12 first and in its order.

    Args: rows of figures by name, one a batch; compare=False leaves the references out (other
    donors); ideal are the figures of the idealised chain with PROCESS's steps, one mapping a row.
    """
    names = [*REFERENCES, *sorted({name for row in rows for name in row} - set(REFERENCES))]
    result = []
    for name in names:
        kept = [k for k, row in enumerate(rows) if math.isfinite(row.get(name, math.nan))]
        if kept:
            chain = [ideal[k].get(name, math.nan) for k in kept] if compare and ideal else []
            reference = REFERENCES.get(name) if compare else None
            result.append(_distribution(name, np.array([rows[k][name] for k in kept]), reference, np.array(chain)))
    return result


def _distribution(name: str, values: np.ndarray, reference: Reference | None, chain: np.ndarray) -> Distribution:
    unsorted, values = values, np.sort(values)
    low, median, high = (float(q) for q in np.quantile(values, QUANTILES))
    paired = [math.nan] * 3
    if chain.size and np.all(np.isfinite(chain)) and np.all(chain != 0.0):
        paired = [got / float(ideal) - 1.0 for got, ideal in zip((low, median, high), np.quantile(chain, QUANTILES),
                                                                 strict=True)]
        paired[1] = float(np.median(unsorted / chain)) - 1.0  # batch by batch: free of the donors' spread
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
        median_error=errors[0], low_error=errors[1], high_error=errors[2],
        paired_low=paired[0], paired=paired[1], paired_high=paired[2],
    )
