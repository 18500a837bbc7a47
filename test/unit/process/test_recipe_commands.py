# SPDX-License-Identifier: Apache-2.0
"""Comparing and costing recipes, and the commands that people type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_recipe_language import BOTH, BUDGET, CALLS, HEAD, WASH

from mimedi_nodes.commands import recipe as command
from mimedi_nodes.commands.recipe_estimate import _line_of
from mimedi_nodes.modules.registry import config_folder
from mimedi_nodes.process.recipes.costs import (
    CostError,
    Usage,
    batch_cost,
    estimate,
    largest_figures,
    read_costs,
    touch_h,
)
from mimedi_nodes.process.recipes.diff import differences
from mimedi_nodes.process.recipes.loader import read_recipe
from mimedi_nodes.process.recipes.recipe import Recipe

STEPS = BUDGET.replace("WITHIN", "1")


def recipe(text: str) -> Recipe:
    return read_recipe(text, "r.yaml", library=lambda name: WASH)


def changes(old: str, new: str) -> list[tuple[str, str, str, str]]:
    found = differences(recipe(HEAD + old + BOTH), recipe(HEAD.replace("HEAD", "") + new + BOTH))
    return [(d.kind, d.path.rpartition(".")[2], d.change, d.what) for d in found]


def test_comments_and_layout_are_no_difference() -> None:
    assert changes(STEPS, "          # a remark\n" + STEPS.replace("within_h: 1,", "within_h:   1.0,")) == []


def test_a_step_is_added_removed_changed_moved_and_renamed() -> None:
    lines = STEPS.splitlines(keepends=True)
    assert changes(STEPS, STEPS + "          - {id: rest, wait_h: 1}\n") == [("step", "rest", "added", "")]
    assert changes(STEPS + "          - {id: rest, wait_h: 1}\n", STEPS) == [("step", "rest", "removed", "")]
    assert changes(STEPS, STEPS.replace("hours: 3", "hours: 4")) == [("step", "incubate", "changed", "hours")]
    assert changes(STEPS, STEPS.replace("destination: b", "destination: c")) == [
        ("step", "work", "changed", "with.destination")
    ]
    moved = "".join([*lines[:2], lines[4], lines[2], lines[3]])
    assert changes(STEPS, moved) == [("step", "incubate", "moved", "after")]
    assert changes(STEPS, STEPS.replace("id: incubate", "id: warm")) == [("step", "warm", "renamed", "path")]


def test_parameters_formulas_samples_and_sub_recipes_are_compared() -> None:
    old, new = HEAD + CALLS + BOTH, HEAD.replace("value: 1000", "value: 900").replace("2 * amount", "3 * amount")
    new = new.replace("volume_ul: 50,", "volume_ul: 60,") + CALLS.replace("{source: b", "{source: c") + BOTH
    found = {(d.kind, d.path.rpartition(".")[2], d.what) for d in differences(recipe(old), recipe(new))}
    assert found == {
        ("parameter", "amount", "value"), ("formula", "twice", "expression"), ("sample", "look", "volume_ul"),
        ("step", "l", "with.volume_ul"), ("step", "l", "sampling"), ("step", "two", "arguments"),
    }  # fmt: skip


# -- costs ----------------------------------------------------------------------------------------------

USAGE = Usage(10.0, True, {"medium": 5e6, "vector": 8000.0}, {"sterility": 1, "odd": 1}, {"scan": 4.0, "set_up": 1.0})


def test_a_batch_costs_what_it_used() -> None:
    costs = read_costs(config_folder() / "costs.yaml")
    groups = batch_cost(costs, USAGE)
    assert groups["vector"] == pytest.approx(8.0 * costs["supplies"]["vector"]["per_ml"])
    assert groups["supplies"] == pytest.approx(5000.0 * costs["supplies"]["medium"]["per_ml"])
    assert groups["tests"] == pytest.approx(costs["tests"]["sterility"] + costs["tests"]["other"])
    minutes = 4 * costs["touch_min"]["scan"]["amount"] + costs["touch_min"]["set_up"]["amount"]
    assert touch_h(costs, USAGE) == pytest.approx(minutes / 60.0)
    without = sum(amount for group, amount in groups.items() if group != "quality")
    assert groups["quality"] == pytest.approx(without * costs["quality"]["share"])


def test_failed_batches_are_paid_for_by_the_others() -> None:
    costs = read_costs(config_folder() / "costs.yaml")
    failed = Usage(10.0, False, USAGE.used_ul, USAGE.tests, USAGE.touches)
    alone, half = estimate(costs, [USAGE]), estimate(costs, [USAGE, failed])
    assert half.success == 0.5
    assert sum(half.groups.values()) == pytest.approx(2.0 * sum(alone.groups.values()))
    assert half.cost.median == pytest.approx(2.0 * alone.cost.median, rel=0.05)
    assert alone.cost.low < sum(alone.groups.values()) < alone.cost.high
    assert estimate(costs, [USAGE]) == alone
    with pytest.raises(CostError, match="no simulated batch meets"):
        estimate(costs, [failed])


def test_figures_that_are_none_are_told(tmp_path: Path) -> None:
    text = (config_folder() / "costs.yaml").read_text(encoding="utf-8")
    for old, new, words in (
        ("per_h: 110", "per_h: much", "labour.per_h"), ("amount: 6500", "amount: -1", "fixed.kit.amount"),
        ("baseline:", "base:", "baseline missing"), ("currency", ": [", "costs.yaml"),
    ):  # fmt: skip
        (tmp_path / "costs.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(CostError, match=words):
            read_costs(tmp_path / "costs.yaml")


# -- commands -------------------------------------------------------------------------------------------


def test_list_show_and_validate_in_words_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["list"]) == 0
    assert "car_t_cd19" in capsys.readouterr().out
    assert command.main(["list", "--json"]) == 0
    assert "car_t_cd19" in {row["recipe"] for row in json.loads(capsys.readouterr().out)}
    assert command.main(["show", "car_t_cd19"]) == 0
    shown = capsys.readouterr().out
    assert all(words in shown for words in ("Parameters and formulas", "Sampling plan", "label_cells", "resume auto"))
    assert command.main(["show", "car_t_cd19", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["constants"]["moi"] == content["parameters"]["moi"]["value"]
    assert command.main(["validate", "car_t_cd19", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["valid"] is True


def test_a_wrong_recipe_and_a_missing_one_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(HEAD.replace("amount: {", "amout: {") + STEPS + BOTH, encoding="utf-8")
    assert command.main(["validate", str(path)]) == 1
    assert "bad.yaml:" in capsys.readouterr().err
    assert command.main(["validate", str(path), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["valid"] is False
    assert all(item["line"] > 0 and item["message"] for item in found["diagnostics"])
    assert command.main(["show", "nothing"]) == 2
    assert "there is no recipe 'nothing'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main(["paint"])


def test_diff_tells_by_its_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in (("a", STEPS), ("b", STEPS.replace("hours: 3", "hours: 4"))):
        (tmp_path / f"{name}.yaml").write_text(HEAD + text + BOTH, encoding="utf-8")
    a, b = str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")
    assert command.main(["diff", a, a]) == 0
    assert command.main(["diff", a, b, "--json"]) == 1
    output = capsys.readouterr().out
    assert json.loads(output[output.index("[") :])[0]["path"] == "work.first.incubate"


def test_the_largest_assumptions_are_named_by_their_line_and_move_the_dose_by_their_own_share() -> None:
    path = config_folder() / "costs.yaml"
    costs = read_costs(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    total = sum(batch_cost(costs, USAGE).values())
    figures = largest_figures(costs, [USAGE], 1.0, number=99)
    spans = [high - low for _, low, high in figures]
    assert spans == sorted(spans, reverse=True)
    for name, low, high in figures:
        assert lines[_line_of(path, name) - 1].strip().startswith(f"{name.rsplit('.', 1)[-1]}:")
        assert low + high == pytest.approx(2.0 * total), "each is linear in the cost"
    kit = next(figure for figure in figures if figure[0] == "fixed.kit")
    amount = costs["fixed"]["kit"]["amount"] * (1.0 + costs["quality"]["share"])
    assert kit[2] - kit[1] == pytest.approx(0.6 * amount)


def test_an_estimate_without_runs_says_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["estimate", "car_t_cd19", "-n", "0", "--json", "--set", "latest_day=10 d"]) == 0
    assert 8.0 < json.loads(capsys.readouterr().out)["expected_duration_d"] < 14.0
    assert command.main(["estimate", "car_t_cd19", "-n", "0", "--set", "moi=90"]) == 2
    assert "1 to 10 TU/cell" in capsys.readouterr().err
