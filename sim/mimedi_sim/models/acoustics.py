# SPDX-License-Identifier: Apache-2.0
"""Acoustic radiation force and the motion of particles in a half-wave channel.

Pressure p = p_a cos(k y), y in m from the side wall (antinode), the node is in the middle. The contrast factor
carries its 1/3 (Bruus 2012); older papers leave it out. SI units.
Source: Bruus 2012, Lab Chip 12:1014; Barnkob et al. 2010, Lab Chip 10:563.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mimedi_sim.models.fluidics import velocity_over_mean
from mimedi_sim.models.validation import require_not_negative, require_positive

FloatArray = npt.NDArray[np.float64]


def contrast_factor(
    particle_density_kg_m3: float, particle_compressibility_per_pa: float,
    fluid_density_kg_m3: float, fluid_compressibility_per_pa: float,
) -> float:
    """Return the acoustic contrast factor Phi (with 1/3): positive particles go to the pressure node."""
    require_positive(particle_density_kg_m3=particle_density_kg_m3, fluid_density_kg_m3=fluid_density_kg_m3,
                     fluid_compressibility_per_pa=fluid_compressibility_per_pa)
    ratio = particle_density_kg_m3 / fluid_density_kg_m3
    dipole = (5.0 * ratio - 2.0) / (2.0 * ratio + 1.0)
    return (dipole - particle_compressibility_per_pa / fluid_compressibility_per_pa) / 3.0


def viscous_contrast_factor(
    particle_density_kg_m3: float, particle_compressibility_per_pa: float,
    fluid_density_kg_m3: float, fluid_compressibility_per_pa: float,
    radius_m: float, frequency_hz: float, viscosity_pa_s: float,
) -> float:
    """Return the contrast factor with the viscous boundary layer around a particle of radius_m.

    Source: Settnes & Bruus 2012, Phys. Rev. E 85:016327. Matters below about 2 µm diameter only.
    """
    require_positive(radius_m=radius_m, frequency_hz=frequency_hz, viscosity_pa_s=viscosity_pa_s)
    layer = math.sqrt(viscosity_pa_s / (math.pi * frequency_hz * fluid_density_kg_m3)) / radius_m
    ratio = particle_density_kg_m3 / fluid_density_kg_m3
    gamma = -1.5 * (1.0 + 1j * (1.0 + layer)) * layer
    dipole = (2.0 * (1.0 - gamma) * (ratio - 1.0) / (2.0 * ratio + 1.0 - 3.0 * gamma)).real
    monopole = 1.0 - particle_compressibility_per_pa / fluid_compressibility_per_pa
    return monopole / 3.0 + dipole / 2.0


def energy_density_j_m3(pressure_amplitude_pa: float, fluid_compressibility_per_pa: float) -> float:
    """Return the acoustic energy density in J/m³ of a standing wave of given pressure amplitude."""
    return pressure_amplitude_pa**2 * fluid_compressibility_per_pa / 4.0


def pressure_amplitude_pa(energy_j_m3: float, fluid_compressibility_per_pa: float) -> float:
    """Return the pressure amplitude in Pa of a standing wave of given energy density."""
    require_not_negative(energy_j_m3=energy_j_m3)
    return math.sqrt(4.0 * energy_j_m3 / fluid_compressibility_per_pa)


def radiation_force_n(
    contrast: float, wavenumber_per_m: float, radius_m: float, energy_j_m3: float, distance_from_wall_m: float
) -> float:
    """Return the radiation force in N along y (positive: away from the wall at y = 0)."""
    return (
        4.0 * math.pi * contrast * wavenumber_per_m * radius_m**3 * energy_j_m3
        * math.sin(2.0 * wavenumber_per_m * distance_from_wall_m)
    )


def driven_energy_density_j_m3(
    volts_peak_to_peak: float, alpha_j_m3_v2: float, frequency_hz: float, resonance_hz: float, quality: float
) -> float:
    """Return the energy density in J/m³ in a channel driven off its resonance.

    Exact steady state of a driven damped oscillator, alpha V² at resonance; the usual Lorentzian
    1/(1 + (2Q df/f0)²) differs by 0.75 % at the half-power points for Q = 100.
    """
    require_positive(frequency_hz=frequency_hz, resonance_hz=resonance_hz, quality=quality)
    x = frequency_hz / resonance_hz
    denominator = (1.0 - x * x) ** 2 * quality * quality + x * x
    return alpha_j_m3_v2 * volts_peak_to_peak**2 / denominator


def focusing_time_constant_s(
    mobility_m2: float, width_m: float, energy_j_m3: float, viscosity_pa_s: float
) -> float:
    """Return t* = 3 eta/(4 Phi a² k² E) in s; mobility_m2 is Phi a². Infinite without force."""
    require_positive(width_m=width_m, viscosity_pa_s=viscosity_pa_s)
    k = math.pi / width_m
    drive = 4.0 * mobility_m2 * k * k * energy_j_m3
    return math.inf if drive == 0.0 else 3.0 * viscosity_pa_s / drive


def lateral_position_m(start_m: float, time_s: float, time_constant_s: float, width_m: float) -> float:
    """Return the distance from the wall in m after a time: tan(k y) = tan(k y0) exp(t/t*)."""
    if not 0.0 < start_m < width_m:
        raise ValueError(f"start_m is {start_m}; allowed: inside the channel, 0..{width_m} m")
    mirrored = start_m > width_m / 2.0
    y = float(lateral_positions_m(
        np.array([width_m - start_m if mirrored else start_m]), np.array([time_s / time_constant_s]), width_m
    )[0])
    return width_m - y if mirrored else y


def lateral_positions_m(start_m: FloatArray, exponent: FloatArray, width_m: float) -> FloatArray:
    """Return distances from the wall in m, shape (N,), of particles that start in that wall's half at start_m (N,).

    exponent is t/t* (N,), negative for particles that the sound pushes to the wall.
    """
    k = math.pi / width_m
    # atan2 of exponent-scaled sine and cosine stays finite for any exponent and at the node itself.
    sine = np.sin(k * start_m) * np.exp(np.minimum(exponent, 0.0))
    cosine = np.cos(k * start_m) * np.exp(-np.maximum(exponent, 0.0))
    return np.asarray(np.arctan2(sine, cosine) / k)


def focusing_time_s(start_m: float, end_m: float, time_constant_s: float, width_m: float) -> float:
    """Return the time in s to move from start_m to end_m (same half of the channel); inf if impossible."""
    k = math.pi / width_m
    half = width_m / 2.0
    if (start_m - half) * (end_m - half) <= 0.0:
        raise ValueError(f"start_m {start_m} and end_m {end_m} must lie in the same half of {width_m} m")
    time = time_constant_s * math.log(math.tan(k * end_m) / math.tan(k * start_m))
    return time if time >= 0.0 else math.inf


def axial_length_m(
    start_m: float, end_m: float, time_constant_s: float, width_m: float, height_m: float,
    height_position_m: float, flow_m3_s: float,
) -> float:
    """Return the channel length in m travelled while a particle moves from start_m to end_m across it.

    The particle rides on the rectangular Poiseuille profile at the fixed height height_position_m.
    """
    duration = focusing_time_s(start_m, end_m, time_constant_s, width_m)
    if math.isinf(duration):
        return math.inf
    nodes, weights = np.polynomial.legendre.leggauss(40)
    times = 0.5 * duration * (nodes + 1.0)
    y = np.array([lateral_position_m(start_m, t, time_constant_s, width_m) for t in times])
    profile = velocity_over_mean(y - width_m / 2.0, np.full_like(y, height_position_m), width_m, height_m)
    mean_speed = flow_m3_s / (width_m * height_m)
    return float(0.5 * duration * mean_speed * np.dot(weights, profile))


def composite_properties(
    cell_radius_m: float, bead_count: float, bead_radius_m: float, cell_density_kg_m3: float,
    cell_compressibility_per_pa: float, bead_density_kg_m3: float, bead_compressibility_per_pa: float,
) -> tuple[float, float, float]:
    """Return (radius m, density kg/m³, compressibility 1/Pa) of the volume-averaged bead–cell sphere."""
    require_positive(cell_radius_m=cell_radius_m, bead_radius_m=bead_radius_m)
    require_not_negative(bead_count=bead_count)
    cell, beads = cell_radius_m**3, bead_count * bead_radius_m**3
    total = cell + beads
    density = (cell * cell_density_kg_m3 + beads * bead_density_kg_m3) / total
    compressibility = (cell * cell_compressibility_per_pa + beads * bead_compressibility_per_pa) / total
    return total ** (1.0 / 3.0), density, compressibility


def hindered_mobility_factor(cell_volume_fraction: float) -> float:
    """Return the factor on the mobility in a crowded suspension: (1 - phi)^5 above 1 % [calibration]."""
    require_not_negative(cell_volume_fraction=cell_volume_fraction)
    return (1.0 - min(cell_volume_fraction, 1.0)) ** 5 if cell_volume_fraction > 0.01 else 1.0
