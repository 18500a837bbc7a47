# SPDX-License-Identifier: Apache-2.0
"""A soft sensor of a T-cell culture: a growth model fitted on line, its forecast with uncertainty, and the risk.

Model (times in h since activation, cells per mL, mM): viable X, dead D, glucose G, lactate L,

    dX = (mu - kd) X           mu = m a(t) s(t) G/(0.5+G) / (1+(L/20)^2) max(0, 1-X/2e7)
    dD = kd X - 0.01 D         kd = k0 + 0.02 (1-f)^4,  f = G/(0.5+G) / (1+(L/20)^2)
    dG = -q X + P (11-G)       q = (mu/4.2e8 + 8e-12) 1e3 G/(0.5+G)
    dL = 1.7 q X - P L         a = 1/(1+exp(-0.15 t)(exp(0.15 lag)-1)),  s = r + (1-r)/(1+(t/144)^4)

with five unknowns of the donor: m, r, lag, k0 and the cells at the start, each lognormal beforehand. They are fitted
to log counts (maximum a posteriori, Gauss-Newton); their covariance (Laplace) is sampled for the forecast, to which a
discrepancy of the growth rate is added, b1 a + b2 a^2/2 in the log count a days ahead: what the form itself has wrong.
How large b1 is the sensor asks of the culture: it fits the counts up to two days ago, and looks by how much it would
have missed those of today (rolling origin). b2, a bend that shows itself later only, no count tells: it is allowed for.

Sources: PHYSICS §5 for the form and its constants; Kennedy & O'Hagan 2001 for keeping a discrepancy; Tashman 2000 for
the rolling origin; the approach is that of the published digital shadow of a perfused CAR-T culture (FIELD §B1: final
count 2.5 d ahead with 13 % error).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..errors import WorkcellError

FloatArray = npt.NDArray[np.float64]

NAMES = ("growth_per_h", "residual_stimulus", "lag_h", "death_per_h", "start")
PRIOR_MEAN = np.log([0.042, 0.25, 30.0, 0.0025, 1.0])
PRIOR_SD = np.array([0.15, 0.25, 0.20, 0.40, 0.20])
FEED_GLUCOSE_MM = 11.0
DISCREPANCY_PER_D = 0.06
"""Standard deviation of the growth rate that the form has wrong, before anything was seen [1/d]."""
BEND_PER_D2 = 0.01
"""Standard deviation of how fast that error of the growth rate changes [1/d2]; such that nine in ten of a plant with
another law of growth are held (docs/recipes.md), no source."""
LOOK_BACK_H = 48.0
BELIEF = 3.0
"""How many looks back what is thought beforehand is worth: one is a single sample of a spread."""
LEAST_BACK = 5
"""Counts that a look back needs before it: fewer do not tell the unknowns."""
OBSERVATION_FLOOR = 0.03
GROSS_MISFIT = 4.0
"""Mean square of the scaled residuals from which counts contradict the model or each other: two standard deviations
each, which counting gives one series of eight in ten thousand (chi-square)."""
SAMPLES = 200
_STEP_H = 1.0
_ITERATIONS = 12


class SoftSensorError(WorkcellError):
    """What was given cannot be fitted; says what and what is allowed."""


@dataclass(frozen=True)
class Count:
    """One count of viable cells in the whole culture, with its relative standard deviation."""

    time_h: float
    viable_cells: float
    relative_sd: float = 0.05


@dataclass(frozen=True)
class Regime:
    """What the culture is kept in from a time on: volume and perfusion."""

    time_h: float
    volume_ml: float
    perfusion_vvd: float = 0.0


@dataclass(frozen=True)
class Limits:
    """What the product and the recipe want: numbers of cells, days of harvest, viability."""

    target_viable_cells: float
    least_viable_cells: float
    not_before_day: float
    latest_day: float
    least_viability: float = 0.80

    def check(self) -> None:
        """Raise SoftSensorError naming a limit that is no number >= 0: nothing is ever below one that is NaN."""
        for name, value in vars(self).items():
            if not 0.0 <= value < math.inf:
                raise SoftSensorError(f"{name} is {value}; allowed: >= 0")
        if self.not_before_day > self.latest_day:
            raise SoftSensorError(
                f"not_before_day is {self.not_before_day:g}; allowed: up to latest_day, {self.latest_day:g}"
            )


@dataclass(frozen=True)
class Band:
    """A forecast value: median and ends of the 95 % interval."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Forecast:
    """What is to be expected.

    Args:
        at_day: day that `viable_cells` is about.
        harvest_day: day on which the target is reached, no earlier and no later than allowed.
        viability, glucose_mm, lactate_mm: at the harvest.
        risk: probability of fewer than the least viable cells, or too low viability, at the harvest.
        parameters: fitted values by name.
    """

    at_day: float
    viable_cells: Band
    harvest_day: Band
    viability: Band
    glucose_mm: Band
    lactate_mm: Band
    risk: float
    parameters: dict[str, float] = field(default_factory=dict)


