# SPDX-License-Identifier: Apache-2.0
"""Bacteria that deliver a gene, in a vessel with cells: what they, the antibiotic and the cells make of each other.

Rates and closed forms are those of models.bacterial_syringe. Few bacteria are whole ones: below ten thousand each
survives or not (binomial), so that a vessel becomes free of them, or stays so by one survivor only. What was brought is
episomal: dividing cells halve their signal, and a cytometer sees a cell down to SEEN_FROM of a fresh one's.
Source: PHYSICS §4, bactofection variant; the cytometer's limit and the spread of the signal [calibration].
"""

from __future__ import annotations

import math

import numpy as np

from mimedi_sim.models.bacteria import CAPACITY_PER_ML, STOCHASTIC_LIMIT
from mimedi_sim.models.bacterial_syringe import ENDOTOXIN_EU_PER_CFU, BacterialSyringe
from mimedi_sim.models.donors import Donor
from mimedi_sim.models.growth import temperature_factor
from mimedi_sim.models.transduction import Bactofection
from mimedi_sim.plant import biology
from mimedi_sim.plant.contaminant import CARDINAL_C, burden
from mimedi_sim.plant.ledger import INDEX, QUANTITIES, VOLUME, FloatArray
from mimedi_sim.random_streams import stream

SEEN_FROM, SIGNAL_SD_LOG2 = 0.25, 1.0
"""Two divisions halve the signal twice; cells differ by a factor of two (one standard deviation)."""
PARAMETERS = Bactofection()

_OUTSIDE, _ENTERING, _GENTAMICIN = INDEX["syringe_cfu"], INDEX["syringe_entering"], INDEX["gentamicin_ug"]
_INTERNALISED, _DELIVERED, _SIGNAL = INDEX["internalised"], INDEX["delivered"], INDEX["delivered_signal"]
_STEPS_PER_H = 36_000  # draws are numbered by tenths of a second


def antibiotic_ug_ml(row: FloatArray) -> float:
    """Return the concentration of gentamicin in an account."""
    return float(row[_GENTAMICIN]) / (float(row[VOLUME]) * 1e-3) if row[VOLUME] > 0.0 else 0.0


def changes(
    row: FloatArray, donor: Donor, seed: int, vessel: str, start_h: float, end_h: float, temperature_c: float,
    dividing_share: float,
) -> FloatArray:
    """Return what bacteria of the delivery strain make of an account between two process times [h].

    dividing_share: of the activated T cells. Growth is slowed as the account becomes full of bacteria.
    """
    change = np.zeros(len(QUANTITIES))
    volume_ml, outside = float(row[VOLUME]) * 1e-3, float(row[_OUTSIDE])
    if outside <= 0.0 or volume_ml <= 0.0:
        return change
    if outside < STOCHASTIC_LIMIT and not outside.is_integer():
        outside = _whole(outside, seed, vessel, start_h)  # what liquid brought or took is a chance for each
    cells = biology.t_activated(row)
    warm = temperature_factor(temperature_c, *CARDINAL_C) / temperature_factor(37.0, *CARDINAL_C)
    room = max(0.0, 1.0 - outside / (CAPACITY_PER_ML * volume_ml))
    state = BacterialSyringe(
        start_h, cells, outside, min(float(row[_ENTERING]), outside), float(row[_INTERNALISED]),
        antibiotic_ug_ml(row), math.log(2.0) / PARAMETERS.doubling_h * warm * room, PARAMETERS,
    )
    before = state.internalised_per_cell
    state.advance_to(end_h)
    left = _survivors(outside, state.outside_cfu, seed, vessel, end_h)
    change[_OUTSIDE] = left - float(row[_OUTSIDE])
    change[_ENTERING] = min(float(state.entering_cfu or 0.0), left) - float(row[_ENTERING])
    change[INDEX["endotoxin_eu"]] = state.shed_eu
    change += burden(row, outside, left, end_h - start_h)
    if cells <= 0.0:
        return change
    taken_up, after = state.internalised - float(row[_INTERNALISED]), state.internalised_per_cell
    reached = donor.susceptibility * after, donor.susceptibility * before
    new = cells * (PARAMETERS.delivered_fraction(reached[0], dividing_share)
                   - PARAMETERS.delivered_fraction(reached[1], dividing_share))
    change[_INTERNALISED], change[_DELIVERED], change[_SIGNAL] = taken_up, new, new
    surviving = PARAMETERS.host_viability_factor(after) / PARAMETERS.host_viability_factor(before)
    return change + biology.death_of_t(row + change, surviving)


def seen_fraction(row: FloatArray) -> float:
    """Return the share of the viable T cells in which a cytometer sees what was brought."""
    cells, delivered = biology.t_viable(row), float(row[_DELIVERED])
    if cells <= 0.0 or delivered <= 0.0 or row[_SIGNAL] <= 0.0:
        return 0.0
    doublings_above = math.log2(float(row[_SIGNAL]) / delivered / SEEN_FROM)
    return delivered / cells * 0.5 * math.erfc(-doublings_above / SIGNAL_SD_LOG2 / math.sqrt(2.0))


def living(row: FloatArray) -> float:
    """Return all living bacteria and yeasts outside of cells: contaminants and the delivery strain [CFU]."""
    return float(row[INDEX["cfu"]] + row[_OUTSIDE])


def endotoxin_eu(row: FloatArray) -> float:
    """Return the endotoxin of an account, that of living bacteria included [EU]."""
    return float(row[INDEX["endotoxin_eu"]]) + ENDOTOXIN_EU_PER_CFU * living(row)


def _whole(number: float, seed: int, vessel: str, time_h: float) -> float:
    chance = stream(seed, f"delivery strain {vessel}", "arrivals").uniform(round(time_h * _STEPS_PER_H))
    return float(math.floor(number + chance))


def _survivors(start: float, expected: float, seed: int, vessel: str, time_h: float) -> float:
    if expected >= STOCHASTIC_LIMIT or expected >= start:
        return expected
    draws, index = stream(seed, f"delivery strain {vessel}", "survivors"), round(time_h * _STEPS_PER_H)
    if start >= STOCHASTIC_LIMIT:
        return float(draws.poisson(index, expected))
    return float(draws.binomial(index, round(start), expected / start))
