# SPDX-License-Identifier: Apache-2.0
"""Fuzzed recipes: never a traceback, and a mutant is taken if and only if an independent oracle finds it valid."""

from __future__ import annotations

import copy
import json
import math
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recipe_oracle import MODULES, Oracle

from mimedi_nodes.commands import recipe as command
from mimedi_nodes.modules.registry import config_folder
from mimedi_nodes.process.diagnostics import DiagnosticError
from mimedi_nodes.process.interfaces import snake_to_camel
from mimedi_nodes.process.recipes.loader import read_recipe

MANIFEST = {module: {snake_to_camel(action) for action in actions} for module, actions in MODULES.items()}
RECIPE: dict[str, Any] = {
    "recipe": "little", "version": "1.0.0", "status": "draft", "product": "little", "description": "a little of all",
    "parameters": {
        "amount": {"value": 1000, "unit": "uL", "range": [100, 5000]},
        "moi": {"value": 5.0, "unit": "TU/cell", "range": [1, 10], "description": "for nothing"},
    },
    "procedure": [
        {"unit_procedure": "work", "operations": [
            {"operation": "first", "phases": [
                {"id": "ready", "prompt": "Ready for ${batch.patient_id}?", "answers": ["yes", "no"], "expect": "yes"},
                {"id": "move", "do": "fluidics/transfer_fluid",
                 "with": {"source": "a", "destination": "b", "volume_ul": "${amount}"},
                 "requires": {"processing": "closed", "grade": "D"}, "resume": "auto", "max_outage_h": 1,
                 "save": {"moved": "volume_moved_ul"}},
                {"id": "tune", "do": "acoustic_sorter/tune_transducer", "with": {"start_hz": 1.9e6, "stop_hz": 2.1e6}},
                {"id": "both", "parallel": {
                    "main": [{"id": "sort", "do": "acoustic_sorter/sort_cells",
                              "with": {"source": "b", "buffer": "c", "destination": "d", "waste": "w",
                                       "target": "bead_bound_t_cell",
                                       "frequency_hz": "${tune.channel_resonance_hz}"}}],
                    "aside": [{"id": "pause", "wait_h": 0.1}]}, "until": "main"},
                {"id": "take", "do": "fluidics/take_sample",
                 "with": {"container": "d", "destination": "sample_port", "volume_ul": 300, "test_point": "t"}},
                {"id": "check", "do": "vision_qc/inspect_sample",
                 "with": {"sample_id": "${take.sample_id}", "cells_wanted": 800}},
                {"id": "order", "laboratory": ["viability"], "sample": "${take.sample_id}"},
                {"id": "lab", "await_results": {"viability": "1"}, "sample": "${take.sample_id}", "timeout_h": 4},
                {"id": "sum", "set": {"left_ul": {"value": "move.volume_moved_ul - 300", "unit": "uL"},
                                      "seen": {"value": "check.viability", "unit": "1"}}},
            ], "then": [{"if": "check.viability < 0.8", "decide": "hold", "cause": "viability ${check.viability}"}]},
        ]},
    ],
}  # fmt: skip
ODD = [None, True, "", " ", "x", "yes", -1, 0, 1e12, 2.5, math.nan, [], {}, ["a"], "${amount}", "${moi}", "${nothing}",
       "${amount", "${move.volume_moved_ul}", "hold", "reject", "1", "uL", "Hz", "d", "auto", "check.viability <",
       "volume_ul", "fluidics/take_sample", "eyes/look", "a" * 60, "Ä", 800, 800.0, "batch"]  # fmt: skip


def places(item: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of everything in a document."""
    found = [path] if path else []
    if isinstance(item, dict):
        for key, value in item.items():
            found += places(value, (*path, key))
    elif isinstance(item, list):
        for index, value in enumerate(item):
            found += places(value, (*path, index))
    return found


def mutant(draw: random.Random) -> Any:
    """Return the recipe with one to three changes of structure or value."""
    document = copy.deepcopy(RECIPE)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        path = draw.choice(places(document))
        above = document
        for part in path[:-1]:
            above = above[part]
        last, kind = path[-1], draw.randrange(6)
        if kind == 0:
            del above[last]
        elif kind == 1 and isinstance(above, dict):
            above[draw.choice((*above, "note", "volum_ul", "id", "until", "reason", "x1"))] = above.pop(last)
        elif kind == 2 and isinstance(above, list):
            above.insert(draw.randrange(len(above) + 1), copy.deepcopy(above[last]))
        elif kind == 3 and isinstance(above, list):
            above.insert(draw.randrange(len(above)), above.pop(last))
        elif kind == 4 and isinstance(above[last], int | float) and not isinstance(above[last], bool):
            above[last] = above[last] * draw.choice((-1, 0, 0.1, 0.5, 2, 10, 1e6))
        else:
            above[last] = copy.deepcopy(draw.choice(ODD))
    return document


def accepted(text: str) -> tuple[bool, str]:
    """Return whether the loader takes a recipe, and its diagnostics."""
    try:
        read_recipe(text, "mutant.yaml", MANIFEST)
    except DiagnosticError as error:
        refused = error
    else:
        return True, ""
    assert refused.diagnostics
    assert all(d.file and d.message for d in refused.diagnostics)
    return False, str(refused)


def written(document: Any) -> str:
    """Return a document as YAML: JSON is YAML but for the word for not-a-number."""
    return json.dumps(document, ensure_ascii=False).replace("NaN", ".nan")


def test_the_oracle_takes_the_recipe() -> None:
    assert accepted(written(RECIPE)) == (True, "")
    assert Oracle().valid(RECIPE)


@pytest.mark.parametrize("seed", range(2))
def test_a_mutant_starts_if_and_only_if_the_oracle_says_that_it_is_valid(seed: int) -> None:
    draw = random.Random(f"recipe mutants {seed}")
    verdicts: Counter[bool] = Counter()
    for _ in range(200):
        document = mutant(draw)
        taken, said = accepted(written(document))
        assert taken == Oracle().valid(document), f"{'taken' if taken else said}\n{written(document)}"
        verdicts[taken] += 1
    assert verdicts[True] > 10, "mutants that are still valid are among them"
    assert verdicts[False] > 100


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**9), st.sampled_from(["car_t_cd19", "icasp9_dcd19", "osteoblast_graft"]))
def test_shipped_recipes_with_broken_bytes_are_read_or_refused_in_words(seed: int, name: str) -> None:
    draw = random.Random(seed)
    text = (config_folder() / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(lines))
        kind = draw.randrange(5)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[draw.randrange(len(lines))])
        elif kind == 2:
            new = draw.choice([" ", "", "\t", "&a ", "*a", "é"])
            lines[at] = lines[at].replace(draw.choice(": {}[]$\"'_ae0."), new, 1)
        elif kind == 3:
            cut = draw.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:cut] + "\n"
        else:
            lines[at] = " " * draw.randint(0, 4) + lines[at]
    accepted("".join(lines))


@pytest.mark.parametrize("content", [b"", b"\x00\x01", b"\xff\xfe", b"[" * 300, b"a: &a [*a]", b"? {a: b}\n: c",
                                     b"- " * 500, b"a: !!python/object:os.system x", b"{" + b"a: {" * 200])  # fmt: skip
def test_the_command_survives_any_file(tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    for act in (["validate"], ["show"], ["diff", str(path)], ["validate", "--json"]):
        assert command.main([*act, str(path)]) == 1
    said = capsys.readouterr()
    assert "Traceback" not in said.err + said.out
