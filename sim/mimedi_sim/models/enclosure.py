# SPDX-License-Identifier: Apache-2.0
"""The enclosure's air: airborne particles, over-pressure, settling and the counting of particles.

Concentrations in 1/m³, flows in m³/s, pressures in Pa, times in s, diameters as their names say.
Source: PHYSICS §7; ISO 14644-1:2015, ISO 14644-3:2019, EU GMP Annex 1 (2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from scipy.special import pdtrc

from mimedi_sim.models.constants import BOLTZMANN_J_PER_K, STANDARD_GRAVITY_M_S2
from mimedi_sim.models.validation import require_fraction, require_not_negative, require_positive

AIR_DENSITY_KG_M3 = 1.196
ORIFICE_DISCHARGE = 0.61
GRADE_A_LIMITS_PER_M3 = {0.5: 3520.0, 5.0: 29.0}
"""Monitoring limits of grade A by particle size in µm, at rest and in operation (Annex 1, 2022)."""
NOMINAL_OVERPRESSURE_PA, LOWEST_OVERPRESSURE_PA = 15.0, 10.0

_ISO_EXPONENT, _ISO_REFERENCE_UM = 2.08, 0.1
# Viscosity of dilute air, a Lennard-Jones gas: Lemmon & Jacobsen 2004, Int. J. Thermophys. 25:21.
_AIR_MOLAR_MASS_G, _AIR_SIGMA_NM, _AIR_EPSILON_K = 28.9586, 0.360, 103.3
_AIR_COLLISION = (0.431, -0.4623, 0.08406, 0.005341, -0.00331)


@dataclass(frozen=True)
class AirBalance:
    """What enters and leaves one size class of particles in a well-mixed volume.

    Args: volume_m3; source_per_s particles shed; recirculated_m3_s through a filter of `efficiency` (0..1);
    leak_m3_s in and out against air of room_per_m3; settling_m3_s = settling velocity × floor.
    """

    volume_m3: float
    source_per_s: float = 0.0
    recirculated_m3_s: float = 0.0
    efficiency: float = 0.99995
    leak_m3_s: float = 0.0
    room_per_m3: float = 0.0
    settling_m3_s: float = 0.0

    def __post_init__(self) -> None:
        require_positive(volume_m3=self.volume_m3)
        require_fraction(efficiency=self.efficiency)
        require_not_negative(
            source_per_s=self.source_per_s, recirculated_m3_s=self.recirculated_m3_s, leak_m3_s=self.leak_m3_s,
            room_per_m3=self.room_per_m3, settling_m3_s=self.settling_m3_s,
        )

    @property
    def removal_per_s(self) -> float:
        """Rate at which the concentration approaches its final value [1/s]."""
        return (self.recirculated_m3_s * self.efficiency + self.leak_m3_s + self.settling_m3_s) / self.volume_m3

    @property
    def gain_per_m3_s(self) -> float:
        """Particles that come, per volume and second."""
        return (self.source_per_s + self.leak_m3_s * self.room_per_m3) / self.volume_m3

    def concentration_after(self, start_per_m3: float, time_s: float) -> float:
        """Return C(t) of V dC/dt = S + Q_leak C_room - (Q_r eta + Q_leak + v_s A) C, exact [1/m³]."""
        require_not_negative(start_per_m3=start_per_m3, time_s=time_s)
        rate = self.removal_per_s
        x = rate * time_s
        # (1 - e^-x)/x tends to 1: no branch is needed but at exactly 0.
        mean_life_s = time_s if x == 0.0 else -math.expm1(-x) / rate
        return start_per_m3 * math.exp(-x) + self.gain_per_m3_s * mean_life_s

    def time_to(self, start_per_m3: float, goal_per_m3: float) -> float:
        """Return when the concentration reaches a value [s], inf if it never does, 0 if it stands there."""
        if start_per_m3 == goal_per_m3:
            return 0.0
        rate, gain = self.removal_per_s, self.gain_per_m3_s
        if rate == 0.0:
            return (goal_per_m3 - start_per_m3) / gain if goal_per_m3 > start_per_m3 and gain > 0.0 else math.inf
        final = gain / rate
        if (final - goal_per_m3) * (goal_per_m3 - start_per_m3) <= 0.0:
            return math.inf
        return math.log((start_per_m3 - final) / (goal_per_m3 - final)) / rate


def recirculated_m3_s(volume_m3: float, air_changes_per_h: float, mixing: float = 1.0) -> float:
    """Return the effective flow of a number of air changes; mixing is the ventilation efficiency (0.3..1)."""
    require_not_negative(volume_m3=volume_m3, air_changes_per_h=air_changes_per_h, mixing=mixing)
    return volume_m3 * air_changes_per_h * mixing / 3600.0


def recovery_time_s(air_changes_per_h: float, mixing: float = 1.0, ratio: float = 100.0) -> float:
    """Return the time in s in which particles fall to 1/ratio: ln(ratio)/(mixing ACH). Source: ISO 14644-3."""
    require_positive(air_changes_per_h=air_changes_per_h, mixing=mixing, ratio=ratio)
    return math.log(ratio) * 3600.0 / (mixing * air_changes_per_h)


def iso14644_formula_per_m3(iso_class: float, diameter_um: float) -> float:
    """Return 10^N (0.1/D)^2.08, the maximum number of particles >= D per m³, unrounded."""
    require_positive(diameter_um=diameter_um)
    require_not_negative(iso_class=iso_class)
    return 10.0**iso_class * (_ISO_REFERENCE_UM / diameter_um) ** _ISO_EXPONENT


def iso14644_limit_per_m3(iso_class: float, diameter_um: float) -> float:
    """Return the class limit as tabulated: a whole number of at most three significant figures.

    Below 1/m³ the standard states no limit; the unrounded value is returned there.
    Source: ISO 14644-1:2015, formula E.1 and its rounding rule.
    """
    exact = iso14644_formula_per_m3(iso_class, diameter_um)
    if exact < 1.0:
        return exact
    digits = max(0, math.floor(math.log10(exact)) - 2)
    return float(round(exact / 10.0**digits) * 10**digits)


def exceed_probability(
    concentration_per_m3: float, sample_m3_min: float, minutes: float, limit_counts: float
) -> float:
    """Return P(count > limit) of a Poisson count in a sample of C q t particles; sample_m3_min in m³/min."""
    require_not_negative(concentration_per_m3=concentration_per_m3, sample_m3_min=sample_m3_min, minutes=minutes)
    if limit_counts < 0.0:
        return 1.0
    return float(pdtrc(math.floor(limit_counts), concentration_per_m3 * sample_m3_min * minutes))


def overpressure_pa(
    net_flow_m3_s: float, leak_area_m2: float, discharge: float = ORIFICE_DISCHARGE, density: float = AIR_DENSITY_KG_M3
) -> float:
    """Return 0.5 rho (Q/(C_d A))², with the sign of the flow [Pa]; density in kg/m³."""
    require_positive(leak_area_m2=leak_area_m2, discharge=discharge, density=density)
    speed = net_flow_m3_s / (discharge * leak_area_m2)
    return 0.5 * density * speed * abs(speed)


def air_viscosity_pa_s(temperature_k: float) -> float:
    """Return the viscosity of air near atmospheric pressure [Pa s]. Source: Lemmon & Jacobsen 2004."""
    if not 100.0 <= temperature_k <= 1000.0:
        raise ValueError(f"temperature_k is {temperature_k}; allowed: 100..1000 K")
    log_reduced = math.log(temperature_k / _AIR_EPSILON_K)
    omega = math.exp(sum(b * log_reduced**n for n, b in enumerate(_AIR_COLLISION)))
    return 1e-6 * 0.0266958 * math.sqrt(_AIR_MOLAR_MASS_G * temperature_k) / (_AIR_SIGMA_NM**2 * omega)


def cunningham_factor(diameter_m: float, mean_free_path_m: float) -> float:
    """Return the slip correction 1 + Kn (1.257 + 0.4 e^(-1.1/Kn)), Kn = 2 mfp/d. Source: Hinds 1999."""
    require_positive(diameter_m=diameter_m)
    require_not_negative(mean_free_path_m=mean_free_path_m)
    knudsen = 2.0 * mean_free_path_m / diameter_m
    return 1.0 if knudsen == 0.0 else 1.0 + knudsen * (1.257 + 0.4 * math.exp(-1.1 / knudsen))


def settling_velocity_m_s(
    diameter_m: float, particle_kg_m3: float, temperature_k: float, mean_free_path_m: float = 6.6e-8,
    air_kg_m3: float | None = None,
) -> float:
    """Return the terminal velocity of a sphere in air [m/s], positive downwards; up to Reynolds numbers of 1000.

    Stokes' law with slip and, for large particles, Schiller & Naumann's drag (1 + 0.15 Re^0.687).
    air_kg_m3 defaults to the density of dry air at 101,325 Pa. Source: Hinds 1999; Schiller & Naumann 1933.
    """
    require_positive(diameter_m=diameter_m, particle_kg_m3=particle_kg_m3)
    viscosity = air_viscosity_pa_s(temperature_k)
    density = 101_325.0 * _AIR_MOLAR_MASS_G * 1e-3 / (8.314462618 * temperature_k) if air_kg_m3 is None else air_kg_m3
    stokes = (particle_kg_m3 - density) * STANDARD_GRAVITY_M_S2 * diameter_m**2 / (18.0 * viscosity)
    low, high = 0.0, abs(stokes)

    def excess(speed: float) -> float:
        reynolds = density * speed * diameter_m / viscosity
        return speed * (1.0 + 0.15 * reynolds**0.687) - abs(stokes)

    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) < 0.0 else (low, middle)
    return math.copysign(high, stokes) * cunningham_factor(diameter_m, mean_free_path_m)


def mean_free_path_m(temperature_k: float, pressure_pa: float = 101_325.0) -> float:
    """Return the mean free path of air molecules [m]: kT/(sqrt 2 pi d² p), molecular diameter 0.37 nm [M]."""
    require_positive(temperature_k=temperature_k, pressure_pa=pressure_pa)
    return BOLTZMANN_J_PER_K * temperature_k / (math.sqrt(2.0) * math.pi * 0.37e-9**2 * pressure_pa)


@dataclass
class EnclosureAir:
    """The particles of every size class over time.

    Args: balances and concentrations_per_m3 by size in µm; a size that has no concentration starts clean.
    """

    balances: dict[float, AirBalance]
    concentrations_per_m3: dict[float, float] = field(default_factory=dict)
    time_s: float = 0.0

    def __post_init__(self) -> None:
        self.concentrations_per_m3 = {size: self.concentrations_per_m3.get(size, 0.0) for size in self.balances}

    def at(self, time_s: float) -> dict[float, float]:
        """Return the concentrations at a time not before the last change; changes nothing."""
        if time_s < self.time_s:
            raise ValueError(f"time_s is {time_s}; allowed: >= {self.time_s} (air has no memory)")
        return {
            size: balance.concentration_after(self.concentrations_per_m3[size], time_s - self.time_s)
            for size, balance in self.balances.items()
        }

    def advance_to(self, time_s: float) -> None:
        """Move to a time."""
        self.concentrations_per_m3 = self.at(time_s)
        self.time_s = time_s

    def change(self, time_s: float, size_um: float | None = None, **fields: float) -> None:
        """Change fields of the balance of one size (all when None) from time_s on: fan, filter, door, source."""
        self.advance_to(time_s)
        for size in self.balances if size_um is None else (size_um,):
            self.balances[size] = replace(self.balances[size], **fields)

    def burst(self, time_s: float, size_um: float, particles: float) -> None:
        """Let a number of particles free at once."""
        require_not_negative(particles=particles)
        self.advance_to(time_s)
        self.concentrations_per_m3[size_um] += particles / self.balances[size_um].volume_m3

    def next_event(self, limits_per_m3: dict[float, float] | None = None) -> float:
        """Return the time in s at which the first size crosses its limit in either direction, inf if none does."""
        limits = GRADE_A_LIMITS_PER_M3 if limits_per_m3 is None else limits_per_m3
        waits = [
            self.balances[size].time_to(self.concentrations_per_m3[size], limit)
            for size, limit in limits.items()
            if size in self.balances and self.concentrations_per_m3[size] != limit
        ]
        return self.time_s + min(waits, default=math.inf)
