# SPDX-License-Identifier: Apache-2.0
"""What every part of the engine shares while one batch runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ..batch import Batch, Recorder
from ..clock import ProcessClock
from ..errors import WorkcellError
from ..expressions import evaluate, evaluate_condition, render
from ..gateway import Answer, LaboratoryGateway, ModuleGateway, OperatorGateway, Question
from ..identity.identity import Label
from ..interfaces import Interfaces
from ..recipes.recipe import Recipe
from ..units.binding import UnitBinding
from .journal import Journal
from .procedure_control import ProcedureControl

_log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_WRONG_ANSWERS = 3


class BranchEnded(Exception):
    """A parallel branch is to end because the branch it accompanies has ended."""


class Scope:
    """One branch of parallel steps, and the branches around it."""

    def __init__(self, parent: Scope | None = None) -> None:
        self._parent = parent
        self._ended = asyncio.Event()

    def end(self) -> None:
        """Ask everything inside to end."""
        self._ended.set()

    @property
    def has_ended(self) -> bool:
        """Whether this branch, or one around it, is to end."""
        return self._ended.is_set() or (self._parent is not None and self._parent.has_ended)

    async def wait_ended(self) -> None:
        """Return when the branch is to end."""
        if self._parent is None:
            await self._ended.wait()
            return
        waits = [asyncio.ensure_future(self._ended.wait()), asyncio.ensure_future(self._parent.wait_ended())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of `work`; when the branch ends first, cancel it and raise BranchEnded."""
        if self.has_ended:
            work.close()
            raise BranchEnded
        task = asyncio.ensure_future(work)
        ended = asyncio.ensure_future(self.wait_ended())
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise BranchEnded
            return task.result()
        finally:
            ended.cancel()
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


@dataclass
class RunContext:
    """The batch, its doors, its journal and the values known so far."""

    recipe: Recipe
    batch: Batch
    modules: ModuleGateway
    operator: OperatorGateway
    laboratory: LaboratoryGateway
    clock: ProcessClock
    journal: Journal
    record: Recorder
    interfaces: Interfaces
    control: ProcedureControl
    changed: Callable[[], None]
    poll_s: float
    started_s: float = 0.0
    # When [s] an earlier life of the coordinator was last known to be alive.
    last_alive_s: float = 0.0
    constants: Mapping[str, Any] = field(default_factory=dict)
    """Parameters and formulas; in a sub-recipe its arguments."""
    results: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    timers: dict[str, str] = field(default_factory=dict)
    """Timer → key of its journal entry."""
    steps_now: dict[str, str] = field(default_factory=dict)
    ended_phases: set[str] = field(default_factory=set)
    # What is done with a label that was read and is the expected one; may_bind raises IdentityError instead.
    may_bind: Callable[[Label], None] = lambda label: None
    scanned: Callable[[Label], None] = lambda label: None
    binding: UnitBinding = field(default_factory=UnitBinding)
    """Which units the batch was given where there are several that can stand for each other."""
    laboratory_news: asyncio.Event = field(default_factory=asyncio.Event)
    enclosure_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Branches and batches that need the enclosure use it one after the other."""

    def values(self) -> dict[str, Any]:
        """Return everything that an expression may read now."""
        batch = {
            "batch_id": self.batch.batch_id,
            "patient_id": self.batch.patient_id,
            "donor_id": self.batch.donor_id,
            "patient_weight_kg": self.batch.patient_weight_kg,
            "elapsed_h": (self.clock.now_s() - self.started_s) / 3600.0,
        }
        return {**self.constants, **self.results, "batch": batch}

    def inside(self, arguments: Mapping[str, Any]) -> RunContext:
        """Return the context of a sub-recipe: it sees its arguments and its own results, and shares all else."""
        return replace(self, constants=arguments, results={}, timers={})

    def record_once(self, event: str, kind: str, what: str, why: str = "", **data: Any) -> None:
        """Hand an event to the batch record unless an earlier life of the coordinator has done so.

        A crash between the two may write it twice; `event_key` tells such twins.
        """
        if not self.journal.was_recorded(event):
            self.record(kind, what, why, event_key=event, **data)
            self.journal.mark_recorded(event)

    async def until_known(self, work: Callable[[], T], what: str) -> T:
        """Return `work()`; while it fails on an unknown or wrong value, hold and try again after each restart."""
        while True:
            try:
                return work()
            except WorkcellError as error:
                await self.control.hold(f"{what}: {error}")

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression over what is known now."""
        return evaluate(expression, self.values())

    def condition(self, expression: str) -> bool:
        """Return the truth of a condition over what is known now."""
        return evaluate_condition(expression, self.values())

    def render(self, value: Any) -> Any:
        """Return a recipe value with its `${…}` evaluated over what is known now."""
        return render(value, self.values())

    async def ask(
        self,
        key: str,
        question: str,
        answers: tuple[str, ...],
        check: Callable[[str], object] = lambda answer: None,
    ) -> Answer:
        """Ask the operator under a stable id; an answer that the journal has is not asked for again.

        `check` raises ValueError, with what is allowed, on an answer that is of the wrong type.

        A question that nobody can answer, or that is answered wrongly too often, holds the procedure.
        """
        entry = self.journal.begin(
            f"prompt:{key}", "prompt", {"question": question, "answers": list(answers)}, self.clock.now_s()
        )
        data = {"prompt_id": key, "question": question, "answers": list(answers)}
        self.record_once(f"{key}:asked", "prompt_asked", key, question, **data)
        if not entry.has_ended:
            answer = await self._valid_answer(key, question, answers, check)
            entry = self.journal.end(f"prompt:{key}", "answered", vars(answer), self.clock.now_s())
        answer = Answer(**entry.result)
        self.record_once(
            f"{key}:answered",
            "prompt_answered",
            key,
            answer.why,
            prompt_id=key,
            question=question,
            answer=answer.answer,
            simulated=answer.simulated,
            by=answer.who,
        )
        return answer

    async def _valid_answer(
        self, key: str, question: str, answers: tuple[str, ...], check: Callable[[str], object]
    ) -> Answer:
        wrong = 0
        while True:
            try:
                answer = await self.operator.ask(Question(key, self.batch.batch_id, question, answers))
            except WorkcellError as error:
                await self.control.hold(f"question {key!r} has no answer: {error}")
                continue
            try:
                check(answer.answer)
                if not answers or answer.answer in answers:
                    return answer
                refusal = f"answer {answer.answer!r} is none of {', '.join(answers)}"
            except ValueError as error:
                refusal = str(error)
            wrong += 1
            self.record("prompt_refused", key, refusal, by=answer.who)
            if wrong >= MAX_WRONG_ANSWERS:
                await self.control.hold(f"question {key!r} was answered wrongly {wrong} times")
                wrong = 0

    async def sleep_until(self, time_s: float) -> None:
        """Return once process time has reached `time_s` [s]."""
        await self.clock.sleep_until(time_s)


async def first_of(*works: Awaitable[Any]) -> None:
    """Return when the first of several waits is over; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            if not task.done():
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
