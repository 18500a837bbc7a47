# SPDX-License-Identifier: Apache-2.0
"""Which material stands in the workcell for which product: what a person has put in place before the batch.

The retroviral supernatant stands where the lentiviral vector does, with its own titre; the bag of marrow cells where
the apheresis does; osteogenic medium where the T-cell medium does. A product without an entry has the CAR-T kit.
Source: FIELD §C3 (retroviral vector, donor and recipient), §C5 (osteogenic additives, 100e6 cells a dose).
"""

from __future__ import annotations

from mimedi_sim.models.donors import Donor
from mimedi_sim.plant.ledger import INDEX, FloatArray, amounts
from mimedi_sim.plant.materials import GLUCOSE_MM, MEDIUM_ENDOTOXIN_EU_ML, MEDIUM_UL, supplies

RETROVIRAL_TITRE_TU_ML = 1.0e8
"""Titre of a retroviral supernatant [calibration]."""
RETROVIRAL_UL = 45_000.0
SELECTION_BEADS_PER_ML = 4.0e8
SELECTION_BEADS_UL = 9_000.0
MARROW_UL = 25_000.0
MARROW_CELLS = 4.0e8
"""Mesenchymal cells of a marrow aspirate after their passages, per bag: nearly confluent on the granules
[calibration]."""
MARROW_VIABILITY = 0.93
RETROVIRAL_PRODUCTS = ("icasp9_dcd19",)
"""Products whose vector integrates in dividing cells only."""


def kit(product: str, donor: Donor) -> dict[str, FloatArray]:
    """Return the content of every vessel that is full at the start of a batch of this product."""
    content = supplies(donor)
    if product in RETROVIRAL_PRODUCTS:
        titre = RETROVIRAL_TITRE_TU_ML * donor.vector_titre
        content["vector"] = amounts(
            volume_ul=RETROVIRAL_UL, vector_tu=titre * RETROVIRAL_UL * 1e-3, buffer_ul=RETROVIRAL_UL
        )
        content["selection_beads"] = amounts(
            volume_ul=SELECTION_BEADS_UL, selection_free=SELECTION_BEADS_PER_ML * SELECTION_BEADS_UL * 1e-3,
            buffer_ul=SELECTION_BEADS_UL,
        )
    if product == "osteoblast_graft":
        count = MARROW_CELLS * donor.pbmc_count / Donor().pbmc_count
        content["apheresis"] = amounts(
            volume_ul=MARROW_UL, precursor=count * MARROW_VIABILITY, dead=count * (1.0 - MARROW_VIABILITY),
            medium_ul=MARROW_UL, glucose_mmol=GLUCOSE_MM * MARROW_UL * 1e-6,
        )
        medium = content["medium"]
        medium[INDEX["il2_iu"]] = 0.0
        medium[INDEX["endotoxin_eu"]] = MEDIUM_ENDOTOXIN_EU_ML * MEDIUM_UL * 1e-3
        medium[INDEX["osteogenic_ul"]] = MEDIUM_UL
        del content["beads"], content["vector"]
    return content
