# SPDX-License-Identifier: Apache-2.0
"""The master recipe as the engine sees it (ISA-88): unit procedures, operations, steps. Plain data, no behaviour."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .errors import WorkcellError

ResumePolicy = Literal["auto", "ask", "never"]
Verdict = Literal["hold", "reject"]


class ParameterError(WorkcellError):
    """A recipe parameter was given a value that it cannot have."""


@dataclass(frozen=True)
class Parameter:
    """A parameter of the recipe: value, unit, closed range (None for a text)."""

    name: str
    value: Any
    unit: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def checked(self, value: Any) -> Parameter:
        """Return the parameter with another value; raises ParameterError when it cannot have it."""
        if self.low is not None and self.high is not None:
            number = not isinstance(value, bool) and isinstance(value, int | float)
            if not number or not math.isfinite(value) or not self.low <= value <= self.high:
                raise ParameterError(
                    f"parameter {self.name} = {value!r}: give a number from {self.low:g} to {self.high:g} {self.unit}"
                )
        elif not isinstance(value, str) or value not in self.choices:
            raise ParameterError(f"parameter {self.name} = {value!r}: give one of {', '.join(self.choices)}")
        return replace(self, value=value)


@dataclass(frozen=True)
class Step:
    """What every step has: an id that is unique in the recipe, its dotted path, its line in the file."""

    id: str
    path: str
    line: int


@dataclass(frozen=True)
class SavedValue:
    """A value that a step puts into the batch record by name, with the ends of its 95 % interval."""

    name: str
    value: str
    unit: str
    low: str | None = None
    high: str | None = None


@dataclass(frozen=True)
class PhaseStep(Step):
    """A phase of a module: `do: module/action`, goal fields, what it requires, and how it resumes."""

    module: str
    action: str
    fields: Mapping[str, Any]
    requires: Mapping[str, Any] = field(default_factory=dict)
    resume: ResumePolicy = "ask"
    max_outage_h: float = 0.0
    save: tuple[SavedValue, ...] = ()
    reason: str = ""
    expected_h: float | None = None


@dataclass(frozen=True)
class ParallelStep(Step):
    """Branches that run at the same time; when branch `until` has ended, the others are completed."""

    branches: Mapping[str, tuple[Step, ...]]
    until: str | None = None


@dataclass(frozen=True)
class LoopStep(Step):
    """Steps that are repeated while a condition holds, at most `limit` times."""

    condition: str
    limit: int
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class IfStep(Step):
    """Steps that run when a condition holds, others when it does not."""

    condition: str
    then_steps: tuple[Step, ...]
    else_steps: tuple[Step, ...] = ()


@dataclass(frozen=True)
class IdentityExpectation:
    """What the label that is scanned must say."""

    chain_of_identity: str
    product: str


@dataclass(frozen=True)
class PromptStep(Step):
    """A question to the operator; the batch waits. An answer that is not the expected one is decided upon."""

    question: str
    answers: tuple[str, ...] = ()
    expect: str | None = None
    identity: IdentityExpectation | None = None
    otherwise: Verdict = "hold"


@dataclass(frozen=True)
class LaboratoryStep(Step):
    """An order of tests on a sample at the external laboratory.

    Args:
        purpose: "release" when the results are the product's own, "in_process" when they only steer the process:
            a specification never reads those.
    """

    sample: str
    tests: tuple[str, ...]
    purpose: Literal["in_process", "release"] = "in_process"


@dataclass(frozen=True)
class AwaitResultsStep(Step):
    """Waits for signed laboratory results on a sample; `<test>`, `<test>_low`, `<test>_high`, `<test>_status`."""

    sample: str
    tests: Mapping[str, str]
    timeout_h: float


@dataclass(frozen=True)
class SetStep(Step):
    """Computed values, recorded by name."""

    values: tuple[SavedValue, ...]


@dataclass(frozen=True)
class WaitStep(Step):
    """Lets process time pass."""

    hours: Any


@dataclass(frozen=True)
class NotYetStep(Step):
    """A step of the process whose module does not exist yet: declared and recorded, not silently skipped."""

    step: str
    module: str
    reason: str


@dataclass(frozen=True)
class Decision:
    """What follows when a condition holds at the end of an operation."""

    path: str
    line: int
    condition: str
    decide: Verdict
    cause: str
    ask: str = ""


@dataclass(frozen=True)
class Operation:
    """Steps in order, then decisions."""

    name: str
    path: str
    steps: tuple[Step, ...]
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True)
class UnitProcedure:
    """Operations in order."""

    name: str
    operations: tuple[Operation, ...]


@dataclass(frozen=True)
class Recipe:
    """A checked master recipe.

    Args:
        content_hash: SHA-256 of the file, hexadecimal; a batch is bound to it.
    """

    name: str
    version: str
    status: str
    product: str
    description: str
    parameters: Mapping[str, Parameter]
    procedure: tuple[UnitProcedure, ...]
    content_hash: str

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
        return replace(self, parameters=parameters)

    def operations(self) -> Iterator[Operation]:
        """Yield all operations in order."""
        for unit_procedure in self.procedure:
            yield from unit_procedure.operations

    def steps(self) -> Iterator[Step]:
        """Yield every step, containers before what they contain."""
        for operation in self.operations():
            yield from walk(operation.steps)

    def phases(self) -> Iterator[PhaseStep]:
        """Yield every phase."""
        for step in self.steps():
            if isinstance(step, PhaseStep):
                yield step


def children(step: Step) -> tuple[Step, ...]:
    """Return the steps directly inside a step."""
    if isinstance(step, ParallelStep):
        return tuple(inner for branch in step.branches.values() for inner in branch)
    if isinstance(step, LoopStep):
        return step.steps
    if isinstance(step, IfStep):
        return (*step.then_steps, *step.else_steps)
    return ()


def walk(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Yield steps and all that is inside them, depth first."""
    for step in steps:
        yield step
        yield from walk(children(step))
