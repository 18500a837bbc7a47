# SPDX-License-Identifier: Apache-2.0
"""The engineering run of the bacterial syringe: mask window, clearance, endotoxin; and a strain that survives."""

from __future__ import annotations

from typing import Any

import pytest

from mimedi_nodes.modules.registry import config_folder, manifests
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.process.batch import Batch
from mimedi_nodes.process.identity.identity import make_identifier
from mimedi_nodes.process.people.operator import ScriptedOperator
from mimedi_nodes.process.recipes.approval import ApprovalError, Approvals
from mimedi_nodes.process.recipes.loader import load_recipe
from mimedi_nodes.process.release import evaluate
from mimedi_nodes.records.review import Review, review
from mimedi_nodes.records.specification import product_file, read_specification
from mimedi_sim.headless import HeadlessResult, HeadlessRun, run_batch
from mimedi_sim.models.donors import donor

from .books import unbalanced

CONFIG = config_folder()
PATIENT = make_identifier("F1234", 26, 1)
RECIPE = load_recipe(CONFIG / "recipes" / "bacterial_syringe.yaml", manifests())
ENGINEERING = Batch("B-1", PATIENT, PATIENT, 70.0, engineering_run=True)


def made(seed: int, **parameters: float) -> tuple[HeadlessResult, Review]:
    site, operator = load_site(CONFIG / "site" / "demo.yaml"), ScriptedOperator(CONFIG / "operators" / "default.yaml")
    recipe = RECIPE.with_parameters(parameters)
    result = run_batch(HeadlessRun(recipe, ENGINEERING, site, donor("nominal"), seed, operator))
    return result, review(
        result.events, read_specification(product_file(CONFIG / "products", recipe.product)), evaluate
    )


def screenings(result: HeadlessResult) -> dict[str, Any]:
    """Return the results of the screenings by the name of their step."""
    return {
        e.data["phase_id"].rpartition(".")[2]: e.data["result"]
        for e in result.events if e.kind == "phase_ended" and e.data["action"] == "ScreenSample"
    }  # fmt: skip


@pytest.fixture(scope="module")
def nominal() -> tuple[HeadlessResult, Review]:
    return made(1)


def test_it_runs_to_its_end_meets_every_limit_and_can_never_be_released(nominal: tuple[HeadlessResult, Review]) -> None:
    result, reviewed = nominal
    assert result.outcome.state == "completed", result.outcome
    failed = {row.id for row in reviewed.rows if row.verdict not in ("pass", "pending")}
    assert failed == {"run_kind"}
    assert reviewed.verdict == "rejected"
    assert unbalanced(result, "bacterial_syringe") == {}


def test_only_an_engineering_run_takes_it() -> None:
    approvals = Approvals(CONFIG / "recipes")
    assert approvals.require(RECIPE, ENGINEERING).status == "draft"
    with pytest.raises(ApprovalError, match="engineering run, which can never be released"):
        approvals.require(RECIPE, Batch("B-1", PATIENT, PATIENT, 70.0))


def test_screenings_are_masked_in_the_window_and_clear_after_it(nominal: tuple[HeadlessResult, Review]) -> None:
    result, _ = nominal
    found = screenings(result)
    assert {name: each["outcome"] for name, each in found.items()} == {
        "screen_in_window": "masked", "screen_killed": "masked", "screen_clear": "clear",
    }  # fmt: skip
    assert found["screen_in_window"]["threshold_cfu_per_ml"] is None  # blind: the carriers outshine all
    assert found["screen_killed"]["threshold_cfu_per_ml"] < 50.0
    windows = [e.data["blind_below_cfu_per_ml"] for e in result.events if e.kind == "mask_window"]
    assert windows == [None, found["screen_killed"]["threshold_cfu_per_ml"]]


def test_the_strain_comes_in_by_an_open_step_that_the_room_is_watched_for(
    nominal: tuple[HeadlessResult, Review],
) -> None:
    result, _ = nominal
    verified = {e.data["phase_id"]: e.data["goal"]["grade"] for e in result.events
                if e.kind == "phase_ended" and e.data["action"] == "VerifyGrade"}  # fmt: skip
    assert verified["delivery.contact.add_bacteria.watch#1"] == "A"
    # Every step of a closed kind had its room verified within four hours before it.
    assert sum(path.endswith(".room") for path in verified) >= 2


def test_too_little_antibiotic_is_found_by_its_light_and_rejected() -> None:
    """The stock is a fifth of what its label says: 5 ug/mL for four hours leave some of the strain alive."""
    result, _ = made(1, gentamicin_stock_ug_ml=50_000.0, gentamicin_ug_ml=25.0, killing_h=4.0)
    assert result.outcome.state == "rejected"
    assert result.outcome.reason.startswith("clearance: ")
    assert screenings(result)["screen_killed"]["outcome"] == "suspect"
