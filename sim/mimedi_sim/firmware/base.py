# SPDX-License-Identifier: Apache-2.0
"""What every simulated instrument offers the plant and the wire."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


class Firmware(Protocol):
    """All instruments on one serial line, as seen on the wire; driven by process time only.

    The plant calls `advance_to(t)` before `receive` so that state is that of time `t`; between two
    `next_event()` times everything the plant
    reads from an instrument (pump rates, valve ports, set points) is constant.
    """

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes from the line (any chunking), return the bytes sent back (may be empty)."""
        ...

    def advance_to(self, time_s: float) -> None:
        """Carry the instrument's own programme (queued moves, internal loops) on to `time_s`."""
        ...

    def next_event(self) -> float:
        """Process time [s] of the instrument's next own change of state; inf when there is none."""
        ...


@runtime_checkable
class PowerCycled(Protocol):
    """Firmware that shows when its power was cut."""

    def power_cycle(self, now_s: float) -> None:
        """Lose and regain power at a process time [s]."""
        ...


@runtime_checkable
class Talkative(Protocol):
    """Firmware that says things though nobody asked just now."""

    def take_unasked(self, now_s: float) -> bytes:
        """Return what has to be sent at a process time [s]."""
        ...
