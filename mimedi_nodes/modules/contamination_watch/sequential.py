# SPDX-License-Identifier: Apache-2.0
"""Sequential tests of an aliquot's light, with a background that is known only so well: SPRT, and CUSUM beside it.

Source: Wald 1945, Ann. Math. Stat. 16:117; Page 1954, Biometrika 41:100. The background's systematic uncertainty is
part of the null hypothesis: all rates up to `NULL_SDS` standard uncertainties above its mean belong to it, so that a
background that is a little brighter than thought is no alarm, however long is counted.

The SPRT decides between two constant rates. Light that comes while it counts (microbes that wake, a cover that opens
slowly) is drowned in what was counted before; the CUSUM forgets that and tells it by its own delay.
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
        per_target_per_s: light [counts/s] of one of what is looked for; a CFU by default.
    """

    null: Rate
    false_alarm_rate: float
    per_target_per_s: float = PER_CFU_PER_S

    @property
    def rate0(self) -> float:
        """Upper edge of the null hypothesis [counts/s]."""
        return self.null.per_s + NULL_SDS * self.null.sd_per_s

    @property
    def rate1(self) -> float:
        """The rate that is to be found [counts/s]."""
        width = max((ALTERNATIVE_SDS - NULL_SDS) * self.null.sd_per_s, LEAST_CFU * self.per_target_per_s)
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
        return (middle - self.null.per_s) / (self.per_target_per_s * (1.0 + AFTERPULSE))

    @property
    def detectable_cfu(self) -> float:
        """CFU in the aliquot that are missed with `MISS_RATE` only."""
        return (self.rate1 - self.null.per_s) / (self.per_target_per_s * (1.0 + AFTERPULSE))

    @property
    def gain_per_s(self) -> float:
        """Mean evidence of a second at the rate that is to be found."""
        return self.evidence(self.rate1, 1.0)

    def evidence(self, counts: float, live_s: float) -> float:
        """Return the evidence of counts, corrected for dead time, in live_s [s]."""
        ratio = counts * math.log(self.rate1 / self.rate0) - (self.rate1 - self.rate0) * live_s
        return ratio / VARIANCE_FACTOR

    def mean_time_s(self, *, contaminated: bool) -> float:
        """Return Wald's mean time to the decision [s] at either edge of the indifference zone (overshoot ignored)."""
        up = 1.0 - MISS_RATE if contaminated else 0.5 * self.false_alarm_rate
        rate = self.rate1 if contaminated else self.rate0
        return (up * self.upper + (1.0 - up) * self.lower) / self.evidence(rate, 1.0)


CUSUM_SHARE = 0.1
"""Of the allowed false alarms; the SPRT's photons have half, the rest is the background's."""


class Cusum:
    """Page's test on the evidence of one `ScreeningTest`, beside the SPRT.

    Each of the m looks may be the start of a run whose evidence reaches h with a chance of at most exp(-h) (Ville's
    inequality), so h = ln(m/alpha) keeps the false alarms of the whole count below alpha.

    Args:
        test: gives the evidence. looks: times at which the sum is looked at, in the longest count. look_s: time between
            two of them [s].
    """

    def __init__(self, test: ScreeningTest, looks: int, look_s: float) -> None:
        self._test, self._look_s = test, look_s
        self.threshold = math.log(max(1, looks) / (CUSUM_SHARE * test.false_alarm_rate))
        self.value = 0.0

    def take(self, evidence: float) -> bool:
        """Add the evidence of a look; return whether the alarm is reached."""
        self.value = max(0.0, self.value + evidence)
        return self.value >= self.threshold

    @property
    def mean_delay_s(self) -> float:
        """Mean time [s] from the coming of the light to the alarm (Siegmund 1985), with half a look of overshoot."""
        h = self.threshold
        return (h + math.exp(-h) - 1.0) / self._test.gain_per_s + 0.5 * self._look_s
