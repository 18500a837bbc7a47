# SPDX-License-Identifier: Apache-2.0
"""The plant's books at the end of a batch against what stood in its vessels at the start."""

from __future__ import annotations

import numpy as np

from mimedi_sim.headless import HeadlessResult
from mimedi_sim.models.donors import NOMINAL, Donor
from mimedi_sim.plant.ledger import QUANTITIES
from mimedi_sim.plant.twin import Plant

from .workbench import SITE


def unbalanced(result: HeadlessResult, kit_name: str, who: Donor = NOMINAL) -> dict[str, float]:
    """Return every quantity of a donor's batch that does not balance to 1e-9 of what was turned over.

    Turned over is the sum of what stands in all accounts, reactions and losses among them, whatever its sign.
    """
    ledger = result.plant.ledger
    start = Plant(SITE, donor=who, seed=1, kit_name=kit_name).ledger.total()
    turned_over = np.sum([np.abs(ledger.row(name)) for name in ledger.names], axis=0)
    gap = np.abs(ledger.total() - start)
    assert turned_over.max() > 1e6, "nothing was made"
    return {QUANTITIES[k]: float(gap[k]) for k in np.flatnonzero(gap > 1e-9 * turned_over)}
