# SPDX-License-Identifier: Apache-2.0
"""How long a recipe's phases are expected to take, as far as their goals are known beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..process.errors import WorkcellError
from ..process.expressions import render
from ..process.goals import Goal
from ..process.interfaces import default_interfaces
from ..process.recipes.recipe import Recipe
from ..process.recipes.steps import PhaseStep
from .registry import load_module

UNKNOWN_S = 1800.0
"""For a phase whose duration follows from results that are not there yet."""


def expected_phase_s(recipe: Recipe) -> Callable[[PhaseStep], float]:
    """Return a function that gives a phase's expected duration [s], for progress displays only."""
    constants = recipe.constants()
    known_s: dict[str, float] = {}

    def expected(step: PhaseStep) -> float:
        if step.path not in known_s:
            known_s[step.path] = compute(step)
        return known_s[step.path]

    def compute(step: PhaseStep) -> float:
        phase = load_module(step.module).phase(default_interfaces().action(step.action).name)
        fields = default_interfaces().action(step.action).goal
        defaults = {name: field.default for name, field in fields.items() if field.default is not None}
        # Not a goal that could be sent: only what the duration follows from has to be known.
        goal = Goal(step.action, {**defaults, **_known(step.fields, constants)})
        try:
            return float(phase.expected_s(goal))
        except (AttributeError, TypeError):
            return UNKNOWN_S

    return expected


def _known(fields: Mapping[str, Any], constants: Mapping[str, Any]) -> dict[str, Any]:
    """Return the goal fields that can be computed from the recipe's parameters and formulas alone."""
    known: dict[str, Any] = {}
    for name, value in fields.items():
        try:
            known[name] = render(value, constants)
        except WorkcellError:
            known[name] = None  # follows from a result of an earlier phase
    return known
