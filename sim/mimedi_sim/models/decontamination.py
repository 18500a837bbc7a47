# SPDX-License-Identifier: Apache-2.0
"""Decontamination with hydrogen peroxide vapour: concentration, log reduction, survivors, aeration.

Concentrations in ppm (by volume), times in s, log reductions in powers of ten.
Source: PHYSICS §7 [C/M]; Chick–Watson kinetics; OSHA permissible exposure limit 1 ppm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mimedi_sim.models.validation import require_not_negative, require_positive
from mimedi_sim.random_streams import RandomStream

REFERENCE_PPM, REFERENCE_D_VALUE_S = 700.0, 120.0
EXPOSURE_LIMIT_PPM, CELL_LIMIT_PPM = 1.0, 0.1
OPTIMAL_HUMIDITY = 0.40
DESORBED_SHARE, DESORPTION_TIME_S = 0.05, 3600.0
"""Share of the load that surfaces give back, and how slowly [C]."""
_PEROXIDE_G_MOL, _GAS_CONSTANT = 34.0147, 8.314462618
_LN2 = math.log(2.0)


def peroxide_mg_l(ppm: float, temperature_k: float, pressure_pa: float = 101_325.0) -> float:
    """Return the mass concentration [mg/L = g/m³] of a mole fraction in ppm, ideal gas."""
    require_positive(temperature_k=temperature_k, pressure_pa=pressure_pa)
    require_not_negative(ppm=ppm)
    return ppm * 1e-6 * pressure_pa * _PEROXIDE_G_MOL / (_GAS_CONSTANT * temperature_k)


def _saturating_power_integral(x: float, n: float) -> float:
    """Return the integral of (1-e^-s)^n over 0..x for n >= 0, x >= 0."""
    if n == 0.0 or x == 0.0:
        return x
    # In u = 1 - e^-s it is the integral of u^n/(1-u): a power series up to u = 1/2, and beyond it a binomial
    # series in e^-s <= 1/2, so that both converge geometrically.
    inner = min(x, _LN2)
    u = -math.expm1(-inner)
    power, total, k = u ** (n + 1.0), 0.0, 0
    while power > 1e-18 * (total + 1e-300) and k < 200:
        total += power / (n + 1.0 + k)
        power *= u
        k += 1
    if x <= _LN2:
        return total
    total += x - _LN2
    coefficient, k = 1.0, 1
    while k < 400:
        coefficient *= -(n - k + 1.0) / k
        if coefficient == 0.0:
            break
        term = coefficient * (math.exp(-k * _LN2) - math.exp(-k * x)) / k
        total += term
        if k > n and abs(term) < 1e-18 * abs(total):
            break
        k += 1
    return total


def humidity_factor(relative_humidity: float, optimum: float = OPTIMAL_HUMIDITY) -> float:
    """Return by how much a D-value grows below the optimal humidity: 1 + 2 (optimum - RH)+ [C]."""
    return 1.0 + 2.0 * max(0.0, optimum - relative_humidity)


def log_reduction(
    highest_ppm: float, rise_time_s: float, time_s: float, d_value_s: float = REFERENCE_D_VALUE_S,
    exponent: float = 1.0, reference_ppm: float = REFERENCE_PPM,
) -> float:
    """Return the log reduction after time_s of C = C_max (1 - e^(-t/tau)): integral of (C/C_ref)^n/D_ref.

    rise_time_s may be 0 (the concentration stands at once); exponent is n >= 0. Source: Chick–Watson.
    """
    require_positive(d_value_s=d_value_s, reference_ppm=reference_ppm)
    require_not_negative(highest_ppm=highest_ppm, rise_time_s=rise_time_s, time_s=time_s, exponent=exponent)
    rate_per_s = (highest_ppm / reference_ppm) ** exponent / d_value_s
    if rise_time_s == 0.0:
        return rate_per_s * time_s
    return rate_per_s * rise_time_s * _saturating_power_integral(time_s / rise_time_s, exponent)


def survivors(source: RandomStream, index: int, spores: float, reduction: float) -> int:
    """Return the number of surviving spores, Poisson(N0 10^-LR)."""
    return source.poisson(index, spores * 10.0**-reduction)


def sterile_probability(spores: float, reduction: float) -> float:
    """Return the probability that no spore of an indicator survives: every one of N0 independently by 10^-LR."""
    require_not_negative(spores=spores, reduction=reduction)
    if spores == 0.0:
        return 1.0
    return 0.0 if reduction == 0.0 else math.exp(spores * math.log1p(-(10.0**-reduction)))


def aeration_time_s(start_ppm: float, goal_ppm: float, air_changes_per_h: float) -> float:
    """Return the time of pure dilution from start to goal: ln(C0/C1)/ACH [s]; 0 if the goal is reached already."""
    require_positive(start_ppm=start_ppm, goal_ppm=goal_ppm, air_changes_per_h=air_changes_per_h)
    return max(0.0, math.log(start_ppm / goal_ppm) * 3600.0 / air_changes_per_h)


def aerated_ppm(
    air_ppm: float, load_ppm: float, air_changes_per_h: float, time_s: float,
    desorption_time_s: float = DESORPTION_TIME_S,
) -> tuple[float, float]:
    """Return (air, load) after time_s of aeration while surfaces give back a load (as ppm of the volume)."""
    require_positive(desorption_time_s=desorption_time_s)
    require_not_negative(air_ppm=air_ppm, load_ppm=load_ppm, air_changes_per_h=air_changes_per_h, time_s=time_s)
    a, b = air_changes_per_h / 3600.0, 1.0 / desorption_time_s
    gap = (a - b) * time_s
    # b (e^-bt - e^-at)/(a - b), written so that a = b needs no branch of its own.
    share = b * time_s * math.exp(-b * time_s) * (1.0 if abs(gap) < 1e-12 else -math.expm1(-gap) / gap) \
        if gap > -700.0 else 0.0
    return air_ppm * math.exp(-a * time_s) + load_ppm * share, load_ppm * math.exp(-b * time_s)


@dataclass
class DecontaminationCycle:
    """Vapour in the enclosure through dosing and aeration; advances exactly, whatever is polled.

    Args: highest_ppm and rise_time_s of the generator; relative_humidity (0..1) during dosing; air_changes_per_h
    of aeration. `aerating` tells the phase; log reduction counts while dosing only (conservative).
    """

    highest_ppm: float = 800.0
    rise_time_s: float = 600.0
    relative_humidity: float = 0.40
    air_changes_per_h: float = 60.0
    d_value_s: float = REFERENCE_D_VALUE_S
    exponent: float = 1.0
    time_s: float = 0.0
    air_ppm: float = 0.0
    load_ppm: float = 0.0
    reduction: float = 0.0
    aerating: bool = False

    def __post_init__(self) -> None:
        require_positive(highest_ppm=self.highest_ppm, rise_time_s=self.rise_time_s, d_value_s=self.d_value_s)

    def advance_to(self, time_s: float) -> None:
        """Move to a time not before the present one."""
        step = time_s - self.time_s
        if step < 0.0:
            raise ValueError(f"time_s is {time_s}; allowed: >= {self.time_s}")
        if self.aerating:
            self.air_ppm, self.load_ppm = aerated_ppm(self.air_ppm, self.load_ppm, self.air_changes_per_h, step)
        else:
            self._dose(step)
        self.time_s = time_s

    def _dose(self, step_s: float) -> None:
        d_value = self.d_value_s * humidity_factor(self.relative_humidity)
        below = 1.0 - self.air_ppm / self.highest_ppm
        if below > 0.0:
            # The same curve that began at 0, entered later.
            before = -math.log(below) * self.rise_time_s
            args = (d_value, self.exponent)
            self.reduction += log_reduction(self.highest_ppm, self.rise_time_s, before + step_s, *args)
            self.reduction -= log_reduction(self.highest_ppm, self.rise_time_s, before, *args)
            self.air_ppm = self.highest_ppm * -math.expm1(-(before + step_s) / self.rise_time_s)
        else:
            self.reduction += log_reduction(self.highest_ppm, 0.0, step_s, d_value, self.exponent)
        self.load_ppm = DESORBED_SHARE * self.air_ppm

    def aerate(self, time_s: float) -> None:
        """Stop dosing and begin to blow the vapour out."""
        self.advance_to(time_s)
        self.aerating = True

    def next_event(self, goal_ppm: float = EXPOSURE_LIMIT_PPM) -> float:
        """Return when aeration brings the air down to goal_ppm [s]; inf while dosing or when it never does."""
        require_positive(goal_ppm=goal_ppm)
        if not self.aerating:
            return math.inf

        def air_after(step_s: float) -> float:
            return aerated_ppm(self.air_ppm, self.load_ppm, self.air_changes_per_h, step_s)[0]

        if self.air_ppm <= goal_ppm and self.load_ppm <= goal_ppm:
            return self.time_s
        high = 60.0
        while air_after(high) > goal_ppm:
            high *= 2.0
            if high > 1e9:
                return math.inf
        low = 0.0
        for _ in range(100):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if air_after(middle) > goal_ppm else (low, middle)
        return self.time_s + high
