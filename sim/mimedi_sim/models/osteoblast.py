# SPDX-License-Identifier: Apache-2.0
"""Osteoblast differentiation as a chain of fractions: precursor -> pre-osteoblast -> mature (Bateman).

Rates in 1/day, times in days. Source: Bateman 1910; rates calibrated in PHYSICS §5.
"""

from __future__ import annotations

import math

from mimedi_sim.models.validation import require_not_negative, require_positive

COMMITMENT_PER_DAY = 0.10
MATURATION_PER_DAY = 0.06


def alp_positive_fraction(commitment_per_day: float, maturation_per_day: float, time_days: float) -> float:
    """Return the share of pre-osteoblasts, to which alkaline phosphatase is proportional."""
    require_positive(commitment_per_day=commitment_per_day, maturation_per_day=maturation_per_day)
    require_not_negative(time_days=time_days)
    k1, k2 = commitment_per_day, maturation_per_day
    difference = (k2 - k1) * time_days
    # k1 t e^(-k1 t) (1 - e^(-x))/x with x = (k2-k1) t, which stays exact for equal rates.
    ratio = -math.expm1(-difference) / difference if abs(difference) > 1e-12 else 1.0 - 0.5 * difference
    return k1 * time_days * math.exp(-k1 * time_days) * ratio


def mature_fraction(commitment_per_day: float, maturation_per_day: float, time_days: float) -> float:
    """Return the share of mature osteoblasts after time_days of differentiation."""
    alp = alp_positive_fraction(commitment_per_day, maturation_per_day, time_days)
    return max(0.0, -math.expm1(-commitment_per_day * time_days) - alp)


def alp_peak_day(commitment_per_day: float, maturation_per_day: float) -> float:
    """Return the day on which alkaline phosphatase peaks: ln(k1/k2)/(k1-k2)."""
    require_positive(commitment_per_day=commitment_per_day, maturation_per_day=maturation_per_day)
    relative = (commitment_per_day - maturation_per_day) / maturation_per_day
    if abs(relative) < 1e-9:
        return 1.0 / maturation_per_day
    return math.log1p(relative) / (commitment_per_day - maturation_per_day)
