# SPDX-License-Identifier: Apache-2.0
"""`workcell recipe show`: parameters, formulas, sampling plan and the steps as a tree."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from ..process.recipes.approval import Standing
from ..process.recipes.recipe import Recipe
from ..process.recipes.steps import CallStep, IfStep, LoopStep, ParallelStep, PhaseStep, Step
from .parts.step_text import text_of


def show(recipe: Recipe, standing: Standing, as_json: bool) -> int:
    """Print a recipe; returns 0."""
    if as_json:
        print(json.dumps(_plain(recipe, standing), indent=1, ensure_ascii=False, default=str))
        return 0
    console = Console()
    console.print(f"[bold]{recipe.title}[/bold]  {standing.status}  product {recipe.product}", highlight=False)
    console.print(recipe.description, highlight=False, markup=False)
    if standing.approval is not None:
        entry = standing.approval
        console.print(f"{entry.status} by {entry.who} on {entry.when}: {entry.why}", highlight=False, markup=False)
    if standing.reason:
        console.print(standing.reason, style="yellow", highlight=False, markup=False)
    console.print(f"sha256 {recipe.content_hash}", style="dim", highlight=False)
    console.print(_values(recipe), highlight=False)
    if recipe.plans:
        console.print(_samples(recipe), highlight=False)
    console.print(_tree(recipe), highlight=False)
    return 0


def _plain(recipe: Recipe, standing: Standing) -> dict[str, Any]:
    steps = [
        {
            "path": step.path, "line": step.line, "kind": type(step).__name__, "text": text_of(step),
            **({"requires": dict(step.requires)} if isinstance(step, PhaseStep) else {}),
        }
        for step in recipe.steps()
    ]  # fmt: skip
    return {
        "recipe": recipe.name, "version": recipe.version, "product": recipe.product, "status": standing.status,
        "reason": standing.reason, "content_sha256": recipe.content_hash, "sub_recipes": dict(recipe.parts),
        "parameters": {name: asdict(parameter) for name, parameter in recipe.parameters.items()},
        "formulas": {name: asdict(formula) for name, formula in recipe.formulas.items()},
        "constants": recipe.constants(),
        "sampling": {name: asdict(plan) for name, plan in recipe.plans.items()},
        "steps": steps,
    }  # fmt: skip


def _values(recipe: Recipe) -> Table:
    table = Table(title="Parameters and formulas", title_justify="left")
    for column in ("name", "value", "unit", "allowed"):
        table.add_column(column)
    for parameter in recipe.parameters.values():
        allowed = ", ".join(parameter.choices) or f"{parameter.low:g} to {parameter.high:g}"
        value = f"{parameter.value:g}" if isinstance(parameter.value, float) else str(parameter.value)
        table.add_row(parameter.name, value, parameter.unit, allowed)
    constants = recipe.constants()
    for formula in recipe.formulas.values():
        bounds = "" if formula.low is None else f", {formula.low:g} to {formula.high:g}"
        text = f"= {formula.expression}{bounds}"
        table.add_row(formula.name, f"{constants[formula.name]:g}", formula.unit, escape(text), style="cyan")
    return table


def _samples(recipe: Recipe) -> Table:
    table = Table(title="Sampling plan", title_justify="left")
    for column in ("point", "from", "to", "volume", "of", "at most", "tests"):
        table.add_column(column)
    for plan in recipe.plans.values():
        volume = f"{plan.volume_ul:g} µL" if isinstance(plan.volume_ul, int | float) else str(plan.volume_ul)
        tests = ", ".join(plan.tests) or "looked at here"
        purpose = " (release)" if plan.purpose == "release" else ""
        cells = (plan.test_point, plan.container, plan.destination, volume, plan.of_ul, f"{plan.most:.0%}")
        table.add_row(*cells, tests + purpose)
    return table


def _tree(recipe: Recipe) -> Tree:
    tree = Tree("[bold]Procedure[/bold]")
    for unit_procedure in recipe.procedure:
        unit = tree.add(f"[bold]{unit_procedure.name}[/bold]")
        for operation in unit_procedure.operations:
            branch = unit.add(f"[cyan]{operation.name}[/cyan]")
            for step in operation.steps:
                _grow(branch, step)
            for decision in operation.decisions:
                branch.add(f"[yellow]if[/yellow] {escape(decision.condition)} [yellow]→ {decision.decide}[/yellow]")
    return tree


def _grow(branch: Tree, step: Step) -> None:
    here = branch.add(f"{step.id}  [dim]{escape(text_of(step))}[/dim]")
    inside: Mapping[str, tuple[Step, ...]] = {}
    if isinstance(step, ParallelStep):
        inside = step.branches
    elif isinstance(step, IfStep):
        inside = {"then": step.then_steps, **({"else": step.else_steps} if step.else_steps else {})}
    elif isinstance(step, LoopStep | CallStep):
        for inner in step.steps:
            _grow(here, inner)
    for name, steps in inside.items():
        below = here.add(f"[magenta]{name}[/magenta]")
        for inner in steps:
            _grow(below, inner)
