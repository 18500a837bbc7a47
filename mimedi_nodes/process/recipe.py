# SPDX-License-Identifier: Apache-2.0
"""The master recipe as the engine sees it (ISA-88): unit procedures, operations, steps. Plain data, no behaviour."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from .errors import WorkcellError
from .expressions import evaluate

ResumePolicy = Literal["auto", "ask", "never"]
Verdict = Literal["hold", "reject"]
Donation = Literal["autologous", "allogeneic"]


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

    @property
    def allowed(self) -> str:
        """What a value may be, for error texts."""
        if self.low is None or self.high is None:
            return f"a number [{self.unit}]"
        return f"a number from {self.low:g} to {self.high:g} {self.unit}"

    def allows(self, value: Any) -> bool:
        """Return whether a value is a finite number within the range."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return self.low is None or self.high is None or self.low <= value <= self.high

    def checked(self, value: Any) -> Parameter:
        """Return the parameter with another value; raises ParameterError when it cannot have it."""
        if self.low is not None and self.high is not None:
            if not self.allows(value):
                raise ParameterError(f"parameter {self.name} = {value!r}: give {self.allowed}")
        elif not isinstance(value, str) or value not in self.choices:
            raise ParameterError(f"parameter {self.name} = {value!r}: give one of {', '.join(self.choices)}")
        return replace(self, value=value)

    def parsed(self, text: str) -> Parameter:
        """Return the parameter with a value as people write it, `4` or `4 TU/cell`; raises ParameterError."""
        if self.choices:
            return self.checked(text.strip())
        number, _, unit = text.strip().partition(" ")
        if unit.strip() not in ("", self.unit):
            raise ParameterError(f"parameter {self.name} = {text!r}: its unit is {self.unit}")
        try:
            return self.checked(float(number))
        except ValueError as error:
            raise ParameterError(f"parameter {self.name} = {text!r}: not a number") from error


@dataclass(frozen=True)
class Formula:
    """A value that follows from the parameters, known before the batch starts; a range, when given, binds them."""

    name: str
    expression: str
    unit: str
    low: float | None = None
    high: float | None = None
    description: str = ""


@dataclass(frozen=True)
class SamplePlan:
    """A point of the sampling plan: what is drawn where, for which tests, and how much of the cells it may cost.

    Args:
        container, destination, volume_ul: fields of the sampling phase; the volume may be an expression.
        of_ul: expression of the volume in the container [uL], for the share that the sample takes.
        tests: tests of the external laboratory, none for a sample that is looked at here.
        most: largest share of the container's cells that all samples of one operation may take (PROCESS: 5 %).
    """

    test_point: str
    container: str
    destination: str
    volume_ul: Any
    of_ul: str
    tests: tuple[str, ...]
    purpose: Literal["in_process", "release"]
    most: float


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
    sampling: SamplePlan | None = None


@dataclass(frozen=True)
class ParallelStep(Step):
    """Branches that run at the same time; when branch `until` has ended, the others are completed."""

    branches: Mapping[str, tuple[Step, ...]]
    until: str | None = None


@dataclass(frozen=True)
class LoopStep(Step):
    """Steps that are repeated while a condition holds, at most `limit` times.

    Args:
        until: the steps come first, and are repeated until the condition holds, which may read their results.
    """

    condition: str
    limit: int
    steps: tuple[Step, ...]
    until: bool = False


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
class AnswerType:
    """What an answer must be: a text, or a number with its unit and closed range."""

    kind: Literal["text", "number"] = "text"
    unit: str = "text"
    low: float = -math.inf
    high: float = math.inf
    pattern: str = ""

    @property
    def text(self) -> str:
        """What is allowed, for the question and for refusals; empty when anything is."""
        if self.kind == "number":
            return f"a number from {self.low:g} to {self.high:g} {self.unit}"
        return f"a text like {self.pattern}" if self.pattern else ""

    def typed(self, answer: str) -> str | float:
        """Return an answer in its type; raises ValueError saying what is allowed."""
        if self.kind == "number":
            number, _, unit = answer.strip().partition(" ")
            try:
                value = float(number)
            except ValueError:
                value = math.nan
            if unit.strip() not in ("", self.unit) or not self.low <= value <= self.high:
                raise ValueError(f"answer {answer!r}: give {self.text}")
            return value
        if self.pattern and re.fullmatch(self.pattern, answer.strip()) is None:
            raise ValueError(f"answer {answer!r}: give {self.text}")
        return answer


