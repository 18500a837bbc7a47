# SPDX-License-Identifier: Apache-2.0
"""Tables of `workcell sim`: the faults that there can be, and what is really in the plant."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from .sim_words import EXIT_DONE, Wrong, clock_text, fault_text


def show_faults(options: argparse.Namespace) -> int:
    """Print the faults that there can be, and those that are in the running plant."""
    from mimedi_sim.plant.fault_catalogue import CATALOGUE, GROUPS
    from mimedi_sim.plant.faults import FaultError, checked_name

    chosen = CATALOGUE
    if options.fault:
        try:
            chosen = {options.fault: checked_name(options.fault, CATALOGUE)}
        except FaultError as error:
            raise Wrong(str(error)) from error
    active = _active_faults(options)
    if options.json:
        described = {
            name: {
                "acts_on": kind.acts_on, "once": kind.once, "effect": kind.effect, "signature": kind.signature,
                "answer": kind.answer,
                "parameters": {key: {"default": p.default, "unit": p.unit, "allowed": p.allowed}
                               for key, p in kind.parameters.items()},
            } for name, kind in chosen.items()
        }
        print(json.dumps({"faults": described, "active": active}, indent=1, ensure_ascii=False))
        return EXIT_DONE
    console = Console()
    if options.fault:
        kind = chosen[options.fault]
        console.print(f"[bold]{options.fault}[/] acts on: {kind.acts_on}{', happens once' if kind.once else ''}")
        for key, p in kind.parameters.items():
            default = "required" if p.default is None else f"default {p.default}"
            console.print(f"  {key}: {default}; {p.allowed}", highlight=False, markup=False)
        for head, text in (("In the plant", kind.effect), ("Shows as", kind.signature), ("Workcell", kind.answer)):
            console.print(f"{head}: {text}", highlight=False, markup=False)
        return EXIT_DONE
    for title, kinds in GROUPS.items():
        table = Table(title=title, title_justify="left")
        for head in ("fault", "on", "parameters", "shows as"):
            table.add_column(head, overflow="fold")
        for name, kind in kinds.items():
            table.add_row(name, kind.acts_on, ", ".join(kind.parameters) or "–", kind.signature)
        console.print(table)
    if active is None:
        console.print("No plant answers; this is what one could have.")
    for fault in active or []:
        console.print(f"IN: {fault_text(fault)}", style="bold yellow", highlight=False, markup=False)
    return EXIT_DONE


def _active_faults(options: argparse.Namespace) -> list[Any] | None:
    """Return the faults that are in the running plant; None when there is none or ROS is not at hand."""
    try:
        from ...nodes.clients.plant_client import NoPlant, PlantClient
    except ImportError:
        return None
    client = PlantClient(options.namespace)
    try:
        return list(client.read_truth(options.timeout)["faults"])
    except NoPlant:
        return None
    finally:
        client.close()


def show_truth(truth: Mapping[str, Any]) -> None:
    """Print the plant's truth for people."""
    console = Console()
    console.print(f"{clock_text(truth['time_s'])}, donor {truth['donor']}", highlight=False)
    table = Table(title="Vessels", title_justify="left")
    for head in ("vessel", "mL", "viable cells", "viability", "CAR+", "beads/3e6"):
        table.add_column(head, justify="left" if head == "vessel" else "right")

    def text(value: float | None, style: str) -> str:
        return "–" if value is None else format(value, style)

    for name, vessel in truth["vessels"].items():
        if vessel["volume_ul"] <= 0.0:
            continue
        cells = vessel["cells"]
        table.add_row(name, f"{vessel['volume_ul'] / 1e3:.2f}", text(cells["viable_cells"], ".3e"),
                      text(cells["viability"], ".3f"), text(cells["car_fraction"], ".3f"),
                      text(cells["beads_per_3e6"], ".0f"))
    console.print(table)
    for name, reactor in truth["reactors"].items():
        console.print(f"{name}: liquid {reactor['liquid_c']:.2f} °C, CO2 {reactor['co2_fraction']:.2%}, stirring "
                      f"{reactor['stirring_rpm']:g} rpm, perfusion {reactor['perfusion_ul_min']:g} µL/min",
                      highlight=False)
    for fault in truth["faults"]:
        console.print(f"FAULT {fault_text(fault)}", style="bold yellow", highlight=False, markup=False)
