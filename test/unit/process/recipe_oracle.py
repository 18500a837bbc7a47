# SPDX-License-Identifier: Apache-2.0
"""An oracle for recipes, written from the documentation and not from the loader: it shares no code with it.

It knows what `RECIPE` uses: parameters, phases, prompts, computed values, waits, laboratory, results, parallel branches
and decisions. It reads the action files by its own pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

ACTIONS = Path(__file__).parents[3] / "mimedi_msgs" / "action"
MODULES = {
    "fluidics": {"transfer_fluid", "take_sample"},
    "acoustic_sorter": {"tune_transducer", "sort_cells"},
    "vision_qc": {"inspect_sample"},
    "incubator": {"expand_culture"},
}
NAME = re.compile(r"[a-z][a-z0-9_]{0,47}\Z")
WORD = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
FIELD = re.compile(
    r"^(?P<type>[a-zA-Z0-9]+)(?P<array>\[\])? (?P<name>[a-z][a-z0-9_]*)(?: (?P<default>\S+))?\s+# "
    r"\[(?P<unit>[^\]]*)\] .*?; unknown: (?P<unknown>[^;]+); range: (?P<range>.+?)\s*$"
)
FUNCTIONS = {"min", "max", "abs", "round", "sqrt", "log10", "exp", "hours", "days"}
SPOKEN = {"and", "or", "not", "if", "else", "True", "False"}
KINDS = {
    "do": {"with", "requires", "resume", "max_outage_h", "save", "reason", "expected_h"},
    "prompt": {"answers", "expect", "identity", "otherwise", "answer", "within_h"},
    "set": set(), "wait_h": set(), "laboratory": {"sample", "purpose"}, "await_results": {"sample", "timeout_h"},
    "parallel": {"until"},
}  # fmt: skip
OTHER_KINDS = {
    "take", "use", "while", "repeat", "if", "timer", "stop_timer", "wait_timer", "decide", "not_yet", "control",
}  # fmt: skip


class Wrong(Exception):
    """The recipe is not valid."""


@cache
def fields(action: str, part: int) -> dict[str, dict[str, str]]:
    """Return goal (0) or result (1) fields of an action as the file says."""
    file = ACTIONS / f"{''.join(word.capitalize() for word in action.split('_'))}.action"
    section = file.read_text(encoding="utf-8").split("\n---\n")[part]
    found = (FIELD.match(line) for line in section.splitlines())
    return {m["name"]: {**m.groupdict(), "array": m["array"] or ""} for m in found if m}


@cache
def all_units() -> set[str]:
    units = set()
    for file in ACTIONS.glob("*.action"):
        for part in file.read_text(encoding="utf-8").split("\n---\n")[:2]:
            units |= {m["unit"] for line in part.splitlines() if (m := FIELD.match(line))}
    return units


def need(condition: Any) -> None:
    if not condition:
        raise Wrong


def keys(item: Any, required: Iterable[str], optional: Iterable[str] = ()) -> None:
    need(isinstance(item, dict))
    need(set(required) <= set(item) <= set(required) | set(optional))


def text(value: Any, choices: Iterable[str] = ()) -> str:
    need(isinstance(value, str) and value.strip())
    need(not list(choices) or value in choices)
    return str(value)


def number(value: Any, low: float = -1e300, high: float = 1e300) -> float:
    need(isinstance(value, int | float) and not isinstance(value, bool))
    need(low <= value <= high)
    return float(value)


class Oracle:
    """Judges one document."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.units = all_units()
        self.ranges: dict[str, tuple[float, float]] = {}

    def valid(self, document: Any) -> bool:
        """Return whether the document is a recipe that may start (as an engineering run, if it is not approved)."""
        try:
            self._recipe(document)
        except Wrong:
            return False
        return True

    def _recipe(self, top: Any) -> None:
        keys(top, ("recipe", "version", "status", "product", "procedure"), ("description", "parameters"))
        self._name(top["recipe"])
        self._name(top["product"])
        need(re.fullmatch(r"\d+\.\d+\.\d+", text(top["version"])))
        text(top["status"], ("draft", "under_qualification", "approved"))
        if "description" in top:
            text(top["description"])
        known = {
            "batch.batch_id": "id", "batch.patient_id": "id", "batch.donor_id": "id",
            "batch.patient_weight_kg": "kg", "batch.elapsed_h": "h",
        }  # fmt: skip
        parameters = top.get("parameters", {})
        need(isinstance(parameters, dict))
        for name, item in parameters.items():
            self._new(name)
            keys(item, ("value", "unit", "range"), ("description",))
            need(isinstance(item["range"], list) and len(item["range"]) == 2)
            low, high = (number(end) for end in item["range"])
            need(low <= high)
            number(item["value"], low, high)
            need(text(item["unit"]) in self.units)
            if "description" in item:
                text(item["description"])
            known[name], self.ranges[name] = item["unit"], (low, high)
        paths = set()
        need(isinstance(top["procedure"], list) and top["procedure"])
        for unit_procedure in top["procedure"]:
            keys(unit_procedure, ("unit_procedure", "operations"))
            self._name(unit_procedure["unit_procedure"])
            need(isinstance(unit_procedure["operations"], list) and unit_procedure["operations"])
            for operation in unit_procedure["operations"]:
                keys(operation, ("operation", "phases"), ("then",))
                path = (unit_procedure["unit_procedure"], self._name(operation["operation"]))
                need(path not in paths)
                paths.add(path)
                self._steps(operation["phases"], known)
                need(isinstance(operation.get("then", []), list))
                for decision in operation.get("then", []):
                    keys(decision, ("if", "decide", "cause"), ("ask",))
                    text(decision["decide"], ("hold", "reject"))
                    self._expression(text(decision["if"]), known)
                    for word in ("cause", "ask"):
                        if word in decision:
                            self._template(text(decision[word]), known)

    def _name(self, value: Any) -> str:
        need(NAME.match(text(value)))
        return str(value)

    def _new(self, value: Any) -> None:
        need(self._name(value) != "batch" and value not in self.ids)
        self.ids.add(value)

    def _steps(self, steps: Any, known: dict[str, str]) -> None:
        need(isinstance(steps, list) and steps)
        for step in steps:
            need(isinstance(step, dict))
            kinds = [key for key in step if key in KINDS or key in OTHER_KINDS]
            need(len(kinds) == 1 and kinds[0] in KINDS)
            kind = kinds[0]
            keys(step, ("id", kind), KINDS[kind])
            self._new(step["id"])
            getattr(self, f"_{kind}")(step, known)

    def _do(self, step: dict[str, Any], known: dict[str, str]) -> None:
        module, slash, action = text(step["do"]).partition("/")
        need(slash and action in MODULES.get(module, ()))
        goal = {name: field for name, field in fields(action, 0).items() if name != "header"}
        given = step.get("with", {})
        need(isinstance(given, dict) and set(given) <= set(goal))
        for name, field in goal.items():
            if name in given:
                self._field(field, given[name], known)
            else:
                need(field["default"] is not None or field["unknown"] != "never")
        text(step.get("resume", "ask"), ("auto", "ask", "never"))
        number(step.get("max_outage_h", 0.0), 0.0, 1000.0)
        if "expected_h" in step:
            number(step["expected_h"], 0.0, 10000.0)
        if "reason" in step:
            text(step["reason"])
        requires = step.get("requires", {})
        keys(requires, (), ("processing", "grade", "background"))
        if "processing" in requires:
            text(requires["processing"], ("open", "closed"))
        if "grade" in requires:
            text(requires["grade"], ("A", "B", "C", "D"))
        need(isinstance(requires.get("background", True), bool))
        results = fields(action, 1)
        need(isinstance(step.get("save", {}), dict))
        for name, saved in step.get("save", {}).items():
            self._name(name)
            if isinstance(saved, dict):
                keys(saved, ("value",), ("low", "high"))
            for end in saved.values() if isinstance(saved, dict) else [saved]:
                need(isinstance(end, str) and end in results)
        known |= {f"{step['id']}.{name}": field["unit"] for name, field in results.items()}

    def _field(self, field: dict[str, str], value: Any, known: dict[str, str]) -> None:
        wants_text = field["type"] == "string"
        if isinstance(value, str) and "${" in value:
            self._template(value, known)
            whole = re.fullmatch(r"\$\{([^{}]*)\}", value.strip())
            need(whole or wants_text)
            if whole and whole[1].strip() in known:
                unit = known[whole[1].strip()]
                need((unit in ("id", "text")) == wants_text and (wants_text or unit == field["unit"]))
                if whole[1].strip() in self.ranges and not wants_text:
                    low, high = self._range(field)
                    need(self.ranges[whole[1].strip()][0] >= low and self.ranges[whole[1].strip()][1] <= high)
            return
        if wants_text:
            need(isinstance(value, str) and (value or field["unknown"] != "never"))
            choices = re.fullmatch(r"\{(.*)\}", field["range"])
            need(not choices or not value or value in re.split(r"\s*,\s*", choices[1]))
            return
        if field["type"] == "bool":
            need(isinstance(value, bool))
            return
        low, high = self._range(field)
        need(isinstance(value, int | float) and not isinstance(value, bool))
        need(value == value or field["unknown"] == "NaN")
        need(not field["type"].startswith(("uint", "int")) or float(value).is_integer())
        need(value != value or (low <= value <= high and abs(value) != float("inf")))

    @staticmethod
    def _range(field: dict[str, str]) -> tuple[float, float]:
        ends = re.fullmatch(r"\[(.*), (.*)\]", field["range"])
        low, high = (float(ends[1]), float(ends[2])) if ends else (-float("inf"), float("inf"))
        if field["type"].startswith("uint"):
            low = max(low, 0.0)
        return low, high

    def _prompt(self, step: dict[str, Any], known: dict[str, str]) -> None:
        need("answer" not in step)
        self._template(text(step["prompt"]), known)
        need(isinstance(step.get("answers", []), list))
        for answer in step.get("answers", []):
            text(answer)
        if "expect" in step:
            self._template(text(step["expect"]), known)
        text(step.get("otherwise", "hold"), ("hold", "reject"))
        number(step.get("within_h", 4.0), 0.01, 1000.0)
        if "identity" in step:
            keys(step["identity"], ("chain_of_identity", "product"))
            self._template(text(step["identity"]["chain_of_identity"]), known)
            text(step["identity"]["product"])
        known[f"{step['id']}.answer"] = "text"

    def _set(self, step: dict[str, Any], known: dict[str, str]) -> None:
        need(isinstance(step["set"], dict))
        for name, saved in step["set"].items():
            self._name(name)
            keys(saved, ("value", "unit"), ("low", "high"))
            text(saved["unit"])
            for end in ("value", "low", "high"):
                if end in saved:
                    value = saved[end]
                    is_number = isinstance(value, int | float) and not isinstance(value, bool)
                    self._expression(repr(value) if is_number else text(value), known)
            source = known.get(str(saved["value"]).strip())
            need(source is None or source == saved["unit"])
            known[f"{step['id']}.{name}"] = saved["unit"]

    def _wait_h(self, step: dict[str, Any], known: dict[str, str]) -> None:
        if isinstance(step["wait_h"], str):
            need(re.fullmatch(r"\$\{[^{}]*\}", text(step["wait_h"]).strip()))
            self._template(step["wait_h"], known)
        else:
            number(step["wait_h"], 0.0, 10000.0)

    def _laboratory(self, step: dict[str, Any], known: dict[str, str]) -> None:
        need("sample" in step and isinstance(step["laboratory"], list) and step["laboratory"])
        for test in step["laboratory"]:
            text(test)
        self._template(text(step["sample"]), known)
        text(step.get("purpose", "in_process"), ("in_process", "release"))

    def _await_results(self, step: dict[str, Any], known: dict[str, str]) -> None:
        need("sample" in step and "timeout_h" in step)
        need(isinstance(step["await_results"], dict) and step["await_results"])
        self._template(text(step["sample"]), known)
        number(step["timeout_h"], 0.0, 10000.0)
        for test, unit in step["await_results"].items():
            known |= {f"{step['id']}.{test}{end}": text(unit) for end in ("", "_low", "_high")}
            known[f"{step['id']}.{test}_status"] = "id"

    def _parallel(self, step: dict[str, Any], known: dict[str, str]) -> None:
        branches = step["parallel"]
        need(isinstance(branches, dict) and len(branches) >= 2)
        if "until" in step:
            text(step["until"], branches)
        gained: dict[str, str] = {}
        for branch in branches.values():
            inside = dict(known)
            self._steps(branch, inside)
            gained |= inside
        known |= gained

    def _template(self, value: str, known: dict[str, str]) -> None:
        inner = re.findall(r"\$\{([^{}]*)\}", value)
        need(len(inner) == value.count("${"))
        for expression in inner:
            self._expression(expression, known)

    @staticmethod
    def _expression(expression: str, known: dict[str, str]) -> None:
        need(expression.strip())
        try:
            compile(expression.strip(), "", "eval")
        except (SyntaxError, ValueError):
            raise Wrong from None
        bare = re.sub(r"'[^']*'|\"[^\"]*\"|\d+(\.\d*)?(e[+-]?\d+)?", " ", expression)
        for word in WORD.findall(bare):
            if word not in SPOKEN and not (word in FUNCTIONS and re.search(rf"\b{word}\s*\(", bare)):
                need(word in known)
