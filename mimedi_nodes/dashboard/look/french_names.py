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
GRADES = {"critical": "critique", "major": "majeur", "minor": "mineur"}
"""Grades of what is not routine in a record."""
EXCEPTIONS = {
    "test fail": "essai non conforme",
    "test unknown": "essai sans résultat",
    "alarm": "alarme",
    "alarm, still standing": "alarme, toujours présente",
    "step not successful": "étape sans succès",
    "seen less than asked for": "vu moins que demandé",
    "end of the batch": "fin du lot",
    "identity refused": "identité refusée",
    "signature refused": "signature refusée",
    "module lost": "module perdu",
    "taken up after an interruption": "repris après une interruption",
    "attempt failed": "essai manqué",
    "step recalled after an interruption": "étape reprise après une interruption",
    "answer refused": "réponse refusée",
    "step without a module": "étape sans module",
    "alarm shelved": "alarme mise en attente",
    "alarm out of service": "alarme hors service",
    "held": "suspendu",
    "command of a person": "commande d’une personne",
    "parameter changed": "paramètre modifié",
    "lot expired": "lot périmé",
    "calibration overdue": "étalonnage échu",
    "balance not closed": "bilan non bouclé",
}
"""Kinds of what is not routine, as `records.exceptions` says them."""
VERDICTS = {"pass": "conforme", "fail": "non conforme", "unknown": "inconnu", "pending": "en attente"}
ALARM_ACTS = {
    "raised": "survenue",
    "cleared": "disparue",
    "acknowledged": "acquittée",
    "reset": "réarmée",
    "shelved": "mise en attente",
    "unshelved": "remise en service",
    "removed": "mise hors service",
    "restored": "remise en service",
}
"""What happened to an alarm, as a batch's history says it."""
UNITS = {"µL in syringe": "µL en seringue", "% viable": "% viables", "cells": "cellules"}
"""Units with a word."""