class SoftSensor:
    """Fits one culture.

    Args:
        start_cells: viable cells at the first regime's time.
        regimes: volume and perfusion, the first from where the culture is followed on.

    Raises:
        SoftSensorError: no cells, no regime, or times out of order.
    """

    def __init__(self, start_cells: float, regimes: Sequence[Regime], start_viability: float = 0.92) -> None:
        if not (math.isfinite(start_cells) and start_cells > 0.0):
            raise SoftSensorError(f"start_cells is {start_cells}; allowed: > 0")
        if not 0.0 < start_viability <= 1.0:
            raise SoftSensorError(f"start_viability is {start_viability}; allowed: above 0 to 1")
        times = [regime.time_h for regime in regimes]
        if not times or not all(0.0 <= time_h < math.inf for time_h in times) or times != sorted(times):
            raise SoftSensorError(f"regimes begin at {times} h; give one at least, each later than the one before")
        _check(regimes)
        self._start, self._regimes = start_cells, tuple(regimes)
        self._dead_share = (1.0 - start_viability) / start_viability
        self._counts: list[Count] = []
        self._theta, self._covariance = PRIOR_MEAN.copy(), np.diag(PRIOR_SD**2)
        self._discrepancy_per_d = DISCREPANCY_PER_D
        self._level_sd = 0.0

    def take(self, counts: Sequence[Count]) -> None:
        """Add counts and fit; raises SoftSensorError on one that is no positive number."""
        for count in counts:
            if not (0.0 < count.viable_cells < math.inf and self._regimes[0].time_h <= count.time_h < math.inf):
                raise SoftSensorError(f"{count}: viable_cells > 0 and a time after the start are needed")
            if not 0.0 <= count.relative_sd < math.inf:
                raise SoftSensorError(f"{count}: relative_sd is {count.relative_sd}; allowed: >= 0")
        self._counts = sorted([*self._counts, *counts], key=lambda count: count.time_h)
        self._fit()

    def forecast(self, at_day: float, limits: Limits, regimes: Sequence[Regime] = ()) -> Forecast:
        """Return what is to be expected; `regimes` are planned ones, in addition to those that were.

        Raises:
            SoftSensorError: a day, limit or regime that is no number, or days in the wrong order.
        """
        if not 0.0 <= at_day < math.inf:
            raise SoftSensorError(f"at_day is {at_day}; allowed: >= 0")
        limits.check()
        _check(regimes)
        draw = np.random.default_rng(12345)  # the same samples for the same fit: a forecast is a function of the data
        root = np.linalg.cholesky(self._covariance + 1e-12 * np.eye(len(NAMES)))
        normal = draw.standard_normal((SAMPLES, len(NAMES)))
        theta = np.vstack([self._theta, self._theta + normal @ root.T])
        last_h = self._counts[-1].time_h if self._counts else self._regimes[0].time_h
        end_h = 24.0 * max(at_day, limits.latest_day)
        times = np.arange(self._regimes[0].time_h, end_h + 0.5 * _STEP_H, _STEP_H)
        plan = (*self._regimes, *regimes)
        states = self._run(theta, times, plan)
        ahead_d = np.maximum(0.0, times - last_h) / 24.0
        rate, bend = draw.standard_normal((2, SAMPLES + 1, 1))
        drift = rate * self._discrepancy_per_d * ahead_d + bend * BEND_PER_D2 * 0.5 * ahead_d**2
        drift = drift + self._level_sd * draw.standard_normal((SAMPLES + 1, 1))
        drift[0] = 0.0
        # Cells that have not grown do not die either: what the growth rate has wrong is no matter of viability.
        viable, dead = states[:, :, 0] * np.exp(drift), states[:, :, 1] * np.exp(drift)
        harvest = self._harvest_index(viable, times, limits)
        rows = np.arange(SAMPLES + 1)
        at_harvest = viable[rows, harvest]
        viability = at_harvest / (at_harvest + dead[rows, harvest])
        failed = (at_harvest < limits.least_viable_cells) | (viability < limits.least_viability)
        day = np.searchsorted(times, min(24.0 * at_day, times[-1]))
        return Forecast(
            at_day,
            _band(viable[:, day]),
            _band(times[harvest] / 24.0),
            _band(viability),
            _band(states[rows, harvest, 2]),
            _band(states[rows, harvest, 3]),
            float(np.mean(failed[1:])),
            dict(zip(NAMES, np.exp(self._theta).tolist(), strict=True)),
        )

    @staticmethod
    def _harvest_index(viable: FloatArray, times: FloatArray, limits: Limits) -> npt.NDArray[np.intp]:
        first = int(np.searchsorted(times, 24.0 * limits.not_before_day))
        last = int(np.searchsorted(times, 24.0 * limits.latest_day))
        reached = viable[:, first : last + 1] >= limits.target_viable_cells
        found = np.where(reached.any(axis=1), reached.argmax(axis=1), reached.shape[1] - 1)
        return np.asarray(first + found, dtype=np.intp)

    # -- fit --------------------------------------------------------------------------------------------

    def _fit(self) -> None:
        """Maximise the posterior by damped Gauss-Newton steps; the inverse of its curvature is the covariance."""
        if not self._counts:
            return
        self._level_sd = 0.0
        self._theta, residual, jacobian = self._most_likely(self._counts)
        # Counts that the model does not follow tell that its form is wrong: then it is less sure of everything.
        misfit = float(residual @ residual) / max(1, len(self._counts))
        if misfit > GROSS_MISFIT:
            # A count off by a factor, or a culture that fell: no noise of counting does that. All counts are believed
            # that much less, and what is known of donors holds the fit, which the count would pull away.
            self._theta = PRIOR_MEAN.copy()
            doubt = math.sqrt(misfit)
            self._theta, residual, jacobian = self._most_likely(self._counts, doubt)
            misfit = 1.0
            # Which of them is the wrong one nobody knows: the farthest stays within two standard deviations.
            missed = residual[: len(self._counts)] * doubt * _log_sd(self._counts)
            self._level_sd = 0.5 * float(np.abs(missed).max())
        self._covariance = np.linalg.inv(jacobian.T @ jacobian) * max(1.0, misfit)
        self._look_back()

    def _look_back(self) -> None:
        """Learn from the last two days' counts how wrong the growth rate of a forecast is."""
        last_h = self._counts[-1].time_h
        before = [count for count in self._counts if count.time_h <= last_h - LOOK_BACK_H]
        if len(before) < LEAST_BACK:
            return
        theta, _, _ = self._most_likely(before)
        times = np.arange(self._regimes[0].time_h, last_h + _STEP_H, _STEP_H)
        course = np.log(self._run(theta[None, :], times, self._regimes)[0, :, 0])
        after = [count for count in self._counts if count.time_h > before[-1].time_h]
        ahead_d = np.array([count.time_h - before[-1].time_h for count in after]) / 24.0
        missed = np.log([c.viable_cells for c in after]) - np.interp([c.time_h for c in after], times, course)
        rate = float(ahead_d @ missed / (ahead_d @ ahead_d))  # the straight line through what was missed
        self._discrepancy_per_d = math.sqrt((BELIEF * DISCREPANCY_PER_D**2 + rate**2) / (BELIEF + 1.0))

    def _most_likely(self, counts: Sequence[Count], doubt: float = 1.0) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return unknowns, scaled residuals and their Jacobian where the posterior of some counts is largest."""
        at = np.array([count.time_h for count in counts])
        seen = np.log([count.viable_cells for count in counts])
        sd = doubt * _log_sd(counts)
        times = np.arange(self._regimes[0].time_h, at[-1] + _STEP_H, _STEP_H)
        theta, damping = self._theta.copy(), 1e-3
        residual, jacobian = self._linearised(theta, times, at, seen, sd)
        for _ in range(_ITERATIONS):
            gradient, curvature = jacobian.T @ residual, jacobian.T @ jacobian
            step = np.linalg.solve(curvature + damping * np.diag(np.diag(curvature)), -gradient)
            trial, trial_jacobian = self._linearised(theta + step, times, at, seen, sd)
            if trial @ trial < residual @ residual:
                theta, residual, jacobian, damping = theta + step, trial, trial_jacobian, damping * 0.2
                if np.abs(step).max() < 1e-3:
                    break
            else:
                damping *= 10.0
        return theta, residual, jacobian

    def _linearised(
        self, theta: FloatArray, times: FloatArray, at: FloatArray, seen: FloatArray, sd: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return scaled residuals of counts and prior, and their Jacobian by forward differences."""
        delta = 1e-4
        rows = np.vstack([theta, theta + delta * np.eye(len(NAMES))])
        states = self._run(rows, times, self._regimes)
        logs = np.array([np.interp(at, times, np.log(row)) for row in states[:, :, 0]])
        fitted = (logs[0] - seen) / sd
        slopes = ((logs[1:] - logs[0]) / delta / sd).T
        prior = (theta - PRIOR_MEAN) / PRIOR_SD
        return np.concatenate([fitted, prior]), np.vstack([slopes, np.diag(1.0 / PRIOR_SD)])

    # -- model ------------------------------------------------------------------------------------------

    def _run(self, theta: FloatArray, times: FloatArray, regimes: Sequence[Regime]) -> FloatArray:
        """Return states of all parameter rows: (rows, times, [viable, dead cells, glucose mM, lactate mM])."""
        rate, residual, lag, death, start = np.exp(theta).T
        residual = np.minimum(residual, 1.0)
        volume = regimes[0].volume_ml
        viable = self._start * start / volume
        state = np.array([viable, viable * self._dead_share, np.full_like(viable, FEED_GLUCOSE_MM), 0.0 * viable])
        out = np.empty((len(rate), len(times), 4))
        number, perfusion = 0, regimes[0].perfusion_vvd / 24.0

        def slopes(now_h: float, now: FloatArray) -> FloatArray:
            x, d, g, lac = now
            lagged = 1.0 / (1.0 + np.exp(-0.15 * now_h) * np.expm1(0.15 * lag))
            stimulus = residual + (1.0 - residual) / (1.0 + (now_h / 144.0) ** 4)
            supply = g / (0.5 + g)
            fitness = supply / (1.0 + (lac / 20.0) ** 2)
            growth = rate * lagged * stimulus * fitness * np.maximum(0.0, 1.0 - x / 2e7)
            loss = death + 0.02 * (1.0 - fitness) ** 4
            uptake = 1e3 * (growth / 4.2e8 + 8e-12) * supply * x
            return np.array([
                (growth - loss) * x, loss * x - 0.01 * d, -uptake + perfusion * (FEED_GLUCOSE_MM - g),
                1.7 * uptake - perfusion * lac,
            ])  # fmt: skip

        for index, time_h in enumerate(times):
            while number + 1 < len(regimes) and regimes[number + 1].time_h <= time_h + 1e-9:
                number += 1
                state = _diluted(state, volume, regimes[number].volume_ml)
                volume, perfusion = regimes[number].volume_ml, regimes[number].perfusion_vvd / 24.0
            out[:, index, :] = (state * np.array([[volume], [volume], [1.0], [1.0]])).T
            if index + 1 < len(times):
                length = times[index + 1] - time_h
                middle = np.maximum(state + 0.5 * length * slopes(time_h, state), 1e-9)
                state = np.maximum(state + length * slopes(time_h + 0.5 * length, middle), 1e-9)
        return out


