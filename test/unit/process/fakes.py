# SPDX-License-Identifier: Apache-2.0
"""A small world for the engine: virtual time, modules that keep what they did, an operator and a laboratory."""

from __future__ import annotations

import asyncio
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from mimedi_nodes.process.context import PhaseHeader
from mimedi_nodes.process.gateway import (
    Answer,
    CommandReply,
    ModuleUnavailable,
    PhaseOutcome,
    PhaseRecall,
    Question,
)
from mimedi_nodes.process.interfaces import default_interfaces
from mimedi_nodes.process.service_state import ServiceCommand


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps to the next timer as soon as nothing else is left to do."""

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s
        outer = self

        class Jumping(selectors.DefaultSelector):
            def select(self, timeout: float | None = None) -> list[Any]:
                if timeout is None:
                    raise RuntimeError("deadlock: nothing is scheduled and nothing is ready")
                if timeout > 0.0:
                    outer._now_s += timeout
                return super().select(0.0)

        super().__init__(Jumping())

    def time(self) -> float:
        return self._now_s


def run_virtual(work: Coroutine[Any, Any, Any], start_s: float = 0.0) -> Any:
    """Run a coroutine on virtual time."""
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start_s)) as runner:
        return runner.run(work)


class LoopTime:
    """Process time that is the loop's time."""

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep_until(self, time_s: float) -> None:
        await asyncio.sleep(max(0.0, time_s - self.now_s()))


class Crash(BaseException):
    """The coordinator dies here."""


@dataclass
class Goal:
    """What a module remembers of a goal; survives the coordinator."""

    module: str
    action: str
    fields: dict[str, Any]
    header: PhaseHeader
    duration_s: float
    status: str = "running"
    result: dict[str, Any] = field(default_factory=dict)
    ends_s: float = 0.0
    runs: int = 1


def sample_result(action: str, **known: Any) -> dict[str, Any]:
    """Return a complete, allowed result of an action."""
    values: dict[str, Any] = {}
    for name, item in default_interfaces().action(action).result.items():
        if item.is_array:
            values[name] = []
        elif item.type_name == "string":
            values[name] = str(item.range.choices[0]) if item.range.choices else f"{name}-x"
        elif item.is_numeric:
            values[name] = item.range.low if item.range.low > -1e300 else 1
        else:
            values[name] = False
    return {**values, "error_code": 0, "error_msg": "", **known}


