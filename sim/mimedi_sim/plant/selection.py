# SPDX-License-Identifier: Apache-2.0
"""Positive selection after transduction: beads against the marker, a magnet column, and its elution.

The marker (delta-CD19) is on the cells that show the transgene. Cells with a bead stay in the column while the magnet
is there; the cassette's slider takes it away when the line leads to the vessel `selected`.
Source: FIELD §C3 (selection to more than 90 % purity), magnetic selection of the Prodigy there: recovery 55 ± 6 %,
purity 98 ± 4 % of CD4/CD8; the shares here are calibration.
"""

from __future__ import annotations

import math

import numpy as np

from mimedi_sim.plant.ledger import INDEX, NUCLEATED, QUANTITIES, VOLUME, FloatArray

COLUMN = "selection_column"
UNSELECTED, SELECTED = "unselected", "selected"
BINDING_TIME_S = 420.0
PLATEAU = 0.90
"""Share of the marked cells that get a bead at three beads per cell and more."""
CAUGHT = 0.95
UNSPECIFIC = 0.02
"""Share of cells without a bead that stays in the column all the same."""
RATED_FLOW_UL_MIN = 10_000.0
ELUTION_UL = 5_000.0
"""Volume that flushes the column to 1/e."""

_FREE, _BOUND, _MARKED = INDEX["selection_free"], INDEX["selection_bound"], INDEX["car_expressed"]


def binding(row: FloatArray, duration_s: float) -> FloatArray | None:
    """Return the change by beads that bind marked cells; None without both."""
    free, marked = float(row[_FREE]), float(row[_MARKED])
    if free <= 0.0 or marked <= 1.0 or row[VOLUME] <= 0.0:
        return None
    wanted = min(free, max(0.0, 3.0 * marked - float(row[_BOUND])))
    change = np.zeros(len(QUANTITIES))
    change[_BOUND] = wanted * -math.expm1(-duration_s / BINDING_TIME_S)
    change[_FREE] = -change[_BOUND]
    return change


def beaded_share(row: FloatArray) -> float:
    """Return the share of the marked cells with at least one bead (Poisson)."""
    marked = float(row[_MARKED])
    return PLATEAU / 0.95 * -math.expm1(-float(row[_BOUND]) / marked) if marked > 1.0 else 0.0


def retained(part: FloatArray, flow_ul_min: float) -> FloatArray:
    """Return what the column holds back of the amounts `part` that pass it at a flow."""
    contact = min(1.0, RATED_FLOW_UL_MIN / max(flow_ul_min, 1.0))
    held = np.zeros(len(QUANTITIES))
    positive = float(part[INDEX["t_act_pos"]])
    marked = min(1.0, float(part[_MARKED]) / positive) if positive > 0.0 else 0.0
    share = marked * min(1.0, beaded_share(part)) * CAUGHT * contact
    for name in NUCLEATED:
        held[INDEX[name]] = part[INDEX[name]] * UNSPECIFIC
    held[INDEX["t_act_pos"]] = positive * (share + (1.0 - share) * UNSPECIFIC)
    held[INDEX["copies"]] = part[INDEX["copies"]] * (share + (1.0 - share) * UNSPECIFIC)
    held[_MARKED] = min(float(part[_MARKED]), float(held[INDEX["t_act_pos"]]))
    cells = positive + float(part[INDEX["t_act_neg"]])
    kept = float(held[INDEX["t_act_pos"]] + held[INDEX["t_act_neg"]])
    for name in ("activation_cell_h", "internalised", "delivered", "delivered_signal"):
        held[INDEX[name]] = part[INDEX[name]] * (kept / cells if cells > 0.0 else 0.0)
    for k in (_FREE, _BOUND):
        held[k] = part[k] * 0.999 * contact
    return held


def eluted(column: FloatArray, volume_ul: float) -> FloatArray:
    """Return what a volume flushes out of the column while the magnet is away."""
    return column * -math.expm1(-volume_ul / ELUTION_UL)
