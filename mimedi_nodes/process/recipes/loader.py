# SPDX-License-Identifier: Apache-2.0
"""Reads a master recipe: every error at once, each with file, line, path, value and what is allowed."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from ..diagnostics import Diagnostic, DiagnosticError
from ..interfaces import Interfaces, default_interfaces
from ..yaml_tree import Reader, Tree
from .check import check_part, check_recipe
from .recipe import Operation, Recipe, SubRecipe, UnitProcedure
from .requirements import read_requirements
from .simple_step_reader import ID
from .step_reader import StepReader
from .steps import DecideStep
from .values import Formula, Parameter, ParameterError

STATUSES = ("draft", "under_qualification", "approved")
DONATIONS = ("autologous", "allogeneic")
PARTS_FOLDER = "parts"
"""Folder of the sub-recipes, beside the recipes."""
MAX_NESTING = 5
_VERSION = re.compile(r"\d+\.\d+\.\d+")

Library = Callable[[str], str | None]
"""Returns the text of a sub-recipe by name, None when there is none."""


def load_recipe(
    path: Path,
    manifest: Mapping[str, Collection[str]] | None = None,
    interfaces: Interfaces | None = None,
) -> Recipe:
    """Read and check a recipe file; its sub-recipes lie in the folder `parts` beside it.

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
    return read_recipe(text, path.name, manifest, interfaces, folder_library(path.parent / PARTS_FOLDER))


def folder_library(folder: Path) -> Library:
    """Return the sub-recipes of a folder."""

    def find(name: str) -> str | None:
        path = folder / f"{name}.yaml"
        if not ID.fullmatch(name) or not path.is_file():
            return None
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DiagnosticError([Diagnostic(str(path), 0, "", None, f"cannot be read: {error}")]) from error

    return find


def read_recipe(
    text: str,
    file: str,
    manifest: Mapping[str, Collection[str]] | None = None,
    interfaces: Interfaces | None = None,
    library: Library = lambda name: None,
) -> Recipe:
    """Read and check the text of a recipe; see `load_recipe`."""
    interfaces = interfaces or default_interfaces()
    parts = _Parts(library, manifest, interfaces)
    builder = _Builder(file, parts)
    recipe = builder.recipe(text)
    reader = builder.steps.reader
    if recipe is not None:
        diagnostics = check_recipe(recipe, file, builder.steps.lines, manifest, interfaces, parts.known)
        if not diagnostics and not reader.diagnostics:
            diagnostics = _constants_diagnostics(recipe, file, builder.steps.lines)
        reader.diagnostics.extend(diagnostics)
    reader.diagnostics.extend(parts.diagnostics)
    reader.finish()
    assert recipe is not None, "a recipe that could not be read has at least one diagnostic"
    return recipe


def _constants_diagnostics(recipe: Recipe, file: str, lines: Mapping[str, int]) -> list[Diagnostic]:
    try:
        recipe.constants()
    except ParameterError as error:
        first = min((lines.get(f"formulas.{name}", 0) for name in recipe.formulas), default=0)
        return [Diagnostic(file, first, "formulas", None, str(error))]
    return []


