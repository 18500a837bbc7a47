# SPDX-License-Identifier: Apache-2.0
"""What differs between two recipes, in their own terms: parameters, formulas, samples, steps, decisions, order."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from .recipe import Operation, Recipe
from .steps import CallStep, IfStep, LoopStep, ParallelStep, PhaseStep, Step, children

Kind = Literal["recipe", "parameter", "formula", "sample", "operation", "step", "decision"]
Change = Literal["added", "removed", "changed", "moved", "renamed"]

_NOT_CONTENT = {"id", "path", "line", "steps", "then_steps", "else_steps", "branches"}


@dataclass(frozen=True)
class Difference:
    """One difference: what kind of thing, where, how it changed, and the values before and after."""

    kind: Kind
    path: str
    change: Change
    what: str = ""
    old: Any = None
    new: Any = None


def differences(old: Recipe, new: Recipe) -> list[Difference]:
    """Return every difference between two recipes, in the order of the new one; comments and layout are none."""
    found: list[Difference] = []
    for name in ("name", "version", "status", "product", "description", "donation", "parts"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            found.append(Difference("recipe", name, "changed", name, before, after))
    found += _named("parameter", _plain(old.parameters), _plain(new.parameters))
    found += _named("formula", _plain(old.formulas), _plain(new.formulas))
    found += _named("sample", _plain(old.plans), _plain(new.plans))
    before_ops = {operation.path: operation for operation in old.operations()}
    after_ops = {operation.path: operation for operation in new.operations()}
    found += _named("operation", {p: {} for p in before_ops}, {p: {} for p in after_ops})
    found += _moved("operation", list(before_ops), list(after_ops))
    found += _steps(_flat(old), _flat(new))
    found += _named("decision", _decisions(before_ops), _decisions(after_ops))
    return found


def _plain(items: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: {k: v for k, v in vars(item).items() if k != "name"} for name, item in items.items()}


def _decisions(operations: Mapping[str, Operation]) -> dict[str, dict[str, Any]]:
    """Decisions by operation and condition: their number in the list says nothing."""
    return {
        f"{path}: {d.condition}": {"decide": d.decide, "cause": d.cause, "ask": d.ask}
        for path, operation in operations.items()
        for d in operation.decisions
    }


def _flat(recipe: Recipe) -> dict[str, dict[str, Any]]:
    return {step.path: _content(step) for operation in recipe.operations() for step in _walk(operation.steps)}


def _walk(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        if not isinstance(step, CallStep):
            yield from _walk(children(step))


def _content(step: Step) -> dict[str, Any]:
    content: dict[str, Any] = {"kind": type(step).__name__.removesuffix("Step").lower()}
    for field in fields(step):
        if field.name in _NOT_CONTENT:
            continue
        value = getattr(step, field.name)
        if isinstance(step, PhaseStep) and field.name == "fields":
            content |= {f"with.{name}": item for name, item in value.items()}
        elif isinstance(step, PhaseStep) and field.name == "requires":
            content |= {f"requires.{name}": item for name, item in value.items()}
        else:
            content[field.name] = value
    if isinstance(step, ParallelStep):
        content["branches"] = tuple(step.branches)
    if isinstance(step, LoopStep | IfStep | ParallelStep):
        content["inside"] = len(children(step))
    return content


def _named(kind: Kind, old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> list[Difference]:
    found = [Difference(kind, name, "removed") for name in old if name not in new]
    for name, item in new.items():
        if name not in old:
            found.append(Difference(kind, name, "added"))
            continue
        found += _changed(kind, name, old[name], item)
    return found


def _changed(kind: Kind, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    keys = [*old, *(key for key in new if key not in old)]
    return [
        Difference(kind, name, "changed", key, old.get(key), new.get(key))
        for key in keys
        if old.get(key) != new.get(key)
    ]


def _steps(old: Mapping[str, dict[str, Any]], new: Mapping[str, dict[str, Any]]) -> list[Difference]:
    removed = [path for path in old if path not in new]
    added = [path for path in new if path not in old]
    found: list[Difference] = []
    for path in list(added):
        # The same content elsewhere, or under another name, is one step and not two.
        twin = next((other for other in removed if old[other] == new[path]), None)
        if twin is not None:
            found.append(Difference("step", path, "renamed", "path", twin, path))
            removed.remove(twin)
            added.remove(path)
    found += [Difference("step", path, "removed", old=old[path]["kind"]) for path in removed]
    found += [Difference("step", path, "added", new=new[path]["kind"]) for path in added]
    for path in new:
        if path in old:
            found += _changed("step", path, old[path], new[path])
    return found + _moved("step", list(old), list(new))


def _moved(kind: Kind, old: list[str], new: list[str]) -> list[Difference]:
    """Return what stands elsewhere among what both have."""
    before = [path for path in old if path in set(new)]
    after = [path for path in new if path in set(old)]
    kept: set[str] = set()
    for block in difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks():
        kept.update(before[block.a : block.a + block.size])
    return [
        Difference(kind, path, "moved", "after", _before(before, path), _before(after, path))
        for path in after
        if path not in kept
    ]


def _before(paths: list[str], path: str) -> str:
    index = paths.index(path)
    return paths[index - 1] if index else "(first)"
