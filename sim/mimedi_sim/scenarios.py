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

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml.error import YAMLError

from mimedi_nodes.process.diagnostics import schema_faults
from mimedi_nodes.process.errors import WorkcellError
from mimedi_nodes.records.yaml_text import load
from mimedi_sim.plant.fault_catalogue import CATALOGUE
from mimedi_sim.plant.faults import FaultError, checked_name, checked_values


class ScenarioError(WorkcellError):
    """A scenario file cannot be used; says every field that is wrong."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScenarioEvent(_Strict):
    """One fault: when it comes, where, with what, and when it goes."""

    at_h: float = Field(ge=0.0, description="process hours after the start")
    fault: str
    target: str
    parameters: dict[str, float | str] = Field(default_factory=dict)
    until_h: float | None = Field(default=None, gt=0.0, description="process hours at which it goes; null: it stays")

    @field_validator("fault")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            checked_name(value, CATALOGUE)
        except FaultError as error:
            raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _fits(self) -> ScenarioEvent:
        try:
            checked_values(self.fault, CATALOGUE[self.fault], self.parameters)
        except FaultError as error:
            raise ValueError(str(error)) from error
        if self.until_h is not None and self.until_h <= self.at_h:
            raise ValueError(f"until_h is {self.until_h:g}; allowed: after at_h, {self.at_h:g}")
        return self


class Scenario(_Strict):
    """A named course of faults."""

    scenario: str
    description: str
    donor: str | None = Field(default=None, description="donor preset this scenario is about; null: as chosen")
    events: tuple[ScenarioEvent, ...] = ()


def load_scenario(path: Path) -> Scenario:
    """Read and validate a scenario file; raises ScenarioError with every wrong field."""
    try:
        data = load(path.read_text(encoding="utf-8"))
    except (OSError, YAMLError) as error:
        raise ScenarioError(f"{path}: cannot be read: {error}") from error
    try:
        scenario = Scenario.model_validate(data)
    except ValidationError as error:
        raise ScenarioError(schema_faults(path, error)) from error
    if scenario.scenario != path.stem:
        raise ScenarioError(f"{path}: scenario is {scenario.scenario!r}; it must be the file's name, {path.stem!r}")
    return scenario


def find_scenario(name: str, folder: Path) -> Scenario:
    """Return a shipped scenario by name; raises ScenarioError naming those there are."""
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none"
        raise ScenarioError(f"scenario {name!r} is not in {folder}; there are: {known}")
    return load_scenario(path)
