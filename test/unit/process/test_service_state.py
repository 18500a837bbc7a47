# SPDX-License-Identifier: Apache-2.0
"""Both state machines are their tables: nothing is reachable outside, everything can be ended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimedi_nodes.process import service_state
from mimedi_nodes.process.engine import procedure_state
from mimedi_nodes.process.engine.procedure_state import ProcedureCommand, ProcedureState, ProcedureStateMachine
from mimedi_nodes.process.service_state import (
    STATE_COMPLETE,
    TRANSIENT_STATES,
    TRANSITIONS,
    CommandRefused,
    ServiceCommand,
    ServiceState,
    ServiceStateMachine,
    allowed_commands,
    commands_enabled,
)

WAITING = {ServiceState.STOPPED, ServiceState.IDLE, ServiceState.PAUSED, ServiceState.ABORTED, ServiceState.HELD,
           ServiceState.COMPLETED}  # fmt: skip


def test_the_table_has_sixteen_states_and_ten_commands() -> None:
    assert len(ServiceState) == 16
    assert len(ServiceCommand) == 10
    assert set(TRANSITIONS) == set(ServiceState)
    assert WAITING | TRANSIENT_STATES | {ServiceState.EXECUTE} == set(ServiceState)
    assert not WAITING & TRANSIENT_STATES


# Written down a second time from the standard's diagram, as bits, by state: the table must agree.
ENABLED = {
    "IDLE": {"START", "STOP", "ABORT"},
    "STARTING": {"STOP", "HOLD", "ABORT", "COMPLETE"},
    "EXECUTE": {"STOP", "HOLD", "PAUSE", "ABORT", "RESTART", "COMPLETE"},
    "PAUSING": {"STOP", "HOLD", "ABORT", "COMPLETE"},
    "PAUSED": {"STOP", "HOLD", "RESUME", "ABORT", "COMPLETE"},
    "RESUMING": {"STOP", "HOLD", "ABORT", "COMPLETE"},
    "HOLDING": {"STOP", "ABORT"},
    "HELD": {"STOP", "UNHOLD", "ABORT"},
    "UNHOLDING": {"STOP", "HOLD", "ABORT", "COMPLETE"},
    "COMPLETING": {"STOP", "HOLD", "ABORT"},
    "COMPLETED": {"RESET", "STOP", "ABORT"},
    "RESETTING": {"STOP", "ABORT"},
    "STOPPING": {"ABORT"},
    "STOPPED": {"RESET", "ABORT"},
    "ABORTING": set(),
    "ABORTED": {"RESET"},
}


def test_the_codes_are_those_of_the_standard() -> None:
    """VDI/VDE/NAMUR 2658-4; resetting is 32768, for which an open implementation has a typing error."""
    states = {
        "STOPPED": 4, "STARTING": 8, "IDLE": 16, "PAUSED": 32, "EXECUTE": 64, "STOPPING": 128, "ABORTING": 256,
        "ABORTED": 512, "HOLDING": 1024, "HELD": 2048, "UNHOLDING": 4096, "PAUSING": 8192, "RESUMING": 16384,
        "RESETTING": 32768, "COMPLETING": 65536, "COMPLETED": 131072,
    }  # fmt: skip
    commands = {
        "RESET": 2, "START": 4, "STOP": 8, "HOLD": 16, "UNHOLD": 32, "PAUSE": 64, "RESUME": 128, "ABORT": 256,
        "RESTART": 512, "COMPLETE": 1024,
    }  # fmt: skip
    assert {state.name: int(state) for state in ServiceState} == states
    assert {command.name: int(command) for command in ServiceCommand} == commands


@pytest.mark.parametrize("state", ServiceState)
def test_every_command_in_every_state_is_taken_or_refused_as_the_table_says(state: ServiceState) -> None:
    for command in ServiceCommand:
        machine = ServiceStateMachine(state)
        if command.name in ENABLED[state.name]:
            assert machine.command(command) is TRANSITIONS[state][command] is machine.state
        else:
            with pytest.raises(CommandRefused, match=command.name):
                machine.command(command)
            assert machine.state is state


@pytest.mark.parametrize("state", ServiceState)
def test_the_commands_of_each_state(state: ServiceState) -> None:
    assert {command.name for command in allowed_commands(state)} == ENABLED[state.name]
    assert commands_enabled(state) == sum(ServiceCommand[name] for name in ENABLED[state.name])


@given(st.lists(st.one_of(st.sampled_from(ServiceCommand), st.none())))
def test_no_walk_leaves_the_table(walk: list[ServiceCommand | None]) -> None:
    machine = ServiceStateMachine()
    for command in walk:
        before = machine.state
        try:
            after = machine.complete() if command is None else machine.command(command)
        except CommandRefused:
            assert machine.state is before, "a refused command changes nothing"
            continue
        table = STATE_COMPLETE[before] if command is None else TRANSITIONS[before][command]
        assert after is table is machine.state
        assert command is None or machine.commands_enabled == commands_enabled(after)


@pytest.mark.parametrize("state", ServiceState)
def test_every_state_comes_back_to_idle_and_can_be_aborted(state: ServiceState) -> None:
    machine = ServiceStateMachine(state)
    for _ in range(8):
        if machine.state is ServiceState.IDLE:
            break
        if machine.state in TRANSIENT_STATES or machine.state is ServiceState.EXECUTE:
            machine.complete()
        elif ServiceCommand.RESET in TRANSITIONS[machine.state]:
            machine.command(ServiceCommand.RESET)
        else:
            machine.command(ServiceCommand.STOP)
    assert machine.state is ServiceState.IDLE
    if state not in (ServiceState.ABORTING, ServiceState.ABORTED):
        assert ServiceStateMachine(state).command(ServiceCommand.ABORT) is ServiceState.ABORTING


def test_acting_states_are_left_by_completing_and_waiting_ones_are_not() -> None:
    for state in ServiceState:
        machine = ServiceStateMachine(state)
        if state in WAITING:
            with pytest.raises(CommandRefused, match="waits for a command"):
                machine.complete()
        else:
            assert machine.complete() is not state


def test_the_diagrams_draw_every_edge() -> None:
    edges = sum(len(row) for row in TRANSITIONS.values()) + len(STATE_COMPLETE)
    assert service_state.mermaid().count("-->") == edges + 1
    assert service_state.dot().count("->") == edges


@given(st.lists(st.one_of(st.sampled_from(ProcedureCommand), st.none())))
def test_no_walk_leaves_the_procedure_table(walk: list[ProcedureCommand | None]) -> None:
    machine = ProcedureStateMachine()
    for command in walk:
        before = machine.state
        try:
            after = machine.complete() if command is None else machine.command(command)
        except CommandRefused:
            assert machine.state is before
            continue
        if command is None:
            assert after is procedure_state.STATE_COMPLETE[before]
        else:
            assert after is procedure_state.TRANSITIONS[before][command]


def test_the_procedure_table_is_that_of_isa_88() -> None:
    hold_from = {s for s, row in procedure_state.TRANSITIONS.items() if ProcedureCommand.HOLD in row}
    stop_from = {s for s, row in procedure_state.TRANSITIONS.items() if ProcedureCommand.STOP in row}
    abort_from = {s for s, row in procedure_state.TRANSITIONS.items() if ProcedureCommand.ABORT in row}
    active = {ProcedureState(name) for name in ("running", "pausing", "paused", "restarting")}
    assert hold_from == active
    assert stop_from == active | {ProcedureState.HOLDING, ProcedureState.HELD}
    assert abort_from == stop_from | {ProcedureState.STOPPING}
    assert len(ProcedureState) == 12
    assert len(ProcedureCommand) == 8