@dataclass(frozen=True)
class PromptStep(Step):
    """A question to the operator; the batch waits. An answer that is not the expected one is decided upon.

    Args:
        within_h: unanswered for longer than this [h], the question is alarmed.
    """

    question: str
    answers: tuple[str, ...] = ()
    expect: str | None = None
    identity: IdentityExpectation | None = None
    otherwise: Verdict = "hold"
    answer: AnswerType = AnswerType()
    within_h: float = 4.0


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
class TimerStep(Step):
    """Starts a timer: a budget of hold time or of time out of the cold chain, or the base of a later wait.

    Args:
        within_h: number or `${…}`: unless the timer is stopped within this time [h], the batch is held (or
            rejected) with `cause`; None for a timer that only counts.
    """

    within_h: Any = None
    cause: str = ""
    otherwise: Verdict = "hold"


@dataclass(frozen=True)
class StopTimerStep(Step):
    """Stops a timer; gives `elapsed_h`."""

    timer: str


@dataclass(frozen=True)
class WaitTimerStep(Step):
    """Waits until a timer has run for some hours: what was done meanwhile counts."""

    timer: str
    hours: Any


@dataclass(frozen=True)
class CallStep(Step):
    """A sub-recipe with its arguments; its steps see those and each other, and it gives the results it declares."""

    part: str
    arguments: Mapping[str, Any]
    steps: tuple[Step, ...]
    results: tuple[SavedValue, ...]


@dataclass(frozen=True)
class ControlStep(Step):
    """A rule of in-process control: what it is given, how far it may go, and whether its proposal is signed.

    Args:
        rule: culture (feed and harvest, by the soft sensor) or moi.
        fields: what the rule is given, by name.
        limits: name → [low, high], or one number.
    """

    rule: str
    fields: Mapping[str, Any]
    limits: Mapping[str, Any]
    sign: bool = False


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
class DecideStep(Step):
    """What follows when a condition holds: at the end of an operation, or among its steps, in a branch too."""

    condition: str
    decide: Verdict
    cause: str
    ask: str = ""


@dataclass(frozen=True)
class NotYetStep(Step):
    """A step of the process whose module does not exist yet: declared and recorded, not silently skipped."""

    step: str
    module: str
    reason: str


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


def children(step: Step) -> tuple[Step, ...]:
    """Return the steps directly inside a step."""
    if isinstance(step, ParallelStep):
        return tuple(inner for branch in step.branches.values() for inner in branch)
    if isinstance(step, LoopStep | CallStep):
        return step.steps
    if isinstance(step, IfStep):
        return (*step.then_steps, *step.else_steps)
    return ()


def walk(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Yield steps and all that is inside them, depth first."""
    for step in steps:
        yield step
        yield from walk(children(step))


def rebuilt(step: Step, change: Callable[[Step], Step]) -> Step:
    """Return a step with a change made to it and to all that is inside it."""
    changed = change(step)
    inside: dict[str, Any] = {}
    if isinstance(step, ParallelStep):
        inside["branches"] = {name: tuple(rebuilt(s, change) for s in steps) for name, steps in step.branches.items()}
    elif isinstance(step, LoopStep | CallStep):
        inside["steps"] = tuple(rebuilt(s, change) for s in step.steps)
    elif isinstance(step, IfStep):
        inside["then_steps"] = tuple(rebuilt(s, change) for s in step.then_steps)
        inside["else_steps"] = tuple(rebuilt(s, change) for s in step.else_steps)
    return replace(changed, **inside)


def relocated(step: Step, above: str) -> Step:
    """Return a step of a sub-recipe, and all that is inside it, with paths that begin at its call."""
    return rebuilt(step, lambda inner: replace(inner, path=f"{above}.{inner.path.partition('.')[2]}"))
