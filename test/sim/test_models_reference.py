# SPDX-License-Identifier: Apache-2.0
"""The reference file through the registry: all entries of the implemented models pass, the others fail loudly."""

import copy
import json

import pytest

from mimedi_sim.check_physics import NOT_IMPLEMENTED, REFERENCE_FILE, evaluate_entry, load_entries, main
from mimedi_sim.physics_registry import REGISTRY

ENTRIES = load_entries(REFERENCE_FILE)
MODELLED = ("1", "2", "3", "4", "5", "6", "11", "12")


@pytest.mark.parametrize(
    "entry", [e for e in ENTRIES if e["id"].split(".")[0] in MODELLED], ids=lambda entry: entry["id"]
)
def test_reference_value(entry):
    result = evaluate_entry(entry)
    assert result.passed, f"expected {result.expected}, got {result.got}: {result.message}"


def test_an_entry_without_a_model_fails_explicitly():
    entry = copy.deepcopy(ENTRIES[0]) | {"model": "99.nothing.of_the_kind"}
    result = evaluate_entry(entry)
    assert not result.passed
    assert result.message == NOT_IMPLEMENTED


@pytest.mark.parametrize("factor", [1.01, -1.0, float("nan")])
def test_a_wrong_expectation_is_found(factor):
    entry = copy.deepcopy(ENTRIES[0])
    entry["output"]["value"] *= factor
    assert not evaluate_entry(entry).passed


def test_a_missing_input_and_a_bad_value_are_named():
    entry = copy.deepcopy(ENTRIES[0])
    entry["inputs"] = [item for item in entry["inputs"] if item["name"] != "w"]
    assert "'w'" in evaluate_entry(entry).message
    entry["inputs"].append({"name": "w", "value": -1.0, "unit": "m"})
    assert "-1.0" in evaluate_entry(entry).message


def test_answers_come_from_the_inputs_and_not_from_a_table():
    """Some numeric input moves every output: no model returns a stored number."""
    for entry in ENTRIES:
        if entry["model"] not in REGISTRY or entry["model"].startswith("12."):
            continue
        original = evaluate_entry(entry).got
        assert any(_moved(entry, position) != original for position in range(len(entry["inputs"]))), entry["id"]


def _moved(entry, position):
    """Return the entry's output with one numeric input moved by 1 %."""
    moved = copy.deepcopy(entry)
    item = moved["inputs"][position]
    if isinstance(item["value"], float) and item["value"] != 0.0:
        item["value"] *= 1.01
    return evaluate_entry(moved).got


def test_command_exit_status(tmp_path, capsys):
    passing = [e for e in ENTRIES if e["id"].startswith("1.")]
    file = tmp_path / "some.json"
    file.write_text(json.dumps(passing))
    assert main([str(file)]) == 0
    passing[0]["output"]["value"] = 1.0
    file.write_text(json.dumps(passing))
    assert main([str(file), "--json"]) == 1
    printed = capsys.readouterr().out
    assert json.loads(printed[printed.index("{") :])["failed"] == 1
    file.write_text("[]")
    assert main([str(file)]) == 1  # nothing checked is not a pass
    file.write_text("{")
    assert main([str(file)]) == 2
    assert main([str(tmp_path / "missing.json")]) == 2
