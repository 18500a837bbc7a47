# SPDX-License-Identifier: Apache-2.0
"""Which unit of an equipment class a batch works in: recipes name the class, the engine binds a unit at run time.

A recipe names modules and vessels of a class's first unit (`incubator`, `culture_vessel`). When the batch claims the
class it gets one of its units; from then on the names stand for that unit's own, on record with the claim.
Source: ISA-88.01 (a master recipe states class-based equipment requirements; a control recipe is bound to units).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import WorkcellError
from ..recipes.recipe import Recipe
from ..recipes.steps import PhaseStep
from .units import NO_UNITS, Units


class UnitBinding:
    """The units that one batch was given, by class; names of what is not bound stand for themselves.

    Args:
        units: of the workcell.
    """

    def __init__(self, units: Units = NO_UNITS) -> None:
        self._units = units
        self._bound: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def bind(self, unit_class: str, name: str) -> None:
        """Give the batch a unit of a class."""
        first, unit = self._units.get(unit_class), self._units.get(name)
        self._bound[unit_class] = name
        if first is not None and unit is not None:
            self._names.update(zip(first.names, unit.names, strict=True))

    def unit(self, unit_class: str) -> str:
        """Return the unit that was bound for a class, the class's first one before that."""
        return self._bound.get(unit_class, unit_class)

    def name(self, name: str) -> str:
        """Return the module or vessel that a recipe's name stands for."""
        return self._names.get(name, name)

    def goal(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return a phase's goal with the vessels that its names stand for."""
        return {key: self.name(value) if isinstance(value, str) else value for key, value in fields.items()}


def check_bindable(recipe: Recipe, units: Units) -> None:
    """Raise WorkcellError when a recipe names a certain unit where it has to name the class."""
    others = {name: unit.unit_class for unit in units if unit.unit_class != unit.name for name in unit.names}
    found = sorted({
        f"{step.path}: {name} is one of the class {others[name]}; name that of its first unit"
        for step in recipe.phases()
        for name in _names(step)
        if name in others
    })
    if found:
        raise WorkcellError("; ".join(found))


def _names(step: PhaseStep) -> list[str]:
    return [step.module, *(value for value in step.fields.values() if isinstance(value, str))]
