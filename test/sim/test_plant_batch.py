# SPDX-License-Identifier: Apache-2.0
"""A hand-made schedule over the raw wires reproduces the nominal batch of PHYSICS §12."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from .plant_bench import Bench, batch_until_culture, batch_until_sorted, run_culture


@pytest.fixture(scope="module")
def batch() -> dict[str, Any]:
    bench = Bench(seed=1)
    before = bench.plant.ledger.total()
    sort = batch_until_sorted(bench)
    batch_until_culture(bench)
    seeded = bench.plant.truth()["vessels"]["activation_vessel"]
    run_culture(bench)
    truth = bench.plant.truth()
    return {
        "bench": bench, "before": before, "sort": sort, "seeded": seeded, "truth": truth,
        "culture": truth["vessels"]["culture_vessel"], "reactor": truth["reactors"]["culture_vessel"],
    }


def test_the_sort_gives_the_cells_and_the_purity(batch: dict[str, Any]) -> None:
    sort = batch["sort"]
    assert sort["t_with_dead"] == pytest.approx(1.9e8, rel=0.10)
    assert sort["purity"] == pytest.approx(0.966, abs=0.02)
    assert sort["recovery"] == pytest.approx(0.80, abs=0.05)
    assert sort["rbc_carryover"] < 0.0323
    assert sort["hours"] == pytest.approx(1.3, abs=0.3)
    assert sort["volume_ul"] == pytest.approx(114_000.0, rel=0.07)


def test_the_culture_is_seeded_as_the_process_says(batch: dict[str, Any]) -> None:
    seeded = batch["seeded"]
    assert seeded["cells"]["viable_per_ml"] == pytest.approx(1e6, rel=0.12)
    assert seeded["amounts"]["buffer_ul"] / seeded["volume_ul"] < 0.01


def test_day_ten_is_that_of_the_models(batch: dict[str, Any]) -> None:
    culture, reactor = batch["culture"], batch["reactor"]
    assert culture["cells"]["viable_cells"] == pytest.approx(5.16e9, rel=0.10)
    assert culture["cells"]["car_fraction"] == pytest.approx(0.39, abs=0.03)
    assert culture["cells"]["copies_per_car_cell"] == pytest.approx(1.445, rel=0.05)
    assert culture["cells"]["viability"] == pytest.approx(0.867, abs=0.02)
    assert reactor["glucose_mm"] == pytest.approx(7.87, rel=0.05)
    assert reactor["lactate_mm"] == pytest.approx(5.33, rel=0.08)
    assert reactor["ph"] == pytest.approx(7.327, abs=0.03)
    assert culture["cells"]["beads_per_3e6"] == pytest.approx(4e5, rel=0.25)
    used_ml = 11_000.0 - batch["truth"]["vessels"]["medium"]["volume_ul"] * 1e-3
    assert used_ml == pytest.approx(6_700.0, rel=0.05)


def test_the_books_close_to_a_part_in_a_thousand_million(batch: dict[str, Any]) -> None:
    ledger = batch["bench"].plant.ledger
    turned_over = np.sum([np.abs(ledger.row(name)) for name in ledger.names], axis=0)
    assert np.all(np.abs(ledger.total() - batch["before"]) <= 1e-9 * turned_over)
    for name in batch["bench"].plant.ledger.names:
        if name != "reactions":
            assert (batch["bench"].plant.ledger.row(name) >= -1e-6).all(), name


def test_the_truth_is_plain_json(batch: dict[str, Any]) -> None:
    assert json.loads(json.dumps(batch["truth"], allow_nan=False)) == batch["truth"]


def test_harvest_beads_go_and_cells_stay(batch: dict[str, Any]) -> None:
    """PROCESS step 13: unbinding under fast stirring, then the magnet; below 100 beads per 3e6 cells."""
    bench: Bench = batch["bench"]
    before = batch["culture"]["cells"]
    bench.set_points("culture_controller", rpm=90.0)
    bench.wait(2400.0)
    bench.transfer("culture_vessel", "depleted", 940_000.0, flow_ul_min=40_000.0)
    after = bench.plant.truth()["vessels"]["depleted"]["cells"]
    assert after["beads_per_3e6"] < 100.0
    assert 0.90 < after["viable_cells"] / before["viable_cells"] < 0.97
