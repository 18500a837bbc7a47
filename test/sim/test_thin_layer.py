# SPDX-License-Identifier: Apache-2.0
"""Transduction in a thin layer, through the real phase: two hours do what eighteen do, and a deep layer is refused."""

from __future__ import annotations

import pytest

from mimedi_nodes.process.service_state import ServiceState
from mimedi_sim.plant.ledger import amounts

from .fault_drill import Drill, drill
from .workbench import Workbench

VESSEL = "activation_vessel"
CELLS = 1.9e8


def transduce(mode: str, volume_ul: float, contact_h: float) -> Drill:
    """Transduce cells of day 1 at MOI 5; the vector is in the vessel already."""

    def put(bench: Workbench) -> None:
        millilitres, hour = volume_ul * 1e-3, bench.clock.now_s() / 3600.0
        bench.plant.ledger.put(VESSEL, amounts(
            volume_ul=volume_ul, t_act_neg=CELLS, dead=0.1 * CELLS, glucose_mmol=11e-3 * millilitres,
            il2_iu=100.0 * millilitres, base_mmol=23.8e-3 * millilitres, medium_ul=volume_ul, vector_tu=5.0 * CELLS,
            activation_cell_h=CELLS * (hour - 24.0),
        ))

    goal = {"mode": mode, "moi": 5.0, "viable_cells": CELLS, "vector_volume_ul": 9_500.0,
            "vector_titre_tu_ml": 1e8, "contact_h": contact_h}
    return drill("transduction", "TransduceCells", goal, "", VESSEL, start_s=6 * 3600.0, prepare=put)


def car_fraction(found: Drill) -> float:
    assert found.state == ServiceState.COMPLETED, found.words
    return float(found.bench.plant.truth()["vessels"][VESSEL]["cells"]["car_fraction"])


def test_two_hours_in_150_um_do_more_than_eighteen_in_the_mixed_vessel() -> None:
    assert car_fraction(transduce("thin_layer", 9_500.0, 2.0)) > car_fraction(transduce("mixed", 191_000.0, 18.0)) > 0.3


def test_a_deep_layer_is_refused_with_its_volume() -> None:
    found = transduce("thin_layer", 191_000.0, 2.0)
    assert (found.state, found.code) == (ServiceState.ABORTED, 311)
    assert "concentrate the cells more" in found.words


@pytest.mark.parametrize("mode", ["mixed", "thin_layer"])
def test_the_layer_is_not_stirred_and_the_mixed_vessel_is(mode: str) -> None:
    found = transduce(mode, 9_500.0, 2.0)
    rpm = found.bench.plant.truth()["reactors"][VESSEL]["stirring_rpm"]
    assert rpm == (60.0 if mode == "mixed" else 0.0)
