# SPDX-License-Identifier: Apache-2.0
"""`workcell recipe estimate`: duration, supplies, touch time and cost per dose, and their spread over headless runs."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from ..modules.expectations import expected_phase_s
from ..modules.registry import config_folder, manifests
from ..modules.site_file import load_site
from ..process.batch import Batch
from ..process.identity.identity import make_identifier
from ..process.people.operator import ScriptedOperator
from ..process.recipes.costs import GROUPS, CostError, Estimate, Usage, estimate, largest_figures, read_costs
from ..process.recipes.durations import expected_recipe_s
from ..process.recipes.loader import load_recipe
from ..process.recipes.recipe import Recipe
from ..process.release import evaluate
from ..records.events import RecordEvent
from ..records.review import review
from ..records.specification import product_file, read_specification
from ..records.yaml_text import compose
from .parts.batch_options import (
    DONORS,
    EXIT_COULD_NOT_RUN,
    EXIT_MEETS,
    default_script,
    paired,
    recipe_path,
    settings_of,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this act."""
    parser.add_argument("recipe", help="name of a recipe in config/recipes, or a file")
    parser.add_argument("-n", "--number", type=int, default=3, help="headless batches (default 3; 0: expectation only)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first batch (default 1)")
    parser.add_argument("--donors", choices=DONORS, default="healthy", help="donor of each batch (default healthy)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="another parameter, unit allowed"
    )
    parser.add_argument("--costs", type=Path, help="planning figures (default config/costs.yaml)")
    parser.add_argument("--json", action="store_true", help="as JSON on the screen")


