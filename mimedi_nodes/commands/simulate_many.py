# SPDX-License-Identifier: Apache-2.0
"""`workcell simulate RECIPE -n N`: many batches, their distributions beside the published figures."""

from __future__ import annotations

import argparse
import json
import math
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ..modules.registry import config_folder, manifests
from ..process.recipes.approval import Approvals
from ..process.recipes.loader import load_recipe
from .parts.batch_options import batch_of, recipe_path, script_of

DAY_10 = {"not_before_day": 10.0, "latest_day": 10.0}
"""Every batch is harvested on day 10, as those of PHYSICS §12 (PROCESS step 11)."""


_WIDTH = 156
"""Columns that the table of distributions needs; a narrower terminal wraps it."""


def parameters_of(settings: Sequence[str]) -> dict[str, float]:
    """Return the recipe parameters of `--set NAME=VALUE` options; raises ValueError."""
    values = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        try:
            values[name.strip()] = float(text)
        except ValueError:
            raise ValueError(f"--set is {setting!r}; allowed: NAME=NUMBER, for example moi=4") from None
    return values


def run(options: argparse.Namespace) -> int:
    """Run the campaign that the options describe; return 0, or 2 if any batch could not be simulated."""
    from mimedi_sim.population import BatchRow, Campaign, distributions, run_campaign
    from mimedi_sim.population.report import summary_of, write_report
    from mimedi_sim.scenarios import find_scenario

    if options.number < 1 or options.jobs < 1:
        raise ValueError(f"-n is {options.number} and --jobs {options.jobs}; allowed: >= 1")
    if options.runs:
        raise ValueError("--runs is of one batch; with -n the report folder is --out")
    if options.truth:
        raise ValueError("--truth is of one batch; with -n look into batches.csv of the report folder")
    script_of(options.operator)  # raises on a bad option
    if options.operator == "ask":
        raise ValueError("--operator ask needs a running workcell; simulate takes scripted:FILE")
    console = Console(stderr=options.json == "-")
    donors = options.donors or (options.donor if options.donor != "nominal" else "healthy")
    comparable = donors in ("nominal", "healthy") and options.scenario == "nominal"
    harvest = options.harvest or ("day10" if comparable else "target")
    parameters = (DAY_10 if harvest == "day10" else {}) | parameters_of(options.set)
    path = recipe_path(options.recipe)
    recipe_of_batches = load_recipe(path, manifests()).with_parameters(parameters)
    find_scenario(options.scenario, config_folder() / "scenarios")
    Approvals(path.parent).require(recipe_of_batches, batch_of(options, recipe_of_batches.name))
    campaign = Campaign(
        recipe_path(options.recipe), options.number, options.seed, donors, parameters, options.scenario,
        Path(options.operator.partition(":")[2]), options.weight_kg,
    )
    begun_s = time.perf_counter()
    with Progress(
        TextColumn("batches"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as progress:
        task = progress.add_task("batches", total=options.number)
        # By a flag: an exception that rises within a weak reference's callback is lost, and with it the Ctrl-C.
        interrupted = threading.Event()
        before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())

        def count(_: BatchRow) -> None:
            if interrupted.is_set():
                raise KeyboardInterrupt
            progress.advance(task)

        try:
            rows = run_campaign(campaign, options.jobs, count)
        except KeyboardInterrupt:
            print("workcell simulate: interrupted; nothing was written", file=sys.stderr)
            return 130
        finally:
            signal.signal(signal.SIGINT, before)
    wall_s = time.perf_counter() - begun_s
    compare = comparable and harvest == "day10" and not options.set
    table = distributions([row.true for row in rows], compare, [row.ideal for row in rows])
    recipe = campaign.recipe_file.stem
    title = f"{recipe}: {options.number} batches, {donors} donors, seeds from {options.seed}"
    notes = [
        "harvest on day 10 (schedule of PHYSICS §12)" if harvest == "day10" else "harvest by the recipe's rule",
        f"scenario {options.scenario}" + "".join(f", {n} = {v:g}" for n, v in parameters.items()),
    ]
    folder = options.out or Path("runs") / f"population-{recipe}-{donors}-{options.seed}-{options.number}"
    write_report(folder, title, rows, table, notes)
    summary = summary_of(rows)
    _print(console, title, notes, table, summary, compare)
    console.print(
        f"{wall_s:.1f} s for {options.number} batches in {options.jobs} process(es), "
        f"{summary['wall_s_per_batch']:.2f} s each; report in {folder}", highlight=False, markup=False,
    )
    if options.json:
        content = json.loads((folder / "distributions.json").read_text(encoding="utf-8")) | {"wall_s": wall_s}
        text = json.dumps(content, indent=1, ensure_ascii=False)
        if options.json == "-":
            print(text)
        else:
            Path(options.json).write_text(text + "\n", encoding="utf-8")
    failed = [row for row in rows if row.error]
    for row in failed[:3]:
        print(f"workcell simulate: seed {row.seed}: {row.error}", file=sys.stderr)
    return 2 if failed else 0


def _print(
    console: Console, title: str, notes: Sequence[str], table: Sequence[Any], summary: Mapping[str, Any], compare: bool
) -> None:
    from mimedi_sim.population.report import number, percent

    console = Console(stderr=console.stderr, width=max(console.width, _WIDTH))
    console.print(f"{title}\n{'; '.join(notes)}", highlight=False, markup=False)
    grid = Table()
    heads = ["figure", "n", "2.5 %", "median", "97.5 %"]
    heads += ["§12", "low", "median", "high", "own: low", "median", "high", "verdict"] if compare else []
    for head in heads:
        grid.add_column(head, justify="left" if head in ("figure", "verdict") else "right", no_wrap=True)
    for d in table:
        cells = [d.name, str(d.count), number(d.low), number(d.median), number(d.high)]
        if compare and d.reference is not None:
            deviations = (d.low_error, d.median_error, d.high_error, d.paired_low, d.paired, d.paired_high)
            cells += [number(d.reference.median), *map(percent, deviations)]
            cells.append("agrees" if d.agrees else "deviates")
        elif compare:
            continue
        grid.add_row(*cells)
    console.print(grid, highlight=False)
    if compare:
        console.print(
            "low, median, high: against PHYSICS §12; own: against the idealised chain with each batch's own donor and "
            "the steps of PROCESS, which the verdict is about (median ± 5 %, tails ± 15 %)", highlight=False,
        )
    ended = ", ".join(f"{count} {name}" for name, count in summary["ended"].items())
    share = summary["meets_share"]
    console.print(
        f"Ended: {ended}; {summary['meets']} of {summary['batches']} meet their specification"
        + (f" ({share:.1%})" if math.isfinite(share) else ""), highlight=False, markup=False,
    )
    for cause, count in summary["causes"].items():
        console.print(f"  {count} × {cause}", highlight=False, markup=False)
