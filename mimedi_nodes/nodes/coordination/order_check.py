# SPDX-License-Identifier: Apache-2.0
"""What is looked at before a batch begins: the order, its recipe and approval, supplies, calibrations, maintenance."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any

from ...modules.registry import manifests
from ...modules.site import Site
from ...process.batch import Batch, checked
from ...process.calibrations import due_dates, made_here
from ...process.errors import WorkcellError
from ...process.interfaces import default_interfaces
from ...process.people.maintenance import under_maintenance
from ...process.recipes.approval import Approvals
from ...process.recipes.loader import load_recipe
from ...process.recipes.recipe import Recipe
from ...process.supplies import SupplyLot, out_of_date, read_supplies, start_facts, supplies_file
from ...process.units.binding import check_bindable
from ...process.units.units import Units
from ...records.errors import RecordError
from .active_batch import ActiveBatch

StartFacts = tuple[tuple[str, str, Mapping[str, Any]], ...]
"""What the record says at the start: kind, subject, data."""


class Refused(WorkcellError):
    """A batch that cannot be started; code and reason."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class CoordinatorCode(IntEnum):
    """Error codes of ProduceBatch."""

    RECIPE = 1010
    """The recipe is unknown, wrong, or not approved."""
    BATCH_EXISTS = 1011
    """A batch of this name was produced before."""
    BUSY = 1012
    """Another batch is being produced, and this workcell has no units that several could share."""
    IDENTITY = 1013
    """Identifiers of batch, patient or donor are malformed."""
    REVIEW = 1014
    """The batch has ended but its record could not be reviewed."""
    INACTIVE = 1015
    """The node is not active."""
    ENGINE = 1016
    """The engine could not write its journal; the modules are held."""
    SUPPLIES = 1017
    """A lot has expired or a calibration is overdue."""
    CUSTODY = 1018
    """A container is of another batch or person, or its label has not been scanned; the phase was not started."""
    MAINTENANCE = 1019
    """A module that the recipe needs is in maintenance."""
    RECORD = 1020
    """The record cannot be written; no batch begins that could not be put on record."""


class OrderCheck:
    """Looks at orders; changes nothing.

    Args:
        site, site_file: whose instruments, supplies and trusted approvers count.
        units: of the workcell.
        state_dir: where calibrations made here are kept.
        recipes_dir: the master recipes with their approvals.
        maintenance_dir: the maintenance log, None where there are no accounts.

    Raises:
        DiagnosticError: the file of the supplies is wrong: nobody should find that out with cells in hand.
    """

    def __init__(
        self, site: Site, site_file: Path, units: Units, state_dir: Path, recipes_dir: Path,
        maintenance_dir: Path | None,
    ) -> None:
        self._approvers, self._units = site.recipe_approvers, units
        self._calibrations = site.calibrations_due
        self._supplies_file = supplies_file(site_file, site.site)
        self._state_dir, self._recipes_dir, self._maintenance_dir = state_dir, recipes_dir, maintenance_dir
        self._lots()

    def order(self, goal: Any) -> ActiveBatch:
        """Return what a goal of ProduceBatch orders; raises Refused."""
        try:
            batch = checked(
                Batch(
                    goal.batch_id,
                    goal.patient_id,
                    goal.donor_id,
                    goal.patient_weight_kg,
                    engineering_run=goal.engineering_run,
                )
            )
            parameters = json.loads(goal.parameters_json or "{}")
        except (WorkcellError, RecordError, ValueError) as error:
            raise Refused(CoordinatorCode.IDENTITY, str(error)) from error
        return ActiveBatch(goal.recipe, batch, parameters)

    def recipe(self, active: ActiveBatch) -> Recipe:
        """Return the recipe of a batch with its parameters; raises Refused."""
        path = self._recipes_dir / f"{active.recipe}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml"))) or "none"
            raise Refused(
                CoordinatorCode.RECIPE, f"there is no recipe {active.recipe!r} in {path.parent}; there are {known}"
            )
        try:
            recipe = load_recipe(path, manifests(), default_interfaces()).with_parameters(active.parameters)
            recipe.check_pair(active.batch.patient_id, active.batch.donor_id)
            check_bindable(recipe, self._units)
        except WorkcellError as error:
            raise Refused(CoordinatorCode.RECIPE, str(error)) from error
        return recipe

    def may_begin(self, recipe: Recipe, batch: Batch) -> StartFacts:
        """Return what the record of a batch that begins now says at its start; raises Refused when it must not."""
        facts = self._supplied(batch)
        self._check_maintenance(recipe)
        return (self._approved(recipe, batch), *facts)

    def _supplied(self, batch: Batch) -> StartFacts:
        """Refuse to begin with what is out of date; an engineering run may, and its record says so."""
        try:
            lots, made = self._lots(), made_here(self._state_dir)
        except WorkcellError as error:
            raise Refused(CoordinatorCode.SUPPLIES, str(error)) from error
        due = due_dates(self._calibrations, made)
        late = out_of_date(lots, due, datetime.datetime.now(datetime.UTC).date())
        if late and not batch.engineering_run:
            raise Refused(CoordinatorCode.SUPPLIES, f"out of date: {'; '.join(late)}; exchange or calibrate it first")
        return tuple(start_facts(lots, due, made))

    def in_maintenance(self) -> tuple[str, ...]:
        """Return the modules that are in maintenance."""
        return tuple(under_maintenance(self._maintenance_dir)) if self._maintenance_dir is not None else ()

    def facts_again(self) -> StartFacts:
        """Return what the record of a batch that is taken up may still lack; what it has is not written twice."""
        return tuple(start_facts(self._lots(), self._calibrations))

    def _lots(self) -> tuple[SupplyLot, ...]:
        return read_supplies(self._supplies_file) if self._supplies_file.is_file() else ()

    def _approved(self, recipe: Recipe, batch: Batch) -> tuple[str, str, Mapping[str, Any]]:
        """Refuse a recipe that nobody approved as it stands, but for engineering runs."""
        try:
            return Approvals(self._recipes_dir, self._approvers).require(recipe, batch).fact(recipe)
        except WorkcellError as error:
            raise Refused(CoordinatorCode.RECIPE, str(error)) from error

    def _check_maintenance(self, recipe: Recipe) -> None:
        """Refuse to begin a batch that needs a module which is in maintenance, and all that could stand for it."""
        if self._maintenance_dir is None:
            return
        signatures = under_maintenance(self._maintenance_dir)
        for module in sorted({phase.module for phase in recipe.phases()}):
            alike = self._units.counterparts(module)
            if all(name in signatures for name in alike):
                said = [f"{name} is in maintenance by {signatures[name].statement.name}: "
                        f"{signatures[name].statement.comment}" for name in alike]  # fmt: skip
                raise Refused(CoordinatorCode.MAINTENANCE, f"{'; '.join(said)}; end it first")
