# SPDX-License-Identifier: Apache-2.0
"""What phases require of the room: said at a recipe's head, a unit procedure, an operation or a phase, and inherited.

What stands further in prevails, key by key. Source: EU GMP Annex 1 (2022), 4.4 (the grade follows from what is done).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..yaml_tree import Reader, Tree, plain_mapping
from .recipe import Recipe
from .steps import PhaseStep, Step, rebuilt

ENCLOSURE = "enclosure"
"""Its phases make and measure the grade: they need none."""
PLACES = "requires: {processing: closed or open, grade: A to D} here, or at the operation, unit procedure or recipe"


def read_requirements(reader: Reader, tree: Tree | None, above: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `requires:` says, with what it inherits."""
    items = reader.mapping(tree, (), ("processing", "grade", "background"))
    reader.text(items.get("processing"), ("open", "closed"))
    reader.text(items.get("grade"), ("A", "B", "C", "D"))
    reader.flag(items.get("background"))
    return {**above, **plain_mapping(items)}


def inheriting(step: Step, above: Mapping[str, Any]) -> Step:
    """Return a step of a sub-recipe whose phases inherit what its caller's phases require."""

    def change(inner: Step) -> Step:
        return replace(inner, requires={**above, **inner.requires}) if isinstance(inner, PhaseStep) else inner

    return rebuilt(step, change)


def undeclared(recipe: Recipe) -> list[tuple[PhaseStep, str]]:
    """Return the phases that do not say what they require, each with what is missing.

    In a draft only an open phase must: nothing made from a draft is ever released.
    """
    production = recipe.status in ("under_qualification", "approved")
    found = []
    for phase in recipe.phases():
        is_open = phase.requires.get("processing") == "open"
        wanted = ("processing", "grade") if production else ("grade",) if is_open else ()
        missing = [name for name in wanted if name not in phase.requires]
        if missing and phase.module != ENCLOSURE:
            found.append((phase, " and ".join(missing)))
    return found
