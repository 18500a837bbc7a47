# SPDX-License-Identifier: Apache-2.0
"""Cells in DMSO: what dies while they are liquid, and what is left of them after freezing and thawing.

Cells in cryomedium die until they are frozen, at the temperature of the room (models.cryopreservation). Nothing in the
workcell freezes: bag and vial go into a controlled-rate freezer beside it, and the laboratory thaws the vial.
"""

from __future__ import annotations

import numpy as np

from mimedi_sim.models.cryopreservation import NOMINAL_DMSO, toxicity_factor, viability_after_thaw
from mimedi_sim.plant import biology
from mimedi_sim.plant.climate import ROOM_C
from mimedi_sim.plant.ledger import DEAD, INDEX, QUANTITIES, VIABLE, VOLUME, FloatArray

CRYOMEDIUM = "cryomedium"
VESSELS = ("dose_bag", "surplus_bag", "retain", "sample_port")
"""Where formulated cells may stand in it."""
_OTHERS = tuple(name for name in VIABLE if not name.startswith("t_"))
_DMSO = INDEX["dmso_ul"]


def share_of(row: FloatArray) -> float:
    """Return the volume fraction of DMSO in an account."""
    return min(1.0, float(row[_DMSO]) / float(row[VOLUME])) if row[VOLUME] > 0.0 else 0.0


def death(row: FloatArray, duration_s: float) -> FloatArray | None:
    """Return the change by cells that die in DMSO at room temperature; None without both."""
    share = share_of(row)
    if share <= 0.0 or not any(row[INDEX[name]] > 0.0 for name in VIABLE):
        return None
    surviving = toxicity_factor(share, duration_s / 3600.0, ROOM_C)
    change = np.zeros(len(QUANTITIES))
    change += biology.death_of_t(row, surviving)
    for name in _OTHERS:
        lost = row[INDEX[name]] * (1.0 - surviving)
        change[INDEX[name]] -= lost
        change[INDEX["dead"]] += lost
    return change


def thawed_viability(row: FloatArray, hours_after: float = 24.0) -> float:
    """Return the viability of an account's cells hours after they were frozen at 1 K/min and thawed; 0 without cells.

    With the DMSO that is in it; a sample without any is put into the usual share first.
    """
    viable = float(sum(row[INDEX[name]] for name in VIABLE))
    whole = viable + float(sum(row[INDEX[name]] for name in DEAD))
    if whole <= 0.0:
        return 0.0
    return viability_after_thaw(viable / whole, dmso_fraction=share_of(row) or NOMINAL_DMSO, hours_after=hours_after)
