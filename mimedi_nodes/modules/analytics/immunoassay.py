# SPDX-License-Identifier: Apache-2.0
"""Concentrations from an immunoassay's plate: four-parameter logistic.

Source: Rodbard 1974, Clin. Chem. 20:1255; Ph.Eur. 5.3 (four-parameter logistic); wells are read back only where the
curve is steep.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
USABLE = (0.06, 0.75)
"""Share of the curve's span within which wells are read back: above, a few per cent of light are half the value."""
WELL_CV = 0.05


@dataclass(frozen=True)
class Curve:
    """Absorbance = bottom + (top - bottom) x/(1 + x), x = (C/middle)^slope; middle [pg/mL]."""

    bottom: float
    top: float
    middle: float
    slope: float
    residual: float
    """Root mean square of the relative deviations of the standards."""

    def absorbance(self, pg_ml: Array) -> Array:
        """Return the curve."""
        x = (np.asarray(pg_ml, dtype=np.float64) / self.middle) ** self.slope
        result: Array = self.bottom + (self.top - self.bottom) * x / (1.0 + x)
        return result

    def concentration(self, absorbance: float) -> float:
        """Return the concentration [pg/mL] of an absorbance; NaN outside the usable part of the curve."""
        share = (absorbance - self.bottom) / (self.top - self.bottom)
        if not USABLE[0] <= share <= USABLE[1]:
            return math.nan
        return float(self.middle * (share / (1.0 - share)) ** (1.0 / self.slope))


def fit_standards(pg_ml: Array, absorbance: Array) -> Curve:
    """Fit the curve to standards, shape (N,) each, N ≥ 6, weighted by their relative error.

    Raises:
        ValueError: too few standards, or they rise by less than a factor of five.
    """
    from scipy.optimize import least_squares

    if len(pg_ml) < 6 or not absorbance.max() > 5.0 * max(absorbance.min(), 1e-6):
        span = f"{absorbance.min():.3f} to {absorbance.max():.3f}"
        raise ValueError(f"{len(pg_ml)} standards from {span}: no usable curve")

    def curve(p: Array) -> Curve:
        return Curve(float(p[0]), math.exp(p[1]), math.exp(p[2]), math.exp(p[3]), math.nan)

    weights = 1.0 / np.hypot(WELL_CV * absorbance, 0.01)
    positive = pg_ml[pg_ml > 0.0]
    start = [absorbance.min(), math.log(1.1 * absorbance.max()), math.log(float(np.median(positive))), 0.0]
    found = least_squares(lambda p: (curve(p).absorbance(pg_ml) - absorbance) * weights, start)
    residual = math.sqrt(2.0 * found.cost / max(1, len(pg_ml) - 4)) * WELL_CV
    best = curve(found.x)
    return Curve(best.bottom, best.top, best.middle, best.slope, residual)


def sample_concentration(curve: Curve, absorbance: Array, dilution: Array) -> tuple[float, float, float]:
    """Return the sample's concentration [pg/mL] with the ends of its 95 % interval; NaN when no well is usable.

    The mean of the logarithms of all usable wells, whose scatter gives the interval (t distribution); the curve's own
    uncertainty comes on top.
    """
    from scipy.special import stdtrit

    wells = np.array([curve.concentration(a) * d for a, d in zip(absorbance, dilution, strict=True)])
    logs = np.log(wells[np.isfinite(wells)])
    if len(logs) < 2:
        return math.nan, math.nan, math.nan
    own = float(logs.std(ddof=1)) / math.sqrt(len(logs))
    # With few wells their scatter is no estimate: what a well is known to scatter counts at least.
    spread = math.hypot(max(own, 1.5 * WELL_CV / math.sqrt(len(logs))), curve.residual)
    half = float(stdtrit(max(2, len(logs) - 1), 0.975)) * spread
    mean = float(logs.mean())
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)
