# SPDX-License-Identifier: Apache-2.0
"""`workcell alarms`: the alarms of a running workcell, what to do about them, and people's acts on them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..modules.registry import config_folder, module_table
from ..nodes.clients.alarm_rows import as_rows
from ..process.alarms.table import AlarmEntry, read_alarm_table
from ..process.errors import WorkcellError
from .parts.who import (
    EXIT_COULD_NOT_RUN,
    EXIT_REFUSED,
    EXIT_TAKEN,
    Unasked,
    add_who_options,
    add_workcell_options,
    reason,
    who_acts,
)

EXAMPLES = """\
examples:
  ./workcell alarms                                                  what stands, most urgent first
  ./workcell alarms --json
  ./workcell alarms ack incubator.co2_low --who "A. Martin"
  ./workcell alarms ack --all --who "A. Martin"
  ./workcell alarms reset incubator.co2_low --who "A. Martin"        a latched alarm whose cause has gone
  ./workcell alarms shelve incubator.co2_low --hours 2 --why "valve is being exchanged" --who "A. Martin"
  ./workcell alarms unshelve incubator.co2_low --who "A. Martin" --why "valve is exchanged"
  ./workcell alarms remove incubator.co2_low --why "sensor awaits its spare" --who "A. Martin"      out of service
  ./workcell alarms restore incubator.co2_low --why "sensor exchanged" --who "A. Martin"
  ./workcell alarms explain incubator.co2_low                        cause, consequence, response; no workcell needed

exit status: 0 no alarm waits for a person, or the act was taken; 1 alarms wait, or the act was refused;
2 could not run (nobody answers)
"""
PRIORITY_STYLE = {3: "bold white on red", 2: "bold black on dark_orange", 1: "black on yellow"}
PRIORITY_MARK = {3: "■ high", 2: "▲ medium", 1: "▼ low"}
_ACTS = {
    "ack": "acknowledge", "reset": "reset", "shelve": "shelve", "unshelve": "unshelve", "remove": "remove",
    "restore": "restore",
}  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """List alarms or act on one; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell alarms",
        description="Lists the alarms of a running workcell (ISA-18.2), or acts on them under a person's name.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("act", nargs="?", default="list", choices=["list", *_ACTS, "explain"])
    parser.add_argument("alarm", nargs="*", help="ids of alarms")
    parser.add_argument("--all", action="store_true", help="ack: all that wait for a person, if any")
    parser.add_argument("--hours", type=float, default=1.0, help="shelve: time after which it comes back [h]")
    add_workcell_options(parser)
    add_who_options(parser)
    options = parser.parse_args(list(argv))
    if options.act not in ("list",) and not options.alarm and not (options.act == "ack" and options.all):
        parser.error(f"{options.act}: name the alarm; ./workcell alarms lists them")
    if options.act == "list" and options.alarm:
        parser.error(f"list takes no alarm, not {' '.join(options.alarm)}")
    if options.act == "explain":
        return _explain(options)
    return _with_workcell(options)


def _explain(options: argparse.Namespace) -> int:
    try:
        table = read_alarm_table(config_folder() / "alarms.yaml")
    except WorkcellError as error:
        print(f"workcell alarms: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    unknown = [name for name in options.alarm if not table.has(name)]
    entries = [table.entry(name) for name in options.alarm if name not in unknown]
    if options.json:
        print(json.dumps([as_fields(entry) for entry in entries], indent=2, ensure_ascii=False))
    else:
        console = Console()
        for entry in entries:
            console.print(Text(entry.alarm_id, style="bold"), _mark(int(entry.priority)))
            for name in ("cause", "consequence", "response"):
                console.print(f"  {name + ':':<12} {getattr(entry, name)}", highlight=False, markup=False)
    if unknown:
        print(f"workcell alarms: not in the alarm table: {', '.join(unknown)}", file=sys.stderr)
    return EXIT_REFUSED if unknown else EXIT_TAKEN


def as_fields(entry: AlarmEntry) -> dict[str, Any]:
    """Return an entry of the alarm table as plain values."""
    return {
        "alarm_id": entry.alarm_id,
        "priority": entry.priority.name.lower(),
        "latched": entry.latched,
        "cause": entry.cause,
        "consequence": entry.consequence,
        "response": entry.response,
    }


def _with_workcell(options: argparse.Namespace) -> int:
    from ..nodes.clients.workcell_client import WorkcellClient

    client = WorkcellClient(options.namespace, tuple(module_table()), "alarms_command")
    client.start()
    try:
        if not client.wait_seen(lambda seen: seen.alarms is not None, options.timeout):
            print("workcell alarms: the supervisor does not answer; is a workcell up?", file=sys.stderr)
            return EXIT_COULD_NOT_RUN
        if options.act == "list":
            return _show(as_rows(client.seen.alarms), options.json)
        return _act(options, client)
    except WorkcellError as error:
        print(f"workcell alarms: {error}", file=sys.stderr)
        return EXIT_COULD_NOT_RUN
    finally:
        client.close()


def _act(options: argparse.Namespace, client: Any) -> int:
    names = list(options.alarm)
    if options.all:
        names += [row["alarm_id"] for row in as_rows(client.seen.alarms) if row["waits"]]
        if not names:
            print("[]" if options.json else "No alarm waits to be acknowledged.")
            return EXIT_TAKEN
    act = _ACTS[options.act]
    why = reason(options, act) if act not in ("acknowledge", "reset") else (options.why or "")
    if act == "shelve" and not 0.0 < options.hours <= 24.0:
        raise Unasked(f"--hours is {options.hours:g}; allowed: above 0 to 24")
    who = who_acts(options)
    hours = options.hours if act == "shelve" else 0.0
    outcomes = {name: client.act_on_alarm(name, act, who, why, hours) for name in dict.fromkeys(names)}
    if options.json:
        found = [{"alarm_id": name, "accepted": o.accepted, "message": o.message} for name, o in outcomes.items()]
        print(json.dumps(found, indent=2, ensure_ascii=False))
    for name, outcome in outcomes.items():
        if not outcome.accepted:
            print(f"workcell alarms: {name}: refused: {outcome.message}", file=sys.stderr)
        elif not options.json:
            print(f"{name}: {act} taken")
    return EXIT_TAKEN if all(o.accepted for o in outcomes.values()) else EXIT_REFUSED


def _show(rows: list[dict[str, Any]], as_json: bool) -> int:
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif not rows:
        Console().print("No alarms.")
    else:
        Console().print(alarm_table(rows))
    return EXIT_REFUSED if any(row["waits"] for row in rows) else EXIT_TAKEN


def alarm_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return rows of alarms as a table for the terminal."""
    table = Table(title=f"{len(rows)} alarm{'s' * (len(rows) != 1)}", title_justify="left", expand=True)
    for name, ratio in (("priority", None), ("state", None), ("alarm, and what to do", 1)):
        table.add_column(name, ratio=ratio, no_wrap=ratio is None)
    for row in rows:
        style = "bold" if row["waits"] else ""
        told = Text.assemble((f"{row['alarm_id']}  ", style), row["message"], ("\n" + row["response"], "dim"))
        state = row["state"].lower().replace("_", " ")
        mark = _mark({"low": 1, "medium": 2, "high": 3}[row["priority"]], row["waits"])
        table.add_row(mark, Text(state, style), told)
    return table


def _mark(priority: int, loud: bool = True) -> Text:
    return Text(PRIORITY_MARK[priority], PRIORITY_STYLE[priority] if loud else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
