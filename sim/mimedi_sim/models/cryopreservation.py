# SPDX-License-Identifier: Apache-2.0
"""Freezing and thawing of formulated T cells: protectant, cooling rate, waiting times, thawing, the day after.

Slow cooling kills by solution effects, fast cooling by ice inside the cells: survival has its maximum at a rate that is
about 1 K/min with 10 % DMSO (two-factor hypothesis, Mazur, Leibo & Chu 1972). DMSO itself is toxic while the cells are
liquid. All numbers [calibration]: 10 % DMSO at 1 K/min keeps 0.90 of the viable cells at once and 0.79 a day
later; published post-thaw viabilities of CAR-T doses lie between 0.7 and 0.9 [M].
"""

from __future__ import annotations

import math

from mimedi_sim.models.validation import require_fraction, require_not_negative, require_positive

NOMINAL_DMSO = 0.10
NOMINAL_COOLING_K_MIN = 1.0
_BEST_SURVIVAL, _UNPROTECTED_SURVIVAL = 0.92, 0.01
_PROTECTING_DMSO = 0.035
_COOLING_WIDTH_LN = 1.2
_TOXIC_PER_H_AT_22_C, _TOXIC_PER_H_AT_4_C = 0.20, 0.03
_SLOW_THAW_K_MIN = 30.0
_LATE_DEATH, _LATE_TIME_H = 0.13, 8.0


def protected_survival(dmso_fraction: float) -> float:
    """Return the survival at the best cooling rate for a volume fraction of DMSO."""
    require_fraction(dmso_fraction=dmso_fraction)
    shelter = -math.expm1(-((dmso_fraction / _PROTECTING_DMSO) ** 2))
    return _UNPROTECTED_SURVIVAL + (_BEST_SURVIVAL - _UNPROTECTED_SURVIVAL) * shelter


def cooling_factor(cooling_k_min: float) -> float:
    """Return the share of the best survival at a cooling rate [K/min]: a bell over its logarithm."""
    require_positive(cooling_k_min=cooling_k_min)
    return math.exp(-0.5 * (math.log(cooling_k_min / NOMINAL_COOLING_K_MIN) / _COOLING_WIDTH_LN) ** 2)


def toxicity_factor(dmso_fraction: float, wait_h: float, temperature_c: float) -> float:
    """Return the share of cells that live through waiting in DMSO, 4 to 22 °C [calibration]."""
    require_not_negative(wait_h=wait_h)
    share = (min(max(temperature_c, 4.0), 22.0) - 4.0) / 18.0
    rate = _TOXIC_PER_H_AT_4_C * (_TOXIC_PER_H_AT_22_C / _TOXIC_PER_H_AT_4_C) ** share
    return math.exp(-rate * dmso_fraction / NOMINAL_DMSO * wait_h)


def thawing_factor(warming_k_min: float) -> float:
    """Return the share of cells that survive warming [K/min]: slow warming lets ice grow again."""
    require_positive(warming_k_min=warming_k_min)
    return -math.expm1(-warming_k_min / _SLOW_THAW_K_MIN * 3.0)


def viability_after_thaw(
    viability: float, *, dmso_fraction: float = NOMINAL_DMSO, cooling_k_min: float = NOMINAL_COOLING_K_MIN,
    wait_h: float = 0.25, wait_c: float = 4.0, warming_k_min: float = 100.0, hours_after: float = 0.0,
) -> float:
    """Return the viability (0..1) of cells that were frozen and thawed, hours_after the thaw.

    Cells that freezing has doomed die in the first day (apoptosis): a viability right after the thaw flatters.
    """
    require_fraction(viability=viability)
    require_not_negative(hours_after=hours_after)
    survival = (
        protected_survival(dmso_fraction) * cooling_factor(cooling_k_min)
        * toxicity_factor(dmso_fraction, wait_h, wait_c) * thawing_factor(warming_k_min)
    )
    late = 1.0 - _LATE_DEATH * -math.expm1(-hours_after / _LATE_TIME_H)
    return viability * survival * late
