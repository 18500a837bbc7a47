# SPDX-License-Identifier: Apache-2.0
"""`workcell demo --drill`: launches the workcell, carries the drill out, leaves one page by exception."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from ...modules.registry import config_folder, module_table
from ...process.batch import Batch
from ...process.errors import WorkcellError
from ...process.identity.identity import make_identifier
from ...process.units.units import read_units, units_file
from ..parts.batch_options import EXIT_COULD_NOT_RUN, EXIT_MEETS, EXIT_REJECTED
from ..parts.launched import Launched, own_domain
from .director import Director, Order, carry_out
from .report import Page, condensed, page_of, print_page, write_page

SCENARIO = "drill"
POWER_FROM_S, POWER_IN = 15.0 * 86400.0, ".perfusion"
"""From when on [s] the power may go, and in which step of the second batch."""
LIMIT_S = 1800.0
"""Longest steady time of a drill [s]."""


def drill(options: argparse.Namespace) -> int:
    """Carry the drill out; 0 when everything was seen that was to be seen, 1 when not, 2 when it could not be run."""
    name = options.batch_id or time.strftime("DRILL-%Y%m%d-%H%M%S")
    options.batch_id, options.scenario, options.operator = name, SCENARIO, "ask"
    options.speed = "1"  # the person of the drill lets time pass, from look to look
    console = Console(stderr=options.json == "-")
    runs = options.runs.resolve()
    runs.mkdir(parents=True, exist_ok=True)
    batches = tuple(_batch(options, name, number) for number in (1, 2))
    begun_s = time.monotonic()
    try:
        with own_domain(), Launched(options, runs) as workcell:
            try:
                director = _direct(options, batches, workcell, console)
            except Exception:
                workcell.explain()
                raise
        site_file = config_folder() / "site" / "demo.yaml"
        names = [batch.batch_id for batch in batches]
        page = page_of(runs, names, config_folder() / "products", director.acts, read_units(units_file(site_file)))
    except (WorkcellError, OSError, RuntimeError) as error:
        print(f"workcell: the drill could not be carried out: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    path = runs / f"{name}.html"
    write_page(page, path)
    print_page(page, console)
    console.print(f"Page: {path}   {time.monotonic() - begun_s:.0f} s of wall time", highlight=False, soft_wrap=True)
    if options.json == "-":
        print(json.dumps(_as_json(page, director), indent=2, ensure_ascii=False))
    elif options.json:
        text = json.dumps(_as_json(page, director), indent=2, ensure_ascii=False)
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    return EXIT_MEETS if page.passed else EXIT_REJECTED


def _batch(options: argparse.Namespace, name: str, number: int) -> Batch:
    patient = make_identifier("F1234", 26, number)
    return Batch(f"{name}-{'AB'[number - 1]}", patient, patient, options.weight_kg, "operator", options.engineering)


def _direct(options: argparse.Namespace, batches: tuple[Batch, ...], workcell: Launched, console: Console) -> Director:
    from ...nodes.clients.batch_client import BatchClient
    from ...nodes.clients.plant_client import PlantClient
    from ...nodes.clients.workcell_client import WorkcellClient

    modules = tuple(module_table())
    first, second = batches
    waiting = BatchClient(options.namespace, modules)
    with console.status("bringing up the workcell") as status:
        try:
            waiting.wait_active(workcell.is_running, lambda text: status.update(text))
        finally:
            waiting.close()
        listening = WorkcellClient(options.namespace, modules, "drill", on_change=lambda what: director.heard(what))
        plant = PlantClient(options.namespace)
        donors = {first.batch_id: (options.donor, options.seed), second.batch_id: (options.donor, options.seed + 1)}

        def tell(text: str) -> None:
            console.print(text, highlight=False, markup=False, soft_wrap=True)
            status.update(text)

        director = Director(listening, plant, first, second, POWER_FROM_S, POWER_IN, donors, tell)
        listening.start()
        orders = (
            Order(options.namespace, modules, options.recipe, first),
            Order(options.namespace, modules, options.recipe, second),
        )
        try:
            carry_out(director, orders, workcell.is_running, LIMIT_S)
        finally:
            listening.close()
            plant.close()
    return director


def _as_json(page: Page, director: Director) -> dict[str, Any]:
    return {
        "passed": page.passed,
        "findings": [asdict(finding) for finding in page.findings],
        "batches": [
            {**batch, "exceptions": [asdict(item) for item in condensed(batch["exceptions"])]} for batch in page.batches
        ],
        "acts": director.acts.told,
        "coldest_c": director.acts.coldest_c,
    }
