# SPDX-License-Identifier: Apache-2.0
"""What is left of a drill for the pharmacist: one page by exception on two batches, to sign or to reject."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...process.release import evaluate
from ...process.units.units import Units
from ...records.events import RecordEvent
from ...records.exceptions import ExceptionItem, exceptions
from ...records.heads import load_public_key
from ...records.review import review
from ...records.specification import product_file, read_specification
from ...records.summary import read_events
from ...records.verify import verify
from ..verify import default_key
from .director import Acts

if TYPE_CHECKING:
    from rich.console import Console

LEAK_ML, LEAK_TOLERANCE_ML = 5.0, 0.5
"""What the line loses, and how well the weights must tell it (PROCESS, weights)."""
WARM_C, WARM_TOLERANCE_K = 37.0, 0.5
GRADES = {"critical": "red", "major": "yellow", "minor": "white"}


@dataclass(frozen=True)
class Finding:
    """One thing that the drill was to show: whether it was seen, and what was seen."""

    title: str
    passed: bool
    text: str


@dataclass(frozen=True)
class Page:
    """The page: findings, and by batch its identity, verdict, exceptions and state of its record."""

    findings: tuple[Finding, ...]
    batches: tuple[Mapping[str, Any], ...]

    @property
    def passed(self) -> bool:
        """Whether everything was seen that was to be seen."""
        return all(finding.passed for finding in self.findings)


def page_of(
    runs: Path, names: Sequence[str], products_dir: Path, acts: Acts, units: Units,
    tolerance_k: float = WARM_TOLERANCE_K,
) -> Page:
    """Return the page of two batches from their records: the first one's cassette was offered to the second.

    Args:
        units: in which the two met, or did not.
        tolerance_k: by how much the cells may have cooled without power [K].

    Raises:
        RecordError: a record cannot be read.
    """
    events = {name: read_events(runs / name) for name in names}
    batches = []
    for name in names:
        started = next(event for event in events[name] if event.kind == "batch_started")
        reviewed = review(
            events[name], read_specification(product_file(products_dir, str(started.data["product"]))), evaluate
        )
        record = verify(runs / name, runs / ".heads", [load_public_key(default_key(runs / name))], "")
        batches.append({
            "batch_id": name, "patient": started.data["patient"], "product": started.data["product"],
            "verdict": reviewed.verdict, "record": record.verdict, "rows": len(events[name]),
            "exceptions": exceptions(reviewed), "begun_s": started.process_time_s,
        })  # fmt: skip
    first, second = names
    findings = (
        _refused(events[second], str(batches[0]["patient"])),
        _leak(events[first]),
        _power(events[second], acts, tolerance_k),
        _alone(events, names, units),
        Finding(
            "Both records are intact", all(batch["record"] == "intact" for batch in batches),
            ", ".join(f"{batch['batch_id']}: {batch['rows']} rows, {batch['record']}" for batch in batches),
        ),
    )  # fmt: skip
    return Page(findings, tuple(batches))


def _refused(events: Sequence[RecordEvent], patient: str) -> Finding:
    title = "The other patient's cassette was refused"
    refusals = [e for e in events if e.kind == "identity_refused" and patient in str(e.data.get("answer", ""))]
    if not refusals:
        return Finding(title, False, "no refusal is on record")
    # Both are the coordinator's own events: their numbers tell which was first, at the same instant too.
    before = sum(e.kind == "phase_intended" and e.sequence < refusals[0].sequence for e in events)
    return Finding(title, before == 0, f"{refusals[0].why}; {before} phases had been started")


def _leak(events: Sequence[RecordEvent]) -> Finding:
    title = f"The leak of {LEAK_ML:g} mL was found by weight"
    alarms = [e for e in events if e.kind == "alarm_raised" and e.what.endswith(".balance_gap")]
    # The alarm comes while the line still leaks; the hold, when the weight has come to rest, tells the whole of it.
    for hold in (e for e in events if e.kind == "command" and e.what == "hold"):
        match = re.search(r"changed by ([-+]?\d+(?:\.\d+)?) mL", hold.why)
        if match is not None and alarms:
            gap_ml = float(match.group(1))
            found = abs(gap_ml + LEAK_ML) <= LEAK_TOLERANCE_ML
            return Finding(title, found, f"{gap_ml:+.1f} mL on the balance; {alarms[0].what}, held")
    return Finding(title, False, f"{len(alarms)} alarms of a balance, no hold that tells a volume")


def _power(events: Sequence[RecordEvent], acts: Acts, tolerance_k: float) -> Finding:
    title = f"The cells stayed at {WARM_C:g} ± {tolerance_k:g} °C without power, and the batch went on"
    faults = [e for e in events if e.kind == "alarm_raised" and e.what.endswith("_fault")]
    last = max((e.process_time_s for e in faults), default=math.nan)
    later = [e for e in events if e.kind == "phase_ended" and e.process_time_s > last]
    warm = abs(acts.coldest_c - WARM_C) <= tolerance_k
    text = f"coldest {acts.coldest_c:.2f} °C; {len(faults)} faults of instruments, {len(later)} phases ended after them"
    return Finding(title, bool(faults) and bool(later) and warm, text)


def _alone(events: Mapping[str, Sequence[RecordEvent]], names: Sequence[str], units: Units) -> Finding:
    """Look at the record alone: between two batches' phases in a unit there is a changeover."""
    title = "Between two patients every set was exchanged"
    worked = [{str(e.data.get("module")) for e in events[name] if e.kind == "phase_started"} for name in names]
    shared = {unit.name for unit in units if all(modules & set(unit.modules) for modules in worked)}
    changes = [(name, e) for name in names for e in events[name] if e.kind == "unit_changed_over"]
    text = "; ".join(f"{e.what} to {name} on day {e.process_time_s / 86400.0:.2f}" for name, e in changes)
    exchanged = {e.what for name, e in changes if name == names[1]}
    return Finding(title, bool(shared) and shared <= exchanged, text or "none is on record")