class FakeModules:
    """A ModuleGateway of modules that take their time and remember their goals.

    Args:
        durations_s: action → how long it takes.
        results: action → result fields that matter, or a function of the goal's fields.
        continuous: actions that take COMPLETE.
    """

    def __init__(
        self,
        durations_s: Mapping[str, float] | None = None,
        results: Mapping[str, Any] | None = None,
        continuous: tuple[str, ...] = (),
    ) -> None:
        self.durations_s = dict(durations_s or {})
        self.results = dict(results or {})
        self.continuous = continuous
        self.goals: dict[str, Goal] = {}
        self.changed = asyncio.Event()
        self.commands: list[tuple[str, str]] = []
        self.fail_next: dict[str, list[PhaseOutcome]] = {}
        self.lost: set[str] = set()

    def started(self, action: str) -> list[Goal]:
        return [goal for goal in self.goals.values() if goal.action == action]

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    async def run_phase(
        self,
        module: str,
        action: str,
        goal: Mapping[str, Any],
        header: PhaseHeader,
        goal_id: str,
        on_feedback: Callable[[float, str], None],
    ) -> PhaseOutcome:
        self._there(module)
        default_interfaces().action(action).build_goal(goal, header)
        assert header.goal_id == goal_id
        known = self.goals.get(goal_id)
        now_s = asyncio.get_running_loop().time()
        if known is None:
            assert not any(g.module == module and g.status == "running" for g in self.goals.values()), (
                f"{module} was given {action} while it is at work"
            )
            duration_s = self.durations_s.get(action, 60.0)
            known = Goal(module, action, dict(goal), header, duration_s, ends_s=now_s + duration_s)
            self.goals[goal_id] = known
        else:
            assert known.status == "interrupted", f"a goal that is {known.status} was started again"
            assert known.fields == dict(goal)
            known.status, known.runs = "running", known.runs + 1
            known.ends_s = now_s + known.duration_s
        on_feedback(0.0, f"{action} begins")
        return await self.await_phase(module, goal_id, on_feedback)

    async def await_phase(self, module: str, goal_id: str, on_feedback: Callable[[float, str], None]) -> PhaseOutcome:
        while True:
            self._there(module)
            self.advance()
            goal = self.goals[goal_id]
            if goal.status not in ("running", "held"):
                return PhaseOutcome(goal.status, goal.result)  # type: ignore[arg-type]
            left_s = goal.ends_s - asyncio.get_running_loop().time() if goal.status == "running" else 1e6
            # Not wait_for: Python 3.11's loses a cancellation that comes together with the event.
            changed = asyncio.ensure_future(self.changed.wait())
            try:
                done, _ = await asyncio.wait({changed}, timeout=max(left_s, 0.0))
            finally:
                changed.cancel()
            if not done:
                on_feedback(1.0, f"{goal.action} ends")

    def advance(self) -> None:
        """Let goals whose time is over end, as modules do whether or not anybody waits."""
        now_s = asyncio.get_running_loop().time()
        for goal in self.goals.values():
            if goal.status == "running" and now_s >= goal.ends_s - 1e-6 and goal.module not in self.lost:
                self._end(goal)

    def _end(self, goal: Goal) -> None:
        planned = self.fail_next.get(goal.action)
        if planned:
            outcome = planned.pop(0)
            goal.status, goal.result = outcome.status, dict(outcome.result)
            return
        known = self.results.get(goal.action, {})
        known = known(goal.fields) if callable(known) else known
        goal.status, goal.result = "succeeded", sample_result(goal.action, **known)

    async def recall_phase(self, module: str, goal_id: str) -> PhaseRecall:
        self._there(module)
        self.advance()
        goal = self.goals.get(goal_id)
        if goal is None:
            return PhaseRecall("unknown")
        return PhaseRecall(goal.status, goal.action, goal.fields, goal.result)  # type: ignore[arg-type]

    async def command(self, module: str, command: int, who: str, why: str) -> CommandReply:
        self._there(module)
        wanted = ServiceCommand(command)
        self.commands.append((module, wanted.name))
        active = [g for g in self.goals.values() if g.module == module and g.status in ("running", "held")]
        if not active:
            return CommandReply(False, 16, "nothing runs")
        goal = active[0]
        if wanted is ServiceCommand.COMPLETE and goal.action not in self.continuous:
            return CommandReply(False, 64, "not continuous")
        now_s = asyncio.get_running_loop().time()
        if wanted is ServiceCommand.COMPLETE:
            self._end(goal)
        elif wanted is ServiceCommand.STOP:
            goal.status, goal.result = "canceled", {"error_code": 3, "error_msg": "stopped"}
        elif wanted is ServiceCommand.ABORT:
            goal.status, goal.result = "aborted", {"error_code": 3, "error_msg": "aborted"}
        elif wanted is ServiceCommand.HOLD:
            goal.status, goal.duration_s = "held", goal.ends_s - now_s
        elif wanted is ServiceCommand.UNHOLD:
            if goal.status != "held":
                return CommandReply(False, 64, "not held")
            goal.status, goal.ends_s = "running", now_s + goal.duration_s
        self.wake()
        return CommandReply(True, 64)

    def hold_by_itself(self, module: str) -> None:
        """A module holds for a reason of its own."""
        for goal in self.goals.values():
            if goal.module == module and goal.status == "running":
                goal.status, goal.duration_s = "held", goal.ends_s - asyncio.get_running_loop().time()
        self.wake()

    def interrupt(self, module: str) -> None:
        """The module's process dies and comes back: what ran is interrupted."""
        for goal in self.goals.values():
            if goal.module == module and goal.status == "running":
                goal.status = "interrupted"

    def _there(self, module: str) -> None:
        if module in self.lost:
            raise ModuleUnavailable(f"{module} does not answer")


class FakeOperator:
    """Answers by a function of the question; counts what it is asked."""

    def __init__(self, answer: Callable[[Question], str] = lambda question: "yes") -> None:
        self.answer = answer
        self.asked: list[Question] = []

    async def ask(self, question: Question) -> Answer:
        self.asked.append(question)
        await asyncio.sleep(1.0)
        return Answer(self.answer(question), "somebody", "because", simulated=True)


class FakeLaboratory:
    """Takes orders; counts them by sample and test."""

    def __init__(self) -> None:
        self.orders: Counter[tuple[str, str]] = Counter()
        self.ordered = asyncio.Event()

    async def order(self, batch_id: str, sample_id: str, tests: Any) -> None:
        for test in tests:
            self.orders[sample_id, test] += 1
        self.ordered.set()


class Record:
    """The batch record as a list; raises Crash at a chosen event, before or after it is written."""

    def __init__(self, crash_at: int | None = None) -> None:
        self.events: list[tuple[str, str, str, dict[str, Any]]] = []
        self.crash_at = crash_at

    def __call__(self, kind: str, what: str, why: str = "", **data: Any) -> None:
        if self.crash_at is not None and len(self.events) >= self.crash_at:
            raise Crash(f"at event {self.crash_at}: {kind} {what}")
        self.events.append((kind, what, why, data))

    def of(self, kind: str) -> list[tuple[str, str, str, dict[str, Any]]]:
        return [event for event in self.events if event[0] == kind]
