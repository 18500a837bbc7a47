# SPDX-License-Identifier: Apache-2.0
"""`workcell watch`: the running workcell on one terminal screen, drawn anew as it changes."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..modules.registry import module_table
from ..nodes.clients.alarm_rows import as_rows
from ..process.engine.procedure_state import FINAL_STATES
from ..process.service_state import ServiceState
from .alarms import alarm_table
from .parts.who import EXIT_COULD_NOT_RUN, EXIT_REFUSED, EXIT_TAKEN
from .status import as_json, unknown_batch

EXAMPLES = """\
examples:
  ./workcell watch                       until Ctrl-C
  ./workcell watch --until-end           ends with the batch
  ./workcell watch --until-end --json    one JSON object a line, at every change, at most --rate a second
  ./workcell watch --batch B2026-002     of several in production; by itself the oldest
  ./workcell watch --namespace cell_2

exit status: 0 ended by Ctrl-C, or the batch is complete; 1 the batch was stopped or aborted; 2 nobody answers
"""
SILENT_S = 5.0
"""Steady time [s] after which a module that says nothing is shown as silent."""
_SPARKS = "▁▂▃▄▅▆▇█"
_ABNORMAL = {"HELD", "HOLDING", "PAUSED", "PAUSING", "ABORTED", "ABORTING", "STOPPED", "STOPPING"}
_VALUES = (
    ("incubator", "liquid_temperature_c", "culture", "{:.1f} °C"),
    ("incubator", "viable_cells", "viable cells", "{:.2e}"),
    ("incubator", "glucose_mm", "glucose", "{:.1f} mM"),
    ("incubator", "lactate_mm", "lactate", "{:.1f} mM"),
    ("vision_qc", "viability", "viability", "{:.0%}"),
)


def main(argv: Sequence[str]) -> int:
    """Watch a workcell; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell watch",
        description="Shows batch, modules, question and alarms of a running workcell, live. It only looks.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--namespace", default="", help="namespace of the workcell")
    parser.add_argument("--batch", default="", metavar="ID", help="batch that is shown (default: the oldest)")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="S", help="longest wait for a first word [s]")
    parser.add_argument("--until-end", action="store_true", help="end when the batch has ended")
    parser.add_argument("--rate", type=float, default=4.0, metavar="HZ", help="drawings a second (default 4)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line instead of drawing")
    options = parser.parse_args(list(argv))
    if not 0.1 <= options.rate <= 20.0:
        parser.error(f"--rate is {options.rate:g}; allowed: 0.1 to 20")
    from ..nodes.clients.workcell_client import WorkcellClient

    names = tuple(module_table())
    client = WorkcellClient(options.namespace, names, "watch_command")
    client.listen_to_values()
    client.start()
    try:
        if not client.wait_seen(lambda seen: bool(seen.modules) or seen.batch is not None, options.timeout):
            print(
                "workcell watch: nobody answers; is a workcell up (./workcell up) in this ROS domain?", file=sys.stderr
            )
            return EXIT_COULD_NOT_RUN
        if options.batch and not client.wait_seen(lambda seen: options.batch in seen.batches, options.timeout):
            found = as_json(client.seen, names)
            print(unknown_batch("watch", options.batch, found), file=sys.stderr)
            return EXIT_COULD_NOT_RUN
        follow = _follow_json if options.json else _follow_screen
        follow(client, names, options)
    except KeyboardInterrupt:
        return EXIT_TAKEN
    finally:
        client.close()
    ended = client.seen.shown(options.batch)
    return EXIT_TAKEN if not options.until_end or ended.state == "complete" else EXIT_REFUSED


def _follow_screen(client: Any, names: Sequence[str], options: argparse.Namespace) -> None:
    history = CellHistory()
    with Live(console=Console(), auto_refresh=False, screen=False) as live:
        while True:
            history.take(client.seen.shown(options.batch))
            live.update(screen(client.seen, names, history, time.monotonic(), options.batch), refresh=True)
            if _over(client.seen, options):
                return
            _next_change(client, options.rate)


def _follow_json(client: Any, names: Sequence[str], options: argparse.Namespace) -> None:
    last = ""
    while True:
        found = as_json(client.seen, names, options.batch)
        text = json.dumps({k: v for k, v in found.items() if k != "time"}, ensure_ascii=False)
        if text != last:
            last = text
            print(json.dumps(found, ensure_ascii=False), flush=True)
        if _over(client.seen, options):
            return
        _next_change(client, options.rate)


def _next_change(client: Any, rate_hz: float) -> None:
    """Wait for the next message, and at least the time between two drawings: silence has to show too."""
    begun_s = time.monotonic()
    with client.heard:
        client.heard.wait(1.0)
    time.sleep(max(0.0, 1.0 / rate_hz - (time.monotonic() - begun_s)))


def _over(seen: Any, options: argparse.Namespace) -> bool:
    batch = seen.shown(options.batch)
    return bool(options.until_end and batch is not None and batch.batch_id and batch.state in FINAL_STATES)


