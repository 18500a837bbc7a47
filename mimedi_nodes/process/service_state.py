# SPDX-License-Identifier: Apache-2.0
"""The state machine of a module's service, as one table.

Source: VDI/VDE/NAMUR 2658-4 (MTP services); codes and allowed commands as in the open implementation MTPPy.
The codes are those of `mimedi_msgs/ModuleState` and `mimedi_msgs/CommandModule`; a contract test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType

from .errors import WorkcellError


class ServiceState(IntEnum):
    """The 16 states of an MTP service."""

    STOPPED = 4
    STARTING = 8
    IDLE = 16
    PAUSED = 32
    EXECUTE = 64
    STOPPING = 128
    ABORTING = 256
    ABORTED = 512
    HOLDING = 1024
    HELD = 2048
    UNHOLDING = 4096
    PAUSING = 8192
    RESUMING = 16384
    RESETTING = 32768
    COMPLETING = 65536
    COMPLETED = 131072


class ServiceCommand(IntEnum):
    """The 10 commands of an MTP service; their codes are bits, so that a sum says which are allowed."""

    RESET = 2
    START = 4
    STOP = 8
    HOLD = 16
    UNHOLD = 32
    PAUSE = 64
    RESUME = 128
    ABORT = 256
    RESTART = 512
    COMPLETE = 1024


class CommandRefused(WorkcellError):
    """A command is not allowed in the present state; says what is."""


_S, _C = ServiceState, ServiceCommand

# What each acting (transient) state becomes when it has done its work: "state complete".
STATE_COMPLETE: Mapping[ServiceState, ServiceState] = MappingProxyType(
    {
        _S.STARTING: _S.EXECUTE,
        _S.COMPLETING: _S.COMPLETED,
        _S.RESETTING: _S.IDLE,
        _S.HOLDING: _S.HELD,
        _S.UNHOLDING: _S.EXECUTE,
        _S.PAUSING: _S.PAUSED,
        _S.RESUMING: _S.EXECUTE,
        _S.STOPPING: _S.STOPPED,
        _S.ABORTING: _S.ABORTED,
        # Execute completes by itself when the phase has reached its goal.
        _S.EXECUTE: _S.COMPLETING,
    }
)

TRANSIENT_STATES = frozenset(STATE_COMPLETE) - {_S.EXECUTE}

_END = {_C.STOP: _S.STOPPING, _C.ABORT: _S.ABORTING}
_ACTIVE = {**_END, _C.HOLD: _S.HOLDING}
_COMPLETABLE = {**_ACTIVE, _C.COMPLETE: _S.COMPLETING}

# The whole machine: state → command → next state. A command that is not here is refused.
TRANSITIONS: Mapping[ServiceState, Mapping[ServiceCommand, ServiceState]] = MappingProxyType(
    {
        _S.IDLE: {**_END, _C.START: _S.STARTING},
        _S.STARTING: _COMPLETABLE,
        _S.EXECUTE: {**_COMPLETABLE, _C.PAUSE: _S.PAUSING, _C.RESTART: _S.STARTING},
        _S.PAUSING: _COMPLETABLE,
        _S.PAUSED: {**_COMPLETABLE, _C.RESUME: _S.RESUMING},
        _S.RESUMING: _COMPLETABLE,
        _S.HOLDING: _END,
        _S.HELD: {**_END, _C.UNHOLD: _S.UNHOLDING},
        _S.UNHOLDING: _COMPLETABLE,
        _S.COMPLETING: _ACTIVE,
        _S.COMPLETED: {**_END, _C.RESET: _S.RESETTING},
        _S.RESETTING: _END,
        _S.STOPPING: {_C.ABORT: _S.ABORTING},
        _S.STOPPED: {_C.ABORT: _S.ABORTING, _C.RESET: _S.RESETTING},
        _S.ABORTING: {},
        _S.ABORTED: {_C.RESET: _S.RESETTING},
    }
)


def commands_enabled(state: ServiceState) -> int:
    """Return the sum of the codes of all commands that are allowed in a state."""
    return sum(int(command) for command in TRANSITIONS[state])


def allowed_commands(state: ServiceState) -> tuple[ServiceCommand, ...]:
    """Return the commands that are allowed in a state, by rising code."""
    return tuple(sorted(TRANSITIONS[state]))


def next_state(state: ServiceState, command: ServiceCommand) -> ServiceState:
    """Return the state after a command; raises CommandRefused with the commands that are allowed."""
    try:
        return TRANSITIONS[state][command]
    except KeyError:
        allowed = ", ".join(c.name for c in allowed_commands(state)) or "none, wait for the state to complete"
        raise CommandRefused(
            f"command {command.name} is not allowed in state {state.name}; allowed: {allowed}"
        ) from None


def completed_state(state: ServiceState) -> ServiceState:
    """Return what a state becomes when its work is done; raises CommandRefused for a waiting state."""
    try:
        return STATE_COMPLETE[state]
    except KeyError:
        raise CommandRefused(f"state {state.name} waits for a command, it cannot complete") from None


def _edges() -> list[tuple[str, str, str]]:
    edges = [(s.name, t.name, c.name) for s, row in TRANSITIONS.items() for c, t in row.items()]
    return edges + [(s.name, t.name, "state complete") for s, t in STATE_COMPLETE.items()]


def mermaid() -> str:
    """Return the machine as a mermaid state diagram."""
    lines = [f"    {source} --> {target}: {label}" for source, target, label in _edges()]
    return "\n".join(["stateDiagram-v2", "    [*] --> IDLE", *lines]) + "\n"


def dot() -> str:
    """Return the machine as a Graphviz digraph."""
    lines = [f'  {source} -> {target} [label="{label}"];' for source, target, label in _edges()]
    return "\n".join(["digraph mtp_service {", "  rankdir=LR;", *lines, "}"]) + "\n"


class ServiceStateMachine:
    """The present state of one service; every change goes through the table.

    Args:
        state: the state to begin with, the stored one after a restart of the module.
    """

    def __init__(self, state: ServiceState = ServiceState.IDLE) -> None:
        self._state = ServiceState(state)

    @property
    def state(self) -> ServiceState:
        """Present state."""
        return self._state

    @property
    def commands_enabled(self) -> int:
        """Sum of the codes of all commands that are allowed now."""
        return commands_enabled(self._state)

    def command(self, command: ServiceCommand) -> ServiceState:
        """Take a command and return the new state; raises CommandRefused and stays where it is."""
        self._state = next_state(self._state, command)
        return self._state

    def complete(self) -> ServiceState:
        """Report that the present state's work is done and return the new state; raises CommandRefused."""
        self._state = completed_state(self._state)
        return self._state
