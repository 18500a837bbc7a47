# SPDX-License-Identifier: Apache-2.0
"""Walks a procedure: operations, steps, branches, loops, conditions, sub-recipes and decisions, each journaled.

Walking again after a crash is harmless: what has ended gives its stored result and does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from ..recipes.recipe import Operation
from ..recipes.steps import (
    AwaitResultsStep,
    CallStep,
    ControlStep,
    DecideStep,
    IfStep,
    LaboratoryStep,
    LoopStep,
    NotYetStep,
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
from .phase_runner import PhaseRunner
from .room import Room
from .run_context import BranchEnded, RunContext, Scope, first_of
from .sampling import SamplingBudget
from .step_runner import StepRunner
from .timers import Timers
from .unit_claims import UnitClaims
from .watchdog import Watchdog


class Procedure:
    """The steps of one recipe, or of one call of a sub-recipe, in their context.

    Args:
        context: what the steps see and share.
        timers, watchdog, sampling: of the whole batch.
        ended: called with the path of every step that has ended.
        claims: takes the units that the steps work on, and gives them back.
    """

    def __init__(
        self,
        context: RunContext,
        timers: Timers,
        watchdog: Watchdog,
        sampling: SamplingBudget,
        ended: Callable[[str], None],
        claims: UnitClaims,
    ) -> None:
        self._context = context
        self._timers, self._watchdog, self._sampling = timers, watchdog, sampling
        self._ended, self._claims = ended, claims
        self._room = Room(context, PhaseRunner(context))
        self._steps = StepRunner(context)

    async def run(self) -> None:
        """Carry out every operation of the recipe."""
        for operation in self._context.recipe.operations():
            await self._operation(operation)

    async def _operation(self, operation: Operation) -> None:
        await self._sequence(operation.steps, "", Scope())
        for decision in operation.decisions:
            await self._decide(decision, decision.path)

    async def _sequence(self, steps: tuple[Step, ...], suffix: str, scope: Scope) -> None:
        for step in steps:
            await self._claims.open(step.path, suffix, scope)
            await self._step(step, suffix, scope)
            self._claims.close(step.path, suffix)

    async def _step(self, step: Step, suffix: str, scope: Scope) -> None:
        key = step.path + suffix
        if isinstance(step, ParallelStep):
            await self._parallel(step, suffix, scope)
        elif isinstance(step, LoopStep):
            await self._loop(step, suffix, scope)
        elif isinstance(step, IfStep):
            steps = step.then_steps if await self._condition(key, step.condition, scope) else step.else_steps
            await self._sequence(steps, suffix, scope)
        elif isinstance(step, CallStep):
            self._context.results[step.id] = await self._call(step, suffix, scope)
        elif isinstance(step, DecideStep):
            await scope.run(self._decide(step, key))
        else:
            async with self._watchdog.over(step, key):
                self._context.results[step.id] = await self._one(step, key, scope)
        self._ended(step.path)

    async def _one(self, step: Step, key: str, scope: Scope) -> Mapping[str, Any]:
        if not isinstance(step, PhaseStep):
            return await self._plain(step, key, scope)
        if step.sampling is not None:
            await scope.run(self._sampling.check(step, step.sampling, key, self._context))
        return await self._room.run(step, key, scope)

    async def _call(self, step: CallStep, suffix: str, scope: Scope) -> Mapping[str, Any]:
        """Carry out a sub-recipe with its arguments, decided once; return the results that it declares."""
        context, key = self._context, step.path + suffix
        entry = context.journal.entry(key)
        if entry is None:
            await scope.run(context.control.gate())
            arguments = await context.until_known(lambda: dict(context.render(dict(step.arguments))), key)
            entry = context.journal.begin(key, "call", {"part": step.part, "with": arguments}, context.clock.now_s())
        inside = context.inside(entry.intent["with"])
        part = Procedure(inside, self._timers, self._watchdog, self._sampling, self._ended, self._claims)
        await part._sequence(step.steps, suffix, scope)
        if not entry.has_ended:

            def results() -> dict[str, Any]:
                return {saved.name: inside.evaluate(saved.value) for saved in step.results}

            given = await context.until_known(results, f"results of {key}")
            entry = context.journal.end(key, "succeeded", given, context.clock.now_s())
        context.record_once(f"{key}:ended", "sub_recipe_ended", key, phase_id=key, **entry.intent)
        found: Mapping[str, Any] = entry.result
        return found

    async def _plain(self, step: Step, key: str, scope: Scope) -> Mapping[str, Any]:
        entry = self._context.journal.entry(key)
        if entry is None:
            await scope.run(self._context.control.gate())
        if isinstance(step, PromptStep):
            return await scope.run(self._steps.prompt(step, key))
        if isinstance(step, LaboratoryStep):
            return await scope.run(self._steps.order(step, key))
        if isinstance(step, AwaitResultsStep):
            return await scope.run(self._steps.await_results(step, key))
        if isinstance(step, SetStep):
            return await scope.run(self._steps.set_values(step, key))
        if isinstance(step, WaitStep):
            return await scope.run(self._steps.wait(step, key))
        if isinstance(step, NotYetStep):
            return self._steps.not_yet(step, key)
        if isinstance(step, ControlStep):
            from .control_runner import control  # NumPy only where a recipe has such a rule

            return await scope.run(control(step, key, self._context))
        if isinstance(step, TimerStep):
            return await scope.run(self._timers.start(step, key, self._context))
        if isinstance(step, StopTimerStep):
            return await scope.run(self._timers.stop(step, key, self._context))
        if isinstance(step, WaitTimerStep):
            return await scope.run(self._timers.wait(step, key, self._context))
        raise TypeError(f"{key}: no way to run a {type(step).__name__}")

    async def _parallel(self, step: ParallelStep, suffix: str, scope: Scope) -> None:
        scopes = {name: Scope(scope) for name in step.branches}

        async def branch(name: str) -> None:
            with contextlib.suppress(BranchEnded):
                await self._sequence(step.branches[name], suffix, scopes[name])
            if name == step.until:
                for other in scopes.values():
                    other.end()

        # The leading branch first: in a replay it has ended before its companions look.
        names = sorted(step.branches, key=lambda name: name != step.until)
        try:
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(branch(name))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        if scope.has_ended:
            raise BranchEnded

    async def _loop(self, step: LoopStep, suffix: str, scope: Scope) -> None:
        key = step.path + suffix
        if step.until:
            for turn in range(1, step.limit + 1):
                await self._sequence(step.steps, f"{suffix}#{turn}", scope)
                if await self._condition(f"{key}#{turn}", step.condition, scope):
                    return
            await self._context.control.hold(f"{key}: done {step.limit} times and {step.condition!r} is not reached")
            return
        for turn in range(1, step.limit + 1):
            if not await self._condition(f"{key}#{turn}", step.condition, scope):
                return
            await self._sequence(step.steps, f"{suffix}#{turn}", scope)
        if await self._condition(f"{key}#end", step.condition, scope):
            await self._context.control.hold(
                f"{key}: the loop ran {step.limit} times and {step.condition!r} still holds"
            )

    async def _condition(self, key: str, expression: str, scope: Scope) -> bool:
        """Return a condition's truth, decided once: a replay takes what the journal says."""
        context = self._context
        entry = context.journal.entry(f"{key}:if")
        if entry is None:
            await scope.run(context.control.gate())
            truth = await context.until_known(lambda: context.condition(expression), key)
            entry = context.journal.begin(f"{key}:if", "condition", {"outcome": truth}, context.clock.now_s())
        truth = bool(entry.intent["outcome"])
        context.record_once(f"{key}:if", "decision", key, expression, expression=expression, outcome=truth)
        return truth

    async def _decide(self, decision: DecideStep, key: str) -> None:
        """Carry out a decision: hold or reject when its condition holds."""
        context, control = self._context, self._context.control
        entry = context.journal.entry(key)
        if entry is None:
            await control.gate()
            truth = await context.until_known(lambda: context.condition(decision.condition), key)
            cause = ask = ""
            if truth:
                cause = await context.until_known(lambda: str(context.render(decision.cause)), key)
                ask = await context.until_known(lambda: str(context.render(decision.ask)), key)
            intent = {"outcome": truth, "cause": cause, "ask": ask}
            entry = context.journal.begin(key, "decision", intent, context.clock.now_s())
        truth, cause = bool(entry.intent["outcome"]), str(entry.intent["cause"])
        context.record_once(
            key,
            "decision",
            key,
            cause,
            expression=decision.condition,
            outcome=decision.decide if truth else "go on",
        )
        if truth and not entry.has_ended:
            if decision.decide == "reject":
                await self._reject(cause)
            await self._hold_and_ask(key, cause, str(entry.intent["ask"]))
        if not entry.has_ended:
            context.journal.end(key, "passed", {}, context.clock.now_s())

    async def _hold_and_ask(self, key: str, cause: str, question: str) -> None:
        """Hold; go on when the operator answers so or restarts, reject when the operator says so."""
        control = self._context.control
        await control.enter_hold(cause)
        if not question:
            control.end_if_unattended()
            await control.gate()
            return

        async def asked() -> None:
            answer = await self._context.ask(key, question, ("continue", "reject", "hold"))
            if answer.answer == "reject":
                await self._reject(cause)
            if answer.answer == "continue":
                await control.command("restart", answer.who, answer.why or f"{question}: continue")
            else:
                control.end_if_unattended()
            await control.gate()

        await first_of(control.gate(), asked())

    async def _reject(self, cause: str) -> NoReturn:
        await self._context.control.reject(cause)
        raise AssertionError("a rejected procedure does not go on")
