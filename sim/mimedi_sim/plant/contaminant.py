# SPDX-License-Identifier: Apache-2.0
"""Bacteria or yeast in a culture: cells that divide one by one, then a turbid culture that eats, sours and kills.

Few cells are a pure birth process whose divisions have waiting times of their own (models.bacteria.Colony): the same
whatever was polled. What liquid carries in or out scales their number; from ten thousand on growth is logistic.
Source: PHYSICS §5 (glucose 1e-11 mmol/CFU/h), §8; acid and killing are calibration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mimedi_sim.models.bacteria import CAPACITY_PER_ML, DOUBLING_TIME_H, STOCHASTIC_LIMIT, Colony, growth_rate_per_h
from mimedi_sim.models.bacterial_syringe import GENTAMICIN_MIC_UG_ML
from mimedi_sim.models.growth import temperature_factor
from mimedi_sim.plant import biology
from mimedi_sim.plant.ledger import INDEX, QUANTITIES, VOLUME, FloatArray

GLUCOSE_MMOL_PER_CFU_H = 1e-11
ACID_PER_GLUCOSE = 2.0
"""Acid from a fermented glucose, booked as lactate [calibration: homolactic and mixed-acid fermentation]."""
KILL_PER_H, KILL_HALF_PER_ML = 0.15, 1.0e8
"""Death of T cells among many bacteria [calibration]."""
DENSE_PER_ML = 1.0e5
"""From here on the culture's state changes fast."""

CARDINAL_C = (8.0, 38.0, 46.0)
"""Temperatures of growth of mesophilic bacteria: lowest, best, highest [calibration]."""
GENTAMICIN_STOPS = ("escherichia_coli", "staphylococcus_epidermidis")
"""Organisms whose growth gentamicin stops from its MIC on (PHYSICS §8: antibiotics x0)."""
_CFU, _GLUCOSE, _LACTATE = INDEX["cfu"], INDEX["glucose_mmol"], INDEX["lactate_mmol"]
_GENTAMICIN = INDEX["gentamicin_ug"]


def growth_per_h(organism: str, temperature_c: float) -> float:
    """Return the specific growth rate of a named organism: that of 37 degC times the cardinal temperature factor."""
    warm = temperature_factor(temperature_c, *CARDINAL_C) / temperature_factor(37.0, *CARDINAL_C)
    return growth_rate_per_h(DOUBLING_TIME_H[organism]) * warm


def burden(row: FloatArray, start_cfu: float, end_cfu: float, hours: float) -> FloatArray:
    """Return what bacteria cost an account while their number changes: glucose, acid, T cells that die among many."""
    change = np.zeros(len(QUANTITIES))
    mean_cfu = start_cfu
    if end_cfu != start_cfu:
        end_cfu = max(end_cfu, 1e-9)
        mean_cfu = (end_cfu - start_cfu) / math.log(end_cfu / start_cfu)
    glucose = float(row[_GLUCOSE])
    if glucose > 0.0:
        used = glucose * -math.expm1(-GLUCOSE_MMOL_PER_CFU_H * mean_cfu * hours / glucose)
        change[_GLUCOSE], change[_LACTATE] = -used, ACID_PER_GLUCOSE * used
    density = math.sqrt(start_cfu * end_cfu) / (float(row[VOLUME]) * 1e-3)
    surviving = math.exp(-KILL_PER_H * density / (density + KILL_HALF_PER_ML) * hours)
    return change + biology.death_of_t(row, surviving)


@dataclass
class Contaminant:
    """The organism in one vessel; `seed` and `vessel` key its divisions."""

    seed: int
    vessel: str
    organism: str = "escherichia_coli"
    _colony: Colony | None = None

    def changes(self, row: FloatArray, start_h: float, end_h: float, temperature_c: float) -> FloatArray:
        """Return what the organism makes of an account between two process times [h]: growth, glucose, acid."""
        change = np.zeros(len(QUANTITIES))
        cfu, volume_ml = float(row[_CFU]), float(row[VOLUME]) * 1e-3
        if cfu <= 0.0 or volume_ml <= 0.0:
            self._colony = None
            return change
        rate, duration = growth_per_h(self.organism, temperature_c), end_h - start_h
        if self.organism in GENTAMICIN_STOPS and row[_GENTAMICIN] >= GENTAMICIN_MIC_UG_ML * volume_ml:
            rate = 0.0
        grown = self._grown(cfu, start_h, end_h, volume_ml, rate)
        change[_CFU] = grown - cfu
        return change + burden(row, cfu, grown, duration)

    def copy(self) -> Contaminant:
        """Return an independent copy, to look ahead with."""
        twin = Contaminant(self.seed, self.vessel, self.organism)
        if self._colony is not None:
            twin._colony = _copied(self._colony)
        return twin

    def _grown(self, cfu: float, start_h: float, end_h: float, volume_ml: float, rate: float) -> float:
        if cfu >= STOCHASTIC_LIMIT:
            capacity = max(CAPACITY_PER_ML * volume_ml, cfu)
            return capacity / (1.0 + (capacity / cfu - 1.0) * math.exp(-rate * (end_h - start_h)))
        colony = self._colony
        if colony is None:
            colony = Colony(self.seed, f"contaminant {self.vessel}", max(1, round(cfu)), volume_ml, rate,
                            time_h=start_h)
            self._colony = colony
        if colony.growth_per_h != rate:
            colony.change(start_h, rate)
        return cfu * colony.cells_at(end_h) / colony.cells_at(start_h)


def _copied(colony: Colony) -> Colony:
    twin = object.__new__(Colony)
    twin.__dict__.update(colony.__dict__)
    return twin
