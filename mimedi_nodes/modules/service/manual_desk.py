# SPDX-License-Identifier: Apache-2.0
"""Where manual acts on one module are carried out: one at a time, on record, made safe at the end whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from ...instruments.wire.link import InstrumentError
from ...process.calibrations import CalibrationError
from ...process.clock import ProcessClock
from ...process.context import PhaseHeader
from ...process.errors import PhaseError, PhaseHold
from ..module import Instruments, Module
from .hooks import STORAGE_ERRORS, ServiceHooks, storage_text
from .manual import ManualRefused, find_act
from .phase_run import PhaseRun
from .safing import Safing


class _NoCheckpoints:
    """A manual act is not taken up again after a crash: a person does it anew."""

    def checkpoint(self, goal_id: str, data: Mapping[str, Any]) -> None:
        """Keep nothing."""


class ManualDesk:
    """Carries manual acts out.

    Args:
        module, instruments, clock, hooks: of the service.
        safing: makes the module safe after each act.
        changed: told when an act begins, goes on and ends.
    """

    def __init__(
        self,
        module: Module,
        instruments: Instruments,
        clock: ProcessClock,
        hooks: ServiceHooks,
        safing: Safing,
        changed: Callable[[], None],
    ) -> None:
        self.run: PhaseRun | None = None
        self.title = ""
        self._module, self._instruments, self._clock, self._hooks = module, instruments, clock, hooks
        self._safing, self._changed = safing, changed
        self._task: asyncio.Task[Mapping[str, Any]] | None = None

    def cancel(self) -> None:
        """End the act that is under way, if any; the module is made safe."""
        if self._task is not None:
            self._task.cancel()

    async def carry_out(
        self, kind: str, target: str, values: Mapping[str, Any], who: str, why: str, in_maintenance: bool
    ) -> Mapping[str, Any]:
        """Check an act and carry it out; see `ModuleService.manual`."""
        act = find_act(self._module.manual, kind, target)
        if act.in_maintenance and not in_maintenance:
            name = self._module.name
            raise ManualRefused(f"{name} is in production; first: workcell maintenance begin {name} --why TEXT")
        if not who.strip() or not why.strip():
            raise ManualRefused("who and why are needed: a manual act is a person's and has a reason")
        if self.run is not None:
            raise ManualRefused(f"{self.title} is under way; wait for its end")
        checked = act.checked(values)
        header = PhaseHeader(requested_by=who, reason=why)
        self.title = f"manual {kind} {target}"
        self.run = run = PhaseRun(
            "", header, self._clock, _NoCheckpoints(), self._hooks.events, lambda progress, step: self._changed(),
            self._hooks.measured, self._safing.alarm, lambda paused: None,
        )  # fmt: skip
        data = {"act": kind, "target": target, "values": checked, "who": who}
        try:
            self._hooks.events(header, "manual_begun", self.title, why, data)
            work = _awaited(act.run(target, checked, self._instruments, run))
            self._task = asyncio.get_running_loop().create_task(work)
            self._changed()
            found: Mapping[str, Any] = await self._task
        except asyncio.CancelledError:
            if self._task is None or not self._task.cancelled():
                raise  # the module's process ends
            found, failure = {}, "it was stopped"
        except STORAGE_ERRORS as error:
            found, failure = {}, storage_text(error)
        except (PhaseError, PhaseHold, InstrumentError, ManualRefused, CalibrationError) as error:
            found, failure = {}, str(error)
        else:
            failure = ""
        finally:
            await self._safing.make_safe("stopped")
            run.clear_alarms()
            self.run = self._task = None
            self._changed()
        ended = {**data, "result": dict(found), "failure": failure}
        write = self._hooks.events
        unwritten = self._safing.try_write(lambda: write(header, "manual_ended", self.title, failure, ended))
        if failure or unwritten:
            raise ManualRefused(f"{self.title} of {self._module.name}: {failure or unwritten}")
        return found


async def _awaited(act: Any) -> Mapping[str, Any]:
    return dict(await act)
