# SPDX-License-Identifier: Apache-2.0
"""Checks a recipe against the interfaces, the modules and itself, before anything moves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .control_rules import RULES
from .diagnostics import Diagnostic
from .expressions import ExpressionError, parse, references, single_expression, template_expressions
from .goals import check_value, describe
from .interfaces import Action, Field, InterfaceError, Interfaces
from .recipe import Recipe, SubRecipe
from .recipe_values import Parameter
from .requirements import PLACES, undeclared
from .steps import (
    AwaitResultsStep,
    CallStep,
    ControlStep,
    DecideStep,
    IfStep,
    LaboratoryStep,
    LoopStep,
    ParallelStep,
    PhaseStep,
    PromptStep,
    SavedValue,
    SetStep,
    Step,
    StopTimerStep,
    TimerStep,
    WaitStep,
    WaitTimerStep,
)

# What is known of the batch itself: name → unit.
BATCH_VALUES: Mapping[str, str] = {
    "batch_id": "id",
    "patient_id": "id",
    "donor_id": "id",
    "patient_weight_kg": "kg",
    "elapsed_h": "h",
}
_TEXT_UNITS = ("id", "text")
_LABORATORY_UNITS = frozenset({"EU/mL", "ug/mL"})
"""Units of what only the laboratory measures: no field of an interface has them."""
_TIMER = "timer"
"""Stands for the unit of a timer: it can be stopped and waited for, not computed with."""


@dataclass(frozen=True)
class Known:
    """A name that an expression may read: its unit, and the parameter behind it if it is one."""

    unit: str
    parameter: Parameter | None = None


def check_recipe(
    recipe: Recipe,
    file: str,
    lines: Mapping[str, int],
    manifest: Mapping[str, Collection[str]] | None,
    interfaces: Interfaces,
    parts: Mapping[str, SubRecipe] = MappingProxyType({}),
) -> list[Diagnostic]:
    """Return everything that is wrong with a recipe that could be read."""
    return _Check(file, lines, manifest, interfaces, parts).recipe(recipe)


def check_part(
    part: SubRecipe,
    file: str,
    lines: Mapping[str, int],
    manifest: Mapping[str, Collection[str]] | None,
    interfaces: Interfaces,
    parts: Mapping[str, SubRecipe],
) -> list[Diagnostic]:
    """Return everything that is wrong with a sub-recipe that could be read."""
    return _Check(file, lines, manifest, interfaces, parts).part(part)


class _Check:
    def __init__(
        self,
        file: str,
        lines: Mapping[str, int],
        manifest: Mapping[str, Collection[str]] | None,
        interfaces: Interfaces,
        parts: Mapping[str, SubRecipe],
    ) -> None:
        self.parts = parts
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
        line = self.lines.get(path, 0)
        while not line and "." in path:
            path = path.rpartition(".")[0]
            line = self.lines.get(path, 0)
        self.found.append(Diagnostic(self.file, line, path, value, message, allowed))

    def recipe(self, recipe: Recipe) -> list[Diagnostic]:
        known = self._begin(recipe.parameters)
        for name, formula in recipe.formulas.items():
            place = f"formulas.{name}"
            self._unit(place, formula.unit)
            constants = {key: value for key, value in known.items() if not key.startswith("batch.")}
            self._expression(place, formula.expression, constants)
            self._same_unit(place, formula.expression, formula.unit, known)
            bounds = Parameter(name, None, formula.unit, formula.low, formula.high)
            known[name] = Known(formula.unit, bounds if formula.low is not None else None)
        for operation in recipe.operations():
            self._steps(operation.steps, known)
            for decision in operation.decisions:
                self._decision(decision, known)
        taken = {s.sampling.test_point for s in recipe.phases() if s.sampling is not None}
        for point in recipe.plans:
            if point not in taken:
                self.wrong(f"sampling.{point}", point, "no step takes this sample", "a step {id: …, take: …}")
        for phase, missing in undeclared(recipe):
            what = f"{phase.module}/{phase.action}"
            self.wrong(f"{phase.path}.requires", what, f"the phase does not say what {missing} it requires", PLACES)
        return self.found

    def part(self, part: SubRecipe) -> list[Diagnostic]:
        known = self._begin(part.parameters)
        self._steps(part.steps, known)
        for saved in part.results:
            self._expressions("results", saved, known)
            self._unit("results", saved.unit)
        return self.found

    def _begin(self, parameters: Mapping[str, Parameter]) -> dict[str, Known]:
        known: dict[str, Known] = {f"batch.{name}": Known(unit) for name, unit in BATCH_VALUES.items()}
        for name, parameter in parameters.items():
            known[name] = Known(parameter.unit, parameter)
            self._unit(f"parameters.{name}", parameter.unit)
        return known

    def _unit(self, place: str, unit: str) -> None:
        if unit not in self.units:
            self.wrong(place, unit, "unknown unit", ", ".join(sorted(self.units - {"-"})))

    def _steps(self, steps: Collection[Step], known: dict[str, Known]) -> None:
        for step in steps:
            self._step(step, known)

    def _step(self, step: Step, known: dict[str, Known]) -> None:
        if isinstance(step, PhaseStep):
            self._phase(step, known)
        elif isinstance(step, ParallelStep):
            # A branch does not see what its sisters give: who is first is not decided by the recipe.
            gained: dict[str, Known] = {}
            for branch in step.branches.values():
                inside = dict(known)
                self._steps(branch, inside)
                gained.update(inside)
            known.update(gained)
        elif isinstance(step, LoopStep):
            if not step.until:
                self._expression(step.path + ".while", step.condition, known)
            self._steps(step.steps, known)
            if step.until:
                self._expression(step.path + ".until", step.condition, known)
        elif isinstance(step, IfStep):
            self._expression(step.path + ".if", step.condition, known)
            self._steps(step.then_steps, known)
            self._steps(step.else_steps, known)
        elif isinstance(step, PromptStep):
            self._prompt(step, known)
        elif isinstance(step, LaboratoryStep):
            self._template(step.path + ".sample", step.sample, known)
        elif isinstance(step, AwaitResultsStep):
            self._template(step.path + ".sample", step.sample, known)
            for test, unit in step.tests.items():
                for suffix in ("", "_low", "_high"):
                    known[f"{step.id}.{test}{suffix}"] = Known(unit)
                known[f"{step.id}.{test}_status"] = Known("id")
        elif isinstance(step, SetStep):
            self._set(step, known)
        elif isinstance(step, DecideStep):
            self._decision(step, known)
        elif isinstance(step, WaitStep):
            self._template(step.path + ".wait_h", step.hours, known)
            if single_expression(step.hours) is None and isinstance(step.hours, str):
                self.wrong(step.path + ".wait_h", step.hours, "not a number of hours", "number or ${…}")
        elif isinstance(step, TimerStep):
            self._template(step.path + ".timer", step.cause, known)
            if step.within_h is not None:
                self._hours(step.path + ".timer", step.within_h, known)
            known[step.id] = Known(_TIMER)
            known[f"{step.id}.started_h"] = Known("h")
        elif isinstance(step, StopTimerStep):
            self._timer(step.path + ".stop_timer", step.timer, known)
            known[f"{step.id}.elapsed_h"] = Known("h")
        elif isinstance(step, WaitTimerStep):
            self._timer(step.path + ".wait_timer", step.timer, known)
            self._hours(step.path + ".hours", step.hours, known)
        elif isinstance(step, CallStep):
            self._call(step, known)
        elif isinstance(step, ControlStep):
            for part, values in (("with", step.fields), ("limits", step.limits)):
                for name, value in values.items():
                    place = f"{step.path}.{part}.{name}"
                    self._template(place, value, known)
                    text = isinstance(value, str) and single_expression(value) is None
                    if text or isinstance(value, bool | dict) or value is None or isinstance(value, list) != (
                        part == "limits" and step.rule in RULES and RULES[step.rule].limits.get(name, False)
                    ):
                        self.wrong(place, value, "not what the rule is given there", "number or ${…}, or [low, high]")
            for name, unit in (RULES[step.rule].results if step.rule in RULES else {}).items():
                known[f"{step.id}.{name}"] = Known(unit)

    def _hours(self, place: str, hours: Any, known: Mapping[str, Known]) -> None:
        self._template(place, hours, known)
        if single_expression(hours) is None and isinstance(hours, str):
            self.wrong(place, hours, "not a number of hours", "number or ${…}")

    def _timer(self, place: str, timer: str, known: Mapping[str, Known]) -> None:
        timers = [name for name, value in known.items() if value.unit == _TIMER]
        if timer not in timers:
            self.wrong(place, timer, "no timer of this name has been started before", ", ".join(timers) or "none yet")

    def _call(self, step: CallStep, known: dict[str, Known]) -> None:
        """Check the arguments of a sub-recipe; its inside is checked once, with its own file."""
        part = self.parts.get(step.part)
        for saved in step.results:
            known[f"{step.id}.{saved.name}"] = Known(saved.unit)
        if part is None:
            return
        for name, value in step.arguments.items():
            place = f"{step.path}.with.{name}"
            parameter = part.parameters.get(name)
            if parameter is None:
                self.wrong(place, value, f"{step.part} has no parameter {name!r}", ", ".join(part.parameters))
                continue
            text = parameter.unit in _TEXT_UNITS
            if isinstance(value, str) and "${" in value:
                if self._template(place, value, known):
                    self._argument(place, parameter, value, known)
            elif text and not isinstance(value, str):
                self.wrong(place, value, "not a text", parameter.unit)
            elif not text and not parameter.allows(value):
                self.wrong(place, value, "no number in the parameter's range", parameter.allowed)
        for name in part.parameters:
            if name not in step.arguments:
                self.wrong(f"{step.path}.with", None, f"argument {name} is missing", ", ".join(part.parameters))

    def _argument(self, place: str, parameter: Parameter, value: str, known: Mapping[str, Known]) -> None:
        expression = single_expression(value)
        if expression is None:
            if parameter.unit not in _TEXT_UNITS:
                self.wrong(place, value, "a text with ${…} inside is no number", parameter.unit)
            return
        source = known.get(expression.strip())
        if source is not None and source.unit != parameter.unit:
            self.wrong(place, value, f"the unit is {source.unit}, the parameter's {parameter.unit}", parameter.unit)

    def _prompt(self, step: PromptStep, known: dict[str, Known]) -> None:
        self._template(step.path + ".prompt", step.question, known)
        if step.expect is not None:
            self._template(step.path + ".expect", step.expect, known)
        if step.identity is not None:
            self._template(step.path + ".identity", step.identity.chain_of_identity, known)
        self._unit(step.path + ".answer", step.answer.unit)
        known[f"{step.id}.answer"] = Known(step.answer.unit)

    def _set(self, step: SetStep, known: dict[str, Known]) -> None:
        for saved in step.values:
            place = f"{step.path}.set.{saved.name}"
            self._expressions(place, saved, known)
            known[f"{step.id}.{saved.name}"] = Known(saved.unit)

    def _expressions(self, place: str, saved: SavedValue, known: dict[str, Known]) -> None:
        for expression in (saved.value, saved.low, saved.high):
            if expression is not None:
                self._expression(place, expression, known)
        self._same_unit(place, saved.value, saved.unit, known)

    def _phase(self, step: PhaseStep, known: dict[str, Known]) -> None:
        try:
            action = self.interfaces.action(step.action)
        except InterfaceError as error:
            if step.action:
                self.wrong(step.path + ".do", f"{step.module}/{step.action}", str(error))
            return
        if self.manifest is not None:
            self._module(step)
        self._goal(step, action, known)
        if step.sampling is not None:
            self._expression(f"sampling.{step.sampling.test_point}", step.sampling.of_ul, known)
        for saved in step.save:
            self._save(step, saved, action)
        for name, field in action.result.items():
            known[f"{step.id}.{name}"] = Known(field.unit)

    def _module(self, step: PhaseStep) -> None:
        assert self.manifest is not None
        if step.module not in self.manifest:
            self.wrong(
                step.path + ".do", step.module, "there is no such module", ", ".join(sorted(self.manifest))
            )
        elif step.action not in self.manifest[step.module]:
            offered = ", ".join(sorted(self.manifest[step.module]))
            self.wrong(step.path + ".do", step.action, f"module {step.module} has no such action", offered)

    def _goal(self, step: PhaseStep, action: Action, known: dict[str, Known]) -> None:
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
        if not self._template(place, value, known):
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
        if (source.unit in _TEXT_UNITS) != (field.type_name == "string") or (
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

    def _save(self, step: PhaseStep, saved: SavedValue, action: Action) -> None:
        for name in (saved.value, saved.low, saved.high):
            if name is not None and name not in action.result:
                self.wrong(
                    f"{step.path}.save.{saved.name}",
                    name,
                    f"{action.name} has no such result field",
                    ", ".join(action.result),
                )

    def _same_unit(self, place: str, expression: str, unit: str, known: dict[str, Known]) -> None:
        source = known.get(expression.strip())
        if source is not None and source.unit != unit:
            self.wrong(place, expression, f"its unit is {source.unit}, not {unit}", source.unit)

    def _decision(self, decision: DecideStep, known: dict[str, Known]) -> None:
        self._expression(decision.path, decision.condition, known)
        for text in (decision.cause, decision.ask):
            self._template(decision.path, text, known)

    def _template(self, place: str, value: Any, known: Mapping[str, Known]) -> bool:
        if not isinstance(value, str):
            return True
        try:
            expressions = template_expressions(value)
        except ExpressionError as error:
            self.wrong(place, value, str(error))
            return False
        return all([self._expression(place, expression, known) for expression in expressions])

    def _expression(self, place: str, expression: str, known: Mapping[str, Known]) -> bool:
        if not expression.strip():
            self.wrong(place, expression, "the expression is empty")
            return False
        try:
            parse(expression)
            names = references(expression)
        except ExpressionError as error:
            self.wrong(place, expression, str(error))
            return False
        missing = [name for name in names if name not in known or known[name].unit == _TIMER]
        for name in missing:
            step = name.partition(".")[0]
            fields = sorted(other for other in known if other.startswith(f"{step}."))
            allowed = ", ".join(fields) or "results of earlier steps (step.field), parameters, batch.*"
            self.wrong(place, name, "nothing before this step gives this value", allowed)
        return not missing

