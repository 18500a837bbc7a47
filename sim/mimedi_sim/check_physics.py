# SPDX-License-Identifier: Apache-2.0
"""Check the twin's models against reference values: a registry from model names to the functions the twin uses.

Run as `python -m mimedi_sim.check_physics FILE.json [--json]`. A reference entry names a model, its inputs (in the
units of the file), one output and a relative tolerance. An entry whose model is not in the registry fails with
"model not implemented yet": it is never passed over.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mimedi_sim.physics_registry import REGISTRY
from mimedi_sim.reference_vocabulary import ReadInputs, Vocabulary

REFERENCE_FILE = Path(__file__).parent / "reference" / "physics.json"
NOT_IMPLEMENTED = "model not implemented yet"

ModelFunction = Callable[[Mapping[str, Any]], Mapping[str, float] | float]


@dataclass(frozen=True)
class EntryResult:
    """Verdict on one reference entry; got and relative_error are NaN if the model could not be evaluated."""

    id: str
    model: str
    expected: float
    got: float
    relative_error: float
    rtol: float
    passed: bool
    message: str = ""


def load_entries(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a reference file.

    Raises: ValueError if the file is not a list of entries with id, model, inputs, output and rtol.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_without_twice)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error})") from error
    except RecursionError as error:
        raise ValueError(f"{path} is nested too deeply; expected a list of entries") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}); give a file such as {REFERENCE_FILE.name}") from error
    if not isinstance(entries, list):
        raise ValueError(f"{path} holds a {type(entries).__name__}; expected a list of entries")
    for number, entry in enumerate(entries):
        fault = _fault_of(entry)
        if fault:
            raise ValueError(f"entry {number} of {path} {fault}")
    return entries


def _without_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; ValueError if a key stands in it twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(k for k in keys if keys.count(k) > 1)!r} stands twice in one object")
    return found


def _fault_of(entry: Any) -> str:
    """Return what is wrong with the form of an entry, an empty text if nothing is."""
    if not isinstance(entry, dict):
        return f"is a {type(entry).__name__}, not an object"
    missing = {"id", "model", "inputs", "output", "rtol"} - set(entry)
    if missing:
        return f"lacks {', '.join(sorted(missing))}"
    inputs, output, rtol = entry["inputs"], entry["output"], entry["rtol"]
    if not isinstance(entry["model"], str):
        return f"({entry['id']}) has model {entry['model']!r}; allowed: the name of a model"
    if not isinstance(inputs, list) or not all(_is_named(i) and "value" in i for i in inputs):
        return f"({entry['id']}) has inputs that are no list of objects with name and value"
    if not _is_named(output) or not _is_number(output.get("value")):
        return f"({entry['id']}) has no output with a name and a finite number as value"
    if not _is_number(rtol) or rtol < 0:
        return f"({entry['id']}) has rtol {rtol!r}; allowed: a number >= 0"
    return ""


def _is_named(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("name"), str)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


@cache
def _vocabulary() -> Vocabulary:
    return Vocabulary(load_entries(REFERENCE_FILE))


def evaluate_entry(entry: Mapping[str, Any], registry: Mapping[str, ModelFunction] | None = None) -> EntryResult:
    """Return the verdict on one entry; errors of the model become failures with their message."""
    functions = REGISTRY if registry is None else registry
    expected, rtol = float(entry["output"]["value"]), float(entry["rtol"])
    got, message = math.nan, ""
    function = functions.get(entry["model"])
    if function is None:
        message = NOT_IMPLEMENTED
    else:
        got, message = _evaluated(function, entry)
    scale = abs(expected) if expected != 0.0 else 1.0
    error_size = abs(got - expected) / scale
    passed = math.isfinite(got) and error_size <= rtol
    if not passed and not message:
        message = f"differs by {error_size:.3g}, allowed {rtol:g}"
    return EntryResult(str(entry["id"]), str(entry["model"]), expected, got, error_size, rtol, passed, message)


def _evaluated(function: ModelFunction, entry: Mapping[str, Any]) -> tuple[float, str]:
    """Return what a model gives for an entry, or NaN and what is wrong with the entry."""
    words = _vocabulary()
    message = words.fault_of_inputs(entry)
    if message:
        return math.nan, message
    inputs = ReadInputs({item["name"]: item["value"] for item in entry["inputs"]})
    try:
        result = function(inputs)
    except KeyError as error:
        return math.nan, f"the model lacks the input {error}"
    except (ValueError, ArithmeticError, TypeError, AttributeError, IndexError) as error:
        return math.nan, f"{type(error).__name__}: {error}"
    is_scalar = not isinstance(result, Mapping)
    message = words.fault_of_use(entry, inputs.asked, is_scalar)
    if not message and isinstance(result, Mapping) and entry["output"]["name"] not in result:
        message = f"output {entry['output']['name']!r} is unknown to this model; it yields {', '.join(result)}"
    if message:
        return math.nan, message
    return float(result[entry["output"]["name"]] if isinstance(result, Mapping) else result), ""


def evaluate_file(path: Path = REFERENCE_FILE) -> list[EntryResult]:
    """Return the verdicts on every entry of a reference file, in its order."""
    return [evaluate_entry(entry) for entry in load_entries(path)]


def _as_json(results: Sequence[EntryResult]) -> str:
    def plain(result: EntryResult) -> dict[str, Any]:
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(result).items()}

    failed = sum(not result.passed for result in results)
    return json.dumps({"entries": [plain(r) for r in results], "failed": failed, "total": len(results)}, indent=1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the verdicts; return 0 if all pass, 1 on any miss, 2 if the file cannot be read or holds nothing."""
    parser = argparse.ArgumentParser(
        prog="workcell check-physics",
        description="Evaluates every entry of a file of reference values through the models that the simulated plant "
        "uses. Exit status: 0 all pass; 1 an entry misses its tolerance or has no model; 2 the file cannot be used.",
        epilog="Example: ./workcell check-physics sim/mimedi_sim/reference/physics.json --json",
    )
    parser.add_argument(
        "file", nargs="?", type=Path, default=REFERENCE_FILE, help="reference file (JSON; default: the shipped one)"
    )
    parser.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    options = parser.parse_args(arguments)
    try:
        results = evaluate_file(options.file)
    except (OSError, ValueError) as error:
        print(f"check-physics: {error}", file=sys.stderr)
        return 2
    if not results:
        print(f"check-physics: {options.file} holds no entries; nothing was checked", file=sys.stderr)
        return 2
    if options.json:
        print(_as_json(results))
    else:
        for r in results:
            verdict = "ok  " if r.passed else "FAIL"
            print(f"{verdict} {r.id:22} expected {r.expected:<12.6g} got {r.got:<12.6g} "
                  f"error {r.relative_error:<9.2g} {r.message}".rstrip())
        print(f"{sum(r.passed for r in results)} of {len(results)} entries pass")
    return 0 if all(r.passed for r in results) else 1


if __name__ == "__main__":
    sys.exit(main())
