# SPDX-License-Identifier: Apache-2.0
"""Vector over cells that lie on the floor of an unstirred vessel: diffusion brings it there.

The multiplicity that acts is that of the mixed vessel times the share of the vector that has come through the layer
(PHYSICS §4: MOI_effective = MOI x transported fraction). The floor is that of PROCESS step 9: 191 mL lie 3 mm deep,
the concentrate of 9.5 mL 150 um.
"""

from __future__ import annotations

from dataclasses import dataclass

from mimedi_sim.models.transduction import VectorContact, diffusion_limited_fraction, virus_diffusivity_m2_s

FLOOR_AREA_M2 = 0.0633
"""Floor of a bioreactor vessel (PROCESS step 9: 9.5 mL in a layer of 150 um)."""
MEDIUM_VISCOSITY_PA_S = 6.913e-4


@dataclass
class StillContact:
    """One still contact: what a mixed vessel would have taken up, and what diffusion let through of it [TU]."""

    since_h: float
    mixed: VectorContact
    delivered_tu: float = 0.0

    def uptake_tu(self, time_h: float, volume_ul: float, temperature_c: float) -> float:
        """Return the vector that reaches and enters the cells from the last call to time_h."""
        self.mixed.advance_to(time_h)
        depth_m = volume_ul * 1e-9 / FLOOR_AREA_M2
        diffusivity = virus_diffusivity_m2_s(temperature_c + 273.15, MEDIUM_VISCOSITY_PA_S)
        through = diffusion_limited_fraction(diffusivity, depth_m, (time_h - self.since_h) * 3600.0)
        uptake = max(0.0, min(1.0, through) * self.mixed.adsorbed_tu - self.delivered_tu)
        self.delivered_tu += uptake
        return uptake
