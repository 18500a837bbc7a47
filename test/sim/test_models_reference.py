# SPDX-License-Identifier: Apache-2.0
"""The reference file through the registry: every entry passes, an unknown model fails loudly."""

import copy
import json
from pathlib import Path

import pytest

from mimedi_sim.check_physics import NOT_IMPLEMENTED, REFERENCE_FILE, evaluate_entry, load_entries, main
from mimedi_sim.physics_registry import REGISTRY
from mimedi_sim.reference_vocabulary import differs

ENTRIES = load_entries(REFERENCE_FILE)
MORE = Path(__file__).parent / "reference_more.jsonl"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["id"])
def test_reference_value(entry):
    result = evaluate_entry(entry)
    assert result.passed, f"expected {result.expected}, got {result.got}: {result.message}"


def test_the_same_models_with_other_inputs():
    """Every model with inputs that no shipped entry has, extremes and left-out options included.

    Each line of the file: model, what differs from the model's first shipped entry (null: left out), output, value,
    tolerance. The values were worked out from PHYSICS.md by routes that share no code with the twin: series summed in
    30 digits, LSODA and DOP853 at 1e-10, quadratures and root finding, IAPWS and ISO tables, simulated sequential
    tests. The carry-over of §12 is 80 of its 40,000 drawn particles: known to 11 %, so that 25 % are allowed.
    """
    first = {entry["model"]: entry for entry in reversed(ENTRIES)}
    units = {(entry["model"], entry["output"]["name"]): entry["output"].get("unit", "") for entry in ENTRIES}
    seen, wrong = set(), []
    for number, line in enumerate(MORE.read_text(encoding="utf-8").splitlines(), 1):
        model, changes, output, value, rtol = json.loads(line)
        entry = copy.deepcopy(first[model]) | {"id": f"line {number}: {model}", "rtol": rtol}
        entry["output"] = {"name": output, "value": value, "unit": units.get((model, output), "")}
        entry["inputs"] = [
            item | {"value": changes.get(item["name"], item["value"])}
            for item in entry["inputs"] if item["name"] not in changes or changes[item["name"]] is not None
        ]
        result = evaluate_entry(entry)
        seen.add(model)
        if not result.passed:
            wrong.append(f"{result.id} {changes}: expected {value}, got {result.got}: {result.message}")
    assert not wrong
    assert seen == set(REGISTRY)


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
    one_of_each = {entry["model"]: entry for entry in ENTRIES if not entry["model"].startswith("12.")}
    assert len(one_of_each) == len(REGISTRY) - 1
    for entry in one_of_each.values():
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
    passing = copy.deepcopy([e for e in ENTRIES if e["id"].startswith("1.")])
    file = tmp_path / "some.json"
    file.write_text(json.dumps(passing))
    assert main([str(file)]) == 0
    passing[0]["output"]["value"] = 1.0
    file.write_text(json.dumps(passing))
    assert main([str(file), "--json"]) == 1
    printed = capsys.readouterr().out
    assert json.loads(printed[printed.index("{") :])["failed"] == 1
    file.write_text("[]")
    assert main([str(file)]) == 2  # nothing checked is not a pass
    file.write_text("{")
    assert main([str(file)]) == 2
    assert main([str(tmp_path / "missing.json")]) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": {"w": 1.0}}, "inputs"),
        ({"inputs": [3]}, "inputs"),
        ({"output": {"name": "R_h"}}, "output"),
        ({"output": {"name": "R_h", "value": "much"}}, "output"),
        ({"rtol": -1.0}, "rtol"),
        ({"rtol": None}, "rtol"),
        ({"model": ["1.fluidics"]}, "model"),
        ({"output": {"name": "R_h", "value": 10**400}}, "output"),
    ],
)
def test_a_malformed_entry_is_named(tmp_path, capsys, change, words):
    file = tmp_path / "bad.json"
    file.write_text(json.dumps([ENTRIES[1], ENTRIES[0] | change]))
    assert main([str(file)]) == 2
    message = capsys.readouterr().err
    assert "entry 1" in message
    assert words in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\xff\xfe", "not UTF-8"),
        (b'[{"id": "a", "id": "b"}]', "'id' stands twice"),
    ],
    ids=["empty", "deep", "bytes", "twice"],
)
def test_a_file_that_is_none_is_named(tmp_path, capsys, content, words):
    file = tmp_path / "bad.json"
    file.write_bytes(content)
    assert main([str(file)]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "change", "words"),
    [
        (0, {"value": 0.375, "unit": "mm"}, "input 'w' is in mm; this model takes m"),
        (3, {"unit": "mPa.s"}, ""),  # a unit outside the table is prose: the number decides
        (0, {"value": "3.75e-4"}, "input 'w' is '3.75e-4'; allowed: a number [m]"),
        (0, {"value": True}, "input 'w' is True"),
        (0, {"value": 10**400}, "too large"),
        (1, {"name": "w"}, "input 'w' is given twice"),
        (0, {"name": "colour"}, "the model lacks the input 'w'"),
    ],
)
def test_an_input_that_means_something_else_is_no_pass(place, change, words):
    entry = copy.deepcopy(ENTRIES[0])
    entry["inputs"][place] |= change
    result = evaluate_entry(entry)
    assert result.passed is not bool(words)
    assert words in result.message


def test_an_input_that_nobody_reads_and_an_output_that_nobody_yields_are_no_pass():
    entry = copy.deepcopy(ENTRIES[0])
    entry["inputs"].append({"name": "colour", "value": 1.0, "unit": "1"})
    assert "'colour' is unknown to this model; it takes w, h, L, eta" in evaluate_entry(entry).message
    for output, words in (("R_v", "it yields R_h"), ("R_h", "in kPa.s/m3; this model yields Pa.s/m3")):
        entry = copy.deepcopy(ENTRIES[0])
        entry["output"] |= {"name": output, "unit": "kPa.s/m3"}
        assert words in evaluate_entry(entry).message


@pytest.mark.parametrize(
    ("stated", "expected", "other"),
    [
        ("m from wall", "m", False), ("uL/min", "m3/s", True), ("L", "m3", True), ("Pa·s", "Pa.s", False),
        ("kg/m^3", "kg/m3", False), ("degC", "K", True), ("h", "s", True), ("CFU target", "cells", False),
        ("mmol/cell/h", "mmol/h", False), ("J/m3/V2", "Pa/V2", False), ("gamma shape", "1", False), (None, "m", False),
        ("%", "1", True), ("", "m", False), ("1/h", "Hz", True), ("1/s", "Hz", False),
    ],
)
def test_units_are_compared_where_they_are_understood(stated, expected, other):
    assert differs(stated, expected) is other


def test_the_batch_follows_the_energy_that_its_scenario_states():
    entry = copy.deepcopy(next(e for e in ENTRIES if e["id"] == "12.sort_recovery_T"))
    recoveries = []
    for energy in (10, 12, 14, 18, 25):
        entry["inputs"][0]["value"] = f"physics.md section 12 nominal, E_ac={energy} J/m3"
        recoveries.append(evaluate_entry(entry).got)
    assert recoveries == pytest.approx([0.59, 0.71, 0.80, 0.88, 0.94], abs=0.01)  # PHYSICS §12, sorting trade-off
