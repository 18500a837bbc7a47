# SPDX-License-Identifier: Apache-2.0
"""Whole batches headless: what must not pass does not, and what is reported tracks the plant's truth."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from mimedi_nodes.modules.registry import config_folder, manifests
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.process.batch import Batch
from mimedi_nodes.process.identity.identity import make_identifier
from mimedi_nodes.process.people.operator import ScriptedOperator
from mimedi_nodes.process.recipes.loader import load_recipe
from mimedi_nodes.process.release import evaluate
from mimedi_nodes.records.review import Review, review
from mimedi_nodes.records.specification import product_file, read_specification
from mimedi_nodes.records.summary import canonical_rows
from mimedi_sim.headless import HeadlessResult, HeadlessRun, run_batch
from mimedi_sim.models.donors import donor
from mimedi_sim.scenarios import find_scenario

from .books import unbalanced

SEEDS = 20
PATIENT = make_identifier("F1234", 26, 1)
CONFIDENCE = 0.95
CHANCE = 1e-4
"""Probability at which honest intervals would fail a test of this file."""


DOSE_SD = 0.08
"""Relative standard uncertainty of a dose: the last count's interval (± 10 %), CAR+ share and volume."""


def carry_out(seed: int, scenario: str = "nominal") -> tuple[HeadlessResult, Review]:
    """Carry the shipped recipe out and review its record as the recorder does."""
    config = config_folder()
    what = find_scenario(scenario, config / "scenarios")
    recipe = load_recipe(config / "recipes" / "car_t_cd19.yaml", manifests())
    result = run_batch(
        HeadlessRun(
            recipe,
            Batch(f"S{seed}", PATIENT, PATIENT, 70.0),
            load_site(config / "site" / "demo.yaml"),
            donor(what.donor or "nominal", seed),
            seed,
            ScriptedOperator(config / "operators" / "default.yaml"),
            what,
        )
    )
    specification = read_specification(product_file(config / "products", recipe.product))
    return result, review(result.events, specification, evaluate)


of_scenario = cache(carry_out)


@pytest.mark.parametrize(
    ("scenario", "cause"),
    [
        ("incubator_33c", "incubator.*heater"),
        ("sorter_detuned", "acoustic_sorter.*frequency"),
        ("weak_donor", "starting material|donor"),
        ("hidden_leak", r"changed by -\d\.\d mL by weight.*leak"),
        ("contamination", "contamination.*(photon|microbes)"),
        ("day5_hold", "no answer.*culture_controller"),
        ("power_cut", "no answer.*culture_controller"),
    ],
)
def test_what_must_not_pass_does_not_and_says_why(scenario: str, cause: str) -> None:
    result, reviewed = of_scenario(1, scenario)
    assert result.outcome.state in ("held", "rejected")
    assert reviewed.verdict in ("held", "rejected")
    assert re.search(cause, result.outcome.reason), result.outcome.reason
    ended = next(event for event in result.events if event.kind == "batch_ended")
    assert ended.data["reason"] == result.outcome.reason
    who = find_scenario(scenario, config_folder() / "scenarios").donor or "nominal"
    assert unbalanced(result, "car_t_cd19", donor(who, 1)) == {}


def test_at_33_degrees_the_reason_tells_the_temperature() -> None:
    result, _ = of_scenario(1, "incubator_33c")
    reason = result.outcome.reason
    assert "32." in reason or "33." in reason, reason
    assert result.truth["reactors"]["culture_vessel"]["liquid_c"] == pytest.approx(33.0, abs=0.5)


def test_a_hidden_leak_shows_as_five_millilitres_alarms_and_is_true() -> None:
    result, _ = of_scenario(1, "hidden_leak")
    found = re.search(r"changed by ([-+]\d+\.\d) mL by weight", result.outcome.reason)
    assert found is not None
    assert float(found[1]) == pytest.approx(-5.0, abs=0.5)
    raised = [event for event in result.events if event.kind == "alarm_raised"]
    assert any(event.what == "incubator.balance_gap" for event in raised)
    assert result.truth["lost"]["volume_ul"] > 5_000.0


def test_contamination_is_found_before_the_medium_of_six_days_is_spent_on_it() -> None:
    result, _ = of_scenario(1, "contamination")
    assert result.process_time_s < 5 * 86_400.0
    assert result.truth["vessels"]["culture_vessel"]["amounts"]["cfu"] > 1e9


