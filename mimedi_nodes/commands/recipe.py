# SPDX-License-Identifier: Apache-2.0
"""`workcell recipe list|validate|show|estimate|diff|approve`: master recipes, before anything moves."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..modules.registry import config_folder, manifests
from ..process.diagnostics import DiagnosticError
from ..process.errors import WorkcellError
from ..process.recipes.approval import Approvals, Standing
from ..process.recipes.diff import Difference, differences
from ..process.recipes.loader import load_recipe
from ..process.recipes.recipe import Recipe
from .parts.batch_options import EXIT_COULD_NOT_RUN, EXIT_MEETS, EXIT_REJECTED, recipe_path
from .parts.teaching import teach

EPILOG = """\
Examples:
  ./workcell recipe list                                  every recipe, its status and who approved it
  ./workcell recipe validate car_t_cd19                   everything that is wrong in it, at once, with its line
  ./workcell recipe show car_t_cd19                       parameters, sampling plan and steps
  ./workcell recipe estimate car_t_cd19 -n 5              duration, medium, touch time and cost per dose, with spread
  ./workcell recipe diff car_t_cd19 drafts/new.yaml       what differs, step by step
  ./workcell recipe approve car_t_cd19 --user anna --why QR-12

Exit status: 0 valid (diff: no difference), 1 wrong (diff: they differ), 2 not found or could not run.
"""


def main(argv: Sequence[str]) -> int:
    """Run one of the acts; see the module's text."""
    from . import recipe_approve, recipe_estimate, recipe_show

    parser = argparse.ArgumentParser(
        prog="workcell recipe",
        description="Master recipes (ISA-88): checks, shows, estimates, compares and approves them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    acts = parser.add_subparsers(dest="act", required=True, metavar="list|validate|show|estimate|diff|approve")
    for act, words in (("list", "every recipe"), ("validate", "what is wrong, all at once"), ("show", "what is in it")):
        part = acts.add_parser(act, help=words)
        if act != "list":
            part.add_argument("recipe", help="name of a recipe in config/recipes, or a file")
        part.add_argument("--json", action="store_true", help="as JSON on the screen")
    part = acts.add_parser("diff", help="what differs between two recipes")
    part.add_argument("old", help="name or file")
    part.add_argument("new", help="name or file")
    part.add_argument("--json", action="store_true", help="as JSON on the screen")
    recipe_estimate.add_options(acts.add_parser("estimate", help="duration, supplies, touch time and cost per dose"))
    recipe_approve.add_options(acts.add_parser("approve", help="sign the next status of a recipe"))
    teach(parser)
    options = parser.parse_args(list(argv))
    runs = {
        "list": lambda: list_recipes(options.json),
        "validate": lambda: validate(options.recipe, options.json),
        "show": lambda: recipe_show.show(load(options.recipe), standing_of(options.recipe), options.json),
        "diff": lambda: diff(load(options.old), load(options.new), options.json),
        "estimate": lambda: recipe_estimate.run(options),
        "approve": lambda: recipe_approve.run(options),
    }
    try:
        return runs[options.act]()
    except DiagnosticError as error:
        print(error, file=sys.stderr)
        return EXIT_REJECTED
    except (WorkcellError, OSError, ValueError) as error:
        print(f"workcell recipe: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN


def load(name: str) -> Recipe:
    """Return a checked recipe by name or file; raises FileNotFoundError or DiagnosticError."""
    return load_recipe(recipe_path(name), manifests())


def standing_of(name: str) -> Standing:
    """Return the effective status of a recipe by name or file."""
    return Approvals(recipe_path(name).parent).standing(load(name))


def validate(name: str, as_json: bool = False) -> int:
    """Print what is wrong in a recipe, or its title; return the exit status."""
    try:
        recipe = load(name)
    except DiagnosticError as error:
        if not as_json:
            raise
        print(json.dumps({"valid": False, "diagnostics": [vars(d) for d in error.diagnostics]}, indent=1, default=str))
        return EXIT_REJECTED
    standing = Approvals(recipe_path(name).parent).standing(recipe)
    if as_json:
        print(json.dumps({"valid": True, "diagnostics": [], **summary(recipe, standing)}, indent=1, default=str))
        return EXIT_MEETS
    phases = sum(1 for _ in recipe.phases())
    print(
        f"{recipe.title}: valid, {standing.status}, product {recipe.product}, {phases} phases, "
        f"{len(recipe.parameters)} parameters, sha256 {recipe.content_hash[:12]}…"
    )
    if standing.reason:
        print(f"  {standing.reason}")
    return EXIT_MEETS


def summary(recipe: Recipe, standing: Standing) -> dict[str, Any]:
    """Return what a list tells of a recipe."""
    approval = standing.approval
    return {
        "recipe": recipe.name,
        "version": recipe.version,
        "product": recipe.product,
        "description": recipe.description,
        "status": standing.status,
        "reason": standing.reason,
        "who": approval.who if approval else "",
        "when": approval.when if approval else "",
        "content_sha256": recipe.content_hash,
        "phases": sum(1 for _ in recipe.phases()),
        "sub_recipes": dict(recipe.parts),
    }


def list_recipes(as_json: bool) -> int:
    """Print every recipe of config/recipes with its status; one that is wrong is told and makes the status 1."""
    folder = config_folder() / "recipes"
    rows, wrong = [], []
    for path in sorted(folder.glob("*.yaml")):
        try:
            recipe = load_recipe(path, manifests())
        except DiagnosticError as error:
            wrong.append(path.name)
            rows.append({"recipe": path.stem, "status": "wrong", "reason": str(error)})
            continue
        rows.append(summary(recipe, Approvals(folder).standing(recipe)))
    if as_json:
        print(json.dumps(rows, indent=1, default=str))
        return EXIT_REJECTED if wrong else EXIT_MEETS
    table = Table(title="Master recipes", title_justify="left")
    for column in ("recipe", "version", "status", "signed by", "phases", "what it makes"):
        table.add_column(column, no_wrap=column in ("recipe", "version", "status"))
    for row in rows:
        style = {"approved": "", "wrong": "bold red"}.get(row["status"], "yellow")
        signed = f"{row.get('who', '')} {row.get('when', '')[:10]}".strip() or row["reason"].splitlines()[0]
        cells = (row["recipe"], row.get("version", ""), row["status"], signed, str(row.get("phases", "")))
        table.add_row(*cells, row.get("description", ""), style=style)
    Console().print(table, highlight=False)
    return EXIT_REJECTED if wrong else EXIT_MEETS


def diff(old: Recipe, new: Recipe, as_json: bool) -> int:
    """Print what differs between two recipes; return 1 when anything does."""
    found = differences(old, new)
    if as_json:
        print(json.dumps([vars(d) for d in found], indent=1, default=str))
    elif not found:
        print(f"{old.title} and {new.title} do the same" + ("" if old.content_hash == new.content_hash else ": only "
              "comments or layout differ"))  # fmt: skip
    else:
        _print_differences(f"{old.title} → {new.title}", found)
    return EXIT_REJECTED if found else EXIT_MEETS


def _print_differences(title: str, found: Sequence[Difference]) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("what", "where", "change", "field", "before", "after"):
        table.add_column(column, overflow="fold")
    styles = {"added": "green", "removed": "red", "changed": "yellow", "moved": "cyan", "renamed": "cyan"}
    for item in found:
        before, after = (("" if value is None else str(value)) for value in (item.old, item.new))
        table.add_row(item.kind, item.path, item.change, item.what, before, after, style=styles[item.change])
    Console(width=max(Console().width, 110)).print(table, highlight=False, markup=False)


def recipes_folder(name: str) -> Path:
    """Return the folder of a recipe, where its approvals lie."""
    return recipe_path(name).parent
