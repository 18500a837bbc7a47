# SPDX-License-Identifier: Apache-2.0
"""Surface plasmon resonance: binding of an analyte to an immobilised ligand, and the sensorgram.

Responses in RU, concentrations in mol/L (M), times in s; k_a in 1/M/s, k_d in 1/s, k_t in RU/M/s.
Source: PHYSICS §10; Karlsson 1991 (1:1 Langmuir); Myszka et al. 1998, Biophys. J. 75:583 (mass transport).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.special import lambertw, wrightomega

from mimedi_sim.models.validation import require_fraction, require_not_negative, require_positive
from mimedi_sim.random_streams import OrnsteinUhlenbeck, stream

MOLAR_MASS_DA = {"il2": 15_500.0, "ifn_gamma": 33_800.0, "il6": 21_000.0, "antibody": 150_000.0}
NOISE_RU, DRIFT_RU_PER_S, DRIFT_TIME_S = 0.2, 0.01, 3600.0
REGENERATION_KEPT = 0.99
NONSPECIFIC_RU_PER_MG_ML = 1.0


def theoretical_rmax_ru(ligand_ru: float, analyte_da: float, ligand_da: float, valency: float = 1.0) -> float:
    """Return the largest response R_L MW_A/MW_L n [RU] of an immobilised ligand."""
    require_positive(ligand_da=ligand_da)
    require_not_negative(ligand_ru=ligand_ru, analyte_da=analyte_da, valency=valency)
    return ligand_ru * analyte_da / ligand_da * valency


@dataclass(frozen=True)
class Binding:
    """Rates of a 1:1 interaction and the capacity of the surface; transport inf means no transport limit."""

    association_per_m_s: float = 5.0e5
    dissociation_per_s: float = 5.0e-4
    capacity_ru: float = 100.0
    transport_ru_per_m_s: float = math.inf

    def __post_init__(self) -> None:
        require_not_negative(association_per_m_s=self.association_per_m_s, capacity_ru=self.capacity_ru,
                             dissociation_per_s=self.dissociation_per_s)
        if not self.transport_ru_per_m_s > 0.0:
            raise ValueError(f"transport_ru_per_m_s is {self.transport_ru_per_m_s}; allowed: > 0, inf for none")

    def equilibrium_ru(self, concentration_m: float) -> float:
        """Return the response R_eq = k_a C R_max/(k_a C + k_d) of a concentration."""
        observed = self.association_per_m_s * concentration_m + self.dissociation_per_s
        if observed == 0.0:
            return 0.0
        return self.association_per_m_s * concentration_m * self.capacity_ru / observed

    def response_ru(self, start_ru: float, concentration_m: float, time_s: float) -> float:
        """Return R(t) of dR/dt = (k_a C (R_max - R) - k_d R)/(1 + k_a (R_max - R)/k_t), exact.

        Without transport limit an exponential; with it the implicit solution, by Lambert's W.
        Raises: ValueError on a negative input or a start above the capacity.
        """
        require_not_negative(start_ru=start_ru, concentration_m=concentration_m, time_s=time_s)
        if start_ru > self.capacity_ru * (1.0 + 1e-12):
            raise ValueError(f"start_ru is {start_ru}; allowed: 0..{self.capacity_ru} RU (the capacity)")
        observed = self.association_per_m_s * concentration_m + self.dissociation_per_s
        final = self.equilibrium_ru(concentration_m)
        gap = final - start_ru
        load = self.association_per_m_s / self.transport_ru_per_m_s
        if load == 0.0 or gap == 0.0 or observed == 0.0:
            return start_ru + gap * -math.expm1(-observed * time_s)
        # With x = R_eq - R: (A/x + load) dx = -k_obs dt, A = 1 + load (R_max - R_eq).
        a = 1.0 + load * max(0.0, self.capacity_ru - final)
        y, elapsed = load * abs(gap) / a, observed * time_s / a
        if gap > 0.0:
            left = float(np.real(wrightomega(math.log(y) + y - elapsed)))
        else:
            # From above: y e^-y falls by e^-elapsed; y <= 1 because R <= R_max.
            left = -float(np.real(lambertw(-y * math.exp(-y - elapsed)))) if time_s > 0.0 else y
        return final - math.copysign(left * a / load, gap)

    def initial_slope_ru_s(self, concentration_m: float) -> float:
        """Return dR/dt [RU/s] of an empty surface."""
        rate = self.association_per_m_s * concentration_m * self.capacity_ru
        return rate / (1.0 + self.association_per_m_s * self.capacity_ru / self.transport_ru_per_m_s)

    def concentration_from_slope_m(self, slope_ru_s: float) -> float:
        """Return the concentration [M] whose initial slope was seen: the quantification of a cycle."""
        per_molar = self.initial_slope_ru_s(1.0)
        require_positive(initial_slope_per_molar=per_molar)
        return slope_ru_s / per_molar


def slope_detection_limit_m(
    binding: Binding, seconds: float = 300.0, noise_ru: float = NOISE_RU, interval_s: float = 1.0
) -> float:
    """Return the concentration [M] whose slope over `seconds` is three standard errors of a straight-line fit."""
    require_positive(seconds=seconds, interval_s=interval_s)
    n = math.floor(seconds / interval_s) + 1
    spread = interval_s**2 * n * (n * n - 1.0) / 12.0
    return binding.concentration_from_slope_m(3.0 * noise_ru / math.sqrt(spread))


@dataclass
class SprChannel:
    """A flow channel with ligand, beside a reference channel without: exact between valve events.

    Args: binding of the fresh surface; seed and name key noise and drift. `capacity_kept` (0..1] falls with every
    regeneration. bulk_ru is the refractive step of the sample while it flows; run_s is when the channels were zeroed.
    """

    binding: Binding
    seed: int = 0
    name: str = "spr"
    regeneration_kept: float = REGENERATION_KEPT
    time_s: float = 0.0
    bound_ru: float = 0.0
    concentration_m: float = 0.0
    bulk_ru: float = 0.0
    nonspecific_ru: float = 0.0
    capacity_kept: float = 1.0
    run_s: float = 0.0
    _drift: OrnsteinUhlenbeck = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require_fraction(regeneration_kept=self.regeneration_kept, capacity_kept=self.capacity_kept)
        self._drift = self._drift_of("drift")

    def _drift_of(self, name: str) -> OrnsteinUhlenbeck:
        # Stationary width such that a typical slope is DRIFT_RU_PER_S over a minute.
        width = DRIFT_RU_PER_S * math.sqrt(60.0 * DRIFT_TIME_S / 2.0)
        return OrnsteinUhlenbeck(stream(self.seed, self.name, name), width, DRIFT_TIME_S, 1.0, True)

    def begin_run(self, time_s: float) -> None:
        """Zero both channels after a rest without flow: drift is told from here on."""
        self.advance_to(time_s)
        self.run_s, self._drift = time_s, self._drift_of(f"drift {time_s:.3f}")

    def _present(self) -> Binding:
        b = self.binding
        return Binding(b.association_per_m_s, b.dissociation_per_s, b.capacity_ru * self.capacity_kept,
                       b.transport_ru_per_m_s)

    def bound_at(self, time_s: float) -> float:
        """Return the specifically bound response [RU] at a time not before the last event; changes nothing."""
        if time_s < self.time_s:
            raise ValueError(f"time_s is {time_s}; allowed: >= {self.time_s}")
        return self._present().response_ru(self.bound_ru, self.concentration_m, time_s - self.time_s)

    def advance_to(self, time_s: float) -> None:
        """Move to a time."""
        self.bound_ru, self.time_s = self.bound_at(time_s), time_s

    def inject(self, time_s: float, concentration_m: float, bulk_ru: float = 0.0, protein_mg_ml: float = 0.0) -> None:
        """Let a sample flow from time_s on; buffer is a concentration of 0."""
        require_not_negative(concentration_m=concentration_m, protein_mg_ml=protein_mg_ml)
        self.advance_to(time_s)
        self.concentration_m, self.bulk_ru = concentration_m, bulk_ru
        self.nonspecific_ru = NONSPECIFIC_RU_PER_MG_ML * protein_mg_ml

    def wash(self, time_s: float) -> None:
        """Let buffer flow: dissociation."""
        self.inject(time_s, 0.0)

    def regenerate(self, time_s: float, removed: float = 1.0) -> None:
        """Strip the surface: `removed` (0..1) of what is bound goes, a percent of the capacity with it."""
        require_fraction(removed=removed)
        self.advance_to(time_s)
        self.wash(time_s)
        self.capacity_kept *= self.regeneration_kept
        self.bound_ru = min(self.bound_ru * (1.0 - removed), self.binding.capacity_ru * self.capacity_kept)

    def reading_ru(self, sample: int, interval_s: float = 1.0) -> tuple[float, float]:
        """Return (channel, reference) readings [RU] of a sample index, at index × interval_s."""
        time_s = sample * interval_s
        common = self.bulk_ru + self.nonspecific_ru + self._drift.at_time(max(0.0, time_s - self.run_s))
        noise = stream(self.seed, self.name, "noise").normal(sample, 0.0, NOISE_RU)
        reference_noise = stream(self.seed, self.name, "reference_noise").normal(sample, 0.0, NOISE_RU)
        return self.bound_at(time_s) + common + noise, common + reference_noise
