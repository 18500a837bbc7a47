# SPDX-License-Identifier: Apache-2.0
"""Takes the figures of every step from the plant's truth, named as in PHYSICS §12."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from mimedi_sim.plant.ledger import DEAD, T_VIABLE

Truth = Mapping[str, Any]

HOUR_S = 3600.0
_T_LABELLED = ("t_free", "t_bead", "dead_bead")
_CULTURES = ("activation_vessel", "culture_vessel")
_MOMENTS_H = {"d1": 24.0, "d2": 48.0, "d4": 96.0, "d7": 168.0}
_AFTER_MOMENT_S = 1.0
"""The vessel is looked at this long after the hour, so that a phase that ends on the hour has ended."""


class Milestones:
    """Follows one CAR-T batch; `values` fills up as phases end (names of PHYSICS §12, missing where not reached)."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}
        self._labelled: Mapping[str, float] = {}
        self._seeded = math.nan
        self._wanted: list[tuple[float, str]] = []
        self._phases = {
            "selection.label.label_cells": self._at_label,
            "selection.enrich.sorting.sort": self._at_sort,
            "selection.exchange.fill_activation": self._at_activation,
            "gene_transfer.transduce.transduce": self._at_transduction,
            "expansion.perfuse.perfusion": self._at_perfusion,
            "finishing.harvest.mix_harvest": self._at_harvest,
        }

    def __call__(self, what: str, time_s: float, truth: Truth) -> Sequence[float]:
        """Take in the truth at the end of a phase, or at a time asked for."""
        handler = self._phases.get(what)
        if handler is not None:
            handler(time_s, truth)
            return [at_s for at_s, _ in self._wanted] if handler == self._at_activation else []
        if not what:
            while self._wanted and self._wanted[0][0] <= time_s:
                self._culture(self._wanted.pop(0)[1], truth)
        return []

    # -- phases -----------------------------------------------------------------------------------------

    def _at_label(self, time_s: float, truth: Truth) -> None:
        self._labelled = dict(truth["vessels"]["sorter_inlet"]["amounts"])
        self._sort_begun_s = time_s

    def _at_sort(self, time_s: float, truth: Truth) -> None:
        if not self._labelled:
            return
        sorted_, fed = truth["vessels"]["sorted"]["amounts"], self._labelled
        t_sorted, t_fed = (_sum(row, *_T_LABELLED) for row in (sorted_, fed))
        others = _sum(sorted_, "lymphocyte", "monocyte")
        self.values |= {
            "sort_recovery_T": _ratio(t_sorted, t_fed),
            "sort_purity_CD3": _ratio(t_sorted, t_sorted + others),
            "sort_RBC_carryover": _ratio(_sum(sorted_, "rbc"), _sum(fed, "rbc")),
            "sort_T_cells": t_sorted,
            "sort_hours": (time_s - self._sort_begun_s) / HOUR_S,
        }

    def _at_activation(self, time_s: float, truth: Truth) -> None:
        row = truth["vessels"]["activation_vessel"]["amounts"]
        self._seeded = _sum(row, *T_VIABLE, *DEAD)
        self._wanted = [(time_s + hours * HOUR_S + _AFTER_MOMENT_S, name) for name, hours in _MOMENTS_H.items()]

    def _at_transduction(self, _time_s: float, truth: Truth) -> None:
        _, vessel = _culture_of(truth)
        row, cells = vessel["amounts"], vessel["cells"]
        self.values["m_adsorbed"] = _ratio(_sum(row, "copies"), _sum(row, "t_act_neg", "t_act_pos"))
        self._put("transduced_fraction", cells["car_fraction"])
        self._put("VCN_per_CARpos", cells["copies_per_car_cell"])

    def _at_perfusion(self, _time_s: float, truth: Truth) -> None:
        self._culture("d10", truth)
        volume_ml = truth["vessels"]["culture_vessel"]["volume_ul"] * 1e-3
        self.values["volume_mL"] = volume_ml
        if self._seeded > 0.0:
            self.values["d10_fold"] = self.values["d10_total_viable"] / self._seeded

    def _at_harvest(self, _time_s: float, truth: Truth) -> None:
        cells = truth["vessels"]["harvest"]["cells"]
        self.values["harvest_total"] = cells["viable_cells"]
        self.values["harvest_CARpos"] = cells["car_cells"]

    def perfused(self, medium_ul: float) -> None:
        """Take in the medium that perfusion used up to day 10."""
        if "volume_mL" in self.values:
            self.values["medium_L"] = self.values["volume_mL"] * 1e-3 + medium_ul * 1e-6

    # -- cultures ---------------------------------------------------------------------------------------

    def _culture(self, moment: str, truth: Truth) -> None:
        name, vessel = _culture_of(truth)
        reactor, cells = truth["reactors"][name], vessel["cells"]
        named = {
            "viability": cells["viability"], "total_viable": cells["viable_cells"], "X": cells["viable_per_ml"],
            "glucose": reactor["glucose_mm"], "lactate": reactor["lactate_mm"], "pH": reactor["ph"],
        }
        for quantity, value in named.items():
            self._put(f"{moment}_{quantity}", value)

    def _put(self, name: str, value: float | None) -> None:
        if value is not None and math.isfinite(value):
            self.values[name] = float(value)


def _culture_of(truth: Truth) -> tuple[str, Mapping[str, Any]]:
    """Return name and content of the vessel in which the cells are now."""
    name = max(_CULTURES, key=lambda vessel: truth["vessels"][vessel]["cells"]["viable_cells"])
    return name, truth["vessels"][name]


def _sum(row: Mapping[str, float], *names: str) -> float:
    """Return the sum of some amounts; what an account does not hold is not listed."""
    return sum(row.get(name, 0.0) for name in names)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else math.nan
