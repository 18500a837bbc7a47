# SPDX-License-Identifier: Apache-2.0
"""Tests of the simulated laboratory for CAR-T, and those of any product: identity, sterility, endotoxin.

Source: PROCESS (in-process and release tests), FIELD §C2; noise and turnaround [calibration] where no other is named.
"""

from __future__ import annotations

from scipy.special import chdtri

from mimedi_sim.laboratory.measures import UNKNOWN, Result, Test, absent, fraction, relative, sum_of, word
from mimedi_sim.plant import biology, dmso, syringe
from mimedi_sim.plant.ledger import DEAD, INDEX, NUCLEATED, VIABLE, VOLUME, FloatArray
from mimedi_sim.random_streams import RandomStream

MICROBES_VOLUME_ML = 0.2
MICROBES_LEAST_CFU = 3
"""CFU in the tested volume from which amplification tells microbes from the reagents' own DNA [calibration]."""


def _cd3(content: FloatArray, draw: RandomStream) -> Result:
    return fraction(biology.t_viable(content), sum_of(content, VIABLE), 20_000, 0.005, draw)


def _car(content: FloatArray, draw: RandomStream) -> Result:
    return fraction(float(content[INDEX["car_expressed"]]), biology.t_viable(content), 20_000, 0.01, draw)


def _viability(content: FloatArray, draw: RandomStream) -> Result:
    viable = sum_of(content, VIABLE)
    return fraction(viable, viable + sum_of(content, DEAD), 2_000, 0.01, draw)


def _after_thaw(content: FloatArray, draw: RandomStream) -> Result:
    """Viability a day after a vial of the sample was frozen at 1 K/min and thawed: in its own DMSO, or in 10 %."""
    whole = sum_of(content, NUCLEATED)
    return fraction(dmso.thawed_viability(content) * whole, whole, 2_000, 0.015, draw)


def _copies(content: FloatArray, draw: RandomStream) -> Result:
    positive = float(content[INDEX["t_act_pos"]])
    return relative(float(content[INDEX["copies"]]) / positive, 0.08, draw) if positive > 0.0 else UNKNOWN


def _endotoxin(content: FloatArray, draw: RandomStream) -> Result:
    millilitres = float(content[VOLUME]) * 1e-3
    if millilitres <= 0.0:
        return UNKNOWN
    # The assay's limit of detection is 0.01 EU/mL [calibration].
    true = syringe.endotoxin_eu(content) / millilitres
    if true < 0.01:
        return Result(0.01, 0.0, 0.01)
    return relative(true, 0.20, draw)


def _beads(content: FloatArray, draw: RandomStream) -> Result:
    nucleated = sum_of(content, NUCLEATED)
    if nucleated <= 0.0:
        return UNKNOWN
    count = draw.poisson(1, 3e6 * sum_of(content, ("bead_free", "bead_bound")) / nucleated)
    # Exact Poisson limits (Garwood 1936): chdtri(v, p) is the upper-tail chi-square quantile.
    low = 0.5 * float(chdtri(2 * count, 0.975)) if count else 0.0
    return Result(float(count), low, 0.5 * float(chdtri(2 * count + 2, 0.025)))


def _potency(content: FloatArray, draw: RandomStream) -> Result:
    cells = biology.t_viable(content)
    if cells <= 0.0:
        return UNKNOWN
    return relative(1500.0 * float(content[INDEX["car_expressed"]]) / cells, 0.15, draw)  # pg/mL [calibration]


def _sterility(content: FloatArray, draw: RandomStream) -> Result:
    # Negative to date means: Gram stain, which sees 1e4/mL and more; the culture takes 14 days.
    per_ml = syringe.living(content) / max(float(content[VOLUME]) * 1e-3, 1e-9)
    return word("positive") if per_ml > 1e4 else word("negative", "pending")


def _microbes(content: FloatArray, draw: RandomStream) -> Result:
    """Amplification of microbial ribosomal DNA from the cells of 0.2 mL: every CFU in it counts."""
    per_ml = syringe.living(content) / max(float(content[VOLUME]) * 1e-3, 1e-9)
    seen = draw.poisson(1, min(per_ml * MICROBES_VOLUME_ML, 1e6))
    return word("positive" if seen >= MICROBES_LEAST_CFU else "negative")


def _identity(content: FloatArray, draw: RandomStream) -> Result:
    return word("match") if sum_of(content, NUCLEATED) > 0.0 else UNKNOWN


CAR_T_TESTS: dict[str, Test] = {
    "cd3_fraction": Test(4.0, 200.0, "1", "flow cytometry, viable CD45+ as denominator", _cd3, 1e6),
    "car_fraction": Test(4.0, 200.0, "1", "flow cytometry, viable CD3+ as denominator", _car, 1e6),
    "viability": Test(1.0, 100.0, "1", "dye exclusion, Ph.Eur. 2.7.29", _viability, 1e6),
    "vcn_per_transduced_cell": Test(6.0, 200.0, "copies/cell", "digital PCR over CAR+ cells", _copies, 1e6),
    "endotoxin_eu_ml": Test(1.0, 100.0, "EU/mL", "LAL kinetic, Ph.Eur. 2.6.14", _endotoxin),
    "mycoplasma": Test(3.0, 200.0, "result", "PCR with cells, Ph.Eur. 2.6.7", absent),
    "residual_beads_per_3e6_cells": Test(2.0, 200.0, "beads", "microscopy after lysis", _beads, 3e6),
    "rcl": Test(6.0, 200.0, "result", "VSV-G quantitative PCR", absent),
    "potency_ifng_pg_ml": Test(6.0, 200.0, "pg/mL", "IFN-gamma release on CD19+ targets, ELISA", _potency),
    "sterility": Test(2.0, 200.0, "result", "Gram stain, culture under way, Ph.Eur. 2.6.27", _sterility),
    "viability_after_thaw": Test(28.0, 300.0, "1", "frozen, thawed, dye exclusion after 24 h", _after_thaw),
    "microbes": Test(4.0, 200.0, "result", "rapid: nucleic acid amplification, Ph.Eur. 5.1.6", _microbes),
    "identity_hla": Test(4.0, 100.0, "result", "HLA typing against the donor", _identity),
}
"""By name; sterility: an aerobic and an anaerobic bottle, 100 uL each at least. Times are short enough for a batch's
last day [calibration]."""
