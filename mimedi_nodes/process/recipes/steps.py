# SPDX-License-Identifier: Apache-2.0
"""The steps of a recipe as the engine sees them (ISA-88 phases, and what leads from one to the next). Plain data."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

ResumePolicy = Literal["auto", "ask", "never"]
Verdict = Literal["hold", "reject"]


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
