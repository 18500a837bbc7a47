# SPDX-License-Identifier: Apache-2.0
"""`workcell recipe validate|list`: what is wrong in a recipe, all at once; which recipes there are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..modules.registry import config_folder, manifests
from ..process.diagnostics import DiagnosticError
from ..process.recipe_loader import load_recipe
from .batch_options import EXIT_COULD_NOT_RUN, EXIT_MEETS, EXIT_REJECTED, recipe_path


def main(argv: Sequence[str]) -> int:
    """Validate or list recipes; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell recipe",
        description="Checks recipes against the interfaces and the modules before anything moves. "
        "Exit status: 0 valid, 1 wrong, 2 not found.",
        epilog="Examples: ./workcell recipe list   ./workcell recipe validate car_t_cd19",
    )
    parser.add_argument("act", choices=("validate", "list"))
    parser.add_argument("recipe", nargs="?", help="name of a recipe in config/recipes, or a file")
    options = parser.parse_args(list(argv))
    if options.act == "list":
        for path in sorted((config_folder() / "recipes").glob("*.yaml")):
            validate(str(path))
        return EXIT_MEETS
    if options.recipe is None:
        parser.error("validate needs a recipe")
    return validate(options.recipe)


def validate(name: str) -> int:
    """Print what is wrong in a recipe, or its title; return the exit status."""
    try:
        recipe = load_recipe(recipe_path(name), manifests())
    except FileNotFoundError as error:
        print(f"workcell recipe: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    except DiagnosticError as error:
        print(error, file=sys.stderr)
        return EXIT_REJECTED
    phases = sum(1 for _ in recipe.phases())
    parameters = len(recipe.parameters)
    print(f"{recipe.title}: {recipe.status}, product {recipe.product}, {phases} phases, {parameters} parameters")
    return EXIT_MEETS
