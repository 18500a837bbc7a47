# SPDX-License-Identifier: Apache-2.0
"""How long a batch is expected to take from here: for progress displays, never for decisions."""

from __future__ import annotations

from collections.abc import Callable, Collection

from .recipe import Recipe
from .steps import IfStep, LoopStep, ParallelStep, PhaseStep, Step, WaitStep

ExpectedPhase = Callable[[PhaseStep], float]


def expected_step_s(step: Step, expected_phase_s: ExpectedPhase, done: Collection[str]) -> float:
    """Return the expected process time [s] of a step that is still ahead, 0 when it has ended."""
    if step.path in done:
        return 0.0
    if isinstance(step, PhaseStep):
        return step.expected_h * 3600.0 if step.expected_h is not None else expected_phase_s(step)
    if isinstance(step, ParallelStep):
        times = {
            name: expected_steps_s(branch, expected_phase_s, done) for name, branch in step.branches.items()
        }
        return times[step.until] if step.until is not None else max(times.values())
    if isinstance(step, LoopStep):
        # How often it will run is not known: once more.
        return expected_steps_s(step.steps, expected_phase_s, done)
    if isinstance(step, IfStep):
        return expected_steps_s(step.then_steps, expected_phase_s, done)
    if isinstance(step, WaitStep) and isinstance(step.hours, int | float):
        return float(step.hours) * 3600.0
    return 0.0


def expected_steps_s(
    steps: Collection[Step], expected_phase_s: ExpectedPhase, done: Collection[str]
) -> float:
    """Return the expected process time [s] of steps in order."""
    return sum(expected_step_s(step, expected_phase_s, done) for step in steps)


def expected_recipe_s(recipe: Recipe, expected_phase_s: ExpectedPhase, done: Collection[str] = ()) -> float:
    """Return the expected process time [s] of what is still ahead of a recipe."""
    return sum(expected_steps_s(operation.steps, expected_phase_s, done) for operation in recipe.operations())
