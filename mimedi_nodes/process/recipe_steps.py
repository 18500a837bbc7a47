# SPDX-License-Identifier: Apache-2.0
"""Reads the steps of a recipe or sub-recipe, kind by kind; what is wrong is collected with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .control_rules import RULES
from .interfaces import snake_to_camel
from .recipe import SubRecipe
from .requirements import inheriting, read_requirements
from .steps import (
    AnswerType,
    AwaitResultsStep,
    CallStep,
    ControlStep,
    DecideStep,
    IdentityExpectation,
    IfStep,
    LaboratoryStep,
    LoopStep,
    NotYetStep,
    ParallelStep,
    PhaseStep,
    PromptStep,
    SamplePlan,
    SavedValue,
    SetStep,
    Step,
    StopTimerStep,
    TimerStep,
    WaitStep,
    WaitTimerStep,
    relocated,
)
from .yaml_tree import Reader, Tree, plain_mapping

ID = re.compile(r"[a-z][a-z0-9_]{0,47}")
_DO = re.compile(r"(?P<module>[a-z][a-z0-9_]*)/(?P<action>[a-z][a-z0-9_]*)")
_BUILTIN_NAMES = ("batch",)

# The key that tells the kind of a step, and what else may stand next to it.
KINDS: Mapping[str, tuple[str, ...]] = {
    "do": ("with", "requires", "resume", "max_outage_h", "save", "reason", "expected_h"),
    "take": ("requires", "resume", "max_outage_h", "reason"),
    "use": ("with",),
    "parallel": ("until",),
    "while": ("max", "phases"),
    "repeat": ("until", "max"),
    "if": ("then", "else"),
    "prompt": ("answers", "answer", "expect", "identity", "otherwise", "within_h"),
    "laboratory": ("sample", "purpose"),
    "await_results": ("sample", "timeout_h"),
    "set": (),
    "wait_h": (),
    "timer": (),
    "stop_timer": (),
    "wait_timer": ("hours",),
    "control": ("with", "limits", "sign"),
    "decide": ("when", "cause", "ask"),
    "not_yet": (),
}


class StepReader:
    """Reads steps; remembers the line of every path and the ids used.

    Args:
        file: name for the diagnostics.
        part: returns a sub-recipe by name, None (with diagnostics of its own) when it cannot be used.
    """

    def __init__(self, file: str, part: Callable[[Reader, Tree, str], SubRecipe | None]) -> None:
        self.reader = Reader(file)
        self.ids: dict[str, int] = {}
        # Line of every path, for the checks that come after reading.
        self.lines: dict[str, int] = {}
        self.plans: dict[str, SamplePlan] = {}
        self.parts: dict[str, SubRecipe] = {}
        # What the steps that are read next inherit.
        self.requires: Mapping[str, Any] = {}
        self._part = part

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

    def steps(self, tree: Tree | None, above: str, at_least: int = 0) -> tuple[Step, ...]:
        """Return the steps of a list, below the path `above`."""
        return tuple(step for item in self.reader.items(tree, at_least) for step in self._step(item, above))

    def _step(self, tree: Tree, above: str) -> tuple[Step, ...]:
        kinds = [key for key in KINDS if isinstance(tree.value, dict) and key in tree.value]
        if not isinstance(tree.value, dict) or len(kinds) != 1:
            found = f"{len(kinds)} of them: {', '.join(kinds)}" if kinds else "none"
            self.reader.wrong(tree, f"a step has exactly one kind, this has {found}", ", ".join(KINDS))
            return ()
        kind = kinds[0]
        items = self.reader.mapping(tree, ("id", kind), KINDS[kind])
        name = self.name(items.get("id"))
        path = f"{above}.{name}"
        self.unique(items.get("id", tree), name)
        self.lines[path] = tree.line
        for key, item in items.items():
            self._note_lines(f"{path}.{key}", item)
        if kind == "take":
            return self._take(items, name, path, tree.line)
        readers: Mapping[str, Callable[[Any, str, str, int], Step]] = {
            "do": self._phase,
            "parallel": self._parallel,
            "while": self._loop,
            "repeat": self._repeat,
            "if": self._if,
            "prompt": self._prompt,
            "laboratory": self._laboratory,
            "await_results": self._await_results,
            "set": self._set,
            "wait_h": self._wait,
            "not_yet": self._not_yet,
            "use": self._use,
            "timer": self._timer,
            "stop_timer": self._stop_timer,
            "wait_timer": self._wait_timer,
            "decide": self._decide,
            "control": self._control,
        }
        return (readers[kind](items, name, path, tree.line),)

    def _note_lines(self, path: str, tree: Tree) -> None:
        self.lines[path] = tree.line
        if isinstance(tree.value, dict):
            for key, item in tree.value.items():
                self.lines[f"{path}.{key}"] = item.line

    def _phase(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        match = _DO.fullmatch(self.reader.text(items["do"]))
        if match is None:
            self.reader.wrong(items["do"], "not a phase", "module/action_in_snake_case")
        return self._phase_step(
            items,
            name,
            path,
            line,
            match["module"] if match else "",
            snake_to_camel(match["action"]) if match else "",
            plain_mapping(self.reader.mapping(items.get("with"), optional=None)),
        )

    def _phase_step(
        self, items: dict[str, Tree], name: str, path: str, line: int, module: str, action: str, fields: dict[str, Any]
    ) -> PhaseStep:
        expected = items.get("expected_h")
        return PhaseStep(
            name,
            path,
            line,
            module=module,
            action=action,
            fields=fields,
            requires=read_requirements(self.reader, items.get("requires"), self.requires),
            resume=self.reader.text(items.get("resume"), ("auto", "ask", "never"), "ask"),  # type: ignore[arg-type]
            max_outage_h=self.reader.number(items.get("max_outage_h"), 0.0, 1000.0),
            save=self.saved(items.get("save"), unit_wanted=False),
            reason=self.reader.text(items.get("reason")),
            expected_h=None if expected is None else self.reader.number(expected, 0.0, 10000.0),
        )

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

    def _parallel(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        branches = {
            key: self.steps(item, path, at_least=1)
            for key, item in self.reader.mapping(items["parallel"], optional=None).items()
        }
        if len(branches) < 2:
            self.reader.wrong(items["parallel"], "fewer than two branches", "branch: [steps], twice or more")
        until = self.reader.text(items.get("until"), tuple(branches)) or None
        return ParallelStep(name, path, line, branches, until)

    def _loop(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        if "max" not in items or "phases" not in items:
            self.reader.wrong(items["while"], "a loop needs 'max' and 'phases'", "while, max, phases")
        condition, limit = self.reader.text(items["while"]), self._turns(items)
        return LoopStep(name, path, line, condition, limit, self.steps(items.get("phases"), path, 1))

    def _repeat(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        if "max" not in items or "until" not in items:
            self.reader.wrong(items["repeat"], "repeating needs 'until' and 'max'", "repeat: [steps], until, max")
        condition, limit = self.reader.text(items.get("until")), self._turns(items)
        return LoopStep(name, path, line, condition, limit, self.steps(items["repeat"], path, 1), until=True)

    def _turns(self, items: dict[str, Tree]) -> int:
        limit = self.reader.number(items.get("max"), 1, 100000, default=1)
        if limit != int(limit):
            self.reader.wrong(items["max"], "not a whole number", "1 to 100000")
        return int(limit)

    def _if(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        if "then" not in items:
            self.reader.wrong(items["if"], "a condition needs 'then'", "if, then, else")
        return IfStep(
            name,
            path,
            line,
            self.reader.text(items["if"]),
            self.steps(items.get("then"), path),
            self.steps(items.get("else"), path),
        )

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

    def _take(self, items: dict[str, Tree], name: str, path: str, line: int) -> tuple[Step, ...]:
        """A sample of the plan: the phase that draws it, then the order of its tests."""
        point = self.reader.text(items["take"])
        plan = self.plans.get(point)
        if plan is None:
            if point:
                allowed = ", ".join(self.plans) or "none: the recipe has no key 'sampling'"
                self.reader.wrong(items["take"], "not in the sampling plan", allowed)
            return ()
        fields = {
            "container": plan.container,
            "destination": plan.destination,
            "volume_ul": plan.volume_ul,
            "test_point": point,
        }
        phase = self._phase_step(items, name, path, line, "fluidics", "TakeSample", fields)
        steps: list[Step] = [PhaseStep(**{**vars(phase), "sampling": plan})]
        if plan.tests:
            order = f"{name}_order"
            self.unique(items["id"] if "id" in items else items["take"], order)
            below = f"{path.rpartition('.')[0]}.{order}"
            self.lines[below] = line
            steps.append(LaboratoryStep(order, below, line, f"${{{name}.sample_id}}", plan.tests, plan.purpose))
        return tuple(steps)

    def _use(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        part_name = self.reader.text(items["use"])
        arguments = plain_mapping(self.reader.mapping(items.get("with"), optional=None))
        part = self._part(self.reader, items["use"], part_name) if part_name else None
        if part is None:
            return CallStep(name, path, line, part_name, arguments, (), ())
        self.parts[part_name] = part
        steps = tuple(inheriting(relocated(step, path), self.requires) for step in part.steps)
        return CallStep(name, path, line, part_name, arguments, steps, part.results)

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

    def _hours(self, tree: Tree | None) -> Any:
        text = tree is not None and isinstance(tree.value, str)
        return self.reader.text(tree) if text else self.reader.number(tree, 0.0, 10000.0)