class _Parts:
    """The sub-recipes that one recipe uses, each read and checked once."""

    def __init__(
        self, library: Library, manifest: Mapping[str, Collection[str]] | None, interfaces: Interfaces
    ) -> None:
        self.known: dict[str, SubRecipe] = {}
        self.diagnostics: list[Diagnostic] = []
        self._library, self._manifest, self._interfaces = library, manifest, interfaces
        self._open: list[str] = []
        self._bad: set[str] = set()

    def part(self, reader: Reader, tree: Tree, name: str) -> SubRecipe | None:
        """Return a sub-recipe; None with a diagnostic at its use or in its own file when it is not usable."""
        if name in self.known or name in self._bad:
            return self.known.get(name)
        if name in self._open or len(self._open) >= MAX_NESTING:
            chain = " → ".join([*self._open, name])
            reader.wrong(tree, f"sub-recipes use each other too deeply: {chain}", f"at most {MAX_NESTING} levels")
            return None
        text = self._library(name)
        if text is None:
            reader.wrong(tree, "there is no such sub-recipe", f"a file {PARTS_FOLDER}/NAME.yaml beside the recipe")
            return None
        self._open.append(name)
        try:
            part = self._read(text, name)
        finally:
            self._open.pop()
        if part is None:
            self._bad.add(name)
        else:
            self.known[name] = part
        return part

    def _read(self, text: str, name: str) -> SubRecipe | None:
        file = f"{PARTS_FOLDER}/{name}.yaml"
        steps = StepReader(file, self.part)
        reader = steps.reader
        tree = reader.load(text)
        head = ("description", "requires", "parameters", "results")
        top = reader.mapping(tree, ("sub_recipe", "version", "phases"), head)
        reader.text(top.get("description"))
        part = None
        if top:
            if reader.text(top.get("sub_recipe")) not in ("", name):
                reader.wrong(top["sub_recipe"], "not the name of its file", name)
            version = _version(reader, top)
            parameters = _parameters(steps, top.get("parameters"), valued=False)
            steps.requires = read_requirements(reader, top.get("requires"), {})
            body = steps.steps(top.get("phases"), name, at_least=1)
            results = steps.saved(top.get("results"), unit_wanted=True)
            part = SubRecipe(name, version, parameters, body, results, text)
            found = check_part(part, file, steps.lines, self._manifest, self._interfaces, self.known)
            reader.diagnostics.extend(found)
        self.diagnostics.extend(reader.diagnostics)
        return part if not reader.diagnostics else None


class _Builder:
    def __init__(self, file: str, parts: _Parts) -> None:
        self.steps = StepReader(file, parts.part)
        self._reader = self.steps.reader
        self._parts = parts

    def recipe(self, text: str) -> Recipe | None:
        reader, steps = self._reader, self.steps
        tree = reader.load(text)
        if tree is None:
            return None
        top = reader.mapping(
            tree,
            ("recipe", "version", "status", "product", "procedure"),
            ("description", "donation", "requires", "parameters", "formulas", "sampling"),
        )
        if not top:
            return None
        name = steps.name(top.get("recipe"))
        version = _version(reader, top)
        parameters = _parameters(steps, top.get("parameters"), valued=True)
        formulas = {
            key: self._formula(key, item) for key, item in reader.mapping(top.get("formulas"), optional=None).items()
        }
        for key, item in reader.mapping(top.get("sampling"), optional=None).items():
            if not ID.fullmatch(key):
                reader.wrong(item, "not a name", "small letters, digits and _", value=key)
            steps.lines[f"sampling.{key}"] = item.line
            steps.plans[key] = steps.plan(key, item)
        with self._required(top):
            procedure = tuple(self._unit_procedure(item) for item in reader.items(top.get("procedure"), at_least=1))
        return Recipe(
            name=name,
            version=version,
            status=reader.text(top.get("status"), STATUSES),
            product=steps.name(top.get("product")),
            description=reader.text(top.get("description")),
            parameters=parameters,
            procedure=procedure,
            content_hash=_content_hash(text, self._parts.known),
            formulas=formulas,
            plans=dict(steps.plans),
            donation=reader.text(top.get("donation"), DONATIONS, "autologous"),  # type: ignore[arg-type]
            parts={name: part.version for name, part in sorted(self._parts.known.items())},
        )

    @contextlib.contextmanager
    def _required(self, items: Mapping[str, Tree]) -> Iterator[None]:
        """What is read within inherits what `requires` says here."""
        above = self.steps.requires
        self.steps.requires = read_requirements(self._reader, items.get("requires"), above)
        yield
        self.steps.requires = above

    def _formula(self, name: str, tree: Tree) -> Formula:
        reader = self._reader
        if not ID.fullmatch(name):
            reader.wrong(tree, "not a name", "small letters, digits and _", value=name)
        self.steps.unique(tree, name)
        self.steps.lines[f"formulas.{name}"] = tree.line
        items = reader.mapping(tree, ("value", "unit"), ("range", "description"))
        low, high = self.steps.range(items.get("range")) if "range" in items else (None, None)
        description = reader.text(items.get("description"))
        return Formula(name, reader.text(items.get("value")), reader.text(items.get("unit")), low, high, description)

    def _unit_procedure(self, tree: Tree) -> UnitProcedure:
        reader = self._reader
        items = reader.mapping(tree, ("unit_procedure", "operations"), ("requires",))
        name = self.steps.name(items.get("unit_procedure"))
        found = reader.items(items.get("operations"), at_least=1)
        with self._required(items):
            operations = tuple(self._operation(item, name) for item in found)
        return UnitProcedure(name, operations)

    def _operation(self, tree: Tree, above: str) -> Operation:
        reader, lines = self._reader, self.steps.lines
        items = reader.mapping(tree, ("operation", "phases"), ("requires", "then"))
        path = f"{above}.{self.steps.name(items.get('operation'))}"
        if path in lines:
            reader.wrong(tree, f"operation {path} is there twice, first in line {lines[path]}")
        lines[path] = tree.line
        decisions = tuple(
            self._decision(item, f"{path}.then[{index}]") for index, item in enumerate(reader.items(items.get("then")))
        )
        with self._required(items):
            steps = self.steps.steps(items.get("phases"), path, at_least=1)
        return Operation(path.rpartition(".")[2], path, steps, decisions)

    def _decision(self, tree: Tree, path: str) -> DecideStep:
        items = self._reader.mapping(tree, ("if", "decide", "cause"), ("ask",))
        self.steps.lines[path] = tree.line
        return self.steps.decision(items, "if", path.rpartition(".")[2], path, tree.line)


