# SPDX-License-Identifier: Apache-2.0
"""Kinetics and concentration from a sensorgram: 1:1 binding, with a check for transport limitation.

Source: Karlsson & Fält 1997, J. Immunol. Methods 200:121 (global 1:1 fit); Myszka 1999 (mass transport: residuals of
the plain fit); PHYSICS §10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RESIDUAL_RU = 1.0
"""Root mean square that the plain 1:1 model may leave; noise and drift leave about 0.3."""
TRANSPORT_SHARE = 0.1


@dataclass(frozen=True)
class BindingFit:
    """Rates [1/s] with standard errors, residual [RU], and what the calibration of the surface makes of them."""

    observed_per_s: float
    observed_sd: float
    dissociation_per_s: float
    dissociation_sd: float
    equilibrium_ru: float
    residual_ru: float

    initial_slope_sd: float

    @property
    def initial_slope_ru_s(self) -> float:
        """Slope [RU/s] with which binding begins: what a sensorgram tells best when little binds."""
        return self.observed_per_s * self.equilibrium_ru

    def concentration_m(self, association_per_m_s: float, capacity_ru: float) -> tuple[float, float]:
        """Return concentration and its standard error [mol/L]: initial slope/(k_a R_max)."""
        per_m = association_per_m_s * capacity_ru
        return self.initial_slope_ru_s / per_m, self.initial_slope_sd / per_m

    def is_transport_limited(self, association_per_m_s: float, capacity_ru: float) -> bool:
        """Tell whether transport slows binding down.

        1:1 binding links rate and plateau: R_eq = R_max (1 - k_d/k_obs). A rate that is smaller than the plateau asks
        for means that analyte does not come fast enough.
        """
        expected = capacity_ru * (1.0 - self.dissociation_per_s / self.observed_per_s)
        return self.residual_ru > RESIDUAL_RU or self.equilibrium_ru > (1.0 + TRANSPORT_SHARE) * max(expected, 1e-9)


def fit_sensorgram(seconds: Array, response_ru: Array, injected_s: float, washed_s: float) -> BindingFit:
    """Fit association and dissociation together, with a constant offset; drift and bulk go with the reference channel.

    Args:
        seconds: shape (N,), ascending. response_ru: ligand minus reference channel, shape (N,).
        injected_s, washed_s: when the sample came and went.

    Raises:
        ValueError: too few readings, or nothing bound.
    """
    from scipy.optimize import least_squares

    if np.sum((seconds >= injected_s) & (seconds < washed_s)) < 20 or np.sum(seconds >= washed_s) < 20:
        raise ValueError("a sensorgram needs at least 20 readings of association and 20 of dissociation")
    on, off = seconds - injected_s, seconds - washed_s
    length = washed_s - injected_s

    def model(p: Array) -> Array:
        observed, dissociation, plateau, base = math.exp(p[0]), math.exp(p[1]), p[2], p[3]
        bound = np.where(on > 0.0, plateau * -np.expm1(-observed * np.clip(on, 0.0, length)), 0.0)
        result: Array = bound * np.exp(-dissociation * np.clip(off, 0.0, None)) + base
        return result

    before = response_ru[seconds < injected_s]
    base = float(before.mean()) if len(before) else float(response_ru[0])
    height = float(response_ru[(seconds >= washed_s - 5.0) & (seconds < washed_s)].mean()) - base
    start = np.array([math.log(2.0 / length), math.log(5e-4), max(1.0, 1.2 * height), base])
    found = least_squares(lambda p: model(p) - response_ru, start, x_scale=[1.0, 1.0, 10.0, 1.0])
    residual = math.sqrt(2.0 * found.cost / max(1, len(seconds) - 4))
    covariance = np.linalg.pinv(found.jac.T @ found.jac) * residual**2
    observed, dissociation = math.exp(found.x[0]), math.exp(found.x[1])
    sd = np.sqrt(np.diag(covariance))
    plateau = float(found.x[2])
    if not plateau > 0.0:
        raise ValueError("nothing bound to the ligand")
    along = np.array([plateau, 0.0, 1.0, 0.0]) * observed  # of the initial slope, by ln k_obs and the plateau
    return BindingFit(
        observed, observed * float(sd[0]), dissociation, dissociation * float(sd[1]), plateau, residual,
        math.sqrt(max(0.0, float(along @ covariance @ along))),
    )
