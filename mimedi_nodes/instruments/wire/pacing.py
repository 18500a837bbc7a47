# SPDX-License-Identifier: Apache-2.0
"""Waiting for a slow instrument in process time."""

from __future__ import annotations

from typing import Protocol

from .link import InstrumentError

_MARGIN_S = 0.001
"""Added to an expected end so that rounding never makes the first look come a hair too early."""


class Pace(Protocol):
    """Process time as drivers need it; a phase's context has this form."""

    def now_s(self) -> float:
        """Return the process time [s]."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let `seconds` of process time pass."""
        ...


class Busy(Protocol):
    """A device that carries on by itself after a command."""

    name: str

    async def is_busy(self) -> bool:
        """Tell whether the last command is still being carried out.

        Raises InstrumentRefused when it failed.
        """
        ...


async def settle(
    device: Busy, pace: Pace, *, expected_s: float = 0.0, every_s: float = 0.25, patience_s: float = 10.0
) -> None:
    """Return once `device` is idle: sleep to the expected end, then look every `every_s` [s] of process time.

    Raises:
        InstrumentError: still busy `patience_s` [s] after the expected end.
    """
    if expected_s > 0.0:
        await pace.sleep(expected_s + _MARGIN_S)
    deadline_s = pace.now_s() + patience_s
    while await device.is_busy():
        if pace.now_s() >= deadline_s:
            raise InstrumentError(
                device.name,
                f"still busy {patience_s:g} s after it should have been done ({expected_s:g} s); look at it",
            )
        await pace.sleep(every_s)
