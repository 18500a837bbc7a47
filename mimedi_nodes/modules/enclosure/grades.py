# SPDX-License-Identifier: Apache-2.0
"""Grades of air by particles, and how soon counts tell that one is lost.

Sources: EU GMP Annex 1 (2022), table 5 (maximum total particles for monitoring: grades A to C in operation; for D,
where the site sets its own limit in operation, the limit at rest); ISO 14644-1:2015 (Poisson counting). SciPy is
imported when counts come: a process that only loads the module does not pay for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

NO_GRADE = "none"
CERTAINTY = 1e-3
"""Counts that so seldom come from air at the limit prove that it is exceeded, whatever volume is still to come."""


@dataclass(frozen=True)
class GradeLimits:
    """Most particles allowed [1/m³]: of 0.5 µm and more, of 5 µm and more."""

    per_m3_05: float
    per_m3_5: float


LIMITS = {
    "A": GradeLimits(3_520.0, 29.0),
    "B": GradeLimits(352_000.0, 2_930.0),
    "C": GradeLimits(3_520_000.0, 29_300.0),
    "D": GradeLimits(3_520_000.0, 29_300.0),
}
"""C in operation and D at rest have the same numbers; a room within them is told to be C."""
ORDER = ("A", "B", "C", "D", NO_GRADE)


def grade_of(per_m3_05: float, per_m3_5: float) -> str:
    """Return the best grade whose limits hold, or 'none'; unknown (NaN) concentrations reach none."""
    for grade, limits in LIMITS.items():
        if per_m3_05 <= limits.per_m3_05 and per_m3_5 <= limits.per_m3_5:
            return grade
    return NO_GRADE


def grade_not_exceeded(counts_05: int, counts_5: int, volume_m3: float) -> str:
    """Return the best grade whose limits counts in a small volume do not surely exceed, or 'none'."""
    for grade, limits in LIMITS.items():
        if not surely_exceeds(counts_05, limits.per_m3_05, volume_m3) and not surely_exceeds(
            counts_5, limits.per_m3_5, volume_m3
        ):
            return grade
    return NO_GRADE


def suffices(reached: str, wanted: str) -> bool:
    """Tell whether a grade is as good as another one."""
    return ORDER.index(reached) <= ORDER.index(wanted)


def surely_exceeds(counts: int, limit_per_m3: float, volume_m3: float) -> bool:
    """Tell whether so many counts would be a rarity (`CERTAINTY`) at the limit itself."""
    from scipy.special import gammainc

    # P(N >= n) of a Poisson number of mean m is the regularised incomplete gamma function P(n, m).
    return volume_m3 > 0.0 and counts > 0 and bool(gammainc(counts, limit_per_m3 * volume_m3) < CERTAINTY)


def interval_per_m3(counts: int, volume_m3: float) -> tuple[float, float]:
    """Return the exact 95 % interval of a concentration [1/m³] behind Poisson counts (Garwood 1936)."""
    from scipy.special import gammaincinv

    low = 0.0 if counts == 0 else float(gammaincinv(counts, 0.025))
    return low / volume_m3, float(gammaincinv(counts + 1, 0.975)) / volume_m3


class EarlyWarning:
    """Warns when a sample holds more particles than the earlier ones let expect.

    The samples so far tell the air's mean only by their own Poisson counts; given K particles in m equal samples, the
    next one is negative binomial (Jeffreys prior: r = K + 1/2, p = m/(m + 1)). So the rate of false alarms is what is
    asked for from the second sample on, without any assumption on what normal air holds.

    Args:
        false_alarm_rate: false alarms per sample, 0 to 1.
    """

    def __init__(self, false_alarm_rate: float) -> None:
        if not 0.0 < false_alarm_rate < 1.0:
            raise ValueError(f"false_alarm_rate = {false_alarm_rate}: allowed is above 0 and below 1")
        self._rate = false_alarm_rate
        self._counts = 0
        self._samples = 0

    def limit(self) -> float:
        """Return the most counts of the next sample that do not warn; inf while there is no sample yet."""
        if self._samples == 0:
            return math.inf
        from scipy.special import betainc

        shape, odds = self._counts + 0.5, 1.0 / (self._samples + 1.0)
        low, high = -1, 1
        # P(N > k) = I_{1-p}(k + 1, r); the smallest k where it is rare enough, by doubling and halving.
        while betainc(high + 1.0, shape, odds) > self._rate:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if betainc(middle + 1.0, shape, odds) > self._rate else (low, middle)
        return float(high)

    def take(self, counts: int) -> bool:
        """Take the counts of a sample; return whether it warns. One that warns is not learnt from."""
        if counts > self.limit():
            return True
        self._counts += counts
        self._samples += 1
        return False
