# SPDX-License-Identifier: Apache-2.0
"""Tests of the simulated laboratory for the products besides CAR-T: safety switch, marker, bone lineage, delivery by
bacteria.

Source: FIELD §C3 (AP1903 eliminates 85 to 95 % of the CD3+CD19+ cells within 30 min; deletions that arise in production
make transgene integrity a real test), §C5 (ALP, osteocalcin, mineral), §A2 (residual bacteria
and endotoxin); noise and turnaround [calibration].
"""

from __future__ import annotations

import math

from scipy.special import chdtri

from mimedi_sim.laboratory.measures import UNKNOWN, Result, Test, absent, fraction, relative, sum_of, word
from mimedi_sim.plant import biology, osteoculture, syringe
from mimedi_sim.plant.ledger import INDEX, NUCLEATED, VIABLE, VOLUME, FloatArray
from mimedi_sim.random_streams import RandomStream

KILL_PER_COPY = 2.0
"""Marked cells that outlive the dimeriser fall as exp(-2 copies): a weakly expressing cell escapes."""
DELETED_PER_COPY = 0.01
INTACT_FROM = 0.95
PLATED_ML = 0.1


def _marker(content: FloatArray, draw: RandomStream) -> Result:
    return fraction(float(content[INDEX["car_expressed"]]), biology.t_viable(content), 20_000, 0.01, draw)


def _kill(content: FloatArray, draw: RandomStream) -> Result:
    positive = float(content[INDEX["t_act_pos"]])
    if positive <= 0.0:
        return UNKNOWN
    copies = float(content[INDEX["copies"]]) / positive
    return fraction(-math.expm1(-KILL_PER_COPY * copies), 1.0, 5_000, 0.01, draw)


def _integrity(content: FloatArray, draw: RandomStream) -> Result:
    positive = float(content[INDEX["t_act_pos"]])
    if positive <= 0.0:
        return UNKNOWN
    intact = (1.0 - DELETED_PER_COPY) ** (float(content[INDEX["copies"]]) / positive)
    return word("intact" if intact >= INTACT_FROM else "deleted")


def _alp(content: FloatArray, draw: RandomStream) -> Result:
    part = float(content[INDEX["pre_osteoblast"]] + content[INDEX["osteoblast"]])
    return fraction(part, osteoculture.cells(content), 10_000, 0.015, draw)


def _mature(content: FloatArray, draw: RandomStream) -> Result:
    return fraction(float(content[INDEX["osteoblast"]]), osteoculture.cells(content), 10_000, 0.015, draw)


def _mineral(content: FloatArray, draw: RandomStream) -> Result:
    cells = osteoculture.cells(content)
    return relative(float(content[INDEX["calcium_ug"]]) / cells * 1e6, 0.08, draw) if cells > 0.0 else UNKNOWN


def _count(content: FloatArray, draw: RandomStream) -> Result:
    millilitres = float(content[VOLUME]) * 1e-3
    return relative(sum_of(content, VIABLE) / millilitres, 0.05, draw) if millilitres > 0.0 else UNKNOWN


def _selection_beads(content: FloatArray, draw: RandomStream) -> Result:
    cells = sum_of(content, NUCLEATED)
    if cells <= 0.0:
        return UNKNOWN
    beads = sum_of(content, ("bead_free", "bead_bound", "selection_free", "selection_bound"))
    count = float(draw.poisson(1, 3e6 * beads / cells))
    half = 1.96 * math.sqrt(max(count, 1.0))
    return Result(count, max(0.0, count - half), count + half)


def _delivered(content: FloatArray, draw: RandomStream) -> Result:
    return fraction(syringe.seen_fraction(content), 1.0, 20_000, 0.005, draw)


def _plated(content: FloatArray, draw: RandomStream) -> Result:
    """Colonies of PLATED_ML, exact Poisson limits (Garwood 1936)."""
    if content[VOLUME] <= 0.0:
        return UNKNOWN
    mean = syringe.living(content) / (float(content[VOLUME]) * 1e-3) * PLATED_ML
    count = draw.poisson(1, min(mean, 1e9))
    low = 0.5 * float(chdtri(2 * count, 0.975)) if count else 0.0
    return Result(count / PLATED_ML, low / PLATED_ML, 0.5 * float(chdtri(2 * count + 2, 0.025)) / PLATED_ML)


def _antibiotic(content: FloatArray, draw: RandomStream) -> Result:
    true = syringe.antibiotic_ug_ml(content)
    return relative(true, 0.10, draw) if true >= 0.05 else Result(0.05, 0.0, 0.05)  # limit of detection


PRODUCT_TESTS: dict[str, Test] = {
    "delivered_fraction": Test(4.0, 200.0, "1", "reporter by flow cytometry, viable CD3+ as denominator", _delivered),
    "bacteria_cfu_ml": Test(24.0, 200.0, "CFU/mL", "viable plate count of 0.1 mL, selective agar", _plated),
    "gentamicin_ug_ml": Test(2.0, 100.0, "ug/mL", "immunoassay, limit of detection 0.05 ug/mL", _antibiotic),
    "dcd19_fraction": Test(4.0, 200.0, "1", "flow cytometry, viable CD3+ as denominator", _marker),
    "kill_fraction": Test(4.0, 200.0, "1", "dimeriser AP1903, CD3+CD19+ after 30 min", _kill),
    "transgene_integrity": Test(6.0, 200.0, "result", "PCR over the whole transgene", _integrity),
    "rcr": Test(6.0, 200.0, "result", "gag/pol quantitative PCR", absent),
    "all_beads_per_3e6_cells": Test(2.0, 200.0, "beads", "microscopy after lysis, both kinds", _selection_beads),
    "viable_per_ml": Test(0.5, 100.0, "1/mL", "automated counter after detachment", _count),
    "alp_fraction": Test(4.0, 200.0, "1", "alkaline phosphatase, flow cytometry", _alp),
    "osteocalcin_fraction": Test(5.0, 200.0, "1", "osteocalcin, flow cytometry", _mature),
    "mineral_ug_per_1e6": Test(6.0, 200.0, "ug", "Alizarin red, extracted, per million cells", _mineral),
}
"""Tests by name, as `laboratory.TESTS`."""
