# SPDX-License-Identifier: Apache-2.0
"""Scenarios: which faults come into the plant when, read from config/scenarios/*.yaml.

Grammar of a file:
    scenario: name of the file without .yaml
    description: one sentence: what happens and how the batch must end
    donor: nominal            # optional: the donor this scenario is about
    events:                   # optional
      - {at_h: 48.0, fault: leak, target: culture_vessel, parameters: {volume_ul: 5000.0}, until_h: 50.0}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mimedi_nodes.process.diagnostics import DiagnosticError
from mimedi_nodes.process.errors import WorkcellError
from mimedi_nodes.process.yaml_tree import Reader, Tree, given, plain_mapping, read_document
from mimedi_sim.plant.fault_catalogue import CATALOGUE
from mimedi_sim.plant.faults import FaultError, checked_name, checked_values

LONGEST_H = 1e6


class ScenarioError(WorkcellError):
    """A scenario file cannot be used; says every field that is wrong."""


@dataclass(frozen=True)
class ScenarioEvent:
    """One fault: when it comes [process hours after the start], where, with what, and when it goes (None: it stays)."""

    at_h: float
    fault: str
    target: str
    parameters: Mapping[str, float | str] = field(default_factory=dict)
    until_h: float | None = None


@dataclass(frozen=True)
class Scenario:
    """A named course of faults; `donor` is the preset that it is about, None: as chosen."""

    scenario: str
    description: str
    donor: str | None = None
    events: tuple[ScenarioEvent, ...] = ()


def load_scenario(path: Path) -> Scenario:
    """Read and validate a scenario file; raises ScenarioError with every wrong field."""
    try:
        reader, items = read_document(path, ("scenario", "description"), ("donor", "events"))
        name = items.get("scenario")
        donor, events = given(items, "donor"), given(items, "events")
        scenario = Scenario(
            reader.text(name),
            reader.text(items.get("description")),
            reader.text(donor) if donor is not None else None,
            tuple(_event(reader, tree) for tree in reader.items(events)),
        )
        if name is not None and scenario.scenario != path.stem:
            reader.wrong(name, "not the file's name", path.stem)
        reader.finish()
    except DiagnosticError as error:
        raise ScenarioError(str(error)) from error
    return scenario


def _event(reader: Reader, tree: Tree) -> ScenarioEvent:
    items = reader.mapping(tree, ("at_h", "fault", "target"), ("parameters", "until_h"))
    until = given(items, "until_h")
    event = ScenarioEvent(
        reader.number(items.get("at_h"), 0.0, LONGEST_H),
        reader.text(items.get("fault")),
        reader.text(items.get("target")),
        plain_mapping(reader.mapping(given(items, "parameters"), optional=None)),
        reader.number(until, 0.0, LONGEST_H) if until is not None else None,
    )
    try:
        checked_name(event.fault, CATALOGUE)
        checked_values(event.fault, CATALOGUE[event.fault], event.parameters)
    except FaultError as error:
        reader.wrong(tree, str(error), value=tree.plain())
    if event.until_h is not None and event.fault in CATALOGUE and CATALOGUE[event.fault].once:
        reader.wrong(items["until_h"], f"{event.fault} comes at once and cannot be taken away", "no until_h")
    elif event.until_h is not None and event.until_h <= event.at_h:
        reader.wrong(items["until_h"], "it must go after it has come", f"above at_h, {event.at_h:g}")
    return event


def find_scenario(name: str, folder: Path) -> Scenario:
    """Return a scenario by its name in a folder, or from the file of that path (`.yaml`); raises ScenarioError."""
    if name.endswith(".yaml"):
        return load_scenario(Path(name))
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none"
        raise ScenarioError(f"scenario {name!r} is not in {folder}; there are: {known}; or give a file, FILE.yaml")
    return load_scenario(path)
