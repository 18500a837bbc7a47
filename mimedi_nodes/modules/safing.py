# SPDX-License-Identifier: Apache-2.0
"""Making a module safe: actuators to their declared values, alarms that stand until somebody has seen to the cause."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal, Protocol

from ..instruments.link import InstrumentError
from ..process.errors import PhaseHold
from .module import Instruments, Module, Safe
from .service_hooks import STORAGE_ERRORS, ServiceHooks, storage_text

log = logging.getLogger(__name__)


class EventWriter(Protocol):
    """Writes an event of the present goal."""

    def __call__(self, kind: str, what: str, why: str = "", **data: Any) -> None: ...


class Safing:
    """The part of a service that comes before everything else.

    Args:
        module: what the module declares.
        instruments: its connected drivers.
        hooks: where alarms go.
        event: writes to the record.
    """

    def __init__(self, module: Module, instruments: Instruments, hooks: ServiceHooks, event: EventWriter) -> None:
        self.last_error = ""
        self._module, self._instruments, self._hooks, self._event = module, instruments, hooks, event
        self._standing: set[str] = set()  # alarms of the service's own: faults, holds, what could not be made safe

    async def make_safe(self, state: Literal["held", "stopped", "aborted"]) -> None:
        """Drive every actuator to its declared value; one that does not follow is alarmed, the others still go."""
        for actuator in self._module.actuators:
            if getattr(actuator, state) is Safe.KEEP:
                continue
            assert actuator.switch_off is not None
            assert actuator.is_off is not None
            try:
                await actuator.switch_off(self._instruments)
                safe = await actuator.is_off(self._instruments)
                why = "it does not read back as off"
            except InstrumentError as error:
                safe, why = False, str(error)
            if not safe:
                self._standing_alarm(
                    f"{self._module.name}.not_safe",
                    f"{actuator.name} could not be switched off for state {state}: {why}; switch it off by hand",
                )

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
