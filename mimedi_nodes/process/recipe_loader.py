# SPDX-License-Identifier: Apache-2.0
"""Reads a master recipe: every error at once, each with file, line, path, value and what is allowed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from .diagnostics import Diagnostic, DiagnosticError
from .interfaces import Interfaces, default_interfaces, snake_to_camel
from .recipe import (
    AwaitResultsStep,
    Decision,
    IdentityExpectation,
    IfStep,
    LaboratoryStep,
    LoopStep,
    NotYetStep,
    Operation,
    ParallelStep,
    Parameter,
    PhaseStep,
    PromptStep,
    Recipe,
    SavedValue,
    SetStep,
    Step,
    UnitProcedure,
    WaitStep,
)
from .recipe_check import check_recipe
from .yaml_tree import Reader, Tree, plain_mapping

STATUSES = ("draft", "under_qualification", "approved")
_ID = re.compile(r"[a-z][a-z0-9_]{0,47}")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_DO = re.compile(r"(?P<module>[a-z][a-z0-9_]*)/(?P<action>[a-z][a-z0-9_]*)")
_BUILTIN_NAMES = ("batch",)

# The key that tells the kind of a step, and what else may stand next to it.
_KINDS: Mapping[str, tuple[str, ...]] = {
    "do": ("with", "requires", "resume", "max_outage_h", "save", "reason", "expected_h"),
    "parallel": ("until",),
    "while": ("max", "phases"),
    "if": ("then", "else"),
    "prompt": ("answers", "expect", "identity", "otherwise"),
    "laboratory": ("sample", "purpose"),
    "await_results": ("sample", "timeout_h"),
    "set": (),
    "wait_h": (),
    "not_yet": (),
}


def load_recipe(
    path: Path,
    manifest: Mapping[str, Collection[str]] | None = None,
    interfaces: Interfaces | None = None,
) -> Recipe:
    """Read and check a recipe file.

    Args:
        path: the file.
        manifest: module → CamelCase actions that it offers; None checks no modules.
        interfaces: the interface definitions; those of this installation when None.

    Raises:
        DiagnosticError: with everything that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DiagnosticError([Diagnostic(str(path), 0, "", None, f"cannot be read: {error}")]) from error
    return read_recipe(text, path.name, manifest, interfaces)


def read_recipe(
    text: str,
    file: str,
    manifest: Mapping[str, Collection[str]] | None = None,
    interfaces: Interfaces | None = None,
) -> Recipe:
    """Read and check the text of a recipe; see `load_recipe`."""
    builder = _Builder(file)
    recipe = builder.recipe(text)
    if recipe is not None:
        diagnostics = check_recipe(recipe, file, builder.lines, manifest, interfaces or default_interfaces())
        builder.reader.diagnostics.extend(diagnostics)
    builder.reader.finish()
    assert recipe is not None, "a recipe that could not be read has at least one diagnostic"
    return recipe


