# SPDX-License-Identifier: Apache-2.0
"""Sequential probability ratio test of an aliquot's light, with a background that is known only so well.

Source: Wald 1945, Ann. Math. Stat. 16:117. The background's systematic uncertainty is part of the null hypothesis: all
rates up to `NULL_SDS` standard uncertainties above its mean belong to it, so that a background that is a little
brighter than thought is no alarm, however long is counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .assay import AFTERPULSE, PER_CFU_PER_S, Rate

NULL_SDS, ALTERNATIVE_SDS = 3.0, 5.0
"""Edges of the indifference zone; its middle, the threshold, lies 4 standard uncertainties above the background."""
LEAST_CFU = 10.0
"""Narrowest indifference zone: what cannot be told apart in minutes is not asked for."""
MISS_RATE = 0.01
VARIANCE_FACTOR = 1.0 + 2.0 * AFTERPULSE


@dataclass(frozen=True)
class ScreeningTest:
    """One test; evidence is a log likelihood ratio [nat], corrected for the detector's after-pulses.

    Args:
        null: rate without microbes.
        false_alarm_rate: of a test, 0 to 1: half of it is left to the photons, half to the background.
    """

    null: Rate
    false_alarm_rate: float

    @property
    def rate0(self) -> float:
        """Upper edge of the null hypothesis [counts/s]."""
        return self.null.per_s + NULL_SDS * self.null.sd_per_s

    @property
    def rate1(self) -> float:
        """The rate that is to be found [counts/s]."""
        width = max((ALTERNATIVE_SDS - NULL_SDS) * self.null.sd_per_s, LEAST_CFU * PER_CFU_PER_S)
        return self.rate0 + width

    @property
    def upper(self) -> float:
        """Evidence at which microbes are taken as found."""
        return math.log((1.0 - MISS_RATE) / (0.5 * self.false_alarm_rate))

    @property
    def lower(self) -> float:
        """Evidence at which the aliquot is taken as clear."""
        return math.log(MISS_RATE / (1.0 - 0.5 * self.false_alarm_rate))

    @property
    def threshold_cfu(self) -> float:
        """Middle of the indifference zone [CFU in the aliquot]: what is found as often as not."""
        middle = (self.rate1 - self.rate0) / math.log(self.rate1 / self.rate0)
        return (middle - self.null.per_s) / (PER_CFU_PER_S * (1.0 + AFTERPULSE))

    @property
    def detectable_cfu(self) -> float:
        """CFU in the aliquot that are missed with `MISS_RATE` only."""
        return (self.rate1 - self.null.per_s) / (PER_CFU_PER_S * (1.0 + AFTERPULSE))

    def evidence(self, counts: float, live_s: float) -> float:
        """Return the evidence of counts, corrected for dead time, in live_s [s]."""
        ratio = counts * math.log(self.rate1 / self.rate0) - (self.rate1 - self.rate0) * live_s
        return ratio / VARIANCE_FACTOR

    def mean_time_s(self, *, contaminated: bool) -> float:
        """Return Wald's mean time to the decision [s] at either edge of the indifference zone (overshoot ignored)."""
        up = 1.0 - MISS_RATE if contaminated else 0.5 * self.false_alarm_rate
        rate = self.rate1 if contaminated else self.rate0
        return (up * self.upper + (1.0 - up) * self.lower) / self.evidence(rate, 1.0)
