# SPDX-License-Identifier: Apache-2.0
"""What cells, beads and vector do to each other in a vessel, as changes of its amounts.

Every function returns a vector of changes for an interval of constant conditions; the caller books it.
The rates are those of the models; the constants named here are calibration.
"""

from __future__ import annotations

import math

import numpy as np

from mimedi_sim.models import transduction
from mimedi_sim.models.beads import BEADS_PER_T_CELL, bound_fraction_after
from mimedi_sim.models.donors import Donor
from mimedi_sim.models.transduction import VectorContact
from mimedi_sim.plant.ledger import (
    DEAD,
    INDEX,
    QUANTITIES,
    T_ACTIVATED,
    T_VIABLE,
    VOLUME,
    WITH_ACTIVATED_T,
    FloatArray,
)
from mimedi_sim.plant.still_contact import StillContact

BEAD_BINDING_TIME_S = 420.0
"""Time constant of bead binding (models.beads.bound_fraction_after)."""
_INFINITE_CONTACT_S = 1e6

BYSTANDER_DEATH_PER_H = 0.01
"""Leukocytes that nobody stimulates die in culture [calibration]."""
EXPRESSION_TIME_H = 24.0
"""Time constant from integration to CAR at the surface (PHYSICS §4)."""
BEAD_SHEAR_RPM = 85.0
"""Stirring from which beads come off the cells within minutes [calibration]."""
BEAD_SPONTANEOUS_TIME_H = 720.0
"""Beads hardly come off by themselves [calibration]."""


_T_VIABLE, _T_ACTIVATED = ([INDEX[name] for name in names] for names in (T_VIABLE, T_ACTIVATED))


_BINDING = [INDEX[name] for name in ("bead_free", "bead_bound", "t_free", "t_bead", "dead", "dead_bead")]
_BINDING_PLATEAU = bound_fraction_after(_INFINITE_CONTACT_S, time_constant_s=BEAD_BINDING_TIME_S)
_NOMINAL_CARRIERS = -math.expm1(-BEADS_PER_T_CELL)
"""Share of the cells that carry a bead at the nominal number of beads."""


def t_viable(row: FloatArray) -> float:
    """Return the viable T cells of an account."""
    return sum(row[_T_VIABLE].tolist(), 0.0)


def t_activated(row: FloatArray) -> float:
    """Return the activated T cells of an account."""
    return sum(row[_T_ACTIVATED].tolist(), 0.0)


def activation_h(row: FloatArray) -> float:
    """Return the mean process time [h] at which the activated T cells of an account were stimulated."""
    cells = t_activated(row)
    return float(row[INDEX["activation_cell_h"]]) / cells if cells > 0.0 else math.nan


def bead_binding(row: FloatArray, donor: Donor, duration_s: float) -> FloatArray | None:
    """Return the change by beads that bind resting T cells, live and dead, None without both.

    The plateau follows the beads per T cell (Poisson, one or more), 93 % at three (PHYSICS §12).
    """
    free_beads, bound_beads, bare, beaded, dead, dead_beaded = row[_BINDING].tolist()
    if free_beads <= 0.0 or bare <= 0.0:
        return None
    live = bare + beaded
    dead_t = donor.t_fraction * (dead + dead_beaded)
    beads_per_cell = (free_beads + bound_beads) / (live + dead_t)
    plateau = _BINDING_PLATEAU * min(1.0, -math.expm1(-beads_per_cell) / _NOMINAL_CARRIERS)
    reached = -math.expm1(-duration_s / BEAD_BINDING_TIME_S)
    gained = min(max(0.0, (plateau * live - beaded) * reached), bare)
    gained_dead = min(max(0.0, (plateau * dead_t - dead_beaded) * reached), dead)
    caught = free_beads * reached * min(1.0, plateau)
    change = np.zeros(len(QUANTITIES))
    change[_BINDING] = (-caught, caught, -gained, gained, -gained_dead, gained_dead)
    return change


