# SPDX-License-Identifier: Apache-2.0
"""The master recipe as the engine sees it (ISA-88): unit procedures, operations, steps. Plain data, no behaviour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..errors import WorkcellError
from ..expressions import evaluate
from .steps import DecideStep, PhaseStep, PromptStep, SamplePlan, SavedValue, Step, walk
from .values import Formula, Parameter, ParameterError

Donation = Literal["autologous", "allogeneic"]


@dataclass(frozen=True)
class SubRecipe:
    """A part that recipes share: parameters without values, steps, results."""

    name: str
    version: str
    parameters: Mapping[str, Parameter]
    steps: tuple[Step, ...]
    results: tuple[SavedValue, ...]
    text: str


@dataclass(frozen=True)
class Operation:
    """Steps in order, then decisions."""

    name: str
    path: str
    steps: tuple[Step, ...]
    decisions: tuple[DecideStep, ...] = ()


@dataclass(frozen=True)
class UnitProcedure:
    """Operations in order."""

    name: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True)
class Recipe:
    """A checked master recipe.

    Args:
        content_hash: SHA-256 of the file and of the sub-recipes that it uses, hexadecimal; a batch is bound to it.
        plans: the sampling plan, by test point.
        parts: sub-recipe → version, those that are used.
        donation: whether the cells are the patient's own or another person's.
    """

    name: str
    version: str
    status: str
    product: str
    description: str
    parameters: Mapping[str, Parameter]
    procedure: tuple[UnitProcedure, ...]
    content_hash: str
    formulas: Mapping[str, Formula] = field(default_factory=dict)
    plans: Mapping[str, SamplePlan] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    donation: Donation = "autologous"

    @property
    def is_allogeneic(self) -> bool:
        """Whether donor and recipient are two people."""
        return self.donation == "allogeneic"

    def check_pair(self, patient_id: str, donor_id: str) -> None:
        """Raise ParameterError when patient and donor are not the pair that this recipe is for."""
        if (patient_id != donor_id) != self.is_allogeneic:
            wanted = "another person than the patient" if self.is_allogeneic else "the patient's own"
            raise ParameterError(
                f"recipe {self.title} is {self.donation}: the donor is {wanted}; given: patient {patient_id}, "
                f"donor {donor_id}"
            )

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"

    def with_parameters(self, values: Mapping[str, Any]) -> Recipe:
        """Return the recipe with other parameter values; raises ParameterError with every one that is wrong."""
        problems = []
        parameters = dict(self.parameters)
        for name, value in values.items():
            if name not in parameters:
                problems.append(f"there is no parameter {name!r}; there are {', '.join(self.parameters) or 'none'}")
                continue
            try:
                parameters[name] = parameters[name].checked(value)
            except ParameterError as error:
                problems.append(str(error))
        if problems:
            raise ParameterError("; ".join(problems))
        changed = replace(self, parameters=parameters)
        changed.constants()
        return changed

    def with_settings(self, settings: Mapping[str, str]) -> Recipe:
        """Return the recipe with parameters as people write them, units allowed; raises ParameterError."""
        values = {}
        for name, text in settings.items():
            known = self.parameters.get(name)
            values[name] = known.parsed(text).value if known is not None else text
        return self.with_parameters(values)

    def constants(self) -> dict[str, Any]:
        """Return parameters and formulas by name; raises ParameterError when a formula leaves its range."""
        values: dict[str, Any] = {name: parameter.value for name, parameter in self.parameters.items()}
        for formula in self.formulas.values():
            try:
                value = evaluate(formula.expression, values)
            except WorkcellError as error:
                raise ParameterError(f"formula {formula.name}: {error}") from error
            values[formula.name] = value
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ParameterError(f"formula {formula.name} = {formula.expression} is {value!r}, not a number")
            if formula.low is not None and formula.high is not None and not formula.low <= value <= formula.high:
                raise ParameterError(
                    f"formula {formula.name} = {formula.expression} is {value:g} {formula.unit}; allowed: "
                    f"{formula.low:g} to {formula.high:g}; change the parameters that it follows from"
                )
        return values

    def operations(self) -> Iterator[Operation]:
        """Yield all operations in order."""
        for unit_procedure in self.procedure:
            yield from unit_procedure.operations

    def steps(self) -> Iterator[Step]:
        """Yield every step, containers before what they contain."""
        for operation in self.operations():
            yield from walk(operation.steps)

    def scanned_products(self) -> frozenset[str]:
        """Return the products whose label is scanned in some step: containers of these names wait for it."""
        prompts = (step for step in self.steps() if isinstance(step, PromptStep))
        return frozenset(step.identity.product for step in prompts if step.identity is not None)

    def phases(self) -> Iterator[PhaseStep]:
        """Yield every phase."""
        for step in self.steps():
            if isinstance(step, PhaseStep):
                yield step
