# SPDX-License-Identifier: Apache-2.0
"""Fit of a transducer's impedance by two Butterworth–Van Dyke branches: the piezo plate and the fluid channel.

What sorting needs is the channel's resonance. It is a small feature on the flank of the plate's: the conductance has no
maximum of its own there, so it is found by fitting both branches, never by looking for a maximum or for zero phase.

Source: Butterworth–Van Dyke equivalent circuit (IEEE Std 176-1987, section 6); series branches add in admittance.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]


class FitError(ValueError):
    """The sweep cannot be explained by a transducer on a channel; says why."""


class DryChannelError(FitError):
    """There is a transducer but no fluid channel."""


@dataclass(frozen=True)
class TransducerFit:
    """Both branches of a transducer on its channel.

    Args:
        pzt_hz, pzt_q: resonance [Hz] and quality factor of the plate.
        channel_hz, channel_q: of the fluid channel.
        channel_sd_hz: standard uncertainty of channel_hz [Hz].
        channel_coupling: C_channel / C_0, what the channel adds.
        residual: root mean square of the relative deviation of the fit.
        admittance_s: shape (N,), what the two branches give at the sweep's frequencies [S].
    """

    pzt_hz: float
    pzt_q: float
    channel_hz: float
    channel_q: float
    channel_sd_hz: float
    channel_coupling: float
    residual: float
    admittance_s: ComplexArray = field(repr=False, compare=False)


COUPLING_RANGE = (3e-4, 1e-2)
"""Coupling of a channel: a filled one has about 2e-3; less is noise, more is a part of the plate taken for it."""
RESIDUAL_MAX = 0.02
Q_RANGE = (20.0, 1000.0)
GAIN_MIN = 1.5
"""How many times smaller the sum of squares must get by the channel branch: three parameters on noise give 1.01, a
filled channel some hundred."""
GAIN_SURE = 5.0 * GAIN_MIN
"""Gain by linear theory from which the plate alone need not be fitted to know that it does not explain the sweep;
that theory leaves resonance and Q of a channel that is not there to be known, and so gives too small a gain."""
LOWEST = (0.05, 0.0, 0.97, 0.1, 0.01, 0.98, 0.1, 0.0)
HIGHEST = (20.0, 20.0, 1.03, 10.0, 10.0, 1.02, 10.0, 20.0)
"""Bounds of the parameters relative to their start: C0, loss, plate (f, Q, coupling), channel (f, Q, coupling)."""
FINEST = 1e-6
"""Residual below which two fits explain a sweep alike: what is left is arithmetic, and a ratio of it says nothing."""
FREE_STEPS = 40
"""Evaluations for a search without bounds; a filled channel takes about ten."""


def fit_transducer(
    frequency_hz: Array, impedance_ohm: ComplexArray, expected_channel_hz: float
) -> TransducerFit:
    """Fit both branches to a sweep.

    Args:
        frequency_hz: shape (N,), N ≥ 51, ascending [Hz]; must hold both resonances.
        impedance_ohm: shape (N,) [ohm].
        expected_channel_hz: resonance that the channel's width suggests [Hz]; only a start.

    Raises:
        FitError: no transducer in the sweep, or one that two branches do not explain.
        DryChannelError: no channel branch.
    """
    if len(frequency_hz) < 51 or not np.all(np.isfinite(impedance_ohm)) or np.any(impedance_ohm == 0.0):
        raise FitError(f"sweep of {len(frequency_hz)} points with unusable values; repeat it with at least 51")
    y = 1.0 / impedance_ohm
    pzt_start_hz = float(frequency_hz[np.argmax(y.real)])
    # Far from resonance the plate is a capacitor of C0 and its branch; the mean susceptance is a fair start for C0.
    c0_start = float(np.median(np.abs(y.imag) / (2.0 * np.pi * frequency_hz)))
    plate_scale = np.array([c0_start, 0.003, pzt_start_hz, 50.0, 0.1])
    tries = []
    for channel_hz in (expected_channel_hz, expected_channel_hz * 0.992, expected_channel_hz * 1.008):
        start = np.concatenate([plate_scale, [channel_hz, 100.0, 2e-3]])
        solution = _fit(frequency_hz, y, start)
        # A part of the plate taken for a channel explains as much: what a channel can be goes first.
        tries.append((not _is_plausible(solution, start), solution.cost, solution, start))
        if not tries[-1][0] and np.sqrt(solution.cost / len(frequency_hz)) < RESIDUAL_MAX / 5.0:
            break  # well explained: other starts would find the same
    _, _, solution, scale = min(tries, key=lambda t: t[:2])
    residual = float(np.sqrt(2.0 * solution.cost / (2 * len(frequency_hz))))
    if residual > RESIDUAL_MAX:
        raise FitError(
            f"two branches leave {residual:.1%} (allowed {RESIDUAL_MAX:.0%}); look for a loose cable or a cracked plate"
        )
    sd = _standard_deviations(solution.jac, residual, scale)
    _, _, f1, q1, _, f2, q2, k2 = solution.x * scale
    # Without the channel the sum of squares grows by (k2 / sd)² residual² (Wald): only near the limit is it fitted.
    gain = 1.0 + (k2 / sd[7]) ** 2 / (2 * len(frequency_hz))
    if not gain > GAIN_SURE or residual < FINEST:
        # The plate alone, from where both together put it: near its own best fit.
        floor = len(frequency_hz) * FINEST**2
        gain = (_fit(frequency_hz, y, plate_scale, solution.x[:5]).cost + floor) / (solution.cost + floor)
    if gain < GAIN_MIN:
        raise DryChannelError(
            f"no fluid channel in the impedance: the plate alone explains it (a channel makes the fit {gain:.2f} times "
            f"better, a filled one at least {GAIN_MIN:g}); fill the chip, drive out bubbles, then tune again"
        )
    if not _is_plausible(solution, scale) or k2 < 5.0 * sd[7]:
        raise DryChannelError(
            f"no fluid channel in the impedance (coupling {k2:.1e}, a filled channel has about 2e-3; Q {q2:.0f}); "
            "fill the chip, drive out bubbles, then tune again"
        )
    fitted = y * _ratio(frequency_hz, y, solution.x * scale)[0]
    return TransducerFit(float(f1), float(q1), float(f2), float(q2), float(sd[5]), float(k2), residual, fitted)


def _fit(frequency_hz: Array, y: ComplexArray, start: Array, first: Array | None = None) -> OptimizeResult:
    """Fit the plate (5 parameters) or plate and channel (8); the result's `x` is relative to `start`.

    `first` is where the search begins, relative to `start` too.
    """
    count = len(start)
    lowest, highest = LOWEST[:count], HIGHEST[:count]

    looked_at: list[tuple[Array, _Ratio]] = []

    def ratio(p: Array) -> _Ratio:
        # Slopes are asked for where the residuals were asked for last.
        if not looked_at or not np.array_equal(looked_at[0][0], p):
            looked_at[:] = [(p.copy(), _ratio(frequency_hz, y, p * start))]
        return looked_at[0][1]

    def residuals(p: Array) -> Array:
        return _parts(ratio(p)[0] - 1.0)

    def slopes(p: Array) -> Array:
        return _jacobian(frequency_hz, ratio(p), p, start)

    begin = np.ones(count) if first is None else first
    with np.errstate(all="ignore"):  # a wild step is judged by the bounds below
        free = least_squares(residuals, begin, jac=slopes, method="lm", x_scale="jac", max_nfev=FREE_STEPS)
    if free.success and np.all(free.x > lowest) and np.all(free.x < highest):
        return free  # a least sum of squares within the bounds is one with bounds too, and found in half the time
    return least_squares(residuals, begin, jac=slopes, bounds=(lowest, highest))


def _is_plausible(solution: OptimizeResult, start: Array) -> bool:
    q, coupling = (solution.x * start)[6:8]
    return bool(COUPLING_RANGE[0] <= coupling <= COUPLING_RANGE[1] and Q_RANGE[0] <= q <= Q_RANGE[1])


_Ratio = tuple[ComplexArray, ComplexArray, list[ComplexArray]]


def _ratio(frequency_hz: Array, y: ComplexArray, p: Array) -> _Ratio:
    """Return the model's admittance over the measured one, the factor j w C0 / y, and D of every branch.

    One branch adds coupling / D to Y / (j w C0), with D = 1 - x² + j x / Q and x = f / f_branch.
    """
    factor = 2j * np.pi * frequency_hz * p[0] / y
    total = np.full(len(frequency_hz), 1.0 - 1j * p[1])
    denominators = []
    for resonance_hz, q, coupling in p[2:].reshape(-1, 3):
        x = frequency_hz / resonance_hz
        denominators.append(1.0 - x**2 + 1j * x / q)
        total = total + coupling / denominators[-1]
    return factor * total, factor, denominators


def _jacobian(frequency_hz: Array, at: _Ratio, p: Array, start: Array) -> Array:
    """Return the derivatives of the residuals by the relative parameters, shape (2 N, len(p)); `at`: the ratio at p."""
    absolute = p * start
    ratio, factor, denominators = at
    columns = [ratio / absolute[0], -1j * factor]
    for (resonance_hz, q, coupling), d in zip(absolute[2:].reshape(-1, 3), denominators, strict=True):
        x = frequency_hz / resonance_hz
        slope = -coupling / d**2 * factor
        columns += [slope * (2.0 * x**2 - 1j * x / q) / resonance_hz, slope * (-1j * x / q**2), factor / d]
    return np.stack([_parts(column) for column in columns], axis=1) * start


def _parts(values: ComplexArray) -> Array:
    return np.concatenate([values.real, values.imag])


def _standard_deviations(
    jacobian: Array, residual: float, scale: Array
) -> Array:
    variance = np.diag(np.linalg.pinv(jacobian.T @ jacobian)) * residual**2
    # What the sweep does not determine (rounding makes its variance negative) may be anything.
    return np.asarray(np.sqrt(np.where(variance > 0.0, variance, np.inf)) * np.abs(scale))