def _version(reader: Reader, top: Mapping[str, Tree]) -> str:
    version = reader.text(top.get("version"))
    if "version" in top and version and not _VERSION.fullmatch(version):
        reader.wrong(top["version"], "not a version", "three numbers such as 1.0.0")
    return version


def _parameters(steps: StepReader, tree: Tree | None, valued: bool) -> dict[str, Parameter]:
    items = steps.reader.mapping(tree, optional=None).items()
    return {key: _parameter(steps, key, item, valued) for key, item in items}


def _parameter(steps: StepReader, name: str, tree: Tree, valued: bool) -> Parameter:
    """Read a parameter; that of a sub-recipe has no value of its own, and a range only where it is bound."""
    reader = steps.reader
    if not ID.fullmatch(name):
        reader.wrong(tree, "not a name", "small letters, digits and _", value=name)
    steps.unique(tree, name)
    steps.lines[f"parameters.{name}"] = tree.line
    required = ("value",) if valued else ("unit",)
    items = reader.mapping(tree, required, ("unit", "range", "choices", "description") if valued else ("range",))
    reader.text(items.get("description"))
    unit = reader.text(items.get("unit"))
    if not valued:
        low, high = steps.range(items.get("range")) if "range" in items else (None, None)
        return Parameter(name, None, unit, low, high)
    if "choices" in items:
        choices = reader.texts(items["choices"], at_least=1)
        value = reader.text(items.get("value"), choices)
        return Parameter(name, value, unit or "id", choices=choices)
    if "unit" not in items and items:
        reader.wrong(tree, "key 'unit' is missing", "a unit as the interfaces use them, e.g. uL, 1/mL")
    if "range" not in items and items:
        reader.wrong(tree, "key 'range' is missing", "range: [low, high]")
    low, high = steps.range(items.get("range"))
    return Parameter(name, reader.number(items.get("value"), low, high, default=low), unit, low, high)


def _content_hash(text: str, parts: Mapping[str, SubRecipe]) -> str:
    digest = hashlib.sha256(text.encode("utf-8"))
    for name, part in sorted(parts.items()):
        digest.update(f"\0{name}\0".encode() + part.text.encode("utf-8"))
    return digest.hexdigest()
