# SPDX-License-Identifier: Apache-2.0
"""`workcell pause|resume|hold|restart|stop|abort`: ISA-88 commands to the running batch, with person and reason."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from ..modules.registry import module_table
from ..process.engine.procedure_state import STATE_COMPLETE, TRANSITIONS, ProcedureCommand, ProcedureState
from ..process.errors import WorkcellError
from .parts.who import (
    EXIT_COULD_NOT_RUN,
    EXIT_REFUSED,
    EXIT_TAKEN,
    EXIT_TEXT,
    Unasked,
    add_who_options,
    add_workcell_options,
    reason,
    who_acts,
)

_C = ProcedureCommand
MEANING = {
    _C.PAUSE: "The batch stops at its next safe point; nothing is switched off.",
    _C.RESUME: "A paused batch goes on. For a held one: ./workcell restart.",
    _C.HOLD: "Pumps and sound go off now; heat, gas and stirring of the culture are kept.",
    _C.RESTART: "The held phases start again from their last checkpoint.",
    _C.STOP: "The procedure ends in order and cannot be taken up again; the cells stay where they are.",
    _C.ABORT: "The procedure ends at once and cannot be taken up again; the cells stay where they are.",
}
"""The commands, and what each does."""
FOR_GOOD = frozenset({_C.STOP, _C.ABORT})

_EXAMPLES = """\
examples:
  ./workcell {0} --why "bag is leaking"            asks who you are, where nobody is logged in
  ./workcell {0} --why "bag is leaking" --who "A. Martin" {1}
  ./workcell {0} --why "bag is leaking" --json {1}
  ./workcell user login ben                        then ./workcell {0} acts as ben, where there are accounts

{2}
"""


def main(argv: Sequence[str], command: str) -> int:
    """Give a command to the batch and wait for the state that it leads to."""
    act = ProcedureCommand(command)
    parser = argparse.ArgumentParser(
        prog=f"workcell {command}",
        description=f"{command.capitalize()}s the running batch. {MEANING[act]}",
        epilog=_EXAMPLES.format(command, "--yes" if act in FOR_GOOD else "", EXIT_TEXT),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_workcell_options(parser)
    add_who_options(parser)
    parser.add_argument("--batch", default="", help="which one, where several are in production")
    if act in FOR_GOOD:
        parser.add_argument("--yes", action="store_true", help="do not ask to confirm")
    options = parser.parse_args(list(argv))
    from ..nodes.clients.workcell_client import Seen, WorkcellClient

    console = Console(stderr=options.json)
    client = WorkcellClient(options.namespace, tuple(module_table()), f"{command}_command")
    client.start()
    try:
        if not client.wait_seen(lambda seen: seen.batch is not None, options.timeout):
            return _could_not(command, "nobody answers; is a workcell up (./workcell up) in this ROS domain?")
        if options.batch and not client.wait_seen(lambda seen: options.batch in seen.batches, options.timeout):
            return _could_not(command, f"batch {options.batch} is not in production")

        def status_of(seen: Seen) -> Any:
            return seen.batches.get(options.batch) if options.batch else seen.batch

        batch = status_of(client.seen)
        assert batch is not None
        if refused := refusal(act, batch.state if batch.batch_id else "idle"):
            return _refused(options, command, batch.state, refused)
        console.print(f"Batch {batch.batch_id} is {batch.state}. {MEANING[act]}", highlight=False, markup=False)
        why = reason(options, command)
        if act in FOR_GOOD and not options.yes:
            _confirm(batch.batch_id, command)
        outcome = client.command(command, who_acts(options), why, options.batch)
        if not outcome.accepted:
            status = EXIT_REFUSED if outcome.state else EXIT_COULD_NOT_RUN
            return _refused(options, command, outcome.state or "unknown", outcome.message, status)
        wanted = _leads_to(act, ProcedureState(batch.state))
        with console.status(f"{command} taken, waiting for {', '.join(sorted(wanted))}"):
            reached = client.wait_seen(lambda s: (b := status_of(s)) is not None and b.state in wanted, options.timeout)
        last = status_of(client.seen)
        state = last.state if last is not None else outcome.state
    except WorkcellError as error:
        return _could_not(command, str(error))
    finally:
        client.close()
    if options.json:
        print(json.dumps({"command": command, "accepted": True, "state": state, "reached": reached, "message": ""}))
    else:
        console.print(f"Taken: the batch is {state}.", highlight=False)
    return EXIT_TAKEN


def refusal(command: ProcedureCommand, state: str) -> str:
    """Return why a state does not take a command, by the ISA-88 table; empty when it does."""
    known = ProcedureState(state) if state in ProcedureState._value2member_map_ else None
    if known is None or known is ProcedureState.IDLE:
        return "no batch is being produced"
    allowed = [c for c in TRANSITIONS[known] if c is not ProcedureCommand.RESET]
    if command in allowed:
        return ""
    return f"{command} is not allowed while {state}; allowed: {', '.join(allowed) or 'none, the batch has ended'}"


def _leads_to(command: ProcedureCommand, state: ProcedureState) -> frozenset[str]:
    """The state that says that a command is carried out; a batch that runs again may also have ended by then."""
    first = TRANSITIONS[state][command]
    if first in (ProcedureState.RUNNING, ProcedureState.RESTARTING):
        return frozenset({"running", "complete"})
    return frozenset({str(STATE_COMPLETE[first])})


def _confirm(batch_id: str, command: str) -> None:
    if not sys.stdin.isatty():
        raise Unasked(f"{command} cannot be undone and nobody is there to confirm: give --yes")
    if input(f"This cannot be undone. Type the batch's name to {command} it: ").strip() != batch_id:
        raise Unasked("the name differs; nothing was sent")


def _refused(
    options: argparse.Namespace, command: str, state: str, message: str, status: int = EXIT_REFUSED
) -> int:
    if options.json:
        print(json.dumps({"command": command, "accepted": False, "state": state, "reached": False, "message": message}))
    print(f"workcell {command}: refused: {message}", file=sys.stderr)
    return status


def _could_not(command: str, message: str) -> int:
    print(f"workcell {command}: {message}", file=sys.stderr)
    return EXIT_COULD_NOT_RUN
