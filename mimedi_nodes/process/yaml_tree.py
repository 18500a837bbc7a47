# SPDX-License-Identifier: Apache-2.0
"""YAML with the line of every value, duplicate keys found, and readers that collect what is wrong."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from ..records.yaml_text import compose
from .diagnostics import Diagnostic, DiagnosticError


@dataclass(frozen=True)
class Tree:
    """One value of a document: a scalar, a list of trees or a mapping of names to trees, with its line from 1."""

    value: Any
    line: int
    path: str

    def plain(self) -> Any:
        """Return the value without lines."""
        if isinstance(self.value, dict):
            return {key: item.plain() for key, item in self.value.items()}
        if isinstance(self.value, list):
            return [item.plain() for item in self.value]
        return self.value


class Reader:
    """Takes values out of a document and collects a Diagnostic for each one that does not fit.

    Args:
        file: name for the diagnostics.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.diagnostics: list[Diagnostic] = []

    def wrong(self, tree: Tree, message: str, allowed: str = "", value: Any = None) -> None:
        """Note that a value is wrong."""
        shown = tree.value if value is None and not isinstance(tree.value, dict | list) else value
        self.diagnostics.append(Diagnostic(self.file, tree.line, tree.path, shown, message, allowed))

    def finish(self) -> None:
        """Raise DiagnosticError when anything was wrong."""
        if self.diagnostics:
            raise DiagnosticError(self.diagnostics)

    def load(self, text: str) -> Tree | None:
        """Read a document; None, with diagnostics, when it is no YAML."""
        try:
            yaml, node = compose(text)
            if node is None:
                self._file_wrong(0, "the file is empty")
                return None
            return self._tree(yaml, node, "", set())
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
            problem = getattr(error, "problem", None) or str(error)
            self._file_wrong(mark.line + 1 if mark is not None else 0, f"no valid YAML: {problem}")
        except (RecursionError, ValueError, TypeError) as error:
            self._file_wrong(0, f"no valid YAML: {error}")
        return None

    def _file_wrong(self, line: int, message: str, allowed: str = "") -> None:
        self.diagnostics.append(Diagnostic(self.file, line, "", None, message, allowed))

    def _tree(self, yaml: YAML, node: Any, path: str, seen: set[int]) -> Tree:
        line = node.start_mark.line + 1
        # An alias is the node of its anchor once more; a thousand of them would make a small file large.
        if id(node) in seen:
            self._file_wrong(line, "an alias repeats this value: aliases are not used here", "the value itself")
            return Tree(None, line, path)
        seen.add(id(node))
        if isinstance(node, ScalarNode):
            return Tree(yaml.constructor.construct_object(node), line, path)
        if isinstance(node, SequenceNode):
            items = [
                self._tree(yaml, item, f"{path}[{index}]", seen) for index, item in enumerate(node.value)
            ]
            return Tree(items, line, path)
        if not isinstance(node, MappingNode):
            raise TypeError(f"line {line}: neither scalar nor list nor mapping")
        mapping: dict[str, Tree] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, ScalarNode) else ""
            below = f"{path}.{key}" if path else key
            tree = self._tree(yaml, value_node, below, seen)
            # The line of a key: a value may begin further down.
            tree = Tree(tree.value, key_node.start_mark.line + 1, below)
            if not isinstance(key_node, ScalarNode):
                self.wrong(tree, "a key is text")
            elif key in mapping:
                self.wrong(
                    tree, f"key {key!r} is there twice, first in line {mapping[key].line}", "each key once"
                )
            else:
                mapping[key] = tree
        return Tree(mapping, line, path)

    def mapping(
        self, tree: Tree | None, required: Collection[str] = (), optional: Collection[str] | None = ()
    ) -> dict[str, Tree]:
        """Return a mapping's items; notes unknown keys (any are allowed when `optional` is None) and missing ones."""
        if tree is None:
            return {}
        if not isinstance(tree.value, dict):
            self.wrong(tree, "not a mapping", ", ".join([*required, *(optional or ())]), value=tree.plain())
            return {}
        if optional is not None:
            allowed = (*required, *optional)
            for key, item in tree.value.items():
                if key not in allowed:
                    self.wrong(item, f"unknown key {key!r}", ", ".join(allowed), value=item.plain())
        for key in required:
            if key not in tree.value:
                self.wrong(tree, f"key {key!r} is missing", ", ".join((*required, *(optional or ()))))
        return dict(tree.value)

    def items(self, tree: Tree | None, at_least: int = 0) -> Iterator[Tree]:
        """Yield the items of a list."""
        if tree is None:
            return
        if not isinstance(tree.value, list):
            self.wrong(tree, "not a list", value=tree.plain())
            return
        if len(tree.value) < at_least:
            self.wrong(
                tree, "the list is empty" if not tree.value else "too few items", f"at least {at_least}"
            )
        yield from tree.value

    def text(self, tree: Tree | None, choices: Collection[str] = (), default: str = "") -> str:
        """Return a text that is not empty, one of `choices` when there are any."""
        if tree is None:
            return default
        if not isinstance(tree.value, str) or not tree.value.strip():
            self.wrong(tree, "not a text", ", ".join(choices), value=tree.plain())
            return default
        if choices and tree.value not in choices:
            self.wrong(tree, "not one of the allowed values", ", ".join(choices))
            return default
        return tree.value

    def number(
        self, tree: Tree | None, low: float = -1e300, high: float = 1e300, default: float = 0.0
    ) -> float:
        """Return a number within its closed range."""
        if tree is None:
            return default
        number = tree.value
        if isinstance(number, bool) or not isinstance(number, int | float):
            self.wrong(tree, "not a number", f"{low:g} to {high:g}", value=tree.plain())
            return default
        if not low <= number <= high:
            self.wrong(tree, "out of range", f"{low:g} to {high:g}")
            return default
        return float(number)

    def positive(self, tree: Tree | None, default: float = 1.0) -> float:
        """Return a finite number above 0."""
        if tree is None:
            return default
        number = tree.value
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0.0 < number < math.inf:
            self.wrong(tree, "not a number above 0", "above 0", value=tree.plain())
            return default
        return float(number)

    def whole(self, tree: Tree | None, low: int, high: int, default: int) -> int:
        """Return a whole number within its closed range."""
        number = self.number(tree, low, high, default)
        if tree is not None and not float(number).is_integer():
            self.wrong(tree, "not a whole number", f"{low} to {high}")
        return int(number)

    def numbers(self, tree: Tree | None, count: int) -> tuple[float, ...]:
        """Return a list of exactly `count` numbers."""
        found = tuple(self.number(item) for item in self.items(tree))
        if tree is not None and isinstance(tree.value, list) and len(found) != count:
            self.wrong(tree, f"{len(found)} numbers", f"{count} numbers", value=tree.plain())
        return found if len(found) == count else (0.0,) * count

    def flag(self, tree: Tree | None, default: bool = False) -> bool:
        """Return true or false."""
        if tree is None:
            return default
        if not isinstance(tree.value, bool):
            self.wrong(tree, "not true or false", "true, false", value=tree.plain())
            return default
        return tree.value

    def texts(self, tree: Tree | None, at_least: int = 0) -> tuple[str, ...]:
        """Return a list of texts."""
        return tuple(self.text(item) for item in self.items(tree, at_least))


def read_document(
    path: Path, required: Collection[str] = (), optional: Collection[str] = ()
) -> tuple[Reader, dict[str, Tree]]:
    """Return a file's reader and the items of its top mapping; the caller takes them out, then calls `finish`.

    Raises:
        DiagnosticError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DiagnosticError([Diagnostic(str(path), 0, "", None, f"cannot be read: {error}")]) from error
    reader = Reader(path.name)
    return reader, reader.mapping(reader.load(text), required, optional)


def given(items: Mapping[str, Tree], key: str) -> Tree | None:
    """Return an optional item; None where it is missing or null."""
    tree = items.get(key)
    return None if tree is None or tree.value is None else tree


def plain_mapping(trees: Mapping[str, Tree]) -> dict[str, Any]:
    """Return a mapping of trees without their lines."""
    return {key: tree.plain() for key, tree in trees.items()}
