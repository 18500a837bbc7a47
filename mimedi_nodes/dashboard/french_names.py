# SPDX-License-Identifier: Apache-2.0
"""Names in French of what has a name of ours, by its identifier; one that is missing here stays as it is in English."""

from __future__ import annotations

MODULES = {
    "fluidics": "Fluidique",
    "acoustic_sorter": "Trieur acoustique",
    "transduction": "Transduction",
    "incubator": "Incubateur",
    "incubator_2": "Incubateur 2",
    "vision_qc": "Contrôle visuel",
    "enclosure": "Enceinte",
    "contamination_watch": "Veille microbienne",
    "transfer": "Transfert",
    "analytics": "Analyses",
    "coordinator": "Coordinateur",
}
VESSELS = {
    "apheresis": "aphérèse",
    "buffer": "tampon",
    "medium": "milieu",
    "bank": "banque",
    "waste": "rebut",
    "sorter_inlet": "entrée trieur",
    "sorted": "trié",
    "sorter_waste": "rebut trieur",
    "activation_vessel": "activation",
    "culture_vessel": "culture",
    "culture_vessel_2": "culture 2",
    "depleted": "appauvri",
    "harvest": "récolte",
    "dose_bag": "poche de dose",
    "surplus_bag": "surplus",
}
DOCKS = {
    "hatch": "sas",
    "fluidics": "fluidique",
    "store": "réserve",
    "acoustic_sorter": "trieur",
    "transduction": "transduction",
    "incubator": "incubateur",
    "vision_qc": "vision",
    "contamination_watch": "veille",
}
PRIORITIES = {"high": "haute", "medium": "moyenne", "low": "basse"}
UNITS = {"µL in syringe": "µL en seringue", "% viable": "% viables", "cells": "cellules"}
"""Units with a word."""
