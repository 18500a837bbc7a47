# SPDX-License-Identifier: Apache-2.0
"""The service of a module: runs its phases under the MTP state machine, keeps actuators at their safe values.

Hold, a restart after a crash and the recovery of a lost line are one mechanism: the phase's coroutine is cancelled,
and run again from its last checkpoint when the service is told to go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from ...instruments.wire.link import InstrumentError
from ...process.clock import ProcessClock
from ...process.context import PhaseHeader
from ...process.gateway import CommandReply, PhaseOutcome, PhaseRecall
from ...process.goals import Goal, GoalError
from ...process.interfaces import Interfaces
from ...process.service_state import CommandRefused, ServiceCommand, ServiceState, ServiceStateMachine
from ..module import Instruments, Module, Phase
from .current_goal import CurrentGoal
from .goal_course import GoalCourse
from .goal_store import GoalStore
from .hooks import STORAGE_ERRORS, ServiceCode, ServiceHooks, storage_text
from .manual import ManualRefused
from .manual_desk import ManualDesk
from .phase_run import PhaseRun
from .safing import Safing

log = logging.getLogger(__name__)

_AT_WORK = (
    ServiceState.STARTING, ServiceState.EXECUTE, ServiceState.PAUSING, ServiceState.PAUSED, ServiceState.RESUMING,
)  # fmt: skip


class ModuleService:
    """One module's service, without ROS.

    Args:
        module: what the module declares.
        instruments: its connected drivers.
        clock: process time.
        store: the module's memory of its goals.
        interfaces: definitions of the actions.
        hooks: where events, alarms, values and changes of state go.
    """

    def __init__(
        self,
        module: Module,
        instruments: Instruments,
        clock: ProcessClock,
        store: GoalStore,
        interfaces: Interfaces,
        hooks: ServiceHooks,
    ) -> None:
        self.module = module
        self.instruments = instruments
        self.enabled = True
        self._clock = clock
        self._store = store
        self._interfaces = interfaces
        self._hooks = hooks
        self._machine = ServiceStateMachine()
        self._current: CurrentGoal | None = None
        self._last: CurrentGoal | None = None
        self._ending: asyncio.Task[None] | None = None
        self._change = asyncio.Event()
        self._interlocks: dict[str, str] = {}
        self._safing = Safing(module, instruments, clock, hooks, self._event, store, self._header)
        self._course = GoalCourse(
            module, instruments, clock, store, interfaces, self._machine, self._safing, self._event, self._changed
        )
        self._manual = ManualDesk(module, instruments, clock, hooks, self._safing, self._changed)

    @property
    def last_error(self) -> str:
        """What the module was last held or aborted for; empty when it never was."""
        return self._safing.last_error

    @property
    def state(self) -> ServiceState:
        """Present MTP state."""
        return self._machine.state

    @property
    def commands_enabled(self) -> int:
        """Sum of the MTP command codes that are taken now; START is given by an action's goal only."""
        enabled = self._machine.commands_enabled & ~ServiceCommand.START
        current = self._current
        if current is None or not current.phase.continuous:
            enabled &= ~ServiceCommand.COMPLETE
        if self._interlocks:
            enabled &= ~(ServiceCommand.UNHOLD | ServiceCommand.RESTART | ServiceCommand.RESUME)
        return enabled

    def present(self) -> tuple[str, str, PhaseRun | None]:
        """Return action, goal UUID and run of the current goal or manual act, or of the last goal, or blanks."""
        if self._manual.run is not None:
            return self._manual.title, "", self._manual.run
        current = self._current or self._last
        return (current.phase.action, current.goal_id, current.run) if current else ("", "", None)

    async def recover(self) -> list[str]:
        """Begin a new life: mark goals that never ended as interrupted, drive actuators to their Held values.

        Returns the UUIDs of the interrupted goals. What cannot be made safe is alarmed; what the last life had alarmed
        is cleared before, and raised again by whoever sees it still.
        """
        interrupted = self._store.interrupt_running()
        was_unsafe = self._safing.forget_alarms()
        if interrupted or was_unsafe:
            await self._safing.make_safe("held")
        return interrupted

    def recall(self, goal_id: str) -> PhaseRecall:
        """Return what the module remembers of a goal."""
        return self._store.recall(goal_id)

    async def run(
        self,
        action: str,
        values: Mapping[str, Any],
        header: PhaseHeader,
        goal_id: str,
        on_feedback: Callable[[float, str], None] = lambda progress, step: None,
    ) -> PhaseOutcome:
        """Carry out a goal to its end, through pauses and holds; refused (code `n01`) unless the service is Idle."""
        try:
            phase, goal = self._check(action, values, header)
            restored = self._store.begin(goal_id, action, goal.as_fields(), header, self._clock.now_s())
            self._hooks.events(header, "phase_started", action, "", _started_data(action, goal, goal_id, restored))
        except (KeyError, GoalError, ValueError, CommandRefused) as error:
            return self._course.outcome(action, "aborted", ServiceCode.REFUSED, str(error))
        except STORAGE_ERRORS as error:
            self._safing.storage_failed(error)
            return self._course.outcome(action, "aborted", ServiceCode.REFUSED, storage_text(error))
        run = PhaseRun(
            goal_id,
            header,
            self._clock,
            self._store,
            self._hooks.events,
            lambda progress, step: self._told(on_feedback, progress, step),
            self._hooks.measured,
            self._safing.alarm,
            self._paused,
        )
        run.restored = restored
        self._current = current = CurrentGoal(goal_id, phase, goal, run, self._clock.now_s())
        self._machine.command(ServiceCommand.START)
        self._machine.complete()
        self._changed()
        try:
            return await self._course.carry_out(current)
        except asyncio.CancelledError:
            if current.attempt is not None:
                current.attempt.cancel()
            raise
        finally:
            run.clear_alarms()
            self._last, self._current = current, None
            self._changed()

    def refused(self, action: str, why: str) -> PhaseOutcome:
        """Return the outcome of a goal that is not taken."""
        return self._course.outcome(action, "aborted", ServiceCode.REFUSED, why)

    async def command(self, command: int, who: str, why: str) -> CommandReply:
        """Take an MTP command; the reply tells the state that it led to, which may still be an acting one."""
        old = self.state
        try:
            wanted = ServiceCommand(command)
            self._obey(wanted)
        except ValueError:
            names = ", ".join(f"{c.name} {c.value}" for c in ServiceCommand)
            return CommandReply(False, int(old), f"{command} is no MTP command code; there are {names}")
        except CommandRefused as error:
            return CommandReply(False, int(old), str(error))
        self._safing.try_write(
            lambda: self._event("command", wanted.name.lower(), why, who=who, old=old.name, new=self.state.name)
        )
        self._changed()
        return CommandReply(True, int(self.state))

    async def hold(self, who: str, why: str) -> None:
        """Hold when a phase is running, and return when the actuators have been made safe."""
        if self._current is not None and self.state not in (ServiceState.HOLDING, ServiceState.HELD):
            await self.command(ServiceCommand.HOLD, who, why)
        while self._current is not None and self.state == ServiceState.HOLDING:
            await self._change.wait()

    async def interlock(self, causes: Mapping[str, str]) -> None:
        """Take what interlocks the module now, alarm → text: a running phase is held, nothing starts or goes on.

        It acts whether or not anybody else is there; when the causes have gone, people let the phase go on.
        """
        new = [text for alarm_id, text in causes.items() if alarm_id not in self._interlocks]
        self._interlocks = dict(causes)
        self._changed()
        if not new:
            return
        why = "; ".join(new)
        self._manual.cancel()
        if self._current is not None and self.state not in (ServiceState.HOLDING, ServiceState.HELD):
            self._safing.last_error = why
            await self.command(ServiceCommand.HOLD, "interlock", why)

    async def line_silent(self, error: InstrumentError) -> None:
        """Hold a running phase: one of the module's instruments does not answer, whether or not the phase asks it now.

        A culture looks at its vessel twice an hour; a power cut between two looks would go unnoticed. While the phase
        is unheld the instruments are asked anyway: a question from before, answered too late, must not hold it again.
        """
        if self._current is not None and self.state in _AT_WORK:
            self._safing.alarm_failure(error)
            await self.command(ServiceCommand.HOLD, self.module.name, str(error))

    async def storage_lost(self, error: Exception) -> None:
        """Alarm that a file of the module's was lost, and hold a running phase until people have seen to it."""
        held_for = self._safing.storage_failed(error)
        if self._current is None:
            self._hooks.alarm(self._safing.storage_alarm, str(held_for), False)  # latched: people see it all the same
            return
        self._safing.alarm_failure(held_for)
        if self.state in _AT_WORK:
            await self.command(ServiceCommand.HOLD, self.module.name, str(held_for))

    async def manual(
        self, kind: str, target: str, values: Mapping[str, Any], who: str, why: str, in_maintenance: bool
    ) -> Mapping[str, Any]:
        """Do a manual act to its end; return what was found and left.

        Args:
            in_maintenance: whether the module is in maintenance, by signature.

        Raises:
            ManualRefused: it must not be done now, a value is wrong, or it did not reach its end; says what to do.
        """
        busy = "" if self.enabled else f"{self.module.name} is not active; activate the node first"
        if self._ending is not None or (self._current is not None and kind != "reset"):
            busy = f"{self.module.name} is {self.state.name}; end its phase first"
        if busy:
            raise ManualRefused(busy)
        if self._interlocks and kind != "reset":
            raise ManualRefused(f"interlocked by {'; '.join(self._interlocks.values())}")
        return await self._manual.carry_out(kind, target, values, who, why, in_maintenance)

    def _check(self, action: str, values: Mapping[str, Any], header: PhaseHeader) -> tuple[Phase, Goal]:
        if not self.enabled:
            raise CommandRefused(f"{self.module.name} is not active; activate the node first")
        if self.state != ServiceState.IDLE or self._ending is not None:
            raise CommandRefused(f"{self.module.name} is {self.state.name}, a phase starts from IDLE; RESET it first")
        self._check_free(f"{action} cannot start")
        return self.module.phase(action), self._interfaces.action(action).build_goal(values, header)

    def _check_free(self, what: str) -> None:
        if self._interlocks:
            raise CommandRefused(f"{what}: interlocked by {'; '.join(self._interlocks.values())}")
        if self._manual.run is not None:
            raise CommandRefused(f"{what}: {self._manual.title} is under way; wait for its end, or STOP it")

    def _obey(self, wanted: ServiceCommand) -> None:
        current = self._current
        if wanted in (ServiceCommand.UNHOLD, ServiceCommand.RESTART, ServiceCommand.RESUME):
            self._check_free(wanted.name)
        if wanted == ServiceCommand.START:
            raise CommandRefused("START is given by sending a goal to one of the module's actions")
        if wanted == ServiceCommand.COMPLETE and (current is None or not current.phase.continuous):
            raise CommandRefused("COMPLETE ends a continuous phase early; none is running")
        if wanted == ServiceCommand.COMPLETE and current is not None:
            if self.state not in (ServiceState.EXECUTE, ServiceState.PAUSED, ServiceState.PAUSING):
                raise CommandRefused(f"COMPLETE is not taken in state {self.state.name}; wait, or STOP")
            current.run.want_finish()
            return
        if wanted == ServiceCommand.UNHOLD and (why := self.module.not_ready(self.instruments)):
            raise CommandRefused(f"{self.module.name} cannot go on yet: {why}")
        self._machine.command(wanted)
        if wanted == ServiceCommand.RESET:
            self._machine.complete()
        elif wanted == ServiceCommand.PAUSE and current is not None:
            current.run.want_pause()
        elif wanted == ServiceCommand.RESUME and current is not None:
            current.run.end_pause()
        elif current is not None:
            current.wanted = wanted
            current.told.set()
            if current.attempt is not None:
                current.attempt.cancel()
        elif wanted in (ServiceCommand.STOP, ServiceCommand.ABORT):
            self._manual.cancel()
            self._ending = asyncio.get_running_loop().create_task(self._end_idle())

    async def _end_idle(self) -> None:
        try:
            await self._safing.make_safe("stopped" if self.state == ServiceState.STOPPING else "aborted")
            self._machine.complete()
        finally:
            self._ending = None
            self._changed()

    def _paused(self, paused: bool) -> None:
        if self.state == (ServiceState.PAUSING if paused else ServiceState.RESUMING):
            self._machine.complete()
            self._changed()

    def _told(self, on_feedback: Callable[[float, str], None], progress: float, step: str) -> None:
        on_feedback(progress, step)
        self._changed()

    def _changed(self) -> None:
        self._change.set()
        self._change = asyncio.Event()
        self._hooks.changed()

    def _event(self, kind: str, what: str, why: str = "", **data: Any) -> None:
        self._hooks.events(self._header(), kind, what, why, data)

    def _header(self) -> PhaseHeader:
        current = self._current or self._last
        return current.run.header if current else PhaseHeader()


def _started_data(action: str, goal: Goal, goal_id: str, restored: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"action": action, "goal": goal.as_fields(), "goal_id": goal_id, "restored": restored is not None}

