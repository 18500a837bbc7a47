# SPDX-License-Identifier: Apache-2.0
"""What is known of each step from elsewhere: the donor ranges of PHYSICS §12 and published figures (FIELD §C1)."""

from __future__ import annotations

from dataclasses import dataclass

MEDIAN_TOLERANCE, TAIL_TOLERANCE = 0.05, 0.15


@dataclass(frozen=True)
class Reference:
    """Median and central 95 % range of a quantity over 400 healthy donors of the idealised chain (PHYSICS §12)."""

    low: float
    median: float
    high: float
    unit: str = ""


@dataclass(frozen=True)
class Anchor:
    """A published figure: its middle, a range (± SD, IQR or extremes as `what` says) and its source."""

    middle: float
    low: float
    high: float
    what: str
    source: str


_CELLS, _PER_ML, _MM, _ONE = "cells", "1/mL", "mM", "1"

REFERENCES: dict[str, Reference] = {
    "sort_recovery_T": Reference(0.676, 0.7912, 0.8796, _ONE),
    "sort_purity_CD3": Reference(0.9181, 0.9667, 0.9921, _ONE),
    "sort_RBC_carryover": Reference(2.5e-05, 0.0019, 0.03232, _ONE),
    "sort_T_cells": Reference(1.28e8, 1.884e8, 2.667e8, _CELLS),
    "sort_hours": Reference(1.01, 1.3, 1.696, "h"),
    "d1_viability": Reference(0.8594, 0.8914, 0.9177, _ONE),
    "m_adsorbed": Reference(0.2865, 0.5424, 0.9995, "copies/cell"),
    "transduced_fraction": Reference(0.2349, 0.3812, 0.5554, _ONE),
    "VCN_per_CARpos": Reference(1.22, 1.423, 1.8, "copies/cell"),
    "d2_viability": Reference(0.8089, 0.854, 0.8836, _ONE),
    "d2_total_viable": Reference(1.56e8, 2.343e8, 3.035e8, _CELLS),
    "d4_X": Reference(6.704e5, 9.145e5, 1.312e6, _PER_ML),
    "d4_glucose": Reference(7.803, 8.809, 9.451, _MM),
    "d4_lactate": Reference(2.633, 3.725, 5.435, _MM),
    "d7_X": Reference(2.029e6, 3.105e6, 4.652e6, _PER_ML),
    "d7_lactate": Reference(2.783, 4.392, 6.493, _MM),
    "d7_glucose": Reference(7.18, 8.417, 9.363, _MM),
    "d10_X": Reference(3.283e6, 5.286e6, 7.697e6, _PER_ML),
    "d10_total_viable": Reference(2.603e9, 4.805e9, 7.36e9, _CELLS),
    "d10_viability": Reference(0.8107, 0.8701, 0.9105, _ONE),
    "d10_glucose": Reference(6.755, 7.94, 9.128, _MM),
    "d10_lactate": Reference(3.182, 5.202, 7.217, _MM),
    "d10_fold": Reference(16.42, 26.43, 38.48, _ONE),
    "volume_mL": Reference(640.0, 941.8, 1000.0, "mL"),
    "d10_pH": Reference(7.28, 7.33, 7.375, ""),
    "harvest_CARpos": Reference(7.616e8, 1.568e9, 2.99e9, _CELLS),
    "harvest_total": Reference(2.297e9, 4.323e9, 6.667e9, _CELLS),
    "medium_L": Reference(4.48, 6.593, 7.0, "L"),
}
"""In the order of the process. kLa_needed_50pct of §12 is a sizing figure, not something a batch has."""

_MCW = "Zhu 2018, Cytotherapy 20:394"
_LENSHOF = "Lenshof 2014, doi via pubmed 25053536"

ANCHORS: dict[str, tuple[Anchor, ...]] = {
    "sort_recovery_T": (
        Anchor(0.65, 0.43, 0.87, "acoustic CD4 selection, n=22, ± SD", _LENSHOF),
        Anchor(0.55, 0.49, 0.61, "magnetic CD4/CD8 selection, n=7, ± SD", _MCW),
    ),
    "sort_purity_CD3": (
        Anchor(0.89, 0.79, 0.99, "CD3 after magnetic selection, ± SD", _MCW),
        Anchor(0.87, 0.75, 0.99, "CD4 after acoustic selection, ± SD", _LENSHOF),
    ),
    "transduced_fraction": (
        Anchor(0.37, 0.37, 0.37, "mean", _MCW),
        Anchor(0.174, 0.12, 0.231, "tisagenlecleucel UK, median and IQR", "s41408-024-01038-2"),
        Anchor(0.34, 0.26, 0.42, "ARI-0001, three batches", "PMC6319086"),
    ),
    "VCN_per_CARpos": (Anchor(1.98, 1.45, 2.51, "copies per cell, ARI-0001, three batches", "PMC6319086"),),
    "d10_fold": (Anchor(30.0, 30.0, 30.0, "mean, 13 days in all", _MCW),),
    "d10_viability": (Anchor(0.945, 0.91, 0.98, "at harvest, six batches", "PMC12456031, PMC6319086"),),
}

FAILURE_ANCHOR = Anchor(0.07, 0.01, 0.08, "manufacturing failure in trials", "PMC8427697")
