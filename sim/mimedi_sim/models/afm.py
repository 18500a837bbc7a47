# SPDX-License-Identifier: Apache-2.0
"""Atomic force microscopy of cells: contact laws, force curves and the fit of Young's modulus.

SI units: m, N, Pa, N/m. Source: PHYSICS §9; Hertz 1882; Sneddon 1965, Int. J. Eng. Sci. 3:47; Bilodeau 1992 [M];
Hutter & Bechhoefer 1993 (thermal noise). Moduli of cells are calibrations: use ratios to the batch's median only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mimedi_sim.models.constants import BOLTZMANN_J_PER_K
from mimedi_sim.models.validation import require_not_negative, require_positive
from mimedi_sim.random_streams import stream

FloatArray = npt.NDArray[np.float64]

MEDIAN_MODULUS_PA = {"resting": 500.0, "activated": 900.0, "early_apoptotic": 250.0, "late_dead": 2500.0}
MODULUS_SIGMA_LN = 0.5
BEAD_RADIUS_M, CANTILEVER_N_M, POISSON_RATIO = 2.5e-6, 0.03, 0.5
RETRACT_FRACTION, DRAG_N_PER_M_S = 0.8, 6.0e-6
"""Share of the approach force left on retraction, and hydrodynamic drag (6 pN per µm/s) [C]."""
FIT_FORCE_LIMIT_N = 0.5e-9


def _plane_strain_pa(modulus_pa: float, poisson_ratio: float) -> float:
    require_not_negative(modulus_pa=modulus_pa)
    if not -1.0 < poisson_ratio <= 0.5:
        raise ValueError(f"poisson_ratio is {poisson_ratio}; allowed: above -1, up to 0.5")
    return modulus_pa / (1.0 - poisson_ratio**2)


def effective_radius_m(tip_m: float, cell_m: float) -> float:
    """Return R R_c/(R + R_c) of a bead on a round cell."""
    require_positive(tip_m=tip_m, cell_m=cell_m)
    return tip_m * cell_m / (tip_m + cell_m)


def hertz_stiffness(modulus_pa: float, radius_m: float, poisson_ratio: float = POISSON_RATIO) -> float:
    """Return c of F = c delta^1.5 [N/m^1.5]: 4/3 E/(1-nu²) sqrt(R)."""
    require_positive(radius_m=radius_m)
    return 4.0 / 3.0 * _plane_strain_pa(modulus_pa, poisson_ratio) * math.sqrt(radius_m)


def hertz_sphere_n(
    modulus_pa: float, radius_m: float, indentation_m: float, poisson_ratio: float = POISSON_RATIO
) -> float:
    """Return the force of a sphere [N]; 0 out of contact (indentation <= 0). Within 4 % to delta/R 0.4."""
    return hertz_stiffness(modulus_pa, radius_m, poisson_ratio) * max(0.0, indentation_m) ** 1.5


def cone_n(
    modulus_pa: float, half_angle_deg: float, indentation_m: float, poisson_ratio: float = POISSON_RATIO
) -> float:
    """Return the force of a cone [N]: 2/pi E/(1-nu²) tan(alpha) delta². Source: Sneddon 1965."""
    slope = _tangent(half_angle_deg)
    return 2.0 / math.pi * _plane_strain_pa(modulus_pa, poisson_ratio) * slope * max(0.0, indentation_m) ** 2


def pyramid_n(
    modulus_pa: float, half_angle_deg: float, indentation_m: float, poisson_ratio: float = POISSON_RATIO
) -> float:
    """Return the force of a four-sided pyramid [N]: 0.7453 E/(1-nu²) tan(alpha) delta². Source: Bilodeau 1992."""
    slope = _tangent(half_angle_deg)
    return 0.7453 * _plane_strain_pa(modulus_pa, poisson_ratio) * slope * max(0.0, indentation_m) ** 2


def _tangent(half_angle_deg: float) -> float:
    if not 0.0 < half_angle_deg < 90.0:
        raise ValueError(f"half_angle_deg is {half_angle_deg}; allowed: above 0, below 90")
    return math.tan(math.radians(half_angle_deg))


def sneddon_sphere_n(
    modulus_pa: float, radius_m: float, indentation_m: float, poisson_ratio: float = POISSON_RATIO
) -> float:
    """Return the exact force of a rigid sphere at any indentation [N].

    With the contact radius a = R tanh(v/2), i.e. v = ln((R+a)/(R-a)): delta = a v/2 and
    F = E/(1-nu²) ((a² + R²) v/2 - a R); v is found from delta by Newton's method. Source: Sneddon 1965.
    """
    require_positive(radius_m=radius_m)
    strain = _plane_strain_pa(modulus_pa, poisson_ratio)
    x = max(0.0, indentation_m) / radius_m
    if x == 0.0:
        return 0.0
    if x < 1e-6:  # the difference below cancels; Hertz is exact to 1e-7 here
        return hertz_sphere_n(modulus_pa, radius_m, indentation_m, poisson_ratio)
    v = 2.0 * max(math.sqrt(x), x)  # never below the root: tanh(v/2) v/2 = x
    for _ in range(60):
        t = math.tanh(0.5 * v)
        step = (0.5 * v * t - x) / (0.5 * t + 0.25 * v * (1.0 - t * t))
        v -= step
        if abs(step) < 1e-15 * v:
            break
    t = math.tanh(0.5 * v)
    if v < 0.05:
        bracket = _small_bracket(0.5 * v)
    else:
        bracket = (1.0 + t * t) * 0.5 * v - t
    return strain * radius_m**2 * bracket


def _small_bracket(h: float) -> float:
    """Return (1 + tanh²h) h - tanh h for small h."""
    t_over = h - h**3 / 3.0 + 2.0 * h**5 / 15.0 - 17.0 * h**7 / 315.0 + 62.0 * h**9 / 2835.0
    # h - tanh h without cancellation, plus h tanh² h.
    return h**3 / 3.0 - 2.0 * h**5 / 15.0 + 17.0 * h**7 / 315.0 - 62.0 * h**9 / 2835.0 + h * t_over**2


def thermal_force_rms_n(spring_n_m: float, temperature_k: float) -> float:
    """Return sqrt(k_B T k) [N], the thermal force noise in the full bandwidth. Source: equipartition."""
    require_not_negative(spring_n_m=spring_n_m, temperature_k=temperature_k)
    return math.sqrt(BOLTZMANN_J_PER_K * temperature_k * spring_n_m)


def indentation_m(
    approach_m: npt.ArrayLike, stiffness: float, spring_n_m: float = CANTILEVER_N_M
) -> FloatArray:
    """Return the indentation when the base has moved approach_m beyond contact: k (s - delta) = c delta^1.5.

    Same shape as approach_m, 0 before contact. Newton in sqrt(delta), from above.
    """
    require_positive(spring_n_m=spring_n_m)
    require_not_negative(stiffness=stiffness)
    s = np.maximum(np.asarray(approach_m, dtype=float), 0.0)
    q, ratio = np.sqrt(s), stiffness / spring_n_m
    for _ in range(40):
        slope = 3.0 * ratio * q**2 + 2.0 * q
        step = np.divide(ratio * q**3 + q**2 - s, slope, out=np.zeros_like(q), where=slope > 0.0)
        q = q - step
        if np.all(np.abs(step) <= 1e-14 * q):
            break
    return q**2


@dataclass(frozen=True)
class ForceCurve:
    """One approach: tip positions [m] towards the cell, forces [N], same shape."""

    position_m: FloatArray
    force_n: FloatArray


@dataclass(frozen=True)
class Probe:
    """A cantilever with a bead; calibration errors are constant for a cantilever and do not average out.

    force_noise_n is the standard deviation of a point; sensitivity_error and spring_error are relative errors of
    the deflection sensitivity (3 %) and the spring constant (10 %) that the instrument believes in.
    """

    radius_m: float = BEAD_RADIUS_M
    spring_n_m: float = CANTILEVER_N_M
    force_noise_n: float = 20e-12
    sensitivity_error: float = 0.0
    spring_error: float = 0.0
    baseline_n: float = 0.0
    drift_m_s: float = 0.0

    def curve(
        self, modulus_pa: float, *, seed: int, name: str, points: int = 1000, start_m: float = -1.0e-6,
        end_m: float = 0.5e-6, contact_m: float = 0.0, speed_m_s: float = 0.0,
        poisson_ratio: float = POISSON_RATIO, rigid: bool = False,
    ) -> ForceCurve:
        """Return the approach on a cell of a modulus, with noise keyed by (seed, name, point).

        Positions run from start_m to end_m of the tip (rigid) or of the cantilever's base; the indentation counts
        from contact_m. speed_m_s adds drag, which is an offset.
        Raises: ValueError on fewer than 8 points or an end not beyond the start.
        """
        if points < 8 or not end_m > start_m:
            raise ValueError(f"points is {points}, {start_m}..{end_m} m; allowed: >= 8 points, end beyond start")
        base = np.linspace(start_m, end_m, int(points))
        reached = base - contact_m
        if speed_m_s > 0.0 and self.drift_m_s != 0.0:
            reached = reached + (base - start_m) / speed_m_s * self.drift_m_s
        stiffness = hertz_stiffness(modulus_pa, self.radius_m, poisson_ratio)
        depth = np.maximum(reached, 0.0) if rigid else indentation_m(reached, stiffness, self.spring_n_m)
        true = stiffness * depth**1.5 + self.baseline_n + DRAG_N_PER_M_S * speed_m_s
        noise = self.force_noise_n * stream(seed, "afm", name).normals(0, int(points))
        read = (true + noise) * (1.0 + self.sensitivity_error) * (1.0 + self.spring_error)
        # The instrument takes its own deflection away from the base to know the tip.
        deflection = 0.0 if rigid else (true + noise) / self.spring_n_m * (1.0 + self.sensitivity_error)
        return ForceCurve(base - deflection, read)


@dataclass(frozen=True)
class ModulusFit:
    """Modulus [Pa], contact point [m], baseline [N], their fit's R² and the modulus' standard error [Pa]."""

    modulus_pa: float
    contact_m: float
    baseline_n: float
    r_squared: float
    modulus_sd_pa: float


def fit_modulus(
    curve: ForceCurve, radius_m: float = BEAD_RADIUS_M, poisson_ratio: float = POISSON_RATIO,
    force_limit_n: float = FIT_FORCE_LIMIT_N,
) -> ModulusFit:
    """Return the least-squares fit of a Hertz sphere with free modulus, contact point and baseline.

    Points with forces above baseline + force_limit_n are left out. For a given contact point the model is linear;
    the contact point is found by a scan and a golden-section search.
    Raises: ValueError when fewer than 8 points are left or the curve shows no contact.
    """
    z, f = curve.position_m, curve.force_n
    quiet = float(np.median(f[: max(3, f.size // 10)]))
    if math.isfinite(force_limit_n):
        above = np.flatnonzero(f - quiet > force_limit_n)
        last = int(above[0]) if above.size else f.size
        z, f = z[:last], f[:last]
    if z.size < 8:
        raise ValueError(f"{z.size} points below {force_limit_n} N; allowed: >= 8 (no contact, or a stiff substrate)")
    centred = f - f.mean()
    total = float(centred @ centred)

    def solve(contact: float) -> tuple[float, float]:
        shape = np.maximum(z - contact, 0.0) ** 1.5
        shape_centred = shape - shape.mean()
        size = float(shape_centred @ shape_centred)
        if size == 0.0:
            return 0.0, total
        slope = float(shape_centred @ centred) / size
        return slope, total - slope**2 * size

    low, high = float(z.min()), float(z.max())
    grid = np.linspace(low, high, 61)[:-1]
    best = int(np.argmin([solve(g)[1] for g in grid]))
    a, b = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, grid.size - 1)])
    contact = _golden(lambda c: solve(c)[1], a, b)
    slope, left = solve(contact)
    if slope <= 0.0:
        raise ValueError("the force does not rise towards the end of the curve: no contact")
    unit = hertz_stiffness(1.0, radius_m, poisson_ratio)
    baseline = float(f.mean() - slope * (np.maximum(z - contact, 0.0) ** 1.5).mean())
    spread = math.sqrt(max(0.0, left) / max(1, z.size - 3))
    return ModulusFit(slope / unit, contact, baseline, 1.0 - left / total if total > 0.0 else 0.0,
                      _slope_sd(z, contact, slope, spread) / unit)


def _golden(cost: Callable[[float], float], low: float, high: float) -> float:
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    x1, x2 = high - ratio * (high - low), low + ratio * (high - low)
    f1, f2 = cost(x1), cost(x2)
    for _ in range(60):
        if f1 < f2:
            high, x2, f2 = x2, x1, f1
            x1 = high - ratio * (high - low)
            f1 = cost(x1)
        else:
            low, x1, f1 = x1, x2, f2
            x2 = low + ratio * (high - low)
            f2 = cost(x2)
    return 0.5 * (low + high)


def _slope_sd(position_m: FloatArray, contact_m: float, slope: float, noise_n: float) -> float:
    """Return the standard error of c in F = c (z - z0)^1.5 + F0 from the information matrix."""
    depth = np.maximum(position_m - contact_m, 0.0)
    scale = float(depth.max(initial=0.0))
    if scale == 0.0:
        return math.inf
    # Columns of order one: in c, in the contact point, in the baseline.
    jacobian = np.stack([(depth / scale) ** 1.5, np.sqrt(depth / scale), np.ones_like(depth)], axis=1)
    try:
        covariance = np.linalg.inv(jacobian.T @ jacobian)
    except np.linalg.LinAlgError:
        return math.inf
    return noise_n * math.sqrt(max(0.0, float(covariance[0, 0]))) / scale**1.5


def expected_modulus_sd_pa(
    modulus_pa: float, radius_m: float, force_noise_n: float, points: int, poisson_ratio: float = POISSON_RATIO,
    start_m: float = -1.0e-6, end_m: float = 0.5e-6,
) -> float:
    """Return the standard error in Pa that the fit of a whole curve has: the Cramér–Rao bound of its three unknowns."""
    require_positive(modulus_pa=modulus_pa, radius_m=radius_m)
    require_not_negative(force_noise_n=force_noise_n)
    z = np.linspace(start_m, end_m, int(points))
    unit = hertz_stiffness(1.0, radius_m, poisson_ratio)
    return _slope_sd(z, 0.0, unit * modulus_pa, force_noise_n) / unit


def fitted_moduli_pa(
    probe: Probe, modulus_pa: float, curves: int, seed: int, points: int = 1000, poisson_ratio: float = POISSON_RATIO
) -> FloatArray:
    """Return the moduli fitted to a number of noisy curves on the same spot, shape (curves,), whole curves used."""
    require_positive(modulus_pa=modulus_pa)
    moduli = []
    for n in range(curves):
        curve = probe.curve(
            modulus_pa, seed=seed, name=f"spot-{n}", points=points, poisson_ratio=poisson_ratio, rigid=True
        )
        moduli.append(fit_modulus(curve, probe.radius_m, poisson_ratio, math.inf).modulus_pa)
    return np.array(moduli)
