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
TRANSPORT_SHARE, TRANSPORT_SDS = 0.1, 3.0


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
        for means that analyte does not come fast enough; what the fit's own errors explain does not.
        """
        free = self.dissociation_per_s / self.observed_per_s
        rate_error = self.observed_sd / self.observed_per_s
        expected = capacity_ru * (1.0 - free)
        error = math.hypot(
            capacity_ru * free * math.hypot(self.dissociation_sd / self.dissociation_per_s, rate_error),
            self.equilibrium_ru * rate_error,
        )
        most = (1.0 + TRANSPORT_SHARE) * max(expected, 1e-9) + TRANSPORT_SDS * error
        return self.residual_ru > RESIDUAL_RU or self.equilibrium_ru > most


def expected_response_ru(
    association_per_m_s: float, dissociation_per_s: float, capacity_ru: float, concentration_m: float, seconds: float
) -> float:
    """Return what binds to a bare surface from a known concentration [RU]: 1:1, closed form (PHYSICS §10)."""
    observed = association_per_m_s * concentration_m + dissociation_per_s
    plateau = capacity_ru * association_per_m_s * concentration_m / observed
    return plateau * -math.expm1(-observed * seconds)


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
        # k_obs = k_a C + k_d: a rate below that of dissociation is none, whatever the noise says.
        dissociation, plateau, base = math.exp(p[1]), p[2], p[3]
        observed = p[0] + dissociation
        bound = np.where(on > 0.0, plateau * -np.expm1(-observed * np.clip(on, 0.0, length)), 0.0)
        result: Array = bound * np.exp(-dissociation * np.clip(off, 0.0, None)) + base
        return result

    before = response_ru[seconds < injected_s]
    base = float(before.mean()) if len(before) else float(response_ru[0])
    height = float(response_ru[(seconds >= washed_s - 5.0) & (seconds < washed_s)].mean()) - base
    start = np.array([2.0 / length, math.log(5e-4), max(1.0, 1.2 * height), base])
    bounds = ([0.0, -np.inf, -np.inf, -np.inf], [np.inf] * 4)
    scales = [1e-3, 1.0, 10.0, 1.0]
    found = least_squares(lambda p: model(p) - response_ru, start, x_scale=scales, bounds=bounds)
    residual = math.sqrt(2.0 * found.cost / max(1, len(seconds) - 4))
    jacobian = found.jac * scales
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * residual**2 * np.outer(scales, scales)
    dissociation, plateau = math.exp(found.x[1]), float(found.x[2])
    observed = float(found.x[0]) + dissociation
    if not plateau > 0.0:
        raise ValueError("nothing bound to the ligand")

    def error(*along: float) -> float:
        """Return the standard error of a combination of the parameters."""
        return math.sqrt(max(0.0, float(np.array(along) @ covariance @ np.array(along))))

    observed_sd, dissociation_sd = error(1.0, dissociation, 0.0, 0.0), error(0.0, dissociation, 0.0, 0.0)
    slope_sd = error(plateau, dissociation * plateau, observed, 0.0)
    return BindingFit(observed, observed_sd, dissociation, dissociation_sd, plateau, residual, slope_sd)
