# SPDX-License-Identifier: Apache-2.0
"""The acoustic sorter chip: which share of each species reaches the centre outlet.

Sixteen parallel half-wave channels; the sample runs in two thin layers near the side walls, buffer in the
middle; what the sound moves past the split line leaves by the centre outlet.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from mimedi_sim.models.acoustics import driven_energy_density_j_m3
from mimedi_sim.models.beads import BEADS_PER_T_CELL, BOUND_FRACTION, bead_count_distribution
from mimedi_sim.models.constants import UL_PER_MIN_IN_M3_S
from mimedi_sim.models.fluidics import band_flow_fraction
from mimedi_sim.models.sound import half_wave_resonance_hz
from mimedi_sim.models.species import (
    BEAD,
    DEAD_CELL,
    MONOCYTE,
    PBS_VISCOSITY_PA_S,
    RED_BLOOD_CELL,
    RESTING_LYMPHOCYTE,
    Species,
)
from mimedi_sim.models.validation import require_not_negative, require_positive

_QUADRATURE_NODES, _QUADRATURE_WEIGHTS = np.polynomial.legendre.leggauss(48)
# Stands for a critical radius of zero in logarithms: every particle is larger.
_TINY_RADIUS_M = 1e-12


@dataclass(frozen=True)
class SorterGeometry:
    """Dimensions of the sorter chip (m) and its acoustic constants.

    Source: PHYSICS §2 and §12. alpha and quality are device specific (two decades of spread in the
    literature): they are configuration, not nature.
    """

    channels: int = 16
    width_m: float = 375e-6
    height_m: float = 150e-6
    active_length_m: float = 26.6e-3
    lamella_start_m: float = 20e-6
    lamella_end_m: float = 60e-6
    split_m: float = 120e-6
    alpha_j_m3_v2: float = 0.5
    quality: float = 100.0

    def lamella_flow_fraction(self) -> float:
        """Return the share of the total flow carried by both sample layers."""
        return 2.0 * band_flow_fraction(self.width_m, self.height_m, self.lamella_start_m, self.lamella_end_m)

    def centre_flow_fraction(self) -> float:
        """Return the share of the total flow that leaves by the centre outlet."""
        return band_flow_fraction(self.width_m, self.height_m, self.split_m, self.width_m - self.split_m)

    def residence_time_s(self, total_flow_ul_min: float) -> float:
        """Return the mean time in s that the sample layer spends in the sound field.

        total_flow_ul_min is the flow of the whole chip in µL/min; 3,200 gives 0.6 s (44 mm/s).
        """
        require_positive(total_flow_ul_min=total_flow_ul_min)
        layer_flow = 0.5 * total_flow_ul_min * UL_PER_MIN_IN_M3_S * self.lamella_flow_fraction() / self.channels
        layer_section = (self.lamella_end_m - self.lamella_start_m) * self.height_m
        return self.active_length_m * layer_section / layer_flow

    def resonance_hz(self, temperature_c: float) -> float:
        """Return the half-wave resonance in Hz of the PBS-filled channel."""
        return half_wave_resonance_hz(temperature_c, self.width_m, "pbs")

    def energy_j_m3(self, volts_peak_to_peak: float, frequency_hz: float, temperature_c: float) -> float:
        """Return the acoustic energy density in J/m³ for a drive voltage, frequency and chip temperature."""
        return driven_energy_density_j_m3(
            volts_peak_to_peak, self.alpha_j_m3_v2, frequency_hz, self.resonance_hz(temperature_c), self.quality
        )


def recovery_to_centre(
    contrasts: npt.ArrayLike, mean_radii_m: npt.ArrayLike, radius_cvs: npt.ArrayLike, *,
    width_m: float, energy_j_m3: float, viscosity_pa_s: float, lamella_start_m: float, lamella_end_m: float,
    split_m: float, residence_time_s: float,
) -> npt.NDArray[np.float64]:
    """Return the share of each species that reaches the centre outlet, shape (species,), 0..1.

    A particle that starts at y0 arrives if its radius exceeds
    a_c = sqrt(3 eta ln(tan k y_split/tan k y0)/(4 Phi k² E t)); the radius is lognormal, y0 uniform in the
    sample layer lamella_start_m..lamella_end_m (plug flow of residence_time_s).
    Raises: ValueError on a layer or split outside one half of the channel.
    Source: PHYSICS §2; Stokes drag and Gor'kov force.
    """
    require_positive(width_m=width_m, viscosity_pa_s=viscosity_pa_s, residence_time_s=residence_time_s)
    require_not_negative(energy_j_m3=energy_j_m3)
    if not (0.0 <= lamella_start_m < lamella_end_m <= width_m / 2.0 and 0.0 < split_m < width_m / 2.0):
        raise ValueError(
            f"lamella {lamella_start_m}..{lamella_end_m} m and split {split_m} m must lie in one half "
            f"of the channel (0..{width_m / 2.0} m)"
        )
    phi = np.atleast_1d(np.asarray(contrasts, dtype=float))
    mean = np.atleast_1d(np.asarray(mean_radii_m, dtype=float))
    sigma = np.sqrt(np.log1p(np.maximum(np.atleast_1d(np.asarray(radius_cvs, dtype=float)), 1e-6) ** 2))
    k = math.pi / width_m
    half = (lamella_end_m - lamella_start_m) / 2.0
    start = lamella_start_m + half + half * _QUADRATURE_NODES
    distance = np.log(math.tan(k * split_m) / np.tan(k * start))
    drive = 4.0 * k * k * energy_j_m3 * residence_time_s * phi
    with np.errstate(divide="ignore", invalid="ignore"):
        critical_squared = np.where(
            drive[:, None] > 0.0, 3.0 * viscosity_pa_s * distance[None, :] / drive[:, None],
            np.where(distance > 0.0, np.inf, 0.0)[None, :],
        )
    # A particle that already starts beyond the split needs no force (unless it is pushed back to the wall).
    critical = np.sqrt(np.maximum(critical_squared, _TINY_RADIUS_M**2))
    log_median = np.log(mean) - 0.5 * sigma**2
    arrive = ndtr((log_median[:, None] - np.log(critical)) / sigma[:, None])
    # Negative contrast: everything that is not past the split stays on its side of it.
    return arrive @ _QUADRATURE_WEIGHTS / 2.0


def species_recovery(
    species: Sequence[Species], energy_j_m3: float, residence_time_s: float,
    geometry: SorterGeometry | None = None, mobility_factor: float = 1.0,
    viscosity_pa_s: float = PBS_VISCOSITY_PA_S,
) -> npt.NDArray[np.float64]:
    """Return the centre-outlet share of each species in the chip, shape (len(species),).

    mobility_factor scales every mobility (crowding, see acoustics.hindered_mobility_factor).
    """
    chip = geometry or SorterGeometry()
    return recovery_to_centre(
        [one.contrast() * mobility_factor for one in species],
        [one.mean_radius_m for one in species],
        [one.radius_cv for one in species],
        width_m=chip.width_m, energy_j_m3=energy_j_m3, viscosity_pa_s=viscosity_pa_s,
        lamella_start_m=chip.lamella_start_m, lamella_end_m=chip.lamella_end_m, split_m=chip.split_m,
        residence_time_s=residence_time_s,
    )


@lru_cache(maxsize=32)
def _bead_classes(cell: Species, classes: int) -> tuple[Species, ...]:
    return tuple(cell.with_beads(n) for n in range(classes))


def population_recovery(
    species: Mapping[str, Species], energy_j_m3: float, residence_time_s: float, *,
    labelled: str = "t_cell", beads_per_cell: float = BEADS_PER_T_CELL, bound_fraction: float = BOUND_FRACTION,
    geometry: SorterGeometry | None = None, mobility_factor: float = 1.0,
) -> dict[str, float]:
    """Return the centre-outlet share of every species, the labelled one averaged over its bead numbers.

    Args: species by name; `labelled` names the one that carries beads (it need not be present).
    """
    plain = [name for name in species if name != labelled]
    rows = [species[name] for name in plain]
    weights: tuple[float, ...] = ()
    if labelled in species:
        weights = bead_count_distribution(beads_per_cell, bound_fraction)
        rows.extend(_bead_classes(species[labelled], len(weights)))
    shares = species_recovery(rows, energy_j_m3, residence_time_s, geometry, mobility_factor)
    result = dict(zip(plain, shares[: len(plain)].tolist(), strict=True))
    if weights:
        result[labelled] = float(np.dot(shares[len(plain) :], weights))
    return result


def default_population() -> dict[str, Species]:
    """Return the species of a leukapheresis as the sorter sees them, by name."""
    return {
        "t_cell": RESTING_LYMPHOCYTE,
        "other_lymphocyte": RESTING_LYMPHOCYTE,
        "monocyte": MONOCYTE,
        "dead_cell": DEAD_CELL,
        "red_blood_cell": RED_BLOOD_CELL,
        "bead": BEAD,
    }
