# SPDX-License-Identifier: Apache-2.0
"""Dissolved oxygen of a culture: held at its set point while transfer suffices, on its way to where transfer and uptake
meet otherwise.

    dC/dt = kLa (C* - C) - q X        down to its resting value, or up to it, never past it

q is the uptake at the present growth, X the cells; the control blends the gas so that C stays at its set point at most.
Source: PHYSICS §5 (C* 0.20 mM, exact exponential).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mimedi_sim.models.medium_chemistry import dissolved_oxygen_mm
from mimedi_sim.models.tcell import CONTROLLED_OXYGEN_MM, OXYGEN_SATURATION_MM

NEAR_MM = 0.002
"""Closer to its resting value than this it counts as there: one per cent of saturation."""


@dataclass(frozen=True)
class Oxygen:
    """Dissolved oxygen [mM] from time_h on: its value then, its resting value, and what takes it there.

    uptake_mmol_cell_h of cells_per_ml cells; transfer_per_h is kLa.
    """

    time_h: float = 0.0
    start_mm: float = CONTROLLED_OXYGEN_MM
    rest_mm: float = CONTROLLED_OXYGEN_MM
    transfer_per_h: float = 0.0
    uptake_mmol_cell_h: float = 0.0
    cells_per_ml: float = 0.0

    def at(self, time_h: float) -> float:
        """Return the dissolved oxygen [mM] at or after time_h."""
        if self.start_mm == self.rest_mm:
            return self.rest_mm
        free = dissolved_oxygen_mm(self.transfer_per_h, OXYGEN_SATURATION_MM, self.uptake_mmol_cell_h,
                                   self.cells_per_ml, self.start_mm, max(0.0, time_h - self.time_h))
        low, high = sorted((self.start_mm, self.rest_mm))
        return min(max(free, low), high)

    @property
    def moving(self) -> bool:
        """Whether it is still away from its resting value."""
        return abs(self.start_mm - self.rest_mm) > NEAR_MM


def resting_mm(transfer_per_h: float, floor_mm_h: float, growing_mm_h: float, half_mm: float) -> float:
    """Return where transfer and uptake meet, the set point at most [mM].

    Args: floor_mm_h: uptake at rest; growing_mm_h: that of growth with oxygen in plenty, which falls with it as
    C/(half + C).
    """
    # kLa (C* - C) = floor + growing C/(half + C): the positive root.
    linear = transfer_per_h * (half_mm - OXYGEN_SATURATION_MM) + floor_mm_h + growing_mm_h
    constant = half_mm * (floor_mm_h - transfer_per_h * OXYGEN_SATURATION_MM)
    root = math.sqrt(max(0.0, linear * linear - 4.0 * transfer_per_h * constant))
    return min(CONTROLLED_OXYGEN_MM, max(0.0, round((root - linear) / (2.0 * transfer_per_h), 4)))
