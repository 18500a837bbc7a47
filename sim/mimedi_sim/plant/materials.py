# SPDX-License-Identifier: Apache-2.0
"""What is in the vessels before the batch starts: the donor's leukapheresis and the supplies.

The apheresis holds 280 mL at 2e7 PBMC/mL for the nominal donor: 5.6e9 nucleated cells (FIELD §C1). 20 mL of it and
20 mL of buffer in the sorter's inlet are the recorded aliquot of PROCESS step 1: 4e8 PBMC in 40 mL.
"""

from __future__ import annotations

from mimedi_sim.models.donors import Donor
from mimedi_sim.plant.ledger import FloatArray, amounts

APHERESIS_UL = 280_000.0
ALIQUOT_UL = 20_000.0
"""Volume of the apheresis that holds the donor's aliquot (pbmc_count)."""
BEADS_PER_ML = 4.0e8
BEADS_UL = 10_000.0
VECTOR_TITRE_TU_ML = 1.0e8
VECTOR_UL = 25_000.0
BUFFER_UL = 3_800_000.0
MEDIUM_UL = 11_000_000.0
EXCIPIENT_UL = 900_000.0
CRYOMEDIUM_UL, CRYOMEDIUM_DMSO = 150_000.0, 0.20
"""One volume of cells and one of it make 10 % DMSO."""
GLUCOSE_MM = 11.0
IL2_IU_ML = 100.0
BICARBONATE_MM = 23.8
PLASMA_GLUCOSE_MM = 5.0
PLASMA_ENDOTOXIN_EU_ML = 0.0
MEDIUM_ENDOTOXIN_EU_ML = 0.02
"""Below the limit of the release test by far, above zero as any real medium [calibration]."""


def _mmol(concentration_mm: float, volume_ul: float) -> float:
    return concentration_mm * volume_ul * 1e-6


def apheresis(donor: Donor, volume_ul: float = APHERESIS_UL) -> FloatArray:
    """Return a leukapheresis; cells split by the donor's fractions, dead ones taken from all classes alike."""
    pbmc = donor.pbmc_count * volume_ul / ALIQUOT_UL
    viable = pbmc * donor.incoming_viability
    other = 1.0 - donor.t_fraction - donor.monocyte_fraction
    return amounts(
        volume_ul=volume_ul, t_free=viable * donor.t_fraction, monocyte=viable * donor.monocyte_fraction,
        lymphocyte=viable * other, dead=pbmc - viable, rbc=pbmc * donor.red_cells_per_pbmc,
        plasma_ul=volume_ul, glucose_mmol=_mmol(PLASMA_GLUCOSE_MM, volume_ul),
        base_mmol=_mmol(BICARBONATE_MM, volume_ul),
    )


def supplies(donor: Donor, vector_factor: float = 1.0) -> dict[str, FloatArray]:
    """Return the content of every vessel that is not empty at the start, apheresis included."""
    medium_ml = MEDIUM_UL * 1e-3
    titre = VECTOR_TITRE_TU_ML * donor.vector_titre * vector_factor
    return {
        "apheresis": apheresis(donor),
        "beads": amounts(volume_ul=BEADS_UL, bead_free=BEADS_PER_ML * BEADS_UL * 1e-3, buffer_ul=BEADS_UL),
        "buffer": amounts(volume_ul=BUFFER_UL, buffer_ul=BUFFER_UL),
        "medium": amounts(
            volume_ul=MEDIUM_UL, medium_ul=MEDIUM_UL, glucose_mmol=_mmol(GLUCOSE_MM, MEDIUM_UL),
            il2_iu=IL2_IU_ML * medium_ml, base_mmol=_mmol(BICARBONATE_MM, MEDIUM_UL),
            endotoxin_eu=MEDIUM_ENDOTOXIN_EU_ML * medium_ml,
        ),
        "vector": amounts(
            volume_ul=VECTOR_UL, vector_tu=titre * VECTOR_UL * 1e-3, buffer_ul=VECTOR_UL,
        ),
        "excipient": amounts(volume_ul=EXCIPIENT_UL, excipient_ul=EXCIPIENT_UL),
        "cryomedium": amounts(
            volume_ul=CRYOMEDIUM_UL, dmso_ul=CRYOMEDIUM_DMSO * CRYOMEDIUM_UL,
            excipient_ul=(1.0 - CRYOMEDIUM_DMSO) * CRYOMEDIUM_UL,
        ),
    }
