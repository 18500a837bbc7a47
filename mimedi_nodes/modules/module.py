# SPDX-License-Identifier: Apache-2.0
"""What a module declares: its phases, its instruments and the safe value of every actuator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from ..instruments.wire.link import Link
from ..process.context import PhaseContext
from .service.manual import ManualAct
from .site import Site


class Safe(Enum):
    """What an actuator does when its service is made safe (DESIGN rule 4)."""

    OFF = "off"
    """Switched off: pumps, RF, UV, VHP."""
    KEEP = "keep"
    """Life support: keeps its last validated set point in the instrument's own controller."""


@dataclass(frozen=True)
class Actuator:
    """One actuator with its declared value in Held, Stopped and Aborted.

    Args:
        name: snake case, unique in the module.
        held, stopped, aborted: the declared values.
        switch_off: drives it to its off value and confirms; needed when any value is `Safe.OFF`.
        is_off: reads back whether it is off (tests and the service check the declaration with it).
    """

    name: str
    held: Safe
    stopped: Safe
    aborted: Safe
    switch_off: Callable[[Any], Awaitable[None]] | None = None
    is_off: Callable[[Any], Awaitable[bool]] | None = None

    def __post_init__(self) -> None:
        if Safe.OFF in (self.held, self.stopped, self.aborted) and (self.switch_off is None or self.is_off is None):
            raise ValueError(f"actuator {self.name}: a value is 'off' but switch_off or is_off is missing")


@dataclass(frozen=True)
class Phase:
    """One phase kind: a typed action and the coroutine that carries it out.

    Args:
        action: CamelCase name of the `.action` file in mimedi_msgs.
        run: `async def run(goal, instruments, ctx) -> dict` with the result fields (without error_code, error_msg).
        expected_s: expected duration [s] of process time for a goal; a phase that takes 1.5 times as long plus
            10 min raises an alarm.
    """

    action: str
    run: Callable[[Any, Any, PhaseContext], Awaitable[Mapping[str, Any]]]
    expected_s: Callable[[Any], float]
    continuous: bool = False
    """A continuous service (mixing, say) may be ended early by COMPLETE: `ctx.finish_requested` turns true."""


class Instruments(Protocol):
    """The drivers of one module; a dataclass of drivers in each module's file."""

    async def connect(self) -> None:
        """Open the lines and identify every instrument; raises InstrumentError. Moves nothing, heats nothing."""
        ...

    async def disconnect(self) -> None:
        """Close the lines; leaves life support as it is."""
        ...

    async def telemetry(self) -> Mapping[str, tuple[float, str]]:
        """Read what the module shows: name → (value, unit). Reads only."""
        ...


@dataclass(frozen=True)
class Watch:
    """What a module looks at whatever it does, for its own people and for the interlocks of others.

    Args:
        alarms: what it may find.
        look: returns those whose cause stands, alarm → what is seen; raises InstrumentError.
    """

    alarms: tuple[str, ...]
    look: Callable[[Any], Awaitable[Mapping[str, str]]]


@dataclass(frozen=True)
class Module:
    """A module of the workcell, without ROS.

    Args:
        name: node name, snake case.
        error_base: first code of its 100-wide range of error codes.
        phases: its phases, one per action.
        actuators: every actuator with its declared safe values.
        build: makes the drivers from the site and the links, by name of the instrument line; what is no serial
            line (a camera, `calibrations`) comes by name in the third argument.
        manual: what people may do to it by hand.
        watch: what it looks at whatever it does.
    """

    name: str
    error_base: int
    phases: Sequence[Phase]
    actuators: Sequence[Actuator]
    build: Callable[[Site, Mapping[str, Link], Mapping[str, Any]], Instruments]
    manual: Sequence[ManualAct] = ()
    watch: Watch | None = None
    not_ready: Callable[[Any], str] = lambda instruments: ""
    """Why a held phase cannot go on yet, by its instruments; empty when it can. UNHOLD is refused with it."""

    def phase(self, action: str) -> Phase:
        """Return the phase of an action; raises KeyError with the actions there are."""
        for phase in self.phases:
            if phase.action == action:
                return phase
        raise KeyError(f"{self.name} has no action {action!r}; it has {', '.join(p.action for p in self.phases)}")
