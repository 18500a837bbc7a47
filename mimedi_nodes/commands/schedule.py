# SPDX-License-Identifier: Apache-2.0
"""`workcell schedule`: plans batches over the units of the workcell, beside first-come-first-served."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..modules.expectations import expected_phase_s
from ..modules.registry import config_folder, manifests, modules_of
from ..modules.site_file import load_site
from ..process.batch import Batch
from ..process.diagnostics import Diagnostic, DiagnosticError
from ..process.errors import WorkcellError
from ..process.people.operator import ScriptedOperator
from ..process.recipes.durations import expected_step_s
from ..process.recipes.loader import load_recipe
from ..process.recipes.recipe import Recipe
from ..process.units.claim_plan import claim_plan
from ..process.units.schedule_solver import Planned, plan
from ..process.units.scheduling import (
    HOUR_S,
    Figures,
    Job,
    Schedule,
    ScheduleError,
    Workshop,
    figures,
    first_come_first_served,
    job_of,
)
from ..process.units.units import Units, read_units, units_file
from ..process.yaml_tree import Reader
from ..records.events import RecordEvent
from .parts.batch_options import (
    DEFAULT_RECIPE,
    EXIT_COULD_NOT_RUN,
    EXIT_MEETS,
    EXIT_REJECTED,
    default_script,
    demo_identity,
    paired,
    recipe_path,
)

DAY_S = 24.0 * HOUR_S
_ENDS = ("batch_started", "phase_ended", "step_ended", "measurement", "batch_ended")


def main(argv: Sequence[str]) -> int:
    """Plan; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell schedule",
        description="Plans batches over the units of the workcell (config/units.yaml) with a constraint solver and "
        "compares with first-come-first-served. Exit status: 0 planned; 1 not all can be in time; 2 wrong input.",
        epilog="Examples: ./workcell schedule -n 4 --every-d 3   ./workcell schedule --orders orders.yaml --out plan   "
        "./workcell schedule -n 6 --units culture=2",
    )
    parser.add_argument("recipe", nargs="?", default=DEFAULT_RECIPE, help=f"recipe of all (default {DEFAULT_RECIPE})")
    parser.add_argument("-n", "--number", type=int, default=4, help="batches (default 4)")
    parser.add_argument("--every-d", type=float, default=3.0, help="days between two arrivals (default 3)")
    parser.add_argument("--due-d", type=float, help="days after its arrival by which each batch must have ended")
    parser.add_argument("--orders", type=Path, help="YAML list of {batch, recipe, arrival_d, due_d}, instead of these")
    parser.add_argument(
        "--site", type=Path, help="site file; how many of a unit there are follows from it (default site/demo.yaml)"
    )
    parser.add_argument(
        "--units", action="append", default=[], metavar="UNIT=N", help="as if there were N of a unit (culture=2)"
    )
    parser.add_argument("--changeover-h", type=float, default=1.0, help="exchange of a set [h] (default 1)")
    parser.add_argument("--most-wait-h", type=float, default=12.0, help="longest wait of cells at a step (default 12)")
    parser.add_argument(
        "--measure", type=int, default=1, metavar="N",
        help="headless batches that give the durations (default 1; 0: the recipe's expectations)",
    )  # fmt: skip
    parser.add_argument("--limit-s", type=float, default=10.0, help="processor time of the solver [s] (default 10)")
    parser.add_argument("--out", type=Path, help="folder for schedule.html and schedule.png")
    parser.add_argument("--json", action="store_true", help="as JSON on the screen")
    options = parser.parse_args(list(argv))
    try:
        return run(options)
    except ScheduleError as error:
        print(f"workcell: {error}", file=sys.stderr)
        return EXIT_REJECTED
    except (WorkcellError, ValueError, OSError) as error:
        print(f"workcell: could not plan: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN


def run(options: argparse.Namespace) -> int:
    """Plan as the options say and show it."""
    site_file = options.site or config_folder() / "site" / "demo.yaml"
    site = load_site(site_file)
    units = read_units(units_file(site_file), modules_of(site), site.vessels)
    workshop = _workshop(options, units)
    jobs = _jobs(_orders(options), units, options.measure)
    served = first_come_first_served(jobs, workshop)
    planned = plan(jobs, workshop, options.limit_s)
    compared = {"planned": figures(jobs, planned.schedule), "first_come_first_served": figures(jobs, served)}
    if options.out is not None:
        from .parts.gantt import write_files

        write_files(options.out, jobs, planned.schedule, served, compared)
    if options.json:
        print(json.dumps(_as_json(jobs, planned, served, compared), indent=1))
        return EXIT_MEETS
    from rich.console import Console

    from .parts.gantt import print_gantt

    print_gantt(Console(), jobs, planned, served, compared)
    if options.out is not None:
        print(f"Files: {options.out}  (schedule.html, schedule.png)")
    return EXIT_MEETS


def _workshop(options: argparse.Namespace, units: Units) -> Workshop:
    for name, low, high in (("changeover_h", 0.0, 48.0), ("most_wait_h", 0.0, 240.0), ("limit_s", 0.1, 3600.0)):
        value = getattr(options, name)
        if not low <= value <= high:
            raise ValueError(f"--{name.replace('_', '-')} is {value}; allowed: {low:g} to {high:g}")
    capacity = {unit.name: len(units.of_class(unit.name)) for unit in units if unit.unit_class == unit.name}
    for text in options.units:
        name, _, number = text.partition("=")
        if name not in capacity or not number.isdecimal() or not 1 <= int(number) <= 100:
            known = ", ".join(capacity)
            raise ValueError(f"--units is {text!r}; allowed: UNIT=N with a unit of {known}, and N from 1 to 100")
        capacity[name] = int(number)
    return Workshop(capacity, options.changeover_h * HOUR_S, options.most_wait_h * HOUR_S)


def _orders(options: argparse.Namespace) -> list[tuple[str, str, float, float | None]]:
    """Return batch, recipe, arrival [d] and due time [d] of each order."""
    if options.orders is not None:
        return read_orders(options.orders)
    if not 1 <= options.number <= 50:
        raise ValueError(f"-n is {options.number}; allowed: 1 to 50")
    if not 0.0 <= options.every_d <= 365.0:
        raise ValueError(f"--every-d is {options.every_d}; allowed: 0 to 365")
    due_d = options.due_d
    return [
        (f"P{k + 1}", options.recipe, k * options.every_d, None if due_d is None else k * options.every_d + due_d)
        for k in range(options.number)
    ]


def read_orders(path: Path) -> list[tuple[str, str, float, float | None]]:
    """Return the orders of a file: batch, recipe, arrival and due time [d from the beginning of the plan].

    Raises:
        DiagnosticError: with every line that is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DiagnosticError([Diagnostic(str(path), 0, "", None, f"cannot be read: {error}")]) from error
    reader = Reader(path.name)
    orders: list[tuple[str, str, float, float | None]] = []
    for item in reader.items(reader.load(text), at_least=1):
        fields = reader.mapping(item, required=("batch", "arrival_d"), optional=("recipe", "due_d"))
        arrival_d = reader.number(fields.get("arrival_d"), 0.0, 3650.0)
        due = fields.get("due_d")
        due_d = reader.number(due, arrival_d, 3650.0) if due is not None else None
        recipe = reader.text(fields.get("recipe"), default=DEFAULT_RECIPE)
        orders.append((reader.text(fields.get("batch")), recipe, arrival_d, due_d))
    reader.finish()
    return orders


def _jobs(orders: Sequence[tuple[str, str, float, float | None]], units: Units, measured: int) -> list[Job]:
    stays = frozenset(unit.name for unit in units if unit.kind == "staying")
    known: dict[str, tuple[Recipe, Mapping[str, float]]] = {}
    jobs = []
    for name, recipe_name, arrival_d, due_d in orders:
        if recipe_name not in known:
            recipe = load_recipe(recipe_path(recipe_name), manifests())
            known[recipe_name] = (recipe, durations_s(recipe, measured))
        recipe, lengths = known[recipe_name]
        claims = claim_plan(recipe, units, expected_phase_s(recipe))
        due_s = None if due_d is None else due_d * DAY_S
        jobs.append(job_of(name, recipe.name, claims, lengths, stays, arrival_d * DAY_S, due_s))
    return jobs


def durations_s(recipe: Recipe, measured: int) -> dict[str, float]:
    """Return how long each step of the procedure takes [s]: mean of headless batches, or what the recipe expects."""
    steps = [step for operation in recipe.operations() for step in operation.steps]
    if measured < 1:
        expected = expected_phase_s(recipe)
        return {step.path: expected_step_s(step, expected, ()) for step in steps}
    found = dict.fromkeys((step.path for step in steps), 0.0)
    for events in _headless(recipe, measured):
        last_s = events[0].process_time_s
        for step in steps[:-1]:
            own = [e.process_time_s for e in events if _belongs(str(e.data.get("phase_id", "")), step.path)]
            end_s = max([last_s, *own])
            found[step.path] += (end_s - last_s) / measured
            last_s = end_s
        found[steps[-1].path] += (events[-1].process_time_s - last_s) / measured
    return found


def _belongs(phase_id: str, path: str) -> bool:
    return phase_id == path or phase_id.startswith((f"{path}.", f"{path}#"))


def _headless(recipe: Recipe, number: int) -> Iterator[list[RecordEvent]]:
    """Yield the records of headless batches of nominal donors."""
    from mimedi_sim.headless import HeadlessRun, run_batch
    from mimedi_sim.models.donors import donor

    site = load_site(config_folder() / "site" / "demo.yaml")
    script = ScriptedOperator(default_script())
    for seed in range(1, number + 1):
        batch = paired(Batch(f"duration-{seed}", demo_identity(), demo_identity(), 70.0), recipe)
        result = run_batch(HeadlessRun(recipe, batch, site, donor("nominal", seed), seed, script))
        if result.outcome.state != "completed":
            ended = f"{result.outcome.state}: {result.outcome.reason}"
            raise ScheduleError(f"no duration can be measured: the simulated batch ended {ended}")
        yield [e for e in result.events if e.kind in _ENDS and math.isfinite(e.process_time_s)]


def _as_json(
    jobs: Sequence[Job], planned: Planned, served: Schedule, compared: Mapping[str, Figures]
) -> dict[str, Any]:
    def rows(schedule: Schedule) -> list[dict[str, Any]]:
        return [
            {
                "batch": job.name, "recipe": job.recipe, "arrival_d": job.arrival_s / DAY_S,
                "due_d": None if job.due_s is None else job.due_s / DAY_S,
                "begin_d": schedule.begin_s(job) / DAY_S, "end_d": schedule.end_s(job) / DAY_S,
                "units": [{"unit": u, "from_d": a / DAY_S, "to_d": b / DAY_S} for u, a, b in schedule.held(job)],
            }
            for job in jobs
        ]  # fmt: skip

    return {
        "optimal": planned.optimal,
        "figures": {name: asdict(found) for name, found in compared.items()},
        "planned": rows(planned.schedule),
        "first_come_first_served": rows(served),
    }
