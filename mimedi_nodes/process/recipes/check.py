# SPDX-License-Identifier: Apache-2.0
"""Checks a recipe against the interfaces, the modules and itself, before anything moves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from ..control.rules import RULES
from ..diagnostics import Diagnostic
from ..expressions import single_expression
from ..interfaces import InterfaceError, Interfaces
from .check_values import TEXT_UNITS, TIMER, Known, ValueCheck
from .recipe import Recipe, SubRecipe
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
    SetStep,
    Step,
    StopTimerStep,
    TimerStep,
    WaitStep,
    WaitTimerStep,
)
from .values import Parameter

# What is known of the batch itself: name → unit.
BATCH_VALUES: Mapping[str, str] = {
    "batch_id": "id",
    "patient_id": "id",
    "donor_id": "id",
    "patient_weight_kg": "kg",
    "elapsed_h": "h",
}


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


class _Check(ValueCheck):
    def __init__(
        self,
        file: str,
        lines: Mapping[str, int],
        manifest: Mapping[str, Collection[str]] | None,
        interfaces: Interfaces,
        parts: Mapping[str, SubRecipe],
    ) -> None:
        super().__init__(file, lines, manifest, interfaces)
        self.parts = parts

    def recipe(self, recipe: Recipe) -> list[Diagnostic]:
        known = self._begin(recipe.parameters)
        for name, formula in recipe.formulas.items():
            place = f"formulas.{name}"
            self.check_unit(place, formula.unit)
            constants = {key: value for key, value in known.items() if not key.startswith("batch.")}
            self.check_expression(place, formula.expression, constants)
            self.check_same_unit(place, formula.expression, formula.unit, known)
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
            self.check_expressions("results", saved, known)
            self.check_unit("results", saved.unit)
        return self.found

    def _begin(self, parameters: Mapping[str, Parameter]) -> dict[str, Known]:
        known: dict[str, Known] = {f"batch.{name}": Known(unit) for name, unit in BATCH_VALUES.items()}
        for name, parameter in parameters.items():
            known[name] = Known(parameter.unit, parameter)
            self.check_unit(f"parameters.{name}", parameter.unit)
        return known

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
                self.check_expression(step.path + ".while", step.condition, known)
            self._steps(step.steps, known)
            if step.until:
                self.check_expression(step.path + ".until", step.condition, known)
        elif isinstance(step, IfStep):
            self.check_expression(step.path + ".if", step.condition, known)
            self._steps(step.then_steps, known)
            self._steps(step.else_steps, known)
        elif isinstance(step, PromptStep):
            self._prompt(step, known)
        elif isinstance(step, LaboratoryStep):
            self.check_template(step.path + ".sample", step.sample, known)
        elif isinstance(step, AwaitResultsStep):
            self.check_template(step.path + ".sample", step.sample, known)
            for test, unit in step.tests.items():
                for suffix in ("", "_low", "_high"):
                    known[f"{step.id}.{test}{suffix}"] = Known(unit)
                known[f"{step.id}.{test}_status"] = Known("id")
        elif isinstance(step, SetStep):
            self._set(step, known)
        elif isinstance(step, DecideStep):
            self._decision(step, known)
        elif isinstance(step, WaitStep):
            self.check_template(step.path + ".wait_h", step.hours, known)
            if single_expression(step.hours) is None and isinstance(step.hours, str):
                self.wrong(step.path + ".wait_h", step.hours, "not a number of hours", "number or ${…}")
        elif isinstance(step, TimerStep):
            self.check_template(step.path + ".timer", step.cause, known)
            if step.within_h is not None:
                self.check_hours(step.path + ".timer", step.within_h, known)
            known[step.id] = Known(TIMER)
            known[f"{step.id}.started_h"] = Known("h")
        elif isinstance(step, StopTimerStep):
            self._timer(step.path + ".stop_timer", step.timer, known)
            known[f"{step.id}.elapsed_h"] = Known("h")
        elif isinstance(step, WaitTimerStep):
            self._timer(step.path + ".wait_timer", step.timer, known)
            self.check_hours(step.path + ".hours", step.hours, known)
        elif isinstance(step, CallStep):
            self._call(step, known)
        elif isinstance(step, ControlStep):
            for part, values in (("with", step.fields), ("limits", step.limits)):
                for name, value in values.items():
                    place = f"{step.path}.{part}.{name}"
                    self.check_template(place, value, known)
                    text = isinstance(value, str) and single_expression(value) is None
                    if text or isinstance(value, bool | dict) or value is None or isinstance(value, list) != (
                        part == "limits" and step.rule in RULES and RULES[step.rule].limits.get(name, False)
                    ):
                        self.wrong(place, value, "not what the rule is given there", "number or ${…}, or [low, high]")
            for name, unit in (RULES[step.rule].results if step.rule in RULES else {}).items():
                known[f"{step.id}.{name}"] = Known(unit)

    def _timer(self, place: str, timer: str, known: Mapping[str, Known]) -> None:
        timers = [name for name, value in known.items() if value.unit == TIMER]
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
            text = parameter.unit in TEXT_UNITS
            if isinstance(value, str) and "${" in value:
                if self.check_template(place, value, known):
                    self.check_argument(place, parameter, value, known)
            elif text and not isinstance(value, str):
                self.wrong(place, value, "not a text", parameter.unit)
            elif not text and not parameter.allows(value):
                self.wrong(place, value, "no number in the parameter's range", parameter.allowed)
        for name in part.parameters:
            if name not in step.arguments:
                self.wrong(f"{step.path}.with", None, f"argument {name} is missing", ", ".join(part.parameters))

    def _prompt(self, step: PromptStep, known: dict[str, Known]) -> None:
        self.check_template(step.path + ".prompt", step.question, known)
        if step.expect is not None:
            self.check_template(step.path + ".expect", step.expect, known)
        if step.identity is not None:
            self.check_template(step.path + ".identity", step.identity.chain_of_identity, known)
        self.check_unit(step.path + ".answer", step.answer.unit)
        known[f"{step.id}.answer"] = Known(step.answer.unit)

    def _set(self, step: SetStep, known: dict[str, Known]) -> None:
        for saved in step.values:
            place = f"{step.path}.set.{saved.name}"
            self.check_expressions(place, saved, known)
            known[f"{step.id}.{saved.name}"] = Known(saved.unit)

    def _phase(self, step: PhaseStep, known: dict[str, Known]) -> None:
        try:
            action = self.interfaces.action(step.action)
        except InterfaceError as error:
            if step.action:
                self.wrong(step.path + ".do", f"{step.module}/{step.action}", str(error))
            return
        if self.manifest is not None:
            self.check_module(step)
        self.check_goal(step, action, known)
        if step.sampling is not None:
            self.check_expression(f"sampling.{step.sampling.test_point}", step.sampling.of_ul, known)
        for saved in step.save:
            self.check_save(step, saved, action)
        for name, field in action.result.items():
            known[f"{step.id}.{name}"] = Known(field.unit)

    def _decision(self, decision: DecideStep, known: dict[str, Known]) -> None:
        self.check_expression(decision.path, decision.condition, known)
        for text in (decision.cause, decision.ask):
            self.check_template(decision.path, text, known)
