# SPDX-License-Identifier: Apache-2.0
"""Which organism may grow: from the doubling time between two screenings of the same batch.

Doubling times in rich medium at 37 °C: PHYSICS §8. A hint for the investigation, never an identification.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

DOUBLING_TIME_H = {
    "Escherichia coli (water, gut)": 0.5,
    "Staphylococcus epidermidis (skin)": 1.25,
    "Candida albicans (yeast)": 2.0,
    "Cutibacterium acnes (skin)": 6.5,
}
SPREAD_LN = 0.35
"""Strains and media: a doubling time is known to about a factor of 1.4."""
SATURATED_CFU_PER_ML = 3.0e8
"""From here on growth slows down: only a lower limit of the speed is known."""


@dataclass(frozen=True)
class Finding:
    """Microbes found in a screening: process time [s], their density [CFU/mL] and its standard uncertainty."""

    time_s: float
    cfu_per_ml: float
    sd_per_ml: float


def doubling_time_h(before: Finding, after: Finding) -> float:
    """Return the doubling time [h] between two findings; NaN when nothing grew for sure."""
    hours = (after.time_s - before.time_s) / 3600.0
    low = max(before.cfu_per_ml, 2.0 * before.sd_per_ml)
    if hours <= 0.0 or low <= 0.0 or after.cfu_per_ml < 2.0 * low:
        return math.nan
    return hours * math.log(2.0) / math.log(after.cfu_per_ml / low)


def hint(before: Finding, after: Finding) -> str:
    """Return which organisms fit, most likely first, or why none can be told.

    A first finding that is only an upper limit, or a second one near saturation, gives the slowest growth that explains
    both: faster organisms fit as well.
    """
    measured_h = doubling_time_h(before, after)
    if math.isnan(measured_h):
        return "no growth between two screenings: organism not known"
    slowest_only = before.cfu_per_ml < 2.0 * before.sd_per_ml or after.cfu_per_ml >= SATURATED_CFU_PER_ML
    scores = {}
    for name, expected_h in DOUBLING_TIME_H.items():
        distance = math.log(measured_h / expected_h) / SPREAD_LN
        scores[name] = 0.0 if slowest_only and distance > 0.0 else abs(distance)
    fitting = [name for name in sorted(scores, key=lambda n: scores[n]) if scores[name] <= 2.0]
    at_most = "at most " if slowest_only else ""
    told = ", ".join(fitting) or "none of those listed"
    return f"doubling time {at_most}{measured_h:.1f} h: {told}"
