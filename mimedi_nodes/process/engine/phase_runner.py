# SPDX-License-Identifier: Apache-2.0
"""Runs one phase in its module: journals the intent, starts it, takes its result, reconciles after a crash."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any, Literal

from ..context import PhaseHeader
from ..gateway import ModuleUnavailable, PhaseOutcome, PhaseRecall
from ..recipes.steps import PhaseStep
from ..service_state import ServiceCommand
from .journal import Entry
from .procedure_control import RunningPhase
from .run_context import BranchEnded, RunContext, Scope, first_of

# How often [s] a phase that should end with its branch is told so again.
END_AGAIN_S = 10.0

Next = Literal["start", "attach"]


class PhaseRunner:
    """Runs the phases of one batch."""

    def __init__(self, context: RunContext) -> None:
        self._context = context

    async def run(self, step: PhaseStep, key: str, scope: Scope) -> Mapping[str, Any]:
        """Return the result of a phase, from the journal when it has ended before.

        Raises:
            BranchEnded: the branch of the phase ended before the phase had a result.
        """
        context = self._context
        entry = context.journal.entry(key)
        next_act: Next = "start"
        outcome: PhaseOutcome | None = None
        if entry is None:
            await scope.run(context.control.gate())
            entry = await self._intend(step, key, 1)
        elif not entry.has_ended:
            next_act, outcome = await self._reconcile(step, entry, scope, context.last_alive_s)
        while not entry.has_ended:
            if outcome is None:
                outcome = await self._drive(step, entry, next_act, scope)
            context.journal.end_goal(
                entry.intent["goal_id"], outcome.status, outcome.result, context.clock.now_s()
            )
            if outcome.status == "succeeded" or scope.has_ended:
                entry = context.journal.end(key, outcome.status, dict(outcome.result), context.clock.now_s())
            else:
                entry = await self._again(step, entry, outcome, scope)
                next_act, outcome = "start", None
        return self._finished(step, key, entry)

    def _finished(self, step: PhaseStep, key: str, entry: Entry) -> Mapping[str, Any]:
        context = self._context
        result: Mapping[str, Any] = entry.result
        context.ended_phases.add(key)
        context.record_once(
            f"{key}:done",
            "step_ended",
            key,
            "",
            phase_id=key,
            status=entry.status,
            goal_id=entry.intent["goal_id"],
            attempts=entry.intent["attempt"],
        )
        if entry.status != "succeeded":
            raise BranchEnded
        action = context.interfaces.action(step.action)
        for saved in step.save:
            context.record_once(
                f"{key}:save:{saved.name}",
                "measurement",
                saved.name,
                name=saved.name,
                value=result.get(saved.value),
                unit=action.result[saved.value].unit,
                low=result.get(saved.low) if saved.low else None,
                high=result.get(saved.high) if saved.high else None,
                phase_id=key,
            )
        return result

    async def _intend(self, step: PhaseStep, key: str, attempt: int) -> Entry:
        """Choose the goal and its UUID and write both down, before the module hears of it."""
        context = self._context
        action = context.interfaces.action(step.action)

        def build() -> dict[str, Any]:
            return action.build_goal(context.binding.goal(context.render(dict(step.fields)))).as_fields()

        fields = await context.until_known(build, f"goal of {key}")
        goal_id = uuid.uuid4().hex
        intent = {
            "goal_id": goal_id,
            "goal": fields,
            "module": context.binding.name(step.module),
            "action": action.name,
            "attempt": attempt,
        }
        entry = context.journal.begin_goal(goal_id, key, attempt, intent, context.clock.now_s())
        self._record_intent(step, key, intent)
        return entry

    def _record_intent(self, step: PhaseStep, key: str, intent: Mapping[str, Any]) -> None:
        self._context.record_once(
            f"{key}:intent:{intent['attempt']}",
            "phase_intended",
            key,
            step.reason,
            phase_id=key,
            requires=dict(step.requires),
            resume=step.resume,
            **intent,
        )

    async def _again(self, step: PhaseStep, entry: Entry, outcome: PhaseOutcome, scope: Scope) -> Entry:
        """Hold because a phase did not reach its goal; choose a new goal when the operator restarts."""
        if self._context.control.is_ending:
            await self._context.control.gate()
        why = outcome.error_msg or f"the phase was {outcome.status}"
        code = f" (code {outcome.error_code})" if outcome.error_code else ""
        attempt = int(entry.intent["attempt"])
        self._context.record_once(
            f"{entry.path}:failed:{attempt}",
            "phase_failed",
            entry.path,
            why,
            phase_id=entry.path,
            goal_id=entry.intent["goal_id"],
            status=outcome.status,
            error_code=outcome.error_code,
        )
        await scope.run(self._context.control.hold(f"{entry.path} ({entry.intent['module']}){code}: {why}"))
        return await self._intend(step, entry.path, attempt + 1)

    async def _drive(self, step: PhaseStep, entry: Entry, next_act: Next, scope: Scope) -> PhaseOutcome:
        """Start a phase or attach to it, and return how it ended, over crashes of its module."""
        context = self._context
        running = RunningPhase(entry.path, entry.intent["module"], entry.intent["goal_id"])
        while True:
            if next_act == "start":
                await context.control.gate()
                if scope.has_ended:
                    return PhaseOutcome("canceled")
            context.control.enter(running)
            context.steps_now[entry.path] = ""
            context.changed()
            try:
                outcome = await self._carry_out(step, entry, next_act, scope)
            except ModuleUnavailable as error:
                context.control.leave(running.goal_id)
                context.record("module_lost", running.module, str(error), phase_id=entry.path)
                next_act, known = await self._reconcile(step, entry, scope, context.clock.now_s())
                if known is not None:
                    return known
                continue
            finally:
                context.control.leave(running.goal_id)
                context.steps_now.pop(entry.path, None)
                context.changed()
            if outcome.status == "held":
                await self._wait_out_hold(entry, running, outcome.error_msg)
                next_act = "attach"
                continue
            return outcome

    async def _wait_out_hold(self, entry: Entry, running: RunningPhase, why: str) -> None:
        """Hold with a module that is held already; the restart that ends it unholds the module too."""
        running.is_held = running.held_itself = True
        self._context.control.enter(running)
        try:
            await self._context.control.hold(
                f"{entry.path} ({running.module}) is held: {why or 'see its alarms'}"
            )
        finally:
            self._context.control.leave(running.goal_id)

    async def _carry_out(self, step: PhaseStep, entry: Entry, next_act: Next, scope: Scope) -> PhaseOutcome:
        context = self._context
        goal_id = entry.intent["goal_id"]

        def told(progress: float, text: str) -> None:
            context.steps_now[entry.path] = text
            context.changed()

        if next_act == "start":
            header = PhaseHeader(
                goal_id=goal_id,
                batch_id=context.batch.batch_id,
                phase_id=entry.path,
                chain_of_identity=context.batch.patient_id,
                requested_by=context.batch.requested_by,
                reason=step.reason,
            )
            work = context.modules.run_phase(
                entry.intent["module"], entry.intent["action"], entry.intent["goal"], header, goal_id, told
            )
        else:
            work = context.modules.await_phase(entry.intent["module"], goal_id, told)
        task = asyncio.ensure_future(work)
        ended = asyncio.ensure_future(scope.wait_ended())
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
            while not task.done():
                await self._end_phase(entry)
                pause = context.sleep_until(context.clock.now_s() + END_AGAIN_S)
                await first_of(asyncio.wait({task}), pause)
            return task.result()
        finally:
            ended.cancel()
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _end_phase(self, entry: Entry) -> None:
        """Tell a phase that the branch it accompanies has ended: complete it, or stop it when that is not taken."""
        why = f"{entry.path} accompanies a branch that has ended"
        for command in (ServiceCommand.COMPLETE, ServiceCommand.STOP):
            reply = await self._context.modules.command(entry.intent["module"], int(command), "coordinator", why)
            if reply.accepted:
                return

    async def _reconcile(
        self, step: PhaseStep, entry: Entry, scope: Scope, since_s: float
    ) -> tuple[Next, PhaseOutcome | None]:
        """Find out what became of a goal: start it (again), attach to it, or take its outcome.

        It is not known to have been at work since `since_s` [s].
        """
        context = self._context
        context.record_once(
            f"{entry.path}:intent:{entry.intent['attempt']}", "phase_intended", entry.path, **entry.intent
        )
        recall = await self._recall(step, entry)
        if recall.status in ("succeeded", "canceled", "aborted"):
            return "attach", PhaseOutcome(recall.status, recall.result)
        context.record(
            "phase_recalled",
            entry.path,
            f"the module says {recall.status}",
            phase_id=entry.path,
            goal_id=entry.intent["goal_id"],
            status=recall.status,
        )
        if recall.status == "running":
            return "attach", None
        if recall.status == "held":
            running = RunningPhase(entry.path, entry.intent["module"], entry.intent["goal_id"])
            await self._wait_out_hold(entry, running, "it was held when the coordinator came back")
            return "attach", None
        if scope.has_ended:
            return "attach", PhaseOutcome("canceled")
        if recall.status == "interrupted":
            await self._resume_by_policy(step, entry, since_s)
        return "start", None

    async def _recall(self, step: PhaseStep, entry: Entry) -> PhaseRecall:
        """Ask the module what it remembers; a module that stays away longer than allowed holds the procedure."""
        context = self._context
        patience_s = max(step.max_outage_h * 3600.0, context.poll_s)
        lost_s = context.clock.now_s()
        while True:
            try:
                return await context.modules.recall_phase(entry.intent["module"], entry.intent["goal_id"])
            except ModuleUnavailable as error:
                if context.clock.now_s() - lost_s >= patience_s:
                    module = entry.intent["module"]
                    await context.control.hold(f"{entry.path}: module {module} does not answer: {error}")
                    lost_s = context.clock.now_s()
            await context.sleep_until(context.clock.now_s() + context.poll_s)

    async def _resume_by_policy(self, step: PhaseStep, entry: Entry, since_s: float) -> None:
        """Return when the phase may go on from its checkpoint: by itself, after an answer, or after a restart."""
        context = self._context
        outage_h = max(0.0, context.clock.now_s() - max(since_s, entry.intent_s)) / 3600.0
        said = f"{entry.path} was interrupted, at most {outage_h:.2f} h ago"
        if step.resume == "auto" and outage_h <= step.max_outage_h:
            context.record(
                "decision", f"resume {entry.path}", said, expression="resume: auto", outcome="resumed"
            )
            return
        if step.resume == "ask":
            count = int(context.journal.get(f"interruptions:{entry.path}", 0)) + 1
            context.journal.set(f"interruptions:{entry.path}", count)
            question = f"{said}. Resume it from its checkpoint?"
            answer = await context.ask(f"{entry.path}:resume:{count}", question, ("resume", "hold"))
            if answer.answer == "resume":
                return
            await context.control.hold(f"{said}; {answer.who} decided to hold")
            return
        limit = (
            f"longer than the {step.max_outage_h:g} h allowed" if step.resume == "auto" else "resume: never"
        )
        await context.control.hold(f"{said}; {limit}")
