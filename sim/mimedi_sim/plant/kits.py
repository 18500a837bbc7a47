# SPDX-License-Identifier: Apache-2.0
"""Kits: what a person has put in place before the batch. A kit has the name of the product that is made with it.

The retroviral supernatant stands where the lentiviral vector does, with its own titre; the bag of marrow cells where
the apheresis does; osteogenic medium where the T-cell medium does; bacteria that deliver a gene where the vector does,
with the antibiotic that ends it beside them. A product that has no kit of its own is made with the CAR-T kit.
Source: FIELD §C3 (retroviral vector, donor and recipient), §C5 (osteogenic additives, 100e6 cells a dose), §A2
(bacterial syringe); PHYSICS §4.
"""

from __future__ import annotations

from mimedi_sim.models.bacterial_syringe import ENDOTOXIN_EU_PER_CFU
from mimedi_sim.models.donors import Donor
from mimedi_sim.models.transduction import Bactofection
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
SYRINGE_CFU_ML = 1.0e9
"""Living bacteria of the delivery strain in their suspension [calibration]."""
SYRINGE_UL = 25_000.0
SYRINGE_FREE_ENDOTOXIN = 0.1
"""Endotoxin already free in the washed suspension, as a share of that of its living bacteria [calibration]."""
GENTAMICIN_STOCK_UG_ML = 10_000.0
GENTAMICIN_UL = 10_000.0
CAR_T = "car_t_cd19"
KITS = (CAR_T, "icasp9_dcd19", "osteoblast_graft", "bacterial_syringe")
RETROVIRAL_KITS = ("icasp9_dcd19",)
"""Kits whose vector integrates in dividing cells only."""


def kit_of(product: str) -> str:
    """Return the name of the kit with which a product is made."""
    return product if product in KITS else CAR_T


def kit(name: str, donor: Donor) -> dict[str, FloatArray]:
    """Return what is in every vessel that is full at the start of a batch; raises KeyError on an unknown kit."""
    if name not in KITS:
        raise KeyError(f"kit {name!r} is unknown; known: {', '.join(KITS)}")
    content = supplies(donor)
    if name in RETROVIRAL_KITS:
        titre = RETROVIRAL_TITRE_TU_ML * donor.vector_titre
        content["vector"] = amounts(
            volume_ul=RETROVIRAL_UL, vector_tu=titre * RETROVIRAL_UL * 1e-3, buffer_ul=RETROVIRAL_UL
        )
        content["selection_beads"] = amounts(
            volume_ul=SELECTION_BEADS_UL, selection_free=SELECTION_BEADS_PER_ML * SELECTION_BEADS_UL * 1e-3,
            buffer_ul=SELECTION_BEADS_UL,
        )
    if name == "bacterial_syringe":
        cfu = SYRINGE_CFU_ML * SYRINGE_UL * 1e-3
        content["vector"] = amounts(
            volume_ul=SYRINGE_UL, buffer_ul=SYRINGE_UL, syringe_cfu=cfu,
            syringe_entering=Bactofection().invasion_efficiency * cfu,
            endotoxin_eu=SYRINGE_FREE_ENDOTOXIN * ENDOTOXIN_EU_PER_CFU * cfu,
        )
        content["antibiotic"] = amounts(
            volume_ul=GENTAMICIN_UL, buffer_ul=GENTAMICIN_UL,
            gentamicin_ug=GENTAMICIN_STOCK_UG_ML * GENTAMICIN_UL * 1e-3,
        )
    if name == "osteoblast_graft":
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
