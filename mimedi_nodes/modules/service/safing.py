# SPDX-License-Identifier: Apache-2.0
"""Making a module safe: actuators to their declared values, alarms that stand until somebody has seen to the cause."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from ...instruments.wire.link import InstrumentError
from ...process.clock import ProcessClock
from ...process.context import PhaseHeader
from ...process.errors import PhaseHold
from ..module import Actuator, Instruments, Module, Safe
from .hooks import STORAGE_ERRORS, ServiceHooks, storage_text

log = logging.getLogger(__name__)

SETTLE_S = 2.0
"""Longest process time [s] that an instrument may need to come to rest after its stop: a Cavro valve that turns
ends its turn first (≤ 250 ms between adjacent ports, manual 734237-C, appendix B: 2 s half around its 16)."""
SETTLE_LIMIT_S = 8.0
"""Longest steady time [s] of the same: while a node starts or leaves, process time may not be known."""
LOOK_S = 0.25


class EventWriter(Protocol):
    """Writes an event of the present goal."""

    def __call__(self, kind: str, what: str, why: str = "", **data: Any) -> None: ...


class AlarmMemory(Protocol):
    """Keeps which alarms stand, beyond the life of the process."""

    def note_alarm(self, alarm_id: str, active: bool, header: PhaseHeader) -> None: ...

    def standing_alarms(self) -> Mapping[str, PhaseHeader]: ...


class Safing:
    """The part of a service that comes before everything else.

    Args:
        module: what the module declares.
        instruments: its connected drivers.
        clock: process time, in which instruments come to rest.
        hooks: where alarms go.
        event: writes to the record.
        memory: which alarms stand.
        header: tells on whose behalf the module is at work.
    """

    def __init__(
        self,
        module: Module,
        instruments: Instruments,
        clock: ProcessClock,
        hooks: ServiceHooks,
        event: EventWriter,
        memory: AlarmMemory,
        header: Callable[[], PhaseHeader],
    ) -> None:
        self._memory, self._header = memory, header
        self.last_error = ""
        self._module, self._instruments, self._clock = module, instruments, clock
        self._hooks, self._event = hooks, event
        self._standing: set[str] = set()  # alarms of the service's own: faults, holds, what could not be made safe

    async def make_safe(self, state: Literal["held", "stopped", "aborted"]) -> None:
        """Drive every actuator to its declared value; one that does not follow is alarmed, the others still go."""
        for actuator in self._module.actuators:
            if getattr(actuator, state) is Safe.KEEP:
                continue
            assert actuator.switch_off is not None
            try:
                await actuator.switch_off(self._instruments)
                safe = await self._comes_to_rest(actuator)
                why = "it does not read back as off"
            except InstrumentError as error:
                safe, why = False, str(error)
            if not safe:
                self._standing_alarm(
                    f"{self._module.name}.not_safe",
                    f"{actuator.name} could not be switched off for state {state}: {why}; switch it off by hand",
                )

    async def _comes_to_rest(self, actuator: Actuator) -> bool:
        """Return whether an actuator that was switched off reads back as off, as soon as it does."""
        assert actuator.is_off is not None
        steady = asyncio.get_running_loop()
        end_s, limit_s = self._clock.now_s() + SETTLE_S, steady.time() + SETTLE_LIMIT_S
        while not await actuator.is_off(self._instruments):
            if self._clock.now_s() >= end_s or steady.time() >= limit_s:
                return False
            await self._pass(LOOK_S)
        return True

    async def _pass(self, wait_s: float) -> None:
        """Let process time pass; where it is not known or stands, steady time."""
        until_s = self._clock.now_s() + wait_s
        if math.isnan(until_s):
            await asyncio.sleep(wait_s)
            return
        with contextlib.suppress(TimeoutError):  # who waits looks again, and has a limit of steady time as well
            async with asyncio.timeout(4.0 * wait_s):
                await self._clock.sleep_until(until_s)

    def alarm_failure(self, failure: PhaseHold | InstrumentError) -> None:
        """Alarm what a phase was held for."""
        self.last_error = str(failure)
        if isinstance(failure, PhaseHold):
            self._standing_alarm(failure.alarm_id, str(failure))
        else:
            self._standing_alarm(f"{self._module.name}.{failure.instrument}_fault", str(failure))

    def _standing_alarm(self, alarm_id: str, message: str) -> None:
        self._standing.add(alarm_id)
        self.alarm(alarm_id, message, True)

    def clear_standing(self) -> None:
        """Clear the service's own alarms: the lines answer, and whoever lets the phase go on has seen to the cause."""
        for alarm_id in sorted(self._standing):
            self.alarm(alarm_id, "", False)
        self._standing.clear()

    def alarm(self, alarm_id: str, message: str, active: bool) -> None:
        """Tell that the cause of an alarm has come or gone."""
        self._hooks.alarm(alarm_id, message, active)
        kind = "alarm_raised" if active else "alarm_cleared"
        self.try_write(lambda: self._event(kind, alarm_id, message=message, alarm_id=alarm_id))
        self.try_write(lambda: self._memory.note_alarm(alarm_id, active, self._header()))

    def forget_alarms(self) -> bool:
        """Clear what an earlier life left raised, in the record too: what stands is raised again.

        Returns whether an actuator was among it that could not be switched off.
        """
        left = self._memory.standing_alarms()
        why = "the module was started again; what stands is raised again"
        for alarm_id, header in left.items():
            self._hooks.alarm(alarm_id, "", False)
            self._hooks.events(header, "alarm_cleared", alarm_id, why, {"message": "", "alarm_id": alarm_id})
            self._memory.note_alarm(alarm_id, False, header)
        return any(alarm_id.endswith(".not_safe") for alarm_id in left)

    def try_write(self, write: Callable[[], None]) -> PhaseHold | None:
        """Write to disk; a full or locked disk is alarmed and returned, never raised: actuators come first."""
        try:
            write()
        except STORAGE_ERRORS as error:
            return self.storage_failed(error)
        return None

    def storage_failed(self, error: Exception) -> PhaseHold:
        """Alarm that the disk cannot be written; return what the phase is held for."""
        log.error("%s: %s", self._module.name, storage_text(error))
        self._hooks.alarm(self.storage_alarm, storage_text(error), True)
        return PhaseHold(self.storage_alarm, storage_text(error))

    @property
    def storage_alarm(self) -> str:
        """Alarm of a disk that cannot be written."""
        return f"{self._module.name}.storage_failed"