def test_a_day_without_its_node_keeps_the_culture_warm() -> None:
    """Nobody polls, nobody commands: the controller holds its set points by itself."""
    result, _ = carry_out(1, "day5_hold")
    plant, since_s = result.plant, result.process_time_s
    assert result.outcome.state == "held"
    before = plant.truth()["vessels"]["culture_vessel"]["cells"]["viable_cells"]
    for hour in range(1, 25):
        plant.advance_to(since_s + 3600.0 * hour)
        reactor = plant.truth()["reactors"]["culture_vessel"]
        assert reactor["liquid_c"] == pytest.approx(37.0, abs=0.5), hour
        assert reactor["stirring_rpm"] > 0.0
    assert plant.truth()["vessels"]["culture_vessel"]["cells"]["viable_cells"] > before
    answer = plant.receive("culture_controller", b"\x01\x03\x00\x00\x00\x05\x85\xc9", since_s + 25 * 3600.0)
    assert answer, "the line speaks again after its day"


def test_two_runs_of_a_seed_make_the_same_record() -> None:
    """The canonical rows: without wall-clock stamps, UUIDs and hashes, sorted by process time, source and sequence."""
    first, again = of_scenario(1, "hidden_leak"), carry_out(1, "hidden_leak")
    assert canonical_rows(first[0].events) == canonical_rows(again[0].events)
    other = carry_out(2, "hidden_leak")
    assert canonical_rows(first[0].events) != canonical_rows(other[0].events)


Reported = Mapping[str, list[tuple[float, float, float, float]]]
"""Name → (value, low, high, truth) of each seed."""


def test_over_20_seeds_what_is_reported_tracks_the_truth() -> None:
    """One test, so that the batches are made once however many workers there are."""
    found: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    for seed in range(1, SEEDS + 1):
        result, reviewed = carry_out(seed)
        assert unbalanced(result, "car_t_cd19") == {}
        assert reviewed.verdict == "meets_provisionally", (seed, result.outcome.reason)
        for name, row in _reported(result).items():
            found[name].append(row)
    assert {len(rows) for rows in found.values()} == {SEEDS}
    _check_intervals(found)
    _check_means(found)
    _check_doses(found)


def _reported(result: HeadlessResult) -> dict[str, tuple[float, float, float, float]]:
    cells = result.truth["vessels"]["retain"]["cells"]  # undiluted, as it was sampled
    true = {
        "viability": cells["viability"],
        "cd3_fraction": cells["cd3_fraction"],
        "car_fraction": cells["car_fraction"],
        "vcn_per_transduced_cell": cells["copies_per_car_cell"],
        "residual_beads_per_3e6_cells": cells["beads_per_3e6"],
    }
    rows: dict[str, tuple[float, float, float, float]] = {}
    for event in result.events:
        data = event.data
        if event.kind == "laboratory_result" and data["test"] in true:
            rows[data["test"]] = _row(data, "value", "low", "high", true[data["test"]])
        if event.kind == "phase_ended" and data["phase_id"].endswith("count_final"):
            seen = data["result"]
            rows["count viability"] = _row(seen, "viability", "viability_low", "viability_high", cells["viability"])
            low, high = "concentration_low_per_ml", "concentration_high_per_ml"
            whole_per_ml = cells["viable_per_ml"] / cells["viability"]
            rows["count concentration"] = _row(seen, "concentration_per_ml", low, high, whole_per_ml)
        if event.kind == "phase_ended" and data["phase_id"].endswith("formulate.formulate"):
            dose = data["result"]["dose_car_cells"]
            rows["dose"] = (dose, math.nan, math.nan, result.truth["vessels"]["dose_bag"]["cells"]["car_cells"])
    return rows


def _row(data: Mapping[str, Any], value: str, low: str, high: str, true: float) -> tuple[float, float, float, float]:
    return float(data[value]), float(data[low]), float(data[high]), float(true)


def _check_intervals(reported: Reported) -> None:
    """The truth lies in the intervals as often as they say."""
    least = int(binom.ppf(CHANCE, SEEDS, CONFIDENCE))
    for name, rows in reported.items():
        if name == "dose":
            continue
        held = sum(low <= true <= high for _, low, high, true in rows)
        assert held >= least, f"{name}: the truth lies in {held} of {SEEDS} intervals, at least {least} are expected"


def _check_means(reported: Reported) -> None:
    """Results are right on average: the mean of n independent ones is √n times more exact than one of them."""
    for name, rows in reported.items():
        value, low, high, true = np.array(rows).T
        sigma = (high - low) / (2 * 1.96) if name != "dose" else DOSE_SD * true
        allowed = 4.0 * float(np.mean(sigma)) / math.sqrt(SEEDS)
        assert abs(float(np.mean(value - true))) <= allowed, f"{name}: {np.mean(value - true):g} off, ± {allowed:g}"


def _check_doses(reported: Reported) -> None:
    """Every dose is what its label says, and holds that many cells."""
    for value, _, _, true in reported["dose"]:
        assert value == pytest.approx(1.5e8, rel=0.20)
        assert true == pytest.approx(value, rel=3.5 * DOSE_SD)
