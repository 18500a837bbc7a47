# SPDX-License-Identifier: Apache-2.0
"""The goal that a service is carrying out, and one attempt at its phase: from the start or from a checkpoint."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...instruments.wire.link import InstrumentError
from ...process.clock import ProcessClock
from ...process.errors import PhaseError, PhaseHold
from ...process.gateway import PhaseOutcome
from ...process.goals import Goal
from ...process.interfaces import Interfaces
from ...process.service_state import CommandRefused, ServiceCommand
from ..module import Instruments, Phase
from .hooks import STORAGE_ERRORS, storage_text
from .phase_run import PhaseRun
from .safing import Safing

log = logging.getLogger(__name__)

OVERDUE_FACTOR, OVERDUE_S = 1.5, 600.0
"""A phase that takes longer than 1.5 times its expected duration plus ten minutes is overdue."""


@dataclass
class CurrentGoal:
    """A goal in the making.

    Args:
        begun_s: process time of its first start [s].
        attempt: the phase's coroutine at work, None between attempts.
        wanted: the command that has ended the attempt, or is to end the hold.
        told: set when `wanted` was given.
    """

    goal_id: str
    phase: Phase
    goal: Goal
    run: PhaseRun
    begun_s: float
    attempt: asyncio.Task[Mapping[str, Any]] | None = None
    wanted: ServiceCommand | None = None
    told: asyncio.Event = field(default_factory=asyncio.Event)

    async def attempted(
        self, instruments: Instruments, interfaces: Interfaces, clock: ProcessClock, safing: Safing, module: str
    ) -> Mapping[str, Any] | Exception:
        """Run the phase once; return its checked result, or what ended it."""
        loop = asyncio.get_running_loop()
        self.attempt = loop.create_task(self._started(instruments))
        watch = loop.create_task(self._watch_duration(clock, module))
        try:
            result = await self.attempt
            return interfaces.action(self.phase.action).check_result(result)
        except asyncio.CancelledError:
            if self.wanted is None:
                raise
            return CommandRefused(f"interrupted by {self.wanted.name}")
        except STORAGE_ERRORS as error:
            return PhaseHold(safing.storage_alarm, storage_text(error))
        except Exception as error:  # noqa: BLE001 - whatever a phase raises ends held or aborted, with its text
            if not isinstance(error, PhaseError | PhaseHold | InstrumentError):
                log.exception("%s failed", self.phase.action)
            return error
        finally:
            self.attempt = None
            watch.cancel()

    async def _started(self, instruments: Instruments) -> Mapping[str, Any]:
        return await self.phase.run(self.goal, instruments, self.run)

    async def _watch_duration(self, clock: ProcessClock, module: str) -> None:
        expected_s = self.phase.expected_s(self.goal)
        await clock.sleep_until(clock.now_s() + OVERDUE_FACTOR * expected_s + OVERDUE_S)
        self.run.alarm(
            f"{module}.phase_overdue",
            f"{self.phase.action} should have taken {expected_s / 3600.0:.2f} h and still runs: {self.run.step}",
        )

    def ended_data(self, outcome: PhaseOutcome, ended_s: float) -> dict[str, Any]:
        """Return what the record says of its end."""
        return {
            "action": self.phase.action,
            "goal": self.goal.as_fields(),
            "goal_id": self.goal_id,
            "status": outcome.status,
            "result": outcome.result,
            "started_s": self.begun_s,
            "ended_s": ended_s,
        }
