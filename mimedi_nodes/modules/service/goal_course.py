# SPDX-License-Identifier: Apache-2.0
"""The way of one goal from its start to its end: attempts at its phase, holds, and how it is put on record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from ...instruments.wire.link import InstrumentError
from ...process.clock import ProcessClock
from ...process.errors import PhaseError, PhaseHold
from ...process.gateway import PhaseOutcome
from ...process.interfaces import Interfaces
from ...process.service_state import ServiceCommand, ServiceState, ServiceStateMachine
from ..module import Instruments, Module
from .current_goal import CurrentGoal
from .goal_store import GoalStore
from .hooks import STORAGE_ERRORS, ServiceCode
from .safing import EventWriter, Safing


class GoalCourse:
    """Carries goals out, one at a time.

    Args:
        module: what the module declares.
        instruments: its connected drivers.
        clock: process time.
        store: the module's memory of its goals.
        interfaces: definitions of the actions.
        machine: the service's state, which a goal's course moves.
        safing: makes actuators safe and alarms.
        event: writes to the record.
        changed: told whenever the state has moved.
    """

    def __init__(
        self,
        module: Module,
        instruments: Instruments,
        clock: ProcessClock,
        store: GoalStore,
        interfaces: Interfaces,
        machine: ServiceStateMachine,
        safing: Safing,
        event: EventWriter,
        changed: Callable[[], None],
    ) -> None:
        self._module, self._instruments, self._clock = module, instruments, clock
        self._store, self._interfaces, self._machine = store, interfaces, machine
        self._safing, self._event, self._changed = safing, event, changed

    async def carry_out(self, current: CurrentGoal) -> PhaseOutcome:
        """Carry a goal that has begun to its end, through holds and restarts; the machine ends with it."""
        result: Mapping[str, Any] | None = None
        while True:
            current.wanted = None
            current.told.clear()
            failure = await self._attempted(current) if result is None else result
            wanted = current.wanted
            if isinstance(failure, Mapping):
                result = failure
                if wanted not in (ServiceCommand.HOLD, ServiceCommand.STOP, ServiceCommand.ABORT):
                    outcome = PhaseOutcome("succeeded", {**result, "error_code": 0, "error_msg": ""})
                    unwritten = self._write_end(current, outcome)
                    if unwritten is None:
                        self._complete()
                        return outcome
                    failure = unwritten  # a result that is not on disk is none: hold until it can be written
            if wanted == ServiceCommand.RESTART:
                if self._goes_back(current):
                    self._machine.complete()
                    continue
                self._machine.command(ServiceCommand.HOLD)
                wanted = ServiceCommand.HOLD
            if wanted is None and isinstance(failure, PhaseHold | InstrumentError):
                self._safing.alarm_failure(failure)
                self._machine.command(ServiceCommand.HOLD)
                wanted = ServiceCommand.HOLD
            if wanted == ServiceCommand.HOLD:
                wanted = await self._held(current)
            if wanted == ServiceCommand.UNHOLD:
                continue
            outcome = await self._end(current, wanted, failure)
            self._write_end(current, outcome)
            return outcome

    async def _attempted(self, current: CurrentGoal) -> Mapping[str, Any] | Exception:
        return await current.attempted(
            self._instruments, self._interfaces, self._clock, self._safing, self._module.name
        )

    async def _end(
        self, current: CurrentGoal, wanted: ServiceCommand | None, failure: Mapping[str, Any] | Exception
    ) -> PhaseOutcome:
        """Stop or abort, by command or because of a failure."""
        if wanted == ServiceCommand.STOP:
            return await self._stop(current)
        if wanted == ServiceCommand.ABORT:
            return await self._abort(current, ServiceCode.INTERRUPTED, "aborted by command")
        self._machine.command(ServiceCommand.ABORT)
        if isinstance(failure, PhaseError):
            return await self._abort(current, failure.code - self._module.error_base, str(failure))
        return await self._abort(current, ServiceCode.UNKNOWN, f"{type(failure).__name__}: {failure}")

    def _write_end(self, current: CurrentGoal, outcome: PhaseOutcome) -> PhaseHold | None:
        """Write how a goal ended, durably; return why it could not be written, which is alarmed as well."""
        ended_s = self._clock.now_s()
        data = current.ended_data(outcome, ended_s)

        def write() -> None:
            self._event("phase_ended", current.phase.action, outcome.error_msg, **data)
            self._store.end(current.goal_id, outcome.status, outcome.result, ended_s)

        return self._safing.try_write(write)

    def _complete(self) -> None:
        if self._machine.state == ServiceState.EXECUTE:
            self._machine.complete()
        else:
            self._machine.command(ServiceCommand.COMPLETE)
        self._machine.complete()

    async def _held(self, current: CurrentGoal) -> ServiceCommand:
        self._changed()
        self._safing.try_write(lambda: self._store.note(current.goal_id, "held"))
        await self._safing.make_safe("held")
        if self._machine.state == ServiceState.HOLDING:
            self._machine.complete()
        while True:
            self._changed()
            current.told.clear()
            if current.wanted in (None, ServiceCommand.HOLD):
                await current.told.wait()
            wanted = current.wanted
            if wanted == ServiceCommand.HOLD:  # held again before it had gone on
                if self._machine.state == ServiceState.HOLDING:
                    self._machine.complete()
                continue
            if wanted != ServiceCommand.UNHOLD:
                assert wanted is not None
                return wanted
            if await self._ready_again(current) and current.wanted == ServiceCommand.UNHOLD:
                self._machine.complete()
                self._safing.clear_standing()
                self._safing.try_write(lambda: self._store.note(current.goal_id, "running"))
                self._changed()
                return wanted
            # The line does not answer, or another command has come while it was tried.
            if self._machine.state == ServiceState.UNHOLDING:
                self._machine.command(ServiceCommand.HOLD)
                current.wanted = None
            if self._machine.state == ServiceState.HOLDING:
                self._machine.complete()

    async def _ready_again(self, current: CurrentGoal) -> bool:
        """Return whether the lines answer and the last checkpoint, from which the phase goes on, can be read."""
        try:
            await self._instruments.connect()
        except InstrumentError as error:
            self._safing.alarm_failure(error)
            return False
        return self._goes_back(current)

    def _goes_back(self, current: CurrentGoal) -> bool:
        try:
            self._store.check()
            current.run.restored = self._store.recall(current.goal_id).checkpoint or None
        except STORAGE_ERRORS as error:
            self._safing.alarm_failure(self._safing.storage_failed(error))
            return False
        return True

    async def _stop(self, current: CurrentGoal) -> PhaseOutcome:
        await self._safing.make_safe("stopped")
        if current.wanted == ServiceCommand.ABORT:
            return await self._abort(current, ServiceCode.INTERRUPTED, "aborted by command")
        self._machine.complete()
        return self.outcome(current.phase.action, "canceled", ServiceCode.INTERRUPTED, "stopped by command")

    async def _abort(self, current: CurrentGoal, code: int, message: str) -> PhaseOutcome:
        self._safing.last_error = message
        await self._safing.make_safe("aborted")
        self._machine.complete()
        return self.outcome(current.phase.action, "aborted", code, message)

    def outcome(self, action: str, status: Literal["canceled", "aborted"], code: int, message: str) -> PhaseOutcome:
        """Return how a goal ended that did not succeed, with the module's code and a text."""
        number = self._module.error_base + int(code)
        try:
            result = self._interfaces.action(action).blank_result(number, message)
        except KeyError:
            result = {"error_code": number, "error_msg": message}
        return PhaseOutcome(status, result)
