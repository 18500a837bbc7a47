# SPDX-License-Identifier: Apache-2.0
"""The magnet column in front of the vessel `depleted`: what it holds back of a volume that passes.

Two stages, each with the removal and the cell loss of models.beads at up to 40 mL/min; faster flow shortens the
contact and the log removal falls in proportion. A cell that still carries a bead is held like a bead.
"""

from __future__ import annotations

import math

import numpy as np

from mimedi_sim.models.beads import DEPLETION_PASS_CELL_LOSS, DEPLETION_PASS_LOG10
from mimedi_sim.plant.ledger import INDEX, NUCLEATED, QUANTITIES, WITH_ACTIVATED_T, FloatArray

STAGES = 2
RATED_FLOW_UL_MIN = 40_000.0
_BEADABLE = ("t_bead", "t_act_neg", "t_act_pos", "dead_bead")


def retained(part: FloatArray, flow_ul_min: float) -> FloatArray:
    """Return what the column holds back of the amounts `part` that pass at a flow."""
    logs = STAGES * DEPLETION_PASS_LOG10 * min(1.0, RATED_FLOW_UL_MIN / max(flow_ul_min, 1.0))
    caught = 1.0 - 10.0**-logs
    lost = 1.0 - (1.0 - DEPLETION_PASS_CELL_LOSS) ** STAGES
    held = np.zeros(len(QUANTITIES))
    cells = float(sum(part[INDEX[name]] for name in _BEADABLE))
    bound = float(part[INDEX["bead_bound"]] + part[INDEX["selection_bound"]])
    beaded = -math.expm1(-bound / cells) if cells > 0.0 else 0.0
    for name in (*NUCLEATED, *WITH_ACTIVATED_T):
        with_bead = beaded if name in _BEADABLE or name in WITH_ACTIVATED_T else 0.0
        held[INDEX[name]] = part[INDEX[name]] * (with_bead * caught + (1.0 - with_bead * caught) * lost)
    for name in ("bead_free", "bead_bound", "selection_free", "selection_bound"):
        held[INDEX[name]] = part[INDEX[name]] * caught
    return held
