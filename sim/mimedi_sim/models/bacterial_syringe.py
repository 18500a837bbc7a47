# SPDX-License-Identifier: Apache-2.0
"""Gene delivery by invasive bacteria as a process: contact, entry, growth outside, killing by gentamicin, endotoxin.

The rates are those of `transduction.Bactofection`; exact between changes. Numbers per vessel, times in h.
Source: Grillot-Courvalin 1998 (invasive, dap-auxotrophic E. coli); PHYSICS §4; endotoxin per cell [calibration].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mimedi_sim.models.transduction import Bactofection
from mimedi_sim.models.validation import require_not_negative, require_positive

ENDOTOXIN_EU_PER_CFU = 1.0e-5
"""Lipopolysaccharide of a gram-negative cell; it stays in the liquid when the cell is killed [calibration]."""


@dataclass
class BacterialSyringe:
    """Bacteria among host cells from time_h on.

    Args: cells: host cells, viable; extracellular_cfu: bacteria added; dividing_fraction: of the host cells.
    """

    time_h: float
    cells: float
    extracellular_cfu: float
    dividing_fraction: float = 1.0
    parameters: Bactofection = field(default_factory=Bactofection)
    gentamicin: bool = False
    internalised_per_cell: float = 0.0
    endotoxin_eu: float = field(init=False)
    cfu_at_gentamicin: float = field(default=math.nan, init=False)

    def __post_init__(self) -> None:
        require_positive(cells=self.cells)
        require_not_negative(extracellular_cfu=self.extracellular_cfu)
        self._ratio = self.extracellular_cfu / self.cells
        self._contact_h = 0.0
        self.endotoxin_eu = ENDOTOXIN_EU_PER_CFU * self.extracellular_cfu

    def advance_to(self, time_h: float) -> None:
        """Let time pass; raises ValueError if it lies in the past."""
        duration = time_h - self.time_h
        if duration < 0.0:
            raise ValueError(f"time_h is {time_h}, before the state's time {self.time_h}")
        p = self.parameters
        if self.gentamicin:
            self.extracellular_cfu = p.extracellular_cfu(self.extracellular_cfu, 0.0, duration)
        else:
            self._contact_h += duration
            self.internalised_per_cell = p.internalised_per_cell(self._ratio, self._contact_h)
            grown = p.extracellular_cfu(self.extracellular_cfu, duration, 0.0)
            self.endotoxin_eu += ENDOTOXIN_EU_PER_CFU * (grown - self.extracellular_cfu)
            self.extracellular_cfu = grown
        self.time_h = time_h

    def add_gentamicin(self, time_h: float) -> None:
        """End the contact: what is outside the cells dies, what is inside is out of its reach."""
        self.advance_to(time_h)
        if not self.gentamicin:
            self.gentamicin, self.cfu_at_gentamicin = True, self.extracellular_cfu

    @property
    def delivered_fraction(self) -> float:
        """Share of the host cells that express what was brought."""
        return self.parameters.delivered_fraction(self.internalised_per_cell, self.dividing_fraction)

    @property
    def viable_fraction(self) -> float:
        """Share of the host cells that live through it."""
        return self.parameters.host_viability_factor(self.internalised_per_cell)

    @property
    def cleared_log10(self) -> float:
        """Log reduction of the bacteria outside since gentamicin: what the clearance test has to show."""
        if not self.gentamicin or self.cfu_at_gentamicin <= 0.0:
            return 0.0
        return math.log10(self.cfu_at_gentamicin / self.extracellular_cfu) if self.extracellular_cfu > 0.0 else math.inf
