# SPDX-License-Identifier: Apache-2.0
"""What a phase sees of the world besides its instruments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class PhaseHeader:
    """On whose behalf a phase runs; the fields of `mimedi_msgs/PhaseHeader`."""

    goal_id: str = ""
    batch_id: str = ""
    phase_id: str = ""
    chain_of_identity: str = ""
    requested_by: str = ""
    reason: str = ""


class PhaseContext(Protocol):
    """Time, feedback, checkpoints, records and alarms of one running phase."""

    goal_id: str
    header: PhaseHeader
    restored: Mapping[str, Any] | None
    """Last checkpoint of an earlier, interrupted run of this goal; None in a first run."""

    @property
    def finish_requested(self) -> bool:
        """Whether COMPLETE was commanded: a continuous phase ends at its next safe point and returns its result."""
        ...

    def now_s(self) -> float:
        """Return the process time [s]."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` of process time pass; longer when the service is paused meanwhile."""
        ...

    async def until(self, condition: Callable[[], Awaitable[bool]], every_s: float, timeout_s: float) -> bool:
        """Poll `condition` every `every_s` [s] of process time; False when `timeout_s` [s] went by first."""
        ...

    async def pause_point(self) -> None:
        """Return at once, or after RESUME when a pause is wanted."""
        ...

    def feedback(self, progress: float, step: str) -> None:
        """Tell how far the phase is (share, 0..1) and what it is doing."""
        ...

    async def checkpoint(self, **data: Any) -> None:
        """Store JSON-able `data` as the phase's checkpoint; durable when this returns."""
        ...

    def measured(
        self, name: str, value: float, unit: str, low: float = float("nan"), high: float = float("nan")
    ) -> None:
        """Publish and record one measured value with the ends of its 95 % interval."""
        ...

    def record(self, kind: str, what: str, why: str = "", **data: Any) -> None:
        """Write an event to the batch record (durable outbox)."""
        ...

    def alarm(self, alarm_id: str, message: str) -> None:
        """Raise an alarm of the rationalised alarm table."""
        ...

    def clear_alarm(self, alarm_id: str) -> None:
        """Tell that the cause of an alarm has gone."""
        ...
