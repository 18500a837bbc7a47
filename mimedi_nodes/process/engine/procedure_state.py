# SPDX-License-Identifier: Apache-2.0
"""The state machine of a procedure (one batch), as one table. Source: ISA-88.01, procedural states."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from ..service_state import CommandRefused


class ProcedureState(StrEnum):
    """The 12 procedural states; the values are those of `mimedi_msgs/BatchStatus`."""

    IDLE = "idle"
    RUNNING = "running"
    COMPLETE = "complete"
    PAUSING = "pausing"
    PAUSED = "paused"
    HOLDING = "holding"
    HELD = "held"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ABORTING = "aborting"
    ABORTED = "aborted"


class ProcedureCommand(StrEnum):
    """The 8 commands; all but start and reset can be given by `mimedi_msgs/CommandBatch`."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    HOLD = "hold"
    RESTART = "restart"
    STOP = "stop"
    ABORT = "abort"
    RESET = "reset"


_S, _C = ProcedureState, ProcedureCommand

STATE_COMPLETE: Mapping[ProcedureState, ProcedureState] = MappingProxyType(
    {
        _S.RUNNING: _S.COMPLETE,
        _S.PAUSING: _S.PAUSED,
        _S.HOLDING: _S.HELD,
        _S.RESTARTING: _S.RUNNING,
        _S.STOPPING: _S.STOPPED,
        _S.ABORTING: _S.ABORTED,
    }
)

TRANSIENT_STATES = frozenset(STATE_COMPLETE) - {_S.RUNNING}
FINAL_STATES = frozenset({_S.COMPLETE, _S.STOPPED, _S.ABORTED})

_END = {_C.STOP: _S.STOPPING, _C.ABORT: _S.ABORTING}
_ACTIVE = {**_END, _C.HOLD: _S.HOLDING}

TRANSITIONS: Mapping[ProcedureState, Mapping[ProcedureCommand, ProcedureState]] = MappingProxyType(
    {
        _S.IDLE: {_C.START: _S.RUNNING},
        _S.RUNNING: {**_ACTIVE, _C.PAUSE: _S.PAUSING},
        _S.PAUSING: _ACTIVE,
        _S.PAUSED: {**_ACTIVE, _C.RESUME: _S.RUNNING},
        _S.HOLDING: _END,
        _S.HELD: {**_END, _C.RESTART: _S.RESTARTING},
        _S.RESTARTING: _ACTIVE,
        _S.STOPPING: {_C.ABORT: _S.ABORTING},
        _S.ABORTING: {},
        _S.COMPLETE: {_C.RESET: _S.IDLE},
        _S.STOPPED: {_C.RESET: _S.IDLE},
        _S.ABORTED: {_C.RESET: _S.IDLE},
    }
)


def next_state(state: ProcedureState, command: ProcedureCommand) -> ProcedureState:
    """Return the state after a command; raises CommandRefused with the commands that are allowed."""
    try:
        return TRANSITIONS[state][command]
    except KeyError:
        allowed = ", ".join(sorted(TRANSITIONS[state])) or "none, wait for the state to complete"
        raise CommandRefused(f"command {command} is not allowed while {state}; allowed: {allowed}") from None


class ProcedureStateMachine:
    """The present state of one procedure; every change goes through the table."""

    def __init__(self, state: ProcedureState = ProcedureState.IDLE) -> None:
        self._state = ProcedureState(state)

    @property
    def state(self) -> ProcedureState:
        """Present state."""
        return self._state

    def command(self, command: ProcedureCommand) -> ProcedureState:
        """Take a command and return the new state; raises CommandRefused and stays where it is."""
        self._state = next_state(self._state, command)
        return self._state

    def complete(self) -> ProcedureState:
        """Report that the present state's work is done and return the new state; raises CommandRefused."""
        if self._state not in STATE_COMPLETE:
            raise CommandRefused(f"state {self._state} waits for a command, it cannot complete")
        self._state = STATE_COMPLETE[self._state]
        return self._state
