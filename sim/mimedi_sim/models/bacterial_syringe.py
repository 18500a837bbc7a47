# SPDX-License-Identifier: Apache-2.0
"""Gene delivery by invasive bacteria as a process: contact, entry, growth outside, killing by gentamicin, endotoxin.

    dB/dt = psi B - k_i P          bacteria outside the cells
    dP/dt = -(k_i + k_d) P         those of them that will enter a cell (at first eps_inv of all), k_d = max(0, -psi)
    dm/dt = k_i P / cells          so m = eps_inv MOB (1 - exp(-k_i t)) while nothing kills (PHYSICS §4)

psi is the pharmacodynamic function of the antibiotic. A killed bacterium leaves its endotoxin in the liquid.
Numbers per vessel, times in h. Source: PHYSICS §4 (Grillot-Courvalin 1998); Regoes et al. 2004, Antimicrob. Agents
Chemother. 48:3670; endotoxin per cell, MIC and Hill coefficient [calibration].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mimedi_sim.models.transduction import Bactofection
from mimedi_sim.models.validation import require_not_negative, require_positive

ENDOTOXIN_EU_PER_CFU = 1.0e-5
"""Lipopolysaccharide of a gram-negative cell; it stays in the liquid when the cell is killed [calibration]."""
GENTAMICIN_MIC_UG_ML = 2.0
HILL = 2.0
"""At 50 ug/mL, the usual concentration, the kill is 98 % of the most there is."""


def net_growth_per_h(antibiotic_ug_ml: float, growth_per_h: float, kill_log10_per_h: float) -> float:
    """Return the net growth rate psi under an antibiotic (negative: killing); 0 at the MIC.

    An aminoglycoside kills what grows: without growth there is no killing either.
    """
    require_not_negative(antibiotic_ug_ml=antibiotic_ug_ml, growth_per_h=growth_per_h)
    require_positive(kill_log10_per_h=kill_log10_per_h)
    least = -kill_log10_per_h * math.log(10.0)
    dose = (antibiotic_ug_ml / GENTAMICIN_MIC_UG_ML) ** HILL
    return growth_per_h - (growth_per_h - least) * dose * growth_per_h / (dose * growth_per_h - least)


@dataclass
class BacterialSyringe:
    """Bacteria among host cells from time_h on.

    Args: cells: host cells, viable; outside_cfu: living bacteria outside of them; entering_cfu: those of them that
    will enter (None: the invasive share of all); internalised: taken up so far, over all cells; antibiotic_ug_ml:
    gentamicin; growth_per_h: without it.
    """

    time_h: float
    cells: float
    outside_cfu: float
    entering_cfu: float | None = None
    internalised: float = 0.0
    antibiotic_ug_ml: float = 0.0
    growth_per_h: float | None = None
    parameters: Bactofection = field(default_factory=Bactofection)
    shed_eu: float = field(default=0.0, init=False)
    """Endotoxin of the bacteria killed since time_h."""

    def __post_init__(self) -> None:
        require_not_negative(cells=self.cells, outside_cfu=self.outside_cfu, internalised=self.internalised,
                             antibiotic_ug_ml=self.antibiotic_ug_ml)
        p = self.parameters
        if self.entering_cfu is None:
            self.entering_cfu = p.invasion_efficiency * self.outside_cfu
        if self.growth_per_h is None:
            self.growth_per_h = math.log(2.0) / p.doubling_h

    def advance_to(self, time_h: float) -> None:
        """Let time pass, exactly; raises ValueError if it lies in the past."""
        hours = time_h - self.time_h
        if hours < 0.0:
            raise ValueError(f"time_h is {time_h}, before the state's time {self.time_h}")
        assert self.entering_cfu is not None
        assert self.growth_per_h is not None
        p = self.parameters
        psi = net_growth_per_h(self.antibiotic_ug_ml, self.growth_per_h, p.kill_log10_per_h)
        entry = p.invasion_per_h if self.cells > 0.0 else 0.0
        gone = entry + max(0.0, -psi)
        factor, summed = math.exp(psi * hours), psi + gone
        entered = self.entering_cfu * entry * (-math.expm1(-gone * hours) / gone if gone > 0.0 else hours)
        # What entered would have grown or died outside: the convolution of entry and psi.
        missing = self.entering_cfu * entry * factor * (
            -math.expm1(-summed * hours) / summed if abs(summed) > 1e-12 else hours
        )
        before = self.outside_cfu
        self.outside_cfu = max(0.0, before * factor - missing)
        if psi < 0.0:
            self.shed_eu += ENDOTOXIN_EU_PER_CFU * max(0.0, before - entered - self.outside_cfu)
        self.internalised += entered
        self.entering_cfu *= math.exp(-gone * hours)
        self.time_h = time_h

    @property
    def internalised_per_cell(self) -> float:
        """Mean number of bacteria taken up per cell."""
        return self.internalised / self.cells if self.cells > 0.0 else 0.0

    def delivered_fraction(self, dividing_fraction: float = 1.0) -> float:
        """Return the share of the host cells that express what was brought."""
        return self.parameters.delivered_fraction(self.internalised_per_cell, dividing_fraction)

    @property
    def viable_fraction(self) -> float:
        """Share of the host cells that live through it."""
        return self.parameters.host_viability_factor(self.internalised_per_cell)
