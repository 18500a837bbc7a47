# SPDX-License-Identifier: Apache-2.0
"""Young's modulus of cells from force curves: Hertz' sphere on a half-space.

Source: Sneddon 1965, Int. J. Eng. Sci. 3:47 (sphere, shallow: Hertz); PHYSICS §9 (window, rejection). The spring
constant is known to 10 % for each cantilever, and dirt makes the bead larger: both are taken out by a gel of known
modulus that is measured before and after the cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
POISSON_RATIO = 0.5
WINDOW_N = 0.5e-9
DEEPEST_OVER_RADIUS = 0.2
"""Beyond this Hertz' parabola leaves the sphere (4 % at 0.4)."""
LEAST_R_SQUARED = 0.95
LEAST_CELLS = 20
LEAST_FOR_INTERVAL = 6
"""A median of five lies beyond all of them in 2 of 32: they have no 95 % interval; `MeasureStiffness` asks for six."""
CANTILEVER_RELATIVE_SD = 0.105
"""Of a batch's moduli together: spring constant 10 %, sensitivity 3 % (PHYSICS §9), the same for all its cells."""
GEL_RELATIVE_SD = 0.045
"""What is left of it when the reference gel was measured: its certificate 4 %, its curves 2 % [calibration]."""
SMALLEST_PA, LARGEST_PA = 20.0, 5.0e4
"""Stiffer is no cell but the dish below it."""


@dataclass(frozen=True)
class ModulusFit:
    """Modulus with its standard error [Pa], contact point [m], baseline [N], R² of the fit."""

    modulus_pa: float
    sd_pa: float
    contact_m: float
    baseline_n: float
    r_squared: float

    def scaled(self, by: float) -> ModulusFit:
        """The same fit with a modulus `by` times as large."""
        return replace(self, modulus_pa=by * self.modulus_pa, sd_pa=by * self.sd_pa)

    @property
    def is_good(self) -> bool:
        """Whether the curve is one of a cell."""
        return self.r_squared >= LEAST_R_SQUARED and SMALLEST_PA <= self.modulus_pa <= LARGEST_PA


def fit_force_curve(tip_m: Array, force_n: Array, radius_m: float) -> ModulusFit:
    """Return the least-squares fit with free modulus, contact point and baseline.

    Args:
        tip_m: tip positions towards the cell, shape (N,), N ≥ 50. force_n: forces, shape (N,).

    Raises:
        ValueError: too short, not finite, or no contact in it.
    """
    if len(tip_m) < 50 or tip_m.shape != force_n.shape or not (np.isfinite(tip_m).all() and np.isfinite(force_n).all()):
        raise ValueError(f"force curve of {len(tip_m)} points; at least 50 finite ones are needed")
    quiet = float(np.median(force_n[: len(force_n) // 10]))
    within = force_n <= quiet + WINDOW_N
    z, f = tip_m[within], force_n[within]
    spread = float(z[-1] - z[0])
    scale = 4.0 / 3.0 / (1.0 - POISSON_RATIO**2) * math.sqrt(radius_m)

    candidates = z[0] + spread * np.linspace(0.02, 0.98, 60)
    best = float(candidates[np.argmin(_squares(z, f, candidates, radius_m))])
    from scipy.optimize import minimize_scalar

    step = spread / 50.0
    contact = float(
        minimize_scalar(
            lambda c: _squares(z, f, np.array([c]), radius_m)[0], bounds=(best - step, best + step), method="bounded",
            options={"xatol": 1e-11},
        ).x
    )  # fmt: skip
    # For a contact point the model is linear in modulus and baseline.
    design = np.column_stack([scale * _shape(z, np.array([contact]), radius_m)[0], np.ones_like(z)])
    scaling = np.array([1.0, 1e-10])
    values = np.linalg.lstsq(design * scaling, f, rcond=None)[0] * scaling
    modulus, baseline = float(values[0]), float(values[1])
    squares = float(np.sum((design @ values - f) ** 2))
    if not modulus > 0.0:
        raise ValueError("no contact in the force curve: there is no cell under the tip")
    total = float(np.sum((f - f.mean()) ** 2))
    depth = np.clip(z - contact, 0.0, None)
    jacobian = np.column_stack([design, -1.5 * scale * modulus * np.sqrt(depth)])
    sizes = np.linalg.norm(jacobian, axis=0)
    covariance = np.linalg.pinv((jacobian / sizes).T @ (jacobian / sizes)) * squares / max(1, len(f) - 3)
    return ModulusFit(modulus, math.sqrt(covariance[0, 0]) / float(sizes[0]), contact, baseline, 1.0 - squares / total)


def _shape(z: Array, contacts_m: Array, radius_m: float) -> Array:
    """Return depth^1.5 along a curve for each contact point, shape (contacts, N)."""
    depth_m = np.clip(z - contacts_m[:, None], 0.0, DEEPEST_OVER_RADIUS * radius_m)
    return np.asarray(depth_m * np.sqrt(depth_m), dtype=np.float64)


def _squares(z: Array, f: Array, contacts_m: Array, radius_m: float) -> Array:
    """Return the sum of squares of the best straight line through force over depth^1.5, for each contact point."""
    shape = _shape(z, contacts_m, radius_m)
    shape -= shape.mean(axis=1, keepdims=True)
    centred = f - f.mean()
    explained = (shape @ centred) ** 2 / np.maximum(np.sum(shape**2, axis=1), np.finfo(np.float64).tiny)
    return np.asarray(np.sum(centred**2) - explained, dtype=np.float64)


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return a median with the ends of its 95 % interval, by order statistics (binomial); free of any distribution.

    Raises:
        ValueError: fewer than `LEAST_FOR_INTERVAL` values.
    """
    from scipy.special import bdtrik

    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    if n < LEAST_FOR_INTERVAL:
        raise ValueError(f"{n} values; the 95 % interval of a median needs {LEAST_FOR_INTERVAL} at least")
    k = max(1, math.ceil(float(bdtrik(0.025, n, 0.5))))
    return float(np.median(ordered)), float(ordered[k - 1]), float(ordered[n - k])


def with_gel(median: float, low: float, high: float) -> tuple[float, float]:
    """Return the 95 % interval of a median with the reference gel's uncertainty, which no number of cells takes away.

    Both are combined on the logarithm. For a ratio between cells of the same batch the gel cancels: there the first
    interval counts.
    """
    own = 1.96 * GEL_RELATIVE_SD
    below = median * math.exp(-math.hypot(math.log(median / low), own))
    above = median * math.exp(math.hypot(math.log(high / median), own))
    return below, above
