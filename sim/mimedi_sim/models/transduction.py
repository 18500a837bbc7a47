# SPDX-License-Identifier: Apache-2.0
"""Gene transfer: vector adsorption, copy-number statistics, transport to the cells, bacterial delivery.

Biological exception to SI (PHYSICS §0): volumes in mL, times in h, cells per mL, titres in TU.
Source: PHYSICS §4 (Andreadis et al. 2000, J. Virol. 74:1258; Fehse et al. 2004, Gene Ther. 11:879).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import betainc, gammainc

from mimedi_sim.models.constants import BOLTZMANN_J_PER_K, STANDARD_GRAVITY_M_S2
from mimedi_sim.models.validation import require_fraction, require_not_negative, require_positive

ADSORPTION_ML_PER_CELL_H = 1.3e-8
"""Nominal k_a, mixing included [calibrated: MOI 5, 1e6/mL, 18 h gives 39 % positive]."""
VECTOR_DECAY_PER_H = math.log(2.0) / 10.0
"""Vector half-life 10 h at 37 °C [Higuchi & Andreadis]."""
COPY_DISPERSION = 2.0
"""Gamma shape r of the cells' susceptibility: copies are negative binomial [calibration]."""
TOXICITY_PER_MOI = 0.02
POLYBRENE_VIABILITY = 0.85
VIRION_RADIUS_M = 60e-9
VIRION_EXCESS_DENSITY_KG_M3 = 160.0


def adsorbed_per_cell(
    moi_tu_per_cell: float, cells_per_ml: float, adsorption_ml_per_cell_h: float, decay_per_h: float, time_h: float
) -> float:
    """Return the mean number of transducing units adsorbed per cell after time_h of contact."""
    require_not_negative(moi_tu_per_cell=moi_tu_per_cell, cells_per_ml=cells_per_ml, time_h=time_h,
                         adsorption_ml_per_cell_h=adsorption_ml_per_cell_h, decay_per_h=decay_per_h)
    uptake = adsorption_ml_per_cell_h * cells_per_ml
    total = uptake + decay_per_h
    if total == 0.0:
        return 0.0
    return moi_tu_per_cell * uptake / total * -math.expm1(-total * time_h)


def transduced_fraction(mean_copies: float, dispersion: float | None = COPY_DISPERSION) -> float:
    """Return the share of cells with at least one copy: negative binomial, or Poisson if dispersion is None."""
    require_not_negative(mean_copies=mean_copies)
    if dispersion is None or math.isinf(dispersion):
        return -math.expm1(-mean_copies)
    require_positive(dispersion=dispersion)
    return -math.expm1(-dispersion * math.log1p(mean_copies / dispersion))


def copies_per_positive_cell(mean_copies: float, dispersion: float | None = COPY_DISPERSION) -> float:
    """Return the vector copy number per transduced cell (1 in the limit of no vector)."""
    positive = transduced_fraction(mean_copies, dispersion)
    return mean_copies / positive if positive > 0.0 else 1.0


def fraction_with_at_least(copies: int, mean_copies: float, dispersion: float | None = COPY_DISPERSION) -> float:
    """Return P(copies or more in one cell), copies >= 1."""
    if copies < 1:
        raise ValueError(f"copies is {copies}; allowed: >= 1")
    require_not_negative(mean_copies=mean_copies)
    if mean_copies == 0.0:
        return 0.0
    if dispersion is None or math.isinf(dispersion):
        return float(gammainc(copies, mean_copies))
    success = dispersion / (dispersion + mean_copies)
    return float(betainc(copies, dispersion, 1.0 - success))


def copy_distribution(mean_copies: float, classes: int, dispersion: float | None = COPY_DISPERSION) -> list[float]:
    """Return P(k copies) for k = 0 … classes-1; the last class holds the tail, the sum is 1."""
    if classes < 2:
        raise ValueError(f"classes is {classes}; allowed: >= 2")
    tails = [1.0, *(fraction_with_at_least(k, mean_copies, dispersion) for k in range(1, classes))]
    return [a - b for a, b in zip(tails, [*tails[1:], 0.0], strict=True)]


def vector_viability_factor(moi_tu_per_cell: float, polybrene: bool = False) -> float:
    """Return the share of cells that survive the vector: exp(-0.02 MOI), ×0.85 with polybrene [C]."""
    require_not_negative(moi_tu_per_cell=moi_tu_per_cell)
    return math.exp(-TOXICITY_PER_MOI * moi_tu_per_cell) * (POLYBRENE_VIABILITY if polybrene else 1.0)


def decay_per_h(temperature_c: float) -> float:
    """Return the vector's decay rate in 1/h: ln2/10 h at 37 °C, ×3 at 39 °C (exponential between) [C]."""
    return VECTOR_DECAY_PER_H * 3.0 ** ((temperature_c - 37.0) / 2.0) if temperature_c > 37.0 else VECTOR_DECAY_PER_H


def virus_diffusivity_m2_s(
    temperature_k: float, viscosity_pa_s: float, radius_m: float = VIRION_RADIUS_M
) -> float:
    """Return the diffusion coefficient of a virion in m²/s (Stokes–Einstein)."""
    require_positive(temperature_k=temperature_k, viscosity_pa_s=viscosity_pa_s, radius_m=radius_m)
    return BOLTZMANN_J_PER_K * temperature_k / (6.0 * math.pi * viscosity_pa_s * radius_m)


