# SPDX-License-Identifier: Apache-2.0
"""Commands and state of one procedure: pause, hold, restart, stop, abort, passed on to the modules at work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..batch import BatchOutcome, CommandOutcome, Recorder
from ..clock import ProcessClock
from ..gateway import ModuleGateway, ModuleUnavailable
from ..service_state import CommandRefused, ServiceCommand, ServiceState
from .journal import Journal
from .procedure_state import (
    FINAL_STATES,
    TRANSITIONS,
    ProcedureCommand,
    ProcedureState,
    ProcedureStateMachine,
)

_log = logging.getLogger(__name__)

OnHold = Literal["wait", "end"]

# How long [s] a stopping or aborting procedure waits for the ends of its phases.
ENDING_TIMEOUT_S = 600.0


@dataclass
class RunningPhase:
    """A phase at work in a module."""

    path: str
    module: str
    goal_id: str
    is_held: bool = False
    held_itself: bool = False
    """Whether its module went to Held by itself, not because the procedure was held."""


class ProcedureControl:
    """The state of the procedure and everything that changes it.

    Args:
        modules: door to the modules.
        journal: keeps state and reason of a hold over a crash.
        record: batch record.
        clock: process time.
        on_hold: "wait" for a RESTART, or "end" the batch as held (a run without an operator).
        on_change: called after every change of state.
    """

    def __init__(
        self,
        modules: ModuleGateway,
        journal: Journal,
        record: Recorder,
        clock: ProcessClock,
        on_hold: OnHold,
        on_change: Callable[[], None],
    ) -> None:
        self._modules = modules
        self._journal = journal
        self._record = record
        self._clock = clock
        self.on_hold = on_hold
        self._on_change = on_change
        self._machine = ProcedureStateMachine(ProcedureState(journal.get("state", ProcedureState.IDLE)))
        self.reasons: list[str] = list(journal.get("hold_reasons", []))
        self.running: dict[str, RunningPhase] = {}
        self._go = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._ending: asyncio.Task[None] | None = None
        self.ended: asyncio.Future[BatchOutcome] = asyncio.get_running_loop().create_future()

    @property
    def state(self) -> ProcedureState:
        """Present state."""
        return self._machine.state

    @property
    def hold_reason(self) -> str:
        """Why the procedure is held, empty when it is not."""
        return "; ".join(self.reasons)

    @property
    def is_ending(self) -> bool:
        """Whether the procedure is being stopped or aborted, or has ended."""
        return self._ending is not None or self.ended.done()

    def begin(self) -> None:
        """Start the procedure, or take it up in the state in which the journal left it."""
        state = self.state
        if state is ProcedureState.IDLE:
            self._command(ProcedureCommand.START)
        elif state in (ProcedureState.HOLDING, ProcedureState.RESTARTING):
            # What a hold or restart had reached in the modules is not known: held is the safe reading of both.
            self._machine = ProcedureStateMachine(ProcedureState.HELD)
            self._store()
        elif state is ProcedureState.PAUSING:
            self._complete()
        elif state in (ProcedureState.STOPPING, ProcedureState.ABORTING):
            word = "stopped" if state is ProcedureState.STOPPING else "aborted"
            reason = self._journal.get("ending_reason", "")
            verdict = self._journal.get("ending_verdict", word)
            self._end_later(BatchOutcome(verdict, reason))
            return
        if self.state is ProcedureState.RUNNING:
            self._go.set()
        elif self.state is ProcedureState.HELD and self.on_hold == "end":
            self._finish(BatchOutcome("held", self.hold_reason))

    async def gate(self) -> None:
        """Return when the procedure runs and new steps may begin; never while it ends."""
        while not self._go.is_set():
            await self._go.wait()

    def enter(self, phase: RunningPhase) -> None:
        """Note that a phase is at work."""
        self.running[phase.goal_id] = phase
        self._drained.clear()

    def leave(self, goal_id: str) -> None:
        """Note that a phase is no longer at work."""
        self.running.pop(goal_id, None)
        if not self.running:
            self._drained.set()

    async def hold(self, reason: str, may_end: bool = True) -> None:
        """Hold the procedure for a reason; returns when it has been restarted.

        A batch without an operator (`on_hold` "end") ends here as held: then this never returns.
        """
        await self.enter_hold(reason)
        if may_end:
            self.end_if_unattended()
        await self.gate()

    async def enter_hold(self, reason: str) -> None:
        """Hold the procedure and return as soon as it is held."""
        if self.is_ending:
            return
        if reason not in self.reasons:
            self.reasons.append(reason)
            self._record("command", "hold", reason, command="hold", old=str(self.state), new="held")
        if ProcedureCommand.HOLD in self._allowed():
            self._go.clear()
            self._command(ProcedureCommand.HOLD)
            await self._to_modules(ServiceCommand.HOLD, reason)
            if self.state is ProcedureState.HOLDING:
                self._complete()
        else:
            self._store()
            self._on_change()

    def end_if_unattended(self) -> None:
        """End the batch as held when nobody is there to restart it."""
        if self.on_hold == "end" and self.state in (ProcedureState.HOLDING, ProcedureState.HELD):
            self._finish(BatchOutcome("held", self.hold_reason))

    async def reject(self, reason: str) -> None:
        """End the procedure because the product cannot meet its specification; never returns."""
        self._go.clear()
        self._journal.set("ending_reason", reason)
        self._journal.set("ending_verdict", "rejected")
        if ProcedureCommand.STOP in self._allowed():
            self._command(ProcedureCommand.STOP)
        self._end_later(BatchOutcome("rejected", reason))
        await asyncio.get_running_loop().create_future()

    async def command(self, command: str, who: str, why: str) -> CommandOutcome:
        """Carry out an ISA-88 command of a person or program; who and why go into the record."""
        old = self.state
        try:
            wanted = ProcedureCommand(command)
            if wanted in (ProcedureCommand.START, ProcedureCommand.RESET):
                raise CommandRefused(f"command {wanted} is given by producing a batch, not here")
            self._machine.command(wanted)
        except (ValueError, CommandRefused) as error:
            message = str(error)
            self._record(
                "command", command, why, command=command, accepted=False, old=str(old), new=str(old), by=who
            )
            return CommandOutcome(False, str(old), message)
        self._record(
            "command", command, why, command=command, accepted=True, old=str(old), new=str(self.state), by=who
        )
        self._go.clear()
        if wanted is ProcedureCommand.HOLD:
            self.reasons.append(why or f"held by {who}")
        self._store()
        self._on_change()
        await self._carry_out(wanted, who, why)
        if wanted is ProcedureCommand.RESTART and self.state is ProcedureState.HELD:
            return CommandOutcome(False, str(self.state), self.hold_reason)
        return CommandOutcome(True, str(self.state))

    async def _carry_out(self, command: ProcedureCommand, who: str, why: str) -> None:
        if command is ProcedureCommand.PAUSE:
            await self._to_modules(ServiceCommand.PAUSE, why)
            self._complete_if(ProcedureState.PAUSING)
        elif command is ProcedureCommand.HOLD:
            await self._to_modules(ServiceCommand.HOLD, why)
            self._complete_if(ProcedureState.HOLDING)
        elif command is ProcedureCommand.RESUME:
            await self._to_modules(ServiceCommand.RESUME, why)
            self._release_if_running()
        elif command is ProcedureCommand.RESTART:
            before = list(self.reasons)
            self.reasons.clear()
            refusal = await self._to_modules(ServiceCommand.UNHOLD, why)
            if refusal and self.state is ProcedureState.RESTARTING:
                self.reasons.extend(before)
                await self.enter_hold(refusal)
            self._complete_if(ProcedureState.RESTARTING)
            self._release_if_running()
        else:
            word: Literal["stopped", "aborted"] = "stopped" if command is ProcedureCommand.STOP else "aborted"
            self._end_later(BatchOutcome(word, why or f"{word} by {who}"))

    def _release_if_running(self) -> None:
        if self.state is ProcedureState.RUNNING:
            self._go.set()

    def _end_later(self, outcome: BatchOutcome) -> None:
        self._journal.set("ending_reason", outcome.reason)
        if self._ending is not None:
            self._ending.cancel()
        self._ending = asyncio.get_running_loop().create_task(self._end(outcome))

    async def _end(self, outcome: BatchOutcome) -> None:
        """End the phases at work, wait for them within a limit, then end the procedure."""
        command = ServiceCommand.ABORT if self.state is ProcedureState.ABORTING else ServiceCommand.STOP
        await self._to_modules(command, outcome.reason)
        timer = asyncio.ensure_future(self._clock.sleep_until(self._clock.now_s() + ENDING_TIMEOUT_S))
        drained = asyncio.ensure_future(self._drained.wait())
        try:
            await asyncio.wait({timer, drained}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            drained.cancel()
        if self.state in (ProcedureState.STOPPING, ProcedureState.ABORTING):
            self._complete()
        self._finish(outcome)

    def _finish(self, outcome: BatchOutcome) -> None:
        if not self.ended.done():
            self.ended.set_result(outcome)

    def complete(self) -> None:
        """Note that the last step has been done."""
        self._complete_if(ProcedureState.RUNNING)

    async def _to_modules(self, command: ServiceCommand, why: str) -> str:
        """Pass a command on to every module at work; return why a module cannot go on yet, empty otherwise.

        Modules that held themselves go first: what they still refuse to unhold for must not be undone by the others.
        """
        for phase in sorted(self.running.values(), key=lambda phase: not phase.held_itself):
            if command is ServiceCommand.HOLD and phase.is_held:
                continue
            try:
                reply = await self._modules.command(phase.module, int(command), "coordinator", why)
            except ModuleUnavailable as error:
                _log.warning("%s of %s: %s", command.name, phase.module, error)
                continue
            if command is ServiceCommand.HOLD:
                phase.is_held = reply.accepted
            elif command is ServiceCommand.UNHOLD and not reply.accepted and reply.state == ServiceState.HELD:
                return reply.message
            elif command is ServiceCommand.UNHOLD:
                phase.is_held = phase.held_itself = False
            if not reply.accepted:
                _log.info("%s refused by %s: %s", command.name, phase.module, reply.message)
        return ""

    def _allowed(self) -> tuple[ProcedureCommand, ...]:
        return tuple(TRANSITIONS[self.state])

    def _command(self, command: ProcedureCommand) -> None:
        old = self.state
        self._machine.command(command)
        self._changed(old)

    def _complete_if(self, state: ProcedureState) -> None:
        if self.state is state:
            self._complete()

    def _complete(self) -> None:
        old = self.state
        self._machine.complete()
        self._changed(old)

    def _changed(self, old: ProcedureState) -> None:
        self._store()
        why = self.hold_reason if self.state in (ProcedureState.HOLDING, ProcedureState.HELD) else ""
        self._record("state_changed", "procedure", why, old=str(old), new=str(self.state))
        if self.state in FINAL_STATES:
            self._go.clear()
        self._on_change()

    def _store(self) -> None:
        self._journal.set("hold_reasons", self.reasons)
        self._journal.set("state", str(self.state))