class CellHistory:
    """Viable cells of the batch over time, for a line of a few dozen letters."""

    def __init__(self, letters: int = 40) -> None:
        self._letters = letters
        self._points: list[tuple[float, float]] = []

    def take(self, batch: Any) -> None:
        """Take the last count of a BatchStatus, None before the first."""
        if batch is None or not math.isfinite(batch.viable_cells) or batch.viable_cells <= 0.0:
            return
        if self._points and batch.process_day < self._points[-1][0]:
            self._points = []
        if not self._points or batch.process_day > self._points[-1][0]:
            self._points.append((batch.process_day, math.log10(batch.viable_cells)))

    def line(self) -> str:
        """Return the curve on a logarithmic scale, one letter an equal span of process time."""
        if len(self._points) < 2:
            return ""
        first, last = self._points[0][0], self._points[-1][0]
        low = min(v for _, v in self._points)
        span = max(max(v for _, v in self._points) - low, 0.3)
        letters, at = [], 0
        for k in range(self._letters):
            day = first + (last - first) * k / (self._letters - 1)
            while at + 1 < len(self._points) and self._points[at + 1][0] <= day:
                at += 1
            level = round((self._points[at][1] - low) / span * (len(_SPARKS) - 1))
            letters.append(_SPARKS[min(level, len(_SPARKS) - 1)])
        return "".join(letters)


def screen(seen: Any, names: Sequence[str], history: CellHistory, now_s: float, batch_id: str = "") -> Group:
    """Return everything that is drawn; of several batches the one named, else the oldest."""
    batch = seen.shown(batch_id)
    others = {name: other for name, other in seen.choices(batch_id).items() if batch and name != batch.batch_id}
    parts: list[Any] = [_batch(batch, history), _others(others), _modules(seen, names, now_s)]
    values = _values(seen)
    if values:
        parts.append(values)
    prompt = seen.question(batch_id)
    if prompt is not None:
        allowed = f"\n[{' / '.join(prompt.answers)}]" if prompt.answers else ""
        asked = Text(f"{prompt.question}{allowed}\n./workcell answer")
        title = f"QUESTION of {prompt.batch_id}"
        parts.append(Panel(asked, title=title, title_align="left", border_style="bold yellow"))
    rows = as_rows(seen.alarms)
    parts.append(alarm_table(rows) if rows else Text("No alarms." if seen.alarms is not None else "Alarms: not heard."))
    return Group(*parts)


def _batch(batch: Any, history: CellHistory) -> Panel:
    if batch is None or not batch.batch_id:
        return Panel(Text("No batch."), title="Batch", title_align="left")
    abnormal = batch.state.upper() in _ABNORMAL
    known = math.isfinite(batch.progress)
    head = Text.assemble(
        (f" {batch.state.upper()} ", "bold black on yellow" if abnormal else "bold reverse"),
        f"  {batch.recipe}   day {_number(batch.process_day, '.2f')}   "
        f"{_number(batch.viable_cells, '.2e')} viable cells   "
        f"{_number(batch.expected_remaining_h / 24.0, '.1f')} d left",
    )
    bar = Table.grid(padding=(0, 1))
    share = f"{batch.progress:.0%}" if known else "–"
    bar.add_row(
        ProgressBar(total=1.0, completed=batch.progress if known else 0.0, width=40),
        f"{share}  {batch.phases_done} of {batch.phases_total} phases",
    )
    lines: list[Any] = [head, bar, Text(f"{batch.phase_id}  {batch.step}".strip(), no_wrap=True, overflow="ellipsis")]
    if history.line():
        lines.append(Text(f"cells {history.line()}"))
    if batch.hold_reason:
        lines.append(Text(f"HELD: {batch.hold_reason}", "bold red"))
    return Panel(Group(*lines), title=f"Batch {batch.batch_id}", title_align="left")


def _others(others: Mapping[str, Any]) -> Text:
    """Return a line for each batch in production that is not shown."""
    lines = []
    for name, batch in others.items():
        held = f": {batch.hold_reason}" if batch.hold_reason else ""
        text = f"also in production: {name}  {batch.state.upper()}{held}  (--batch {name})"
        lines.append(Text(text, "bold red" if batch.state.upper() in _ABNORMAL else "", no_wrap=True))
    return Text("\n").join(lines)


def _modules(seen: Any, names: Sequence[str], now_s: float) -> Table:
    table = Table(expand=True, box=None, padding=(0, 1))
    table.add_column("module", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("phase", no_wrap=True)
    table.add_column("progress", no_wrap=True, width=22)
    table.add_column("doing", no_wrap=True, overflow="ellipsis", ratio=1)
    for name in dict.fromkeys((*names, *sorted(seen.modules))):
        module = seen.modules.get(name)
        if module is None:
            table.add_row(name, Text("no data", "bold red"))
            continue
        silent_s = now_s - seen.heard_s[name]
        state = ServiceState(module.state).name
        abnormal = state in _ABNORMAL
        word = Text(state, "bold red" if abnormal else "")
        if silent_s > SILENT_S:
            word = Text(f"{state}? silent {silent_s:.0f} s", "dim italic")
        working = state not in ("IDLE", "COMPLETED", "STOPPED", "ABORTED") and math.isfinite(module.progress)
        bar: Any = ProgressBar(total=1.0, completed=module.progress, width=20) if working else ""
        doing = module.last_error if abnormal and module.last_error else module.step
        table.add_row(name, word, module.action, bar, doing)
    return table


def _values(seen: Any) -> Text | None:
    told = []
    for module, name, word, form in _VALUES:
        found = seen.measured.get((module, name))
        if found is not None:
            told.append(f"{word} {form.format(found.value.value)}")
    return Text("  ·  ".join(told)) if told else None


def _number(value: float, form: str) -> str:
    return "–" if math.isnan(value) else format(value, form)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
