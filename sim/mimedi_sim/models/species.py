# SPDX-License-Identifier: Apache-2.0
"""Particles of a leukapheresis as the sorter sees them: density, compressibility and size.

Source: PHYSICS.md §2 table (Cushing 2017, Weiser & Apfel 1982, Settnes & Bruus 2012 and calibration choices).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from mimedi_sim.models.acoustics import composite_properties, contrast_factor

PBS_DENSITY_KG_M3 = 1004.2
PBS_COMPRESSIBILITY_PER_PA = 4.389e-10
PBS_VISCOSITY_PA_S = 0.89e-3
"""Viscosity of the carrier at 25 °C used for sorting."""


@dataclass(frozen=True)
class Species:
    """One kind of particle; the radius is lognormal with arithmetic mean and coefficient of variation."""

    name: str
    density_kg_m3: float
    compressibility_per_pa: float
    mean_radius_m: float
    radius_cv: float

    def contrast(
        self, fluid_density_kg_m3: float = PBS_DENSITY_KG_M3,
        fluid_compressibility_per_pa: float = PBS_COMPRESSIBILITY_PER_PA,
    ) -> float:
        """Return the acoustic contrast factor in the carrier (default PBS at 25 °C)."""
        return contrast_factor(
            self.density_kg_m3, self.compressibility_per_pa, fluid_density_kg_m3, fluid_compressibility_per_pa
        )

    def mobility_m2(self) -> float:
        """Return Phi a² in m² at the mean radius in PBS: what decides the speed in the sound field."""
        return self.contrast() * self.mean_radius_m**2

    @lru_cache(maxsize=256)  # noqa: B019 - a frozen value, kept on purpose: a sort asks for the same few again and again
    def with_beads(self, bead_count: int) -> Species:
        """Return this cell carrying bead_count CD3/CD28 beads, as a volume-averaged sphere."""
        if bead_count == 0:
            return self
        radius, density, compressibility = composite_properties(
            self.mean_radius_m, bead_count, BEAD.mean_radius_m, self.density_kg_m3,
            self.compressibility_per_pa, BEAD.density_kg_m3, BEAD.compressibility_per_pa,
        )
        return replace(
            self, name=f"{self.name}+{bead_count} beads", density_kg_m3=density,
            compressibility_per_pa=compressibility, mean_radius_m=radius,
        )


BEAD = Species("bead", 1500.0, 2.21e-10, 2.25e-6, 0.02)
RESTING_LYMPHOCYTE = Species("resting_lymphocyte", 1060.0, 3.93e-10, 3.65e-6, 0.10)
ACTIVATED_T_CELL = Species("activated_t_cell", 1060.0, 3.93e-10, 5.4e-6, 0.15)
DEAD_CELL = Species("dead_cell", 1060.0, 3.93e-10, 2.9e-6, 0.18)
RED_BLOOD_CELL = Species("red_blood_cell", 1100.0, 3.31e-10, 2.8e-6, 0.08)
POLYSTYRENE = Species("polystyrene", 1050.0, 2.49e-10, 2.5e-6, 0.02)
# Size calibrated on the published trade-off of PHYSICS §12 (CD3 purity 0.997 … 0.78 for 10 … 25 J/m³).
MONOCYTE = Species("monocyte", 1060.0, 3.93e-10, 4.6e-6, 0.12)
# Debris and bacteria are below the streaming limit: they follow the flow (PHYSICS §2).
DEBRIS = Species("debris", PBS_DENSITY_KG_M3, PBS_COMPRESSIBILITY_PER_PA, 0.5e-6, 0.5)
