# SPDX-License-Identifier: Apache-2.0
"""`workcell demo`: launches the whole workcell on the simulated plant and produces one batch."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mimedi_sim.plant.kits import kit_of
from mimedi_sim.scenarios import find_scenario

from ..modules.registry import config_folder, manifests
from ..process.errors import WorkcellError
from ..process.recipes.loader import load_recipe
from ..records.errors import RecordError
from .drill.command import drill
from .parts.batch_options import (
    DEFAULT_RECIPE,
    EXIT_COULD_NOT_RUN,
    EXIT_TEXT,
    add_batch_options,
    add_operator_option,
    add_plant_options,
    batch_of,
    paired,
    recipe_path,
    script_of,
)
from .parts.launched import Launched, own_domain
from .parts.option_types import speed
from .produce import produce


def main(argv: Sequence[str]) -> int:
    """Run the demonstration; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell demo",
        description="Launches the workcell on the simulated plant, produces one batch with live progress, prints its "
        "release table and leaves a report. " + EXIT_TEXT,
        epilog="Examples: ./workcell demo   ./workcell demo --donor weak --seed 7   ./workcell demo --speed 3600   "
        "./workcell demo --drill",
    )
    parser.add_argument("--recipe", default=DEFAULT_RECIPE, help=f"recipe (default {DEFAULT_RECIPE})")
    parser.add_argument(
        "--drill", action="store_true",
        help="two patients, a leak, a wrong cassette, a power cut; ends with one page by exception",
    )  # fmt: skip
    parser.add_argument(
        "--speed", type=speed, default="max", help="process time per wall time: a factor, or max (default)"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the run's files (default runs)")
    add_plant_options(parser)
    add_batch_options(parser)
    add_operator_option(parser)
    options = parser.parse_args(list(argv))
    options.namespace = ""
    runs = options.runs.resolve()
    begun_s = time.monotonic()
    try:
        recipe = load_recipe(recipe_path(options.recipe), manifests())
        batch = paired(batch_of(options, recipe.name), recipe)
        find_scenario(options.scenario, config_folder() / "scenarios")
        script_of(options.operator)
        runs.mkdir(parents=True, exist_ok=True)
        options.kit = kit_of(recipe.product)
        if options.drill:
            return drill(options)
        options.batch_id, options.donor_id = batch.batch_id, batch.donor_id
        console = Console(stderr=options.json == "-")
        with own_domain(), Launched(options, runs) as workcell:
            status = produce(options, console, workcell.is_running, runs)
            if status == EXIT_COULD_NOT_RUN:
                workcell.explain()
    except (WorkcellError, RecordError, OSError, ValueError) as error:
        print(f"workcell: could not run: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    console.print(f"{time.monotonic() - begun_s:.0f} s of wall time", highlight=False, markup=False)
    return status