def diffusion_limited_fraction(diffusivity_m2_s: float, depth_m: float, time_s: float) -> float:
    """Return the share of the vector in a still layer that has reached cells settled on its floor.

    Eigenfunction series; for short times the half-space solution 2 sqrt(Dt/pi)/h, which it joins to 1e-9.
    Source: Crank, The Mathematics of Diffusion (1975).
    """
    require_positive(depth_m=depth_m)
    require_not_negative(diffusivity_m2_s=diffusivity_m2_s, time_s=time_s)
    fourier = diffusivity_m2_s * time_s / depth_m**2
    if fourier < 0.04:
        return 2.0 * math.sqrt(fourier / math.pi)
    total, j = 0.0, 1
    while True:
        term = math.exp(-((j * math.pi / 2.0) ** 2) * fourier) / (j * j)
        total += term
        if term < 1e-15:
            return 1.0 - 8.0 / math.pi**2 * total
        j += 2


def sedimentation_speed_m_s(
    radius_m: float, excess_density_kg_m3: float, relative_centrifugal_force: float, viscosity_pa_s: float
) -> float:
    """Return the Stokes settling speed in m/s at a multiple of gravity (1: at rest)."""
    require_positive(radius_m=radius_m, viscosity_pa_s=viscosity_pa_s)
    acceleration = relative_centrifugal_force * STANDARD_GRAVITY_M_S2
    return 2.0 * excess_density_kg_m3 * radius_m**2 * acceleration / (9.0 * viscosity_pa_s)


def spinoculation_fraction(
    relative_centrifugal_force: float, viscosity_pa_s: float, time_s: float, depth_m: float,
    radius_m: float = VIRION_RADIUS_M, excess_density_kg_m3: float = VIRION_EXCESS_DENSITY_KG_M3,
) -> float:
    """Return the share of the vector spun down to the cells: min(1, v t/h)."""
    require_positive(depth_m=depth_m)
    speed = sedimentation_speed_m_s(radius_m, excess_density_kg_m3, relative_centrifugal_force, viscosity_pa_s)
    return min(1.0, speed * time_s / depth_m)


@dataclass
class VectorContact:
    """Free, adsorbed and decayed vector in a culture, in transducing units; exact between events.

    Cells at constant density between two calls of `set_cells`; the mean copies per cell add up over them.
    """

    time_h: float
    free_tu: float
    cells: float
    volume_ml: float
    adsorption_ml_per_cell_h: float = ADSORPTION_ML_PER_CELL_H
    decay_per_h: float = VECTOR_DECAY_PER_H
    adsorbed_tu: float = 0.0
    decayed_tu: float = 0.0
    mean_copies: float = 0.0

    def advance_to(self, time_h: float) -> None:
        """Move to a process time in h; raises ValueError if it lies in the past."""
        duration = time_h - self.time_h
        if duration < 0.0:
            raise ValueError(f"time_h is {time_h}, before the state's time {self.time_h}")
        require_positive(volume_ml=self.volume_ml)
        uptake = self.adsorption_ml_per_cell_h * self.cells / self.volume_ml
        total = uptake + self.decay_per_h
        gone = self.free_tu * -math.expm1(-total * duration)
        adsorbed = gone * uptake / total if total > 0.0 else 0.0
        self.free_tu -= gone
        self.adsorbed_tu += adsorbed
        self.decayed_tu += gone - adsorbed
        if self.cells > 0.0:
            self.mean_copies += adsorbed / self.cells
        self.time_h = time_h

    def set_cells(self, time_h: float, cells: float, volume_ml: float) -> None:
        """Advance to time_h, then change the cell number or the volume."""
        require_not_negative(cells=cells)
        require_positive(volume_ml=volume_ml)
        self.advance_to(time_h)
        self.cells, self.volume_ml = cells, volume_ml


@dataclass(frozen=True)
class Bactofection:
    """Delivery by invasive bacteria: PHYSICS §4; rates per h, probabilities 0..1 [calibration]."""

    invasion_efficiency: float = 0.03
    invasion_per_h: float = 1.0
    escape_probability: float = 0.2
    nuclear_probability: float = 0.3
    kill_log10_per_h: float = 3.0
    doubling_h: float = 0.75

    def internalised_per_cell(self, bacteria_per_cell: float, time_h: float) -> float:
        """Return the mean number of bacteria taken up per cell after time_h of contact."""
        require_not_negative(bacteria_per_cell=bacteria_per_cell, time_h=time_h)
        return self.invasion_efficiency * bacteria_per_cell * -math.expm1(-self.invasion_per_h * time_h)

    def delivered_fraction(self, internalised: float, dividing_fraction: float = 1.0) -> float:
        """Return the share of cells that express: 1 - exp(-m p), p halved in cells that do not divide."""
        require_fraction(dividing_fraction=dividing_fraction)
        nuclear = self.nuclear_probability * (0.5 + 0.5 * dividing_fraction)
        return -math.expm1(-internalised * self.escape_probability * nuclear)

    def extracellular_cfu(self, initial_cfu: float, growth_h: float, killing_h: float) -> float:
        """Return the bacteria left outside cells after growth_h without and killing_h with gentamicin."""
        require_not_negative(initial_cfu=initial_cfu, growth_h=growth_h, killing_h=killing_h)
        return initial_cfu * 2.0 ** (growth_h / self.doubling_h) * 10.0 ** (-self.kill_log10_per_h * killing_h)

    def host_viability_factor(self, internalised: float) -> float:
        """Return the share of host cells that survive: exp(-0.01 m) [calibration]."""
        return math.exp(-0.01 * internalised)
