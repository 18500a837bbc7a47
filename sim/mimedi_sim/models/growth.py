# SPDX-License-Identifier: Apache-2.0
"""Rate factors of cell growth: lag, stimulus decay, temperature and pH windows, logistic limit.

Source: Baranyi & Roberts 1994 (lag), Rosso et al. 1993/1995 (cardinal models); parameters PHYSICS §5.
"""

from __future__ import annotations

import math

from mimedi_sim.models.validation import require_positive

T_MIN_C, T_OPT_C, T_MAX_C = 25.0, 37.0, 42.0
PH_MIN, PH_OPT, PH_MAX = 6.4, 7.25, 8.0
FRESH_MEDIUM_PH = 7.4374
"""pH of fresh medium (23.8 mM bicarbonate) under nominal CO2."""


def temperature_factor(
    temperature_c: float, minimum_c: float = T_MIN_C, optimum_c: float = T_OPT_C, maximum_c: float = T_MAX_C
) -> float:
    """Return the cardinal temperature factor (CTMI), 1 at the optimum, 0 outside the limits."""
    if not minimum_c < optimum_c < maximum_c:
        raise ValueError(f"cardinal temperatures {minimum_c}, {optimum_c}, {maximum_c} °C must ascend")
    if not minimum_c < temperature_c < maximum_c:
        return 0.0
    numerator = (temperature_c - maximum_c) * (temperature_c - minimum_c) ** 2
    denominator = (optimum_c - minimum_c) * (
        (optimum_c - minimum_c) * (temperature_c - optimum_c)
        - (optimum_c - maximum_c) * (optimum_c + minimum_c - 2.0 * temperature_c)
    )
    return max(0.0, numerator / denominator)


def ph_factor(ph: float, minimum: float = PH_MIN, optimum: float = PH_OPT, maximum: float = PH_MAX) -> float:
    """Return the cardinal pH factor (CPM), 1 at the optimum, 0 outside the limits."""
    if not minimum < optimum < maximum:
        raise ValueError(f"cardinal pH values {minimum}, {optimum}, {maximum} must ascend")
    if not minimum < ph < maximum:
        return 0.0
    window = (ph - minimum) * (ph - maximum)
    return max(0.0, window / (window - (ph - optimum) ** 2))


def _conjugate_ph(ph: float) -> float:
    """Return the pH on the other side of the optimum that has the same cardinal factor."""
    # f = w/(w-(pH-opt)²) is constant where (pH-opt)²/w is: a quadratic whose other root is wanted.
    k = (ph - PH_OPT) ** 2 / ((ph - PH_MIN) * (ph - PH_MAX))
    return (2.0 * PH_OPT - k * (PH_MIN + PH_MAX)) / (1.0 - k) - ph


_PH_FACTOR_FRESH = ph_factor(FRESH_MEDIUM_PH)
_PH_BAND_LOW = _conjugate_ph(FRESH_MEDIUM_PH)


def culture_ph_factor(ph: float) -> float:
    """Return the pH factor of a culture: the cardinal factor over that of fresh medium, at most 1.

    T cells are not slowed by the pH of their own fresh medium, so the nominal band (about 7.07–7.44) counts
    as 1 and the growth parameters of PHYSICS §5, fitted there, keep their meaning [calibration].
    """
    if _PH_BAND_LOW <= ph <= FRESH_MEDIUM_PH:
        return 1.0
    return min(1.0, ph_factor(ph) / _PH_FACTOR_FRESH)


def lag_log_growth(growth_per_h: float, lag_rate_per_h: float, lag_h: float, time_h: float) -> float:
    """Return ln(X/X0) of growth with a Baranyi lag: the integral of mu alpha(t), alpha = 1/(1+e^(-nu t)/q0)."""
    require_positive(lag_rate_per_h=lag_rate_per_h)
    # ln(q0 e^(nu t) + 1) - ln(q0 + 1) with q0 = 1/(e^(nu lag) - 1), arranged for large exponents.
    a, b = lag_rate_per_h * time_h, lag_rate_per_h * lag_h
    if b <= 0.0:
        return growth_per_h * time_h
    return growth_per_h / lag_rate_per_h * (_log_sum(a, _log_expm1(b)) - b)


def _log_expm1(x: float) -> float:
    return x + math.log(-math.expm1(-x))


def _log_sum(a: float, b: float) -> float:
    high, low = max(a, b), min(a, b)
    return high + math.log1p(math.exp(low - high))


def logistic(initial: float, capacity: float, growth_per_h: float, time_h: float) -> float:
    """Return X(t) of dX = mu X (1 - X/K)."""
    require_positive(initial=initial, capacity=capacity)
    return capacity / (1.0 + (capacity / initial - 1.0) * math.exp(-growth_per_h * time_h))
