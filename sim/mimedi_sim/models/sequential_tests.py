# SPDX-License-Identifier: Apache-2.0
"""Sequential tests on Poisson counts: SPRT for release, CUSUM for monitoring, with their exact run lengths.

Counts per window; likelihoods in nat; run lengths in windows.
Source: Wald 1945, Ann. Math. Stat. 16:117; Brook & Evans 1972, Biometrika 59:539; Lucas 1985, Technometrics 27:129.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve
from scipy.special import gammaln, pdtrik

from mimedi_sim.models.validation import require_not_negative, require_positive

FloatArray = npt.NDArray[np.float64]

_TAIL = 1e-13
_LONGEST_RUN = 1_000_000
_STATES = 2000
_DIRECT_CONVOLUTION = 4e5


def _pmf(mean: float) -> tuple[int, FloatArray]:
    """Return the first count and the probabilities of a Poisson law without tails below 1e-13."""
    low = max(0, math.floor(float(pdtrik(_TAIL, mean))) - 1) if math.exp(-mean) < _TAIL else 0
    high = max(low + 1, math.ceil(mean + 8.0 * math.sqrt(mean) + 20.0))
    k = np.arange(low, high + 1)
    return low, np.exp(k * math.log(mean) - mean - gammaln(k + 1.0))


def _convolved(a: FloatArray, b: FloatArray) -> FloatArray:
    direct = a.size * b.size <= _DIRECT_CONVOLUTION
    return np.convolve(a, b) if direct else np.maximum(fftconvolve(a, b), 0.0)


@dataclass(frozen=True)
class Sprt:
    """Wald's sequential probability ratio test of rate1 against rate0 [counts/window].

    alpha and beta are the nominal risks (0..1, sum below 1) of a false alarm and of a miss.
    """

    rate0: float
    rate1: float
    alpha: float
    beta: float

    def __post_init__(self) -> None:
        require_positive(rate0=self.rate0, rate1=self.rate1)
        if self.rate0 == self.rate1:
            raise ValueError(f"rate0 and rate1 are both {self.rate0}; they must differ")
        for name in ("alpha", "beta"):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                raise ValueError(f"{name} is {value}; allowed: above 0, below 1")
        if self.alpha + self.beta >= 1.0:
            raise ValueError(f"alpha {self.alpha} + beta {self.beta} is >= 1; no test has such risks")

    @property
    def upper(self) -> float:
        """The threshold A = ln((1-beta)/alpha) at which rate1 is accepted."""
        return math.log((1.0 - self.beta) / self.alpha)

    @property
    def lower(self) -> float:
        """The threshold B = ln(beta/(1-alpha)) at which rate0 is accepted."""
        return math.log(self.beta / (1.0 - self.alpha))

    @property
    def _slope(self) -> float:
        return math.log(self.rate1 / self.rate0)

    def evidence(self, counts: float) -> float:
        """Return the log likelihood ratio of one window's counts: k ln(l1/l0) - (l1 - l0)."""
        return counts * self._slope - (self.rate1 - self.rate0)

    def mean_evidence(self, rate: float) -> float:
        """Return the expected evidence of a window at a true rate."""
        return self.evidence(rate)

    def wald_run_length(self, hypothesis: int) -> float:
        """Return Wald's mean number of windows under hypothesis 0 or 1; he ignores the overshoot."""
        if hypothesis not in (0, 1):
            raise ValueError(f"hypothesis is {hypothesis}; allowed: 0, 1")
        up = 1.0 - self.beta if hypothesis else self.alpha
        mean = self.mean_evidence(self.rate1 if hypothesis else self.rate0)
        return (up * self.upper + (1.0 - up) * self.lower) / mean

    def operating_point(self, rate: float) -> tuple[float, float]:
        """Return (mean number of windows, probability of accepting rate1) at a true rate, with overshoot.

        The distribution of the total count among undecided runs is propagated window by window: no sampling.
        Raises: ArithmeticError if runs do not end within a million windows.
        """
        require_positive(rate=rate)
        first, steps = _pmf(rate)
        slope, drift = self._slope, self.rate1 - self.rate0
        undecided, offset = np.ones(1), 0
        mean_length, accepted, remaining = 0.0, 0.0, 1.0
        for n in range(1, _LONGEST_RUN):
            mean_length += remaining
            undecided = _convolved(undecided, steps)
            offset += first
            evidence = (offset + np.arange(undecided.size)) * slope - n * drift
            accepted += float(undecided[evidence >= self.upper].sum())
            keep = np.flatnonzero((evidence > self.lower) & (evidence < self.upper))
            remaining = float(undecided[keep].sum())
            if remaining < 1e-12:
                return mean_length, accepted
            undecided, offset = undecided[keep[0] : keep[-1] + 1], offset + int(keep[0])
        raise ArithmeticError(f"the test at rate {rate} is not decided within {_LONGEST_RUN} windows")


@dataclass
class SprtRun:
    """A running test: `decision` is None, 0 or 1, and stays."""

    test: Sprt
    evidence: float = 0.0
    windows: int = 0
    decision: int | None = None

    def add(self, counts: int) -> int | None:
        """Take one window's counts in; return the decision."""
        require_not_negative(counts=counts)
        if self.decision is None:
            self.evidence += self.test.evidence(counts)
            self.windows += 1
            if self.evidence >= self.test.upper:
                self.decision = 1
            elif self.evidence <= self.test.lower:
                self.decision = 0
        return self.decision


@dataclass(frozen=True)
class Cusum:
    """One-sided cumulative sum S = max(0, S + x - reference), alarm when S >= threshold [counts]."""

    reference: float
    threshold: float

    def __post_init__(self) -> None:
        require_positive(threshold=self.threshold)
        require_not_negative(reference=self.reference)

    @classmethod
    def between(cls, rate0: float, rate1: float, threshold: float) -> Cusum:
        """Return the chart that is optimal between two rates: reference (l1-l0)/ln(l1/l0)."""
        require_positive(rate0=rate0, rate1=rate1)
        return cls((rate1 - rate0) / math.log(rate1 / rate0), threshold)

    def add(self, sum_: float, counts: float) -> tuple[float, bool]:
        """Return the new sum and whether it alarms."""
        new = max(0.0, sum_ + counts - self.reference)
        return new, new >= self.threshold

    def run_length(self, rate: float) -> float:
        """Return the mean number of windows to the alarm from S = 0 at a true rate, inf if it never comes.

        Exact Markov chain on the lattice of the sums. A reference that is no simple fraction is replaced by its
        best approximation with a denominator that keeps the chain at about 2000 states. Source: Brook & Evans 1972.
        """
        require_positive(rate=rate)
        largest = max(1, min(1000, int(_STATES / self.threshold)))
        step = Fraction(self.reference).limit_denominator(largest)
        per_count, down = step.denominator, step.numerator
        # States 0..size-1 in units of 1/per_count; the alarm is at or above size.
        size = max(1, math.ceil(self.threshold * per_count - 1e-9))
        transition = np.zeros((size, size))
        first, probabilities = _pmf(rate)
        start = np.arange(size)
        for k, p in enumerate(probabilities, start=first):
            end = np.maximum(0, start + k * per_count - down)
            inside = end < size
            if not inside.any():
                break
            np.add.at(transition, (start[inside], end[inside]), p)
        system = np.eye(size) - transition
        try:
            lengths = np.linalg.solve(system, np.ones(size))
        except np.linalg.LinAlgError:
            return math.inf
        return float(lengths[0]) if lengths[0] > 0.0 else math.inf
