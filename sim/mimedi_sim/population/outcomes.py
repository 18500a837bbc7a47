# SPDX-License-Identifier: Apache-2.0
"""Whether a donor's batch would meet its specification, by the models alone: for thousands of donors in a minute.

The chain of models.process_chain with the recipe's own harvest rule, judged by the limits of the recipe and the product
specification. What handling and measuring add shows only in whole batches (population.campaign): of 72 patients near a
limit those that fail here failed there too, and some more by residual beads, which fewer divisions leave on more cells.
"""

from __future__ import annotations

from dataclasses import replace

from mimedi_sim.models.donors import Donor
from mimedi_sim.models.process_chain import PROCESS, nominal_batch

ALIQUOT_PBMC = 4.0e8
ALIQUOT_UL, ALIQUOT_RANGE_UL = 20_000.0, (5_000.0, 45_000.0)
"""Apheresis that goes on: what holds 4e8 PBMC by the collection's count (PROCESS step 1), within the recipe's range."""
TARGET_CELLS, LATEST_H, NOT_BEFORE_H = 4.5e9, 288.0, 192.0
LEAST_CELLS, LEAST_CAR, DOSE_CAR = 1.0e9, 0.10, 1.5e8
LEAST_VIABILITY = 0.785
"""Before the harvest; the wash leaves dead cells behind, so that the product has the 0.80 of its specification
[calibration: whole batches]."""
LEAST_ALIQUOT = 1.0e8

GROWTH, VIABILITY, TRANSFER, MATERIAL = "poor growth", "low viability", "few CAR+ cells", "too few cells collected"
CAUSES = (MATERIAL, GROWTH, VIABILITY, TRANSFER)


def aliquot_ul(donor: Donor) -> float:
    """Return the volume of apheresis [uL] that an operator takes for a donor: 4e8 PBMC by the collection's count."""
    low, high = ALIQUOT_RANGE_UL
    return min(high, max(low, ALIQUOT_UL * ALIQUOT_PBMC / donor.pbmc_count))


def failure(donor: Donor, perfusion_vvd: float = 1.0) -> str:
    """Return why a donor's batch fails, one of CAUSES; empty when it would meet its specification."""
    share = aliquot_ul(donor) / ALIQUOT_UL
    taken = replace(donor, pbmc_count=donor.pbmc_count * share)
    if taken.pbmc_count * taken.incoming_viability < LEAST_ALIQUOT:
        return MATERIAL
    plan = replace(PROCESS, perfusion_vvd=perfusion_vvd, target_viable_cells=TARGET_CELLS, not_before_h=NOT_BEFORE_H,
                   harvest_at_h=LATEST_H)
    batch = nominal_batch(taken, plan)
    if batch["d10_total_viable"] < LEAST_CELLS:
        return GROWTH
    if batch["d10_viability"] < LEAST_VIABILITY:
        return VIABILITY
    if batch["transduced_fraction"] < LEAST_CAR or batch["harvest_CARpos"] < DOSE_CAR:
        return TRANSFER
    return ""