def run(options: argparse.Namespace) -> int:
    """Estimate; returns 2 when no batch meets its specification."""
    if options.number < 0:
        raise ValueError(f"-n is {options.number}; allowed: >= 0")
    recipe = load_recipe(recipe_path(options.recipe), manifests()).with_settings(settings_of(options.set))
    costs_file = options.costs or config_folder() / "costs.yaml"
    costs = read_costs(costs_file)
    expected_d = expected_recipe_s(recipe, expected_phase_s(recipe)) / 86400.0
    batches = _simulate(recipe, options.number, options.seed, options.donors)
    found = {
        "recipe": recipe.name, "version": recipe.version, "content_sha256": recipe.content_hash,
        "expected_duration_d": expected_d, "phases": sum(1 for _ in recipe.phases()), "batches": len(batches),
    }  # fmt: skip
    result: Estimate | None = None
    problem = ""
    if batches:
        found["usage"] = [asdict(batch) for batch in batches]
        try:
            result = estimate(costs, batches, options.seed)
            found["estimate"] = asdict(result)
        except CostError as error:
            problem = str(error)
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        _print(recipe, found, batches, result)
        if result is not None:
            _print_assumptions(costs_file, costs, batches, result)
    if problem:
        print(f"workcell recipe: {problem}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    return EXIT_MEETS


def _simulate(recipe: Recipe, number: int, seed: int, donors: str) -> list[Usage]:
    """Run the batches headless and return what each used."""
    from mimedi_sim.headless import HeadlessRun, run_batch
    from mimedi_sim.models.donors import donor

    site = load_site(config_folder() / "site" / "demo.yaml")
    specification = read_specification(product_file(config_folder() / "products", recipe.product))
    script = ScriptedOperator(default_script())
    found = []
    columns = (TextColumn("batches"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), disable=number == 0) as progress:
        task = progress.add_task("batches", total=number)
        for which in range(seed, seed + number):
            patient = make_identifier("F1234", 26, which % 900_000)
            batch = paired(Batch(f"estimate-{which}", patient, patient, 70.0), recipe)
            result = run_batch(HeadlessRun(recipe, batch, site, donor(donors, which), which, script))
            verdict = review(result.events, specification, evaluate).verdict
            meets = verdict in ("meets", "meets_provisionally")
            found.append(usage_of(result.events, result.used_ul, result.process_time_s / 86400.0, meets))
            progress.advance(task)
    return found


def usage_of(events: Iterable[RecordEvent], used_ul: Mapping[str, float], duration_d: float, meets: bool) -> Usage:
    """Return what a batch used and asked for, from its record."""
    events = list(events)
    kinds = Counter(event.kind for event in events)
    questions = [event for event in events if event.kind == "prompt_answered"]
    scans = sum(str(event.data.get("question", "")).lower().startswith("scan") for event in questions)
    shipped = sum(e.kind == "sample_taken" and e.data.get("destination") == "sample_port" for e in events)
    tests = Counter(str(e.data["test"]) for e in events if e.kind.startswith("laboratory_") and "test" in e.data)
    holds = sum(e.kind == "command" and e.data.get("command") == "hold" for e in events)
    touches = {
        "set_up": 1.0, "changeover": 1.0, "review": 1.0, "scan": scans, "question": len(questions) - scans,
        "shipped_sample": shipped, "absent_step": kinds["step_not_available"], "watch_per_day": duration_d,
        "hold": holds,
    }  # fmt: skip
    return Usage(duration_d, meets, dict(used_ul), dict(tests), touches)


def _range(values: Sequence[float], digits: int = 2) -> str:
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _print(recipe: Recipe, found: Mapping[str, Any], batches: Sequence[Usage], result: Estimate | None) -> None:
    console = Console()
    table = Table(title=f"Estimate · {recipe.title}", title_justify="left")
    for column in ("what", "estimate"):
        table.add_column(column)
    table.add_row("duration expected from the recipe", f"{found['expected_duration_d']:.2f} d")
    table.add_row("phases", str(found["phases"]))
    if batches:
        table.add_row(f"duration of {len(batches)} simulated batches", f"{_range([b.duration_d for b in batches])} d")
        names = sorted({name for batch in batches for name, volume in batch.used_ul.items() if volume > 1.0})
        for name in names:
            millilitres = [batch.used_ul.get(name, 0.0) / 1000.0 for batch in batches]
            table.add_row(f"{name.replace('_', ' ')} used", f"{_range(millilitres, 1)} mL")
        table.add_row("laboratory results", f"{_range([sum(b.tests.values()) for b in batches], 0)}")
        table.add_row("batches that meet their specification", f"{sum(b.meets for b in batches)} of {len(batches)}")
    if result is not None:
        touch = result.touch_h
        manual = f"; by hand about {result.manual_touch_h:g} h" if math.isfinite(result.manual_touch_h) else ""
        table.add_row("touch time per dose", f"{touch.median:.1f} h ({touch.low:.1f} to {touch.high:.1f}){manual}")
    console.print(table, highlight=False)
    if result is None:
        return
    money = Table(title=f"Cost per dose [{result.currency}], planning figures", title_justify="left")
    money.add_column("group")
    for column in ("amount", "share", "30 % lower … higher gives"):
        money.add_column(column, justify="right")
    total = sum(result.groups.values())
    for group in sorted(GROUPS, key=lambda name: -result.groups[name]):
        low, high = result.sensitivity[group]
        amount = result.groups[group]
        money.add_row(group, f"{amount:,.0f}", f"{amount / total:.0%}", f"{low:,.0f} … {high:,.0f}")
    cost = result.cost
    money.add_section()
    money.add_row("a dose", f"{cost.median:,.0f}", "", f"95 %: {cost.low:,.0f} to {cost.high:,.0f}", style="bold")
    money.add_row("baseline of the project", f"{result.baseline:,.0f}", "", f"÷ {result.baseline / cost.median:.1f}")
    money.add_row("target of the project", f"{result.target:,.0f}", "", f"× {cost.median / result.target:.2f}")
    console.print(money, highlight=False)
    console.print(
        f"{result.success:.0%} of the simulated batches meet their specification; the others are paid for by these.",
        highlight=False,
    )


def _print_assumptions(path: Path, costs: Mapping[str, Any], batches: Sequence[Usage], result: Estimate) -> None:
    console = Console()
    table = Table(title="The three assumptions that weigh most", title_justify="left")
    for column in ("assumption", "line", f"a dose [{result.currency}], 30 % lower … higher"):
        table.add_column(column, justify="left" if column == "assumption" else "right")
    for name, low, high in largest_figures(costs, batches, result.success):
        table.add_row(name, str(_line_of(path, name)), f"{low:,.0f} … {high:,.0f}")
    console.print(table, highlight=False)
    console.print(
        f"All prices, minutes and spreads are the project's assumptions, no quotations: {path.name}, each on its line; "
        "volumes, days, tests and touches are counted in the simulated batches; baseline and target are the press's.",
        highlight=False,
    )


def _line_of(path: Path, name: str) -> int:
    """Return the line, from 1, on which the file has a figure named by its place."""
    node: Any = compose(path.read_text(encoding="utf-8"))[1]
    line = 0
    for part in name.split("."):
        key, node = next(pair for pair in node.value if pair[0].value == part)
        line = key.start_mark.line + 1
    return line
