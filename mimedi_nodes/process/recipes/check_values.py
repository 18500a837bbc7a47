# SPDX-License-Identifier: Apache-2.0
"""Checks single values of a recipe: expressions against what is known there, goal fields against the interfaces."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..diagnostics import Diagnostic
from ..expressions import ExpressionError, parse, references, single_expression, template_expressions
from ..goals import check_value, describe
from ..interfaces import Action, Field, Interfaces
from .steps import PhaseStep, SavedValue
from .values import Parameter

TEXT_UNITS = ("id", "text")
_LABORATORY_UNITS = frozenset({"EU/mL", "ug/mL"})
"""Units of what only the laboratory measures: no field of an interface has them."""
TIMER = "timer"
"""Stands for the unit of a timer: it can be stopped and waited for, not computed with."""


@dataclass(frozen=True)
class Known:
    """A name that an expression may read: its unit, and the parameter behind it if it is one."""

    unit: str
    parameter: Parameter | None = None


class ValueCheck:
    """Collects what is wrong with the values of one recipe file.

    Args:
        file, lines: name of the file and the line of every path, for the diagnostics.
        manifest: actions of each module; None where no module is known.
        interfaces: of the actions.
    """

    def __init__(
        self,
        file: str,
        lines: Mapping[str, int],
        manifest: Mapping[str, Collection[str]] | None,
        interfaces: Interfaces,
    ) -> None:
        self.file = file
        self.lines = lines
        self.manifest = manifest
        self.interfaces = interfaces
        self.units = {
            field.unit
            for action in interfaces.actions.values()
            for fields in (action.goal, action.result)
            for field in fields.values()
        } | _LABORATORY_UNITS
        self.found: list[Diagnostic] = []

    def wrong(self, path: str, value: Any, message: str, allowed: str = "") -> None:
        """Note what is wrong at a path, with the line of the nearest path that has one."""
        line = self.lines.get(path, 0)
        while not line and "." in path:
            path = path.rpartition(".")[0]
            line = self.lines.get(path, 0)
        self.found.append(Diagnostic(self.file, line, path, value, message, allowed))

    def check_unit(self, place: str, unit: str) -> None:
        """The unit must be one that some field of an interface, or the laboratory, has."""
        if unit not in self.units:
            self.wrong(place, unit, "unknown unit", ", ".join(sorted(self.units - {"-"})))

    def check_expression(self, place: str, expression: str, known: Mapping[str, Known]) -> bool:
        """The expression must parse and read only what is known; tells whether it does."""
        if not expression.strip():
            self.wrong(place, expression, "the expression is empty")
            return False
        try:
            parse(expression)
            names = references(expression)
        except ExpressionError as error:
            self.wrong(place, expression, str(error))
            return False
        missing = [name for name in names if name not in known or known[name].unit == TIMER]
        for name in missing:
            step = name.partition(".")[0]
            fields = sorted(other for other in known if other.startswith(f"{step}."))
            allowed = ", ".join(fields) or "results of earlier steps (step.field), parameters, batch.*"
            self.wrong(place, name, "nothing before this step gives this value", allowed)
        return not missing

    def check_template(self, place: str, value: Any, known: Mapping[str, Known]) -> bool:
        """Every `${…}` of a text must be sound; tells whether they are."""
        if not isinstance(value, str):
            return True
        try:
            expressions = template_expressions(value)
        except ExpressionError as error:
            self.wrong(place, value, str(error))
            return False
        return all([self.check_expression(place, expression, known) for expression in expressions])

    def check_expressions(self, place: str, saved: SavedValue, known: dict[str, Known]) -> None:
        """The expressions of a value and of the ends of its interval."""
        for expression in (saved.value, saved.low, saved.high):
            if expression is not None:
                self.check_expression(place, expression, known)
        self.check_same_unit(place, saved.value, saved.unit, known)

    def check_same_unit(self, place: str, expression: str, unit: str, known: dict[str, Known]) -> None:
        """A value that is taken as it is must have the unit that it is recorded in."""
        source = known.get(expression.strip())
        if source is not None and source.unit != unit:
            self.wrong(place, expression, f"its unit is {source.unit}, not {unit}", source.unit)

    def check_hours(self, place: str, hours: Any, known: Mapping[str, Known]) -> None:
        """A number of hours, or one expression."""
        self.check_template(place, hours, known)
        if single_expression(hours) is None and isinstance(hours, str):
            self.wrong(place, hours, "not a number of hours", "number or ${…}")

    def check_goal(self, step: PhaseStep, action: Action, known: dict[str, Known]) -> None:
        """The fields of a goal: known, complete, of the right type and within the interface's ranges."""
        settable = [name for name in action.goal if name != "header"]
        for name, value in step.fields.items():
            place = f"{step.path}.with.{name}"
            if name not in settable:
                self.wrong(place, value, f"{action.name} has no goal field {name!r}", ", ".join(settable))
            elif isinstance(value, str) and "${" in value:
                self._goal_template(place, action.goal[name], value, known)
            else:
                _, problem = check_value(action.goal[name], value)
                if problem is not None:
                    self.wrong(place, value, problem.message, problem.allowed)
        for name in settable:
            field = action.goal[name]
            if name not in step.fields and field.default is None and not field.may_be_unknown:
                self.wrong(f"{step.path}.with", None, f"goal field {name} is missing", describe(field))

    def _goal_template(self, place: str, field: Field, value: str, known: dict[str, Known]) -> None:
        if not self.check_template(place, value, known):
            return
        expression = single_expression(value)
        if expression is None:
            if field.type_name != "string":
                self.wrong(
                    place, value, "a text with ${…} inside is no value for this field", describe(field)
                )
            return
        source = known.get(expression.strip())
        if source is None:
            return
        if (source.unit in TEXT_UNITS) != (field.type_name == "string") or (
            field.is_numeric and source.unit != field.unit
        ):
            self.wrong(
                place, value, f"the unit is {source.unit}, the field wants {field.unit}", describe(field)
            )
        parameter = source.parameter
        if parameter is None or parameter.low is None or parameter.high is None:
            return
        if parameter.low < field.range.low or parameter.high > field.range.high:
            wider = f"the parameter's range [{parameter.low:g}, {parameter.high:g}] is wider than the field's"
            self.wrong(place, value, wider, describe(field))

    def check_save(self, step: PhaseStep, saved: SavedValue, action: Action) -> None:
        """What is saved must be a field of the result."""
        for name in (saved.value, saved.low, saved.high):
            if name is not None and name not in action.result:
                self.wrong(
                    f"{step.path}.save.{saved.name}",
                    name,
                    f"{action.name} has no such result field",
                    ", ".join(action.result),
                )

    def check_module(self, step: PhaseStep) -> None:
        """The module must exist and have the action."""
        assert self.manifest is not None
        if step.module not in self.manifest:
            self.wrong(
                step.path + ".do", step.module, "there is no such module", ", ".join(sorted(self.manifest))
            )
        elif step.action not in self.manifest[step.module]:
            offered = ", ".join(sorted(self.manifest[step.module]))
            self.wrong(step.path + ".do", step.action, f"module {step.module} has no such action", offered)

    def check_argument(self, place: str, parameter: Parameter, value: str, known: Mapping[str, Known]) -> None:
        """An expression given to a sub-recipe must have its parameter's unit."""
        expression = single_expression(value)
        if expression is None:
            if parameter.unit not in TEXT_UNITS:
                self.wrong(place, value, "a text with ${…} inside is no number", parameter.unit)
            return
        source = known.get(expression.strip())
        if source is not None and source.unit != parameter.unit:
            self.wrong(place, value, f"the unit is {source.unit}, the parameter's {parameter.unit}", parameter.unit)
