# SPDX-License-Identifier: Apache-2.0
"""Reads the steps of a recipe that hold no other steps: questions, laboratory, values, timers, decisions, samples."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..control.rules import RULES
from ..yaml_tree import Reader, Tree, plain_mapping
from .steps import (
    AnswerType,
    AwaitResultsStep,
    ControlStep,
    DecideStep,
    IdentityExpectation,
    LaboratoryStep,
    NotYetStep,
    PromptStep,
    SamplePlan,
    SavedValue,
    SetStep,
    Step,
    StopTimerStep,
    TimerStep,
    WaitStep,
    WaitTimerStep,
)

ID = re.compile(r"[a-z][a-z0-9_]{0,47}")
_BUILTIN_NAMES = ("batch",)


class SimpleStepReader:
    """Reads steps without steps inside; remembers the ids used.

    Args:
        file: name for the diagnostics.
    """

    def __init__(self, file: str) -> None:
        self.reader = Reader(file)
        self.ids: dict[str, int] = {}

    def name(self, tree: Tree | None) -> str:
        """Return a name: small letters, digits and _."""
        name = self.reader.text(tree)
        if tree is not None and name and not ID.fullmatch(name):
            self.reader.wrong(tree, "not a name", "small letters, digits and _, beginning with a letter, ≤ 48")
        return name

    def unique(self, tree: Tree, name: str) -> None:
        """Note a name; it may be used once."""
        if name in _BUILTIN_NAMES:
            self.reader.wrong(tree, f"the name {name!r} is taken", "another name", value=name)
        elif name in self.ids:
            self.reader.wrong(
                tree,
                f"the name is used before, in line {self.ids[name]}",
                "names unique in the recipe",
                value=name,
            )
        self.ids.setdefault(name, tree.line)

    def saved(self, tree: Tree | None, unit_wanted: bool) -> tuple[SavedValue, ...]:
        """Return values that are recorded by name."""
        saved = []
        for key, item in self.reader.mapping(tree, optional=None).items():
            if not ID.fullmatch(key):
                self.reader.wrong(item, "not a name", "small letters, digits and _", value=key)
            if not isinstance(item.value, dict) and not unit_wanted:
                saved.append(SavedValue(key, self.reader.text(item), ""))
                continue
            required = ("value", "unit") if unit_wanted else ("value",)
            parts = self.reader.mapping(item, required, ("low", "high"))
            saved.append(
                SavedValue(
                    key,
                    self._expression_text(parts.get("value")),
                    self.reader.text(parts.get("unit")),
                    self._expression_text(parts["low"]) if "low" in parts else None,
                    self._expression_text(parts["high"]) if "high" in parts else None,
                )
            )
        return tuple(saved)

    def _expression_text(self, tree: Tree | None) -> str:
        if tree is not None and isinstance(tree.value, int | float) and not isinstance(tree.value, bool):
            return repr(tree.value)
        return self.reader.text(tree)

    def range(self, tree: Tree | None) -> tuple[float, float]:
        """Return a closed range [low, high]; everything when there is none."""
        ends = [self.reader.number(item) for item in self.reader.items(tree, at_least=2)]
        if tree is None or len(ends) < 2:
            return -1e300, 1e300
        low, high = ends[0], ends[1]
        if len(ends) > 2 or low > high:
            self.reader.wrong(tree, "not a range", "[low, high] with low <= high", value=ends)
            return -1e300, 1e300
        return low, high

    def _hours(self, tree: Tree | None) -> Any:
        text = tree is not None and isinstance(tree.value, str)
        return self.reader.text(tree) if text else self.reader.number(tree, 0.0, 10000.0)

    def _prompt(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        identity = None
        if "identity" in items:
            parts = self.reader.mapping(items["identity"], ("chain_of_identity", "product"))
            identity = IdentityExpectation(
                self.reader.text(parts.get("chain_of_identity")), self.reader.text(parts.get("product"))
            )
        return PromptStep(
            name,
            path,
            line,
            self.reader.text(items["prompt"]),
            self.reader.texts(items.get("answers")),
            self.reader.text(items.get("expect")) or None,
            identity,
            self.reader.text(items.get("otherwise"), ("hold", "reject"), "hold"),  # type: ignore[arg-type]
            self._answer(items),
            self.reader.number(items.get("within_h"), 0.01, 1000.0, default=4.0),
        )

    def _answer(self, items: dict[str, Tree]) -> AnswerType:
        if "answer" not in items:
            return AnswerType()
        tree = items["answer"]
        for other in ("answers", "expect", "identity"):
            if other in items:
                self.reader.wrong(items[other], f"{other!r} goes with texts, not beside 'answer'", "one of the two")
        parts = self.reader.mapping(tree, ("type",), ("unit", "range", "pattern"))
        kind = self.reader.text(parts.get("type"), ("number", "text"), "text")
        allowed = ("type", "unit", "range") if kind == "number" else ("type", "pattern")
        for key, item in parts.items():
            if key not in allowed:
                self.reader.wrong(item, f"{key!r} is of no use for a {kind}", ", ".join(allowed), value=item.plain())
        if kind == "text":
            pattern = self.reader.text(parts.get("pattern"))
            try:
                re.compile(pattern)
            except (re.error, OverflowError, RecursionError) as error:
                self.reader.wrong(parts["pattern"], f"not a pattern: {error}", "a regular expression")
                pattern = ""
            return AnswerType(pattern=pattern)
        if "unit" not in parts or "range" not in parts:
            self.reader.wrong(tree, "a number needs 'unit' and 'range'", "type: number, unit, range: [low, high]")
        low, high = self.range(parts.get("range"))
        return AnswerType("number", self.reader.text(parts.get("unit")) or "1", low, high)

    def _laboratory(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        if "sample" not in items:
            self.reader.wrong(items["laboratory"], "an order needs 'sample'", "laboratory, sample")
        return LaboratoryStep(
            name,
            path,
            line,
            self.reader.text(items.get("sample")),
            self.reader.texts(items["laboratory"], 1),
            self.reader.text(items.get("purpose"), ("in_process", "release"), "in_process"),  # type: ignore[arg-type]
        )

    def _await_results(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        if "sample" not in items or "timeout_h" not in items:
            self.reader.wrong(items["await_results"], "waiting needs 'sample' and 'timeout_h'")
        tests = {
            key: self.reader.text(item)
            for key, item in self.reader.mapping(items["await_results"], optional=None).items()
        }
        if not tests:
            self.reader.wrong(items["await_results"], "no test is named", "test: unit")
        timeout_h = self.reader.number(items.get("timeout_h"), 0.0, 10000.0)
        return AwaitResultsStep(name, path, line, self.reader.text(items.get("sample")), tests, timeout_h)

    def _set(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        return SetStep(name, path, line, self.saved(items["set"], unit_wanted=True))

    def _wait(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        return WaitStep(name, path, line, self._hours(items["wait_h"]))

    def _decide(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        for key in ("when", "cause"):
            if key not in items:
                self.reader.wrong(items["decide"], f"key {key!r} is missing", "decide, when, cause, ask")
        return self.decision(items, "when", name, path, line)

    def decision(self, items: Mapping[str, Tree], condition: str, name: str, path: str, line: int) -> DecideStep:
        """Return a decision; `condition` is the key of its condition."""
        reader = self.reader
        return DecideStep(
            name,
            path,
            line,
            reader.text(items.get(condition)),
            reader.text(items.get("decide"), ("hold", "reject"), "hold"),  # type: ignore[arg-type]
            reader.text(items.get("cause")),
            reader.text(items.get("ask")),
        )

    def _control(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        rule = self.reader.text(items["control"], tuple(RULES))
        needs = RULES.get(rule)
        fields, limits = (self.reader.mapping(items.get(k), optional=None) for k in ("with", "limits"))
        if needs is not None:
            for word, given, wanted in (("with", fields, needs.fields), ("limits", limits, needs.limits)):
                if set(given) != set(wanted):
                    place = items.get(word, items["control"])
                    said = f"rule {rule} is given {word} {', '.join(sorted(given)) or 'nothing'}"
                    self.reader.wrong(place, said, ", ".join(wanted), value=word)
        for key, item in limits.items():
            if needs is not None and needs.limits.get(key):
                self.range(item)
        sign = self.reader.flag(items.get("sign"))
        return ControlStep(name, path, line, rule, plain_mapping(fields), plain_mapping(limits), sign)

    def _not_yet(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        parts = self.reader.mapping(items["not_yet"], ("step", "module", "reason"))
        step = parts.get("step")
        number = str(step.value) if step is not None else ""
        return NotYetStep(
            name,
            path,
            line,
            number,
            self.reader.text(parts.get("module")),
            self.reader.text(parts.get("reason")),
        )

    def plan(self, name: str, tree: Tree) -> SamplePlan:
        """Return a point of the sampling plan."""
        wanted = ("container", "destination", "volume_ul", "of_ul")
        parts = self.reader.mapping(tree, wanted, ("tests", "purpose", "most", "reason"))
        self.reader.text(parts.get("reason"))
        volume = parts.get("volume_ul")
        text = volume is not None and isinstance(volume.value, str)
        return SamplePlan(
            name,
            self.reader.text(parts.get("container")),
            self.reader.text(parts.get("destination")),
            self.reader.text(volume) if text else self.reader.number(volume, 0.0, 1e9),
            self._expression_text(parts.get("of_ul")),
            self.reader.texts(parts.get("tests")),
            self.reader.text(parts.get("purpose"), ("in_process", "release"), "in_process"),  # type: ignore[arg-type]
            self.reader.number(parts.get("most"), 0.0, 1.0, default=0.05),
        )

    def _timer(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        tree = items["timer"]
        if tree.value == "start":
            return TimerStep(name, path, line)
        parts = self.reader.mapping(tree, ("within_h", "cause"), ("otherwise",))
        return TimerStep(
            name,
            path,
            line,
            self._hours(parts.get("within_h")),
            self.reader.text(parts.get("cause")),
            self.reader.text(parts.get("otherwise"), ("hold", "reject"), "hold"),  # type: ignore[arg-type]
        )

    def _stop_timer(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        return StopTimerStep(name, path, line, self.reader.text(items["stop_timer"]))

    def _wait_timer(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        if "hours" not in items:
            self.reader.wrong(items["wait_timer"], "waiting needs 'hours'", "wait_timer: id of a timer, hours")
        return WaitTimerStep(name, path, line, self.reader.text(items["wait_timer"]), self._hours(items.get("hours")))
