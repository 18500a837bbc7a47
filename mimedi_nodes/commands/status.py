# SPDX-License-Identifier: Apache-2.0
"""`workcell status`: what a running workcell is doing now."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from ..modules.registry import module_table
from ..process.alarms.states import ACKNOWLEDGEABLE
from ..process.service_state import ServiceState
from .parts.batch_options import EXIT_COULD_NOT_RUN, EXIT_MEETS, EXIT_REJECTED

EXAMPLES = """\
examples:
  ./workcell status
  ./workcell status --json | jq .batch.state
  ./workcell status --check && echo all is well
  ./workcell status --batch B2026-002      of several in production; by itself the oldest
  ./workcell status --namespace cell_2

exit status: 0 the workcell answers; with --check also nothing is wrong; 1 with --check: something waits for a person
(a silent or held module, a held batch, an open question, an alarm that nobody acknowledged); 2 nobody answers
"""
ABNORMAL = (None, "HELD", "HOLDING", "ABORTED", "ABORTING", "STOPPED")
"""States of a module that want a look; None is one that says nothing."""
ROUND_S = 3.0
"""Longest wait for what the coordinator tells of each batch once a second [s]."""
QUIET_S = 0.1
"""After so long without another batch [s] all have been heard."""
PRIORITIES = {1: "low", 2: "medium", 3: "high"}


def main(argv: Sequence[str]) -> int:
    """Print modules, batch and alarms; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell status",
        description="Shows modules with their MTP states, the batch, open question and alarms of a running workcell.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--namespace", default="", help="namespace of the workcell")
    parser.add_argument("--batch", default="", metavar="ID", help="batch that is shown (default: the oldest)")
    parser.add_argument("--timeout", type=float, default=5.0, help="longest wait for the modules [s] (default 5)")
    parser.add_argument("--check", action="store_true", help="exit with 1 when something waits for a person")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    options = parser.parse_args(list(argv))
    from ..nodes.clients.workcell_client import WorkcellClient

    names = tuple(module_table())
    client = WorkcellClient(options.namespace, names, "status_command")
    client.start()
    try:
        client.wait_seen(
            lambda seen: set(client.modules) <= set(seen.modules) and seen.batch is not None, options.timeout
        )
        client.wait_seen(lambda seen: knows(seen, options.batch), min(options.timeout, ROUND_S))
        # The batches are told of one after the other: wait for the next one until there is none.
        known = -1
        while known < len(client.seen.batches):
            known = len(client.seen.batches)
            client.wait_seen(lambda seen: len(seen.batches) > known, QUIET_S)  # noqa: B023
        found = as_json(client.seen, names, options.batch)
    finally:
        client.close()
    if options.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show(found, Console())
    if not any(module["state"] for module in found["modules"].values()):
        print("workcell: nobody answers; is a workcell up (./workcell up) in this ROS domain?", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    if options.batch not in ("", found["batch"]["batch_id"]):
        print(unknown_batch("status", options.batch, found), file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    return EXIT_REJECTED if options.check and waits_for_a_person(found) else EXIT_MEETS


def knows(seen: Any, batch_id: str) -> bool:
    """Return whether enough has been heard: every batch in production is told of once a second."""
    oldest = seen.batch
    if oldest is None:
        return False
    return batch_id in seen.batches if batch_id else not oldest.batch_id or oldest.batch_id in seen.batches


def unknown_batch(command: str, batch_id: str, found: Mapping[str, Any]) -> str:
    """Return what is told of a batch that is not in production."""
    known = ", ".join(found["batches"]) or "none"
    return f"workcell {command}: batch {batch_id!r} is not in production; there are: {known}"


def waits_for_a_person(found: dict[str, Any]) -> bool:
    """Return whether anything in a status wants a look."""
    abnormal = any(module["state"] in ABNORMAL for module in found["modules"].values())
    wrong = ("held", "holding", "paused", "stopped", "aborted")
    held = found["batch"]["state"] in wrong or any(state in wrong for state in found["batches"].values())
    return abnormal or held or found["prompt"] is not None or any(alarm["waits"] for alarm in found["alarms"])


def as_json(seen: Any, names: Sequence[str], batch_id: str = "") -> dict[str, Any]:
    """Return what was heard as plain values; an unheard module has state None.

    Args:
        seen: what a WorkcellClient has heard.
        names: the modules that should be there.
        batch_id: batch that is shown, the oldest when empty.
    """
    modules = {}
    for name in dict.fromkeys((*names, *sorted(seen.modules))):
        state = seen.modules.get(name)
        modules[name] = {
            "state": ServiceState(state.state).name if state else None,
            "action": state.action if state else "",
            "step": state.step if state else "",
            "last_error": state.last_error if state else "",
        }
    batch = seen.shown(batch_id)
    alarms = seen.alarms.alarms if seen.alarms else []
    prompt = seen.question(batch_id)
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "modules": modules,
        "batch": {
            "batch_id": batch.batch_id if batch else "",
            "recipe": batch.recipe if batch else "",
            "state": batch.state if batch else None,
            "phase": batch.phase_id if batch else "",
            "progress": _known(batch.progress if batch else math.nan),
            "phases_done": batch.phases_done if batch else 0,
            "phases_total": batch.phases_total if batch else 0,
            "process_day": _known(batch.process_day if batch else math.nan),
            "viable_cells": _known(batch.viable_cells if batch else math.nan),
            "expected_remaining_h": _known(batch.expected_remaining_h if batch else math.nan),
            "hold_reason": batch.hold_reason if batch else "",
        },
        "batches": {name: each.state for name, each in seen.choices(batch_id).items()},
        "prompt": {"batch_id": prompt.batch_id, "prompt_id": prompt.prompt_id, "question": prompt.question}
        if prompt
        else None,
        "alarms": [
            {
                "alarm_id": a.alarm_id,
                "priority": PRIORITIES.get(a.priority, "?"),
                "waits": a.state in ACKNOWLEDGEABLE,
                "message": a.message,
                "do": a.response,
            }
            for a in alarms
        ],
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def show(found: dict[str, Any], console: Console) -> None:
    """Print a status for people."""
    table = Table(title="Modules", title_justify="left")
    for column in ("module", "state", "phase", "doing"):
        table.add_column(column)
    for name, module in found["modules"].items():
        abnormal = module["state"] in ABNORMAL
        doing = module["last_error"] if abnormal and module["last_error"] else module["step"]
        table.add_row(name, module["state"] or "silent", module["action"], doing, style="bold red" if abnormal else "")
    console.print(table)
    batch = found["batch"]
    if batch["batch_id"]:
        day = "–" if batch["process_day"] is None else f"{batch['process_day']:.2f}"
        console.print(f"Batch {batch['batch_id']} ({batch['recipe']}): {batch['state']}, day {day}, {batch['phase']}")
    else:
        console.print("No batch.")
    for name, state in found["batches"].items():
        if name != batch["batch_id"]:
            console.print(f"also in production: {name}, {state}  (--batch {name})", highlight=False, markup=False)
    if batch["hold_reason"]:
        console.print(f"HELD: {batch['hold_reason']}", style="bold red", highlight=False, markup=False)
    if found["prompt"]:
        asks = found["prompt"]["batch_id"]
        of_another = f" of {asks}" if asks != batch["batch_id"] else ""
        text = f"Question{of_another}: {found['prompt']['question']}"
        console.print(text, style="bold yellow", highlight=False, markup=False)
    for alarm in found["alarms"]:
        console.print(
            f"ALARM {alarm['priority']}: {alarm['message']}; {alarm['do']}", style="bold red", highlight=False
        )