class _Builder:
    def __init__(self, file: str) -> None:
        self.reader = Reader(file)
        self.ids: dict[str, int] = {}
        # Line of every path, for the checks that come after reading.
        self.lines: dict[str, int] = {}

    def recipe(self, text: str) -> Recipe | None:
        tree = self.reader.load(text)
        if tree is None:
            return None
        top = self.reader.mapping(
            tree, ("recipe", "version", "status", "product", "procedure"), ("description", "parameters")
        )
        if not top:
            return None
        name = self._name(top.get("recipe"))
        version = self.reader.text(top.get("version"))
        if "version" in top and version and not _VERSION.fullmatch(version):
            self.reader.wrong(top["version"], "not a version", "three numbers such as 1.0.0")
        parameters = {
            key: self._parameter(key, item)
            for key, item in self.reader.mapping(top.get("parameters"), optional=None).items()
        }
        procedure = tuple(self._unit_procedure(item) for item in self.reader.items(top.get("procedure"), at_least=1))
        return Recipe(
            name=name,
            version=version,
            status=self.reader.text(top.get("status"), STATUSES),
            product=self._name(top.get("product")),
            description=self.reader.text(top.get("description")),
            parameters=parameters,
            procedure=procedure,
            content_hash=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        )

    def _name(self, tree: Tree | None) -> str:
        name = self.reader.text(tree)
        if tree is not None and name and not _ID.fullmatch(name):
            self.reader.wrong(tree, "not a name", "small letters, digits and _, beginning with a letter, ≤ 48")
        return name

    def _unique(self, tree: Tree, name: str) -> None:
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

    def _parameter(self, name: str, tree: Tree) -> Parameter:
        if not _ID.fullmatch(name):
            self.reader.wrong(tree, "not a name", "small letters, digits and _", value=name)
        self._unique(tree, name)
        self.lines[f"parameters.{name}"] = tree.line
        items = self.reader.mapping(tree, ("value",), ("unit", "range", "choices", "description"))
        unit = self.reader.text(items.get("unit"))
        if "choices" in items:
            choices = self.reader.texts(items["choices"], at_least=1)
            value = self.reader.text(items.get("value"), choices)
            return Parameter(name, value, unit or "id", choices=choices)
        if "unit" not in items and items:
            self.reader.wrong(tree, "key 'unit' is missing", "a unit as the interfaces use them, e.g. uL, 1/mL")
        if "range" not in items and items:
            self.reader.wrong(tree, "key 'range' is missing", "range: [low, high]")
        ends = [self.reader.number(item) for item in self.reader.items(items.get("range"), at_least=2)]
        low, high = (ends[0], ends[1]) if len(ends) == 2 else (-1e300, 1e300)
        if "range" in items and (len(ends) > 2 or low > high):
            self.reader.wrong(items["range"], "not a range", "[low, high] with low <= high", value=ends)
            low, high = -1e300, 1e300
        return Parameter(name, self.reader.number(items.get("value"), low, high, default=low), unit, low, high)

    def _unit_procedure(self, tree: Tree) -> UnitProcedure:
        items = self.reader.mapping(tree, ("unit_procedure", "operations"))
        name = self._name(items.get("unit_procedure"))
        operations = tuple(
            self._operation(item, name) for item in self.reader.items(items.get("operations"), at_least=1)
        )
        return UnitProcedure(name, operations)

    def _operation(self, tree: Tree, above: str) -> Operation:
        items = self.reader.mapping(tree, ("operation", "phases"), ("then",))
        path = f"{above}.{self._name(items.get('operation'))}"
        if path in self.lines:
            self.reader.wrong(tree, f"operation {path} is there twice, first in line {self.lines[path]}")
        self.lines[path] = tree.line
        decisions = tuple(
            self._decision(item, f"{path}.then[{index}]")
            for index, item in enumerate(self.reader.items(items.get("then")))
        )
        return Operation(path.rpartition(".")[2], path, self._steps(items.get("phases"), path, at_least=1), decisions)

    def _decision(self, tree: Tree, path: str) -> Decision:
        items = self.reader.mapping(tree, ("if", "decide", "cause"), ("ask",))
        self.lines[path] = tree.line
        return Decision(
            path,
            tree.line,
            self.reader.text(items.get("if")),
            self.reader.text(items.get("decide"), ("hold", "reject"), "hold"),  # type: ignore[arg-type]
            self.reader.text(items.get("cause")),
            self.reader.text(items.get("ask")),
        )

    def _steps(self, tree: Tree | None, above: str, at_least: int = 0) -> tuple[Step, ...]:
        steps = (self._step(item, above) for item in self.reader.items(tree, at_least))
        return tuple(step for step in steps if step is not None)

    def _step(self, tree: Tree, above: str) -> Step | None:
        kinds = [key for key in _KINDS if isinstance(tree.value, dict) and key in tree.value]
        if not isinstance(tree.value, dict) or len(kinds) != 1:
            found = f"{len(kinds)} of them: {', '.join(kinds)}" if kinds else "none"
            self.reader.wrong(tree, f"a step has exactly one kind, this has {found}", ", ".join(_KINDS))
            return None
        kind = kinds[0]
        items = self.reader.mapping(tree, ("id", kind), _KINDS[kind])
        name = self._name(items.get("id"))
        path = f"{above}.{name}"
        self._unique(items.get("id", tree), name)
        self.lines[path] = tree.line
        for key, item in items.items():
            self._note_lines(f"{path}.{key}", item)
        readers: Mapping[str, Callable[[Any, str, str, int], Step]] = {
            "do": self._phase,
            "parallel": self._parallel,
            "while": self._loop,
            "if": self._if,
            "prompt": self._prompt,
            "laboratory": self._laboratory,
            "await_results": self._await_results,
            "set": self._set,
            "wait_h": self._wait,
            "not_yet": self._not_yet,
        }
        return readers[kind](items, name, path, tree.line)

    def _note_lines(self, path: str, tree: Tree) -> None:
        self.lines[path] = tree.line
        if isinstance(tree.value, dict):
            for key, item in tree.value.items():
                self.lines[f"{path}.{key}"] = item.line

    def _phase(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        match = _DO.fullmatch(self.reader.text(items["do"]))
        if match is None:
            self.reader.wrong(items["do"], "not a phase", "module/action_in_snake_case")
        requires = self.reader.mapping(items.get("requires"), (), ("processing", "grade", "background"))
        self.reader.text(requires.get("processing"), ("open", "closed"))
        self.reader.text(requires.get("grade"), ("A", "B", "C", "D"))
        self.reader.flag(requires.get("background"))
        expected = items.get("expected_h")
        return PhaseStep(
            name,
            path,
            line,
            module=match["module"] if match else "",
            action=snake_to_camel(match["action"]) if match else "",
            fields=plain_mapping(self.reader.mapping(items.get("with"), optional=None)),
            requires=plain_mapping(requires),
            resume=self.reader.text(items.get("resume"), ("auto", "ask", "never"), "ask"),  # type: ignore[arg-type]
            max_outage_h=self.reader.number(items.get("max_outage_h"), 0.0, 1000.0),
            save=self._saved(items.get("save"), unit_wanted=False),
            reason=self.reader.text(items.get("reason")),
            expected_h=None if expected is None else self.reader.number(expected, 0.0, 10000.0),
        )

    def _saved(self, tree: Tree | None, unit_wanted: bool) -> tuple[SavedValue, ...]:
        saved = []
        for key, item in self.reader.mapping(tree, optional=None).items():
            if not _ID.fullmatch(key):
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
            key: self._steps(item, path, at_least=1)
            for key, item in self.reader.mapping(items["parallel"], optional=None).items()
        }
        if len(branches) < 2:
            self.reader.wrong(items["parallel"], "fewer than two branches", "branch: [steps], twice or more")
        until = self.reader.text(items.get("until"), tuple(branches)) or None
        return ParallelStep(name, path, line, branches, until)

    def _loop(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        if "max" not in items or "phases" not in items:
            self.reader.wrong(items["while"], "a loop needs 'max' and 'phases'", "while, max, phases")
        limit = self.reader.number(items.get("max"), 1, 100000, default=1)
        if limit != int(limit):
            self.reader.wrong(items["max"], "not a whole number", "1 to 100000")
        return LoopStep(
            name,
            path,
            line,
            self.reader.text(items["while"]),
            int(limit),
            self._steps(items.get("phases"), path, 1),
        )

    def _if(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        if "then" not in items:
            self.reader.wrong(items["if"], "a condition needs 'then'", "if, then, else")
        return IfStep(
            name,
            path,
            line,
            self.reader.text(items["if"]),
            self._steps(items.get("then"), path),
            self._steps(items.get("else"), path),
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
        )

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
        return SetStep(name, path, line, self._saved(items["set"], unit_wanted=True))

    def _wait(self, items: dict[str, Tree], name: str, path: str, line: int) -> Step:
        tree = items["wait_h"]
        hours = self.reader.text(tree) if isinstance(tree.value, str) else self.reader.number(tree, 0.0, 10000.0)
        return WaitStep(name, path, line, hours)

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