def print_page(page: Page, console: Console) -> None:
    """Print the page."""
    from rich.table import Table

    table = Table(title="The drill", title_justify="left", show_header=False)
    for finding in page.findings:
        mark = "[green]seen[/]" if finding.passed else "[red]missing[/]"
        table.add_row(mark, f"{finding.title}\n[dim]{_plain(finding.text)}[/]")
    console.print(table, highlight=False)
    for batch in page.batches:
        found: list[ExceptionItem] = batch["exceptions"]
        listed = Table(title=f"{batch['batch_id']} · {batch['patient']} · {batch['verdict']}", title_justify="left")
        for column in ("grade", "day", "what", ""):
            listed.add_column(column)
        for item in condensed(found):
            cells = (item.grade, _day(item, batch), item.what, _plain(item.text))
            listed.add_row(*cells, style=GRADES.get(item.grade, ""))
        console.print(listed, highlight=False)
    console.print("By exception: nothing else deviated. A person signs or rejects.", highlight=False)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _day(item: ExceptionItem, batch: Mapping[str, Any]) -> str:
    return "" if math.isnan(item.time_s) else f"{(item.time_s - float(batch['begun_s'])) / 86400.0:.2f}"


def condensed(items: Sequence[ExceptionItem], most: int = 18) -> list[ExceptionItem]:
    """Return exceptions as they go on one page: the same twice in a row once, and how many more there are."""
    found: list[ExceptionItem] = []
    for item in items:
        if not any((known.what, known.text) == (item.what, item.text) for known in found):
            found.append(item)
    if len(found) > most:
        rest = len(found) - most + 1
        found = [*found[: most - 1], ExceptionItem("minor", "more", f"{rest} more in the batch's own report")]
    return found


def write_page(page: Page, path: Path) -> None:
    """Write the page as HTML, for A4."""
    findings = "".join(
        f"<tr><td class='{'ok' if f.passed else 'bad'}'>{'seen' if f.passed else 'missing'}</td>"
        f"<td><b>{html.escape(f.title)}</b><br>{html.escape(f.text)}</td></tr>"
        for f in page.findings
    )
    batches = "".join(_batch_html(batch) for batch in page.batches)
    path.write_text(
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>Drill: report by exception</title><style>"
        "@page{size:A4;margin:12mm}body{font:11px sans-serif;max-width:190mm;margin:auto}"
        "table{border-collapse:collapse;width:100%}"
        "td,th{border-bottom:1px solid #ccc;padding:2px 5px;text-align:left;vertical-align:top}"
        ".ok{color:#176117}.bad,.critical{color:#b00020}.major{color:#8a5a00}h1{font-size:17px}h2{font-size:13px}"
        ".sign{border:1px solid #000;padding:6px;margin:4px 0}</style>"
        "<h1>Report by exception: two patients, a power cut, a wrong cassette, a leak</h1>"
        f"<table>{findings}</table>{batches}"
        "<p>Simulated. Everything that is not listed went as the recipe says; each batch has its full report. "
        "Designed to support Part 11 and Annex 11.</p></html>\n",
        encoding="utf-8",
    )


def _batch_html(batch: Mapping[str, Any]) -> str:
    name = html.escape(str(batch["batch_id"]))
    rows = "".join(
        f"<tr><td class='{item.grade}'>{item.grade}</td><td>{_day(item, batch)}</td><td>{html.escape(item.what)}</td>"
        f"<td>{html.escape(item.text)}</td></tr>"
        for item in condensed(batch["exceptions"])
    )
    return (
        f"<h2>{name} · {html.escape(str(batch['patient']))} · {html.escape(str(batch['product']))} · "
        f"{html.escape(str(batch['verdict']))}</h2><table><tr><th>grade</th><th>day</th><th>what</th><th></th></tr>{rows}"
        f"</table><div class='sign'>Sign: <code>./workcell sign {name} --meaning approved</code>, then "
        f"<code>./workcell release {name}</code> &nbsp; Reject: <code>./workcell sign {name} --meaning rejected</code>"
        " &nbsp; Name, date: ____________________</div>"
    )
