# SPDX-License-Identifier: Apache-2.0
"""`workcell simulate RECIPE`: a whole batch on virtual time, without ROS."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..modules.registry import config_folder, manifests
from ..modules.site_file import load_site
from ..process.errors import WorkcellError
from ..process.recipes.approval import Approvals
from ..process.recipes.loader import load_recipe
from ..process.release import evaluate
from ..process.supplies import read_supplies, start_facts, supplies_file
from ..records.errors import RecordError
from ..records.heads import Signer
from ..records.review import review
from ..records.specification import product_file, read_specification
from ..records.summary import summarize
from .parts.batch_options import (
    EXIT_COULD_NOT_RUN,
    EXIT_OF_VERDICT,
    EXIT_REJECTED,
    EXIT_TEXT,
    add_batch_options,
    add_campaign_options,
    add_operator_option,
    add_plant_options,
    batch_of,
    paired,
    recipe_path,
    refuse_campaign_options,
    script_of,
    settings_of,
)
from .parts.option_types import write_json


def main(argv: Sequence[str]) -> int:
    """Simulate a batch; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell simulate",
        description="Runs a recipe headless: the same phases, drivers, engine and plant, days in seconds. " + EXIT_TEXT,
        epilog="Examples: ./workcell simulate car_t_cd19 --seed 1 --json -; "
        "./workcell simulate car_t_cd19 -n 1000 --jobs 2 --seed 1 --donors healthy",
    )
    parser.add_argument("recipe", help="name of a recipe in config/recipes, or a file")
    add_plant_options(parser)
    add_batch_options(parser)
    add_operator_option(parser)
    add_campaign_options(parser)
    parser.add_argument("--runs", type=Path, metavar="DIR", help="keep the record, in the run folder DIR/<batch id>")
    parser.add_argument("--truth", metavar="FILE", help="write the plant's truth at the end as JSON")
    options = parser.parse_args(list(argv))
    begun_s = time.perf_counter()
    try:
        if options.number is not None:
            from . import simulate_many

            return simulate_many.run(options)
        refuse_campaign_options(options)
        from mimedi_sim.collection import without_collection

        with without_collection():
            summary = simulate(options)
            summary["wall_s"] = time.perf_counter() - begun_s
            _tell(summary, options.json)
    except (WorkcellError, RecordError, OSError, ValueError) as error:
        print(f"workcell simulate: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    return EXIT_OF_VERDICT.get(str(summary["verdict"]), EXIT_REJECTED)


def _tell(summary: Mapping[str, Any], json_file: str | None) -> None:
    if json_file != "-":
        _show(summary)
    write_json(summary, json_file)


def _show(summary: Mapping[str, Any]) -> None:
    # What draws on a terminal takes a while to load: a program that reads JSON need not wait for it.
    from rich.console import Console

    from .parts.release_table import print_release

    console = Console()
    print_release(summary, console)
    ended = summary["ended"]
    if ended.get("reason"):
        console.print(f"Ended {ended.get('state')}: {ended['reason']}", highlight=False, markup=False)
    console.print(
        f"{summary['duration_d']:.2f} process days in {summary['wall_s']:.2f} s", highlight=False, markup=False
    )


def simulate(options: argparse.Namespace) -> dict[str, Any]:
    """Run the batch that the options describe and return its summary."""
    from mimedi_sim.headless import HeadlessRun, run_batch
    from mimedi_sim.models.donors import donor
    from mimedi_sim.scenarios import find_scenario

    site = load_site(config_folder() / "site" / "demo.yaml")
    scenario = find_scenario(options.scenario, config_folder() / "scenarios")
    path = recipe_path(options.recipe)
    recipe = load_recipe(path, manifests()).with_settings(settings_of(options.set))
    operator = script_of(options.operator)
    if operator is None:
        raise ValueError("--operator ask needs a running workcell; simulate takes scripted:FILE")
    batch = paired(batch_of(options, recipe.name), recipe)
    standing = Approvals(path.parent).require(recipe, batch)
    who = donor(scenario.donor or options.donor, options.seed)
    site_file = config_folder() / "site" / "demo.yaml"
    lots = read_supplies(supplies_file(site_file, site.site))
    calibrations = site.calibrations_due
    at_start = (standing.fact(recipe), *start_facts(lots, calibrations))
    run = HeadlessRun(recipe, batch, site, replace(who), options.seed, operator, scenario, at_start=at_start)
    if options.runs is not None:
        from .parts.people import Place

        place = Place(options.runs)
        folder = options.runs / batch.batch_id
        run = replace(run, record_folder=folder, signer=Signer.load_or_create(place.keys))
    result = run_batch(run)
    result.record.close()
    if options.truth:
        Path(options.truth).write_text(json.dumps(result.truth, indent=1) + "\n", encoding="utf-8")
    specification: Mapping[str, Any] = read_specification(product_file(config_folder() / "products", recipe.product))
    summary = summarize(review(result.events, specification, evaluate), result.record.head)
    summary |= {"seed": options.seed, "donor_profile": who.name, "scenario": scenario.scenario, "simulated": True}
    return summary