def activation(row: FloatArray, time_h: float, surviving: float) -> FloatArray:
    """Return the change when the resting T cells of an account are stimulated at time_h.

    surviving is the share that lives through handling and stimulation (donor).
    """
    i = INDEX
    change = np.zeros(len(QUANTITIES))
    resting = float(row[i["t_free"]] + row[i["t_bead"]])
    change[i["t_free"]], change[i["t_bead"]] = -row[i["t_free"]], -row[i["t_bead"]]
    change[i["t_act_neg"]] = resting * surviving
    change[i["dead"]] = resting * (1.0 - surviving)
    change[i["activation_cell_h"]] = resting * surviving * time_h
    return change


def death_of_t(row: FloatArray, surviving: float) -> FloatArray:
    """Return the change when a share of all viable T cells dies at once."""
    change = np.zeros(len(QUANTITIES))
    for name in T_VIABLE:
        lost = row[INDEX[name]] * (1.0 - surviving)
        change[INDEX[name]] -= lost
        change[INDEX["dead"]] += lost
    for name in WITH_ACTIVATED_T:
        change[INDEX[name]] -= row[INDEX[name]] * (1.0 - surviving)
    return change


def vector_contact(row: FloatArray, donor: Donor, temperature_c: float, time_h: float = 0.0) -> VectorContact:
    """Return the contact of a mixed account's free vector with its activated T cells, from time_h on."""
    return transduction.VectorContact(
        time_h, float(row[INDEX["vector_tu"]]), t_activated(row), float(row[VOLUME]) * 1e-3,
        adsorption_ml_per_cell_h=transduction.ADSORPTION_ML_PER_CELL_H * donor.susceptibility,
        decay_per_h=transduction.decay_per_h(temperature_c),
    )


def vector_uptake(
    row: FloatArray, donor: Donor, temperature_c: float, start_h: float, end_h: float, still: StillContact | None = None
) -> FloatArray:
    """Return the change by vector that enters activated T cells or decays, and the new CAR+ cells.

    Copies are negative binomial over the cells: the CAR+ share follows the mean copies per T cell. With `still` the
    vessel is not stirred.
    """
    i = INDEX
    change = np.zeros(len(QUANTITIES))
    free, cells = float(row[i["vector_tu"]]), t_activated(row)
    if free <= 0.0 or row[VOLUME] <= 0.0:
        return change
    contact = vector_contact(row, donor, temperature_c, start_h)
    contact.advance_to(end_h)
    adsorbed = contact.adsorbed_tu
    if still is not None:
        adsorbed = min(still.uptake_tu(end_h, float(row[VOLUME]), temperature_c), free)
        left = (free - adsorbed) * math.exp(-contact.decay_per_h * (end_h - start_h))
        change[i["vector_tu"]] = left - free
    else:
        change[i["vector_tu"]] = contact.free_tu - free
    if cells > 0.0:
        before = float(row[i["copies"]]) / cells
        after = before + adsorbed / cells
        share = transduction.transduced_fraction(after) - transduction.transduced_fraction(before)
        new = min(share * cells, float(row[i["t_act_neg"]]))
        change[i["t_act_neg"]], change[i["t_act_pos"]] = -new, new
        change[i["copies"]] = adsorbed
    return change


def expression(row: FloatArray, duration_h: float) -> float:
    """Return how many more cells show the CAR after duration_h."""
    waiting = float(row[INDEX["t_act_pos"]] - row[INDEX["car_expressed"]])
    return waiting * -math.expm1(-duration_h / EXPRESSION_TIME_H)


def release_share(stirring_rpm: float, duration_s: float, release_time_s: float) -> float:
    """Return the share of bound beads that come off in duration_s."""
    time_s = release_time_s if stirring_rpm >= BEAD_SHEAR_RPM else BEAD_SPONTANEOUS_TIME_H * 3600.0
    return -math.expm1(-duration_s / time_s)


def bystander_death(row: FloatArray, duration_h: float) -> FloatArray:
    """Return the change by leukocytes that die because nothing stimulates them."""
    change = np.zeros(len(QUANTITIES))
    share = -math.expm1(-BYSTANDER_DEATH_PER_H * duration_h)
    for name in ("lymphocyte", "monocyte"):
        lost = row[INDEX[name]] * share
        change[INDEX[name]] -= lost
        change[INDEX["dead"]] += lost
    return change


def dead_cells(row: FloatArray) -> float:
    """Return the dead nucleated cells of an account."""
    return float(sum(row[INDEX[name]] for name in DEAD))