def _diluted(state: FloatArray, old_ml: float, new_ml: float) -> FloatArray:
    """Return the state after medium was added to, or cell-free medium taken from, the vessel."""
    share = old_ml / new_ml
    fresh = max(0.0, 1.0 - share)
    return np.array([
        state[0] * share, state[1] * share, state[2] * min(share, 1.0) + FEED_GLUCOSE_MM * fresh,
        state[3] * min(share, 1.0),
    ])  # fmt: skip


def _check(regimes: Sequence[Regime]) -> None:
    """Raise SoftSensorError on a regime without a volume, or with a perfusion that is none."""
    for regime in regimes:
        if not (0.0 < regime.volume_ml < math.inf and 0.0 <= regime.perfusion_vvd < math.inf):
            raise SoftSensorError(f"{regime}: volume_ml > 0 and perfusion_vvd >= 0 are needed")


def _log_sd(counts: Sequence[Count]) -> FloatArray:
    """Return standard deviations of log counts."""
    return np.array([math.hypot(count.relative_sd, OBSERVATION_FLOOR) for count in counts])


def _band(values: FloatArray) -> Band:
    """The first value is that of the best fit; the others are samples."""
    low, middle, high = np.quantile(values[1:], (0.025, 0.5, 0.975))
    return Band(float(middle), float(low), float(high))


def extrapolated(counts: Sequence[Count], at_h: float, window_h: float = 48.0) -> float:
    """Return the viable cells at a time by the exponential through the last counts: what a person does by eye.

    Raises:
        SoftSensorError: fewer than two counts.
    """
    recent = [count for count in counts if count.time_h >= counts[-1].time_h - window_h]
    if len(recent) < 2:
        raise SoftSensorError(f"{len(recent)} counts in the last {window_h:g} h; two are needed")
    times = np.array([count.time_h for count in recent])
    slope, level = np.polyfit(times, np.log([count.viable_cells for count in recent]), 1)
    return float(np.exp(level + slope * at_h))
