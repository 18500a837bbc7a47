# SPDX-License-Identifier: Apache-2.0
"""Reads the steps of a recipe or sub-recipe, kind by kind; what is wrong is collected with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ..interfaces import snake_to_camel
from ..yaml_tree import Reader, Tree, plain_mapping
from .recipe import SubRecipe
from .requirements import inheriting, read_requirements
from .simple_step_reader import SimpleStepReader
from .steps import (
    CallStep,
    IfStep,
    LaboratoryStep,
    LoopStep,
    ParallelStep,
    PhaseStep,
    SamplePlan,
    Step,
    relocated,
)

_DO = re.compile(r"(?P<module>[a-z][a-z0-9_]*)/(?P<action>[a-z][a-z0-9_]*)")

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


class StepReader(SimpleStepReader):
    """Reads steps; remembers the line of every path and the ids used.

    Args:
        file: name for the diagnostics.
        part: returns a sub-recipe by name, None (with diagnostics of its own) when it cannot be used.
    """

    def __init__(self, file: str, part: Callable[[Reader, Tree, str], SubRecipe | None]) -> None:
        super().__init__(file)
        # Line of every path, for the checks that come after reading.
        self.lines: dict[str, int] = {}
        self.plans: dict[str, SamplePlan] = {}
        self.parts: dict[str, SubRecipe] = {}
        # What the steps that are read next inherit.
        self.requires: Mapping[str, Any] = {}
        self._part = part

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
