# SPDX-License-Identifier: Apache-2.0
"""Review by exception: everything in a record that is not routine, one line each, worst first.

A batch without a line here ran as its recipe says, with every test passed. What is routine stays in the record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .events import RecordEvent
from .facts import Facts, standing_alarms
from .genealogy import trace
from .review import Review, number_text, unit_text

CRITICAL, MAJOR, MINOR = "critical", "major", "minor"
_ORDER = (CRITICAL, MAJOR, MINOR)
_PROGRAMS = ("coordinator", "supervisor", "recorder")
_BY_PEOPLE = ("hold", "stop", "abort", "restart", "pause")


@dataclass(frozen=True)
class ExceptionItem:
    """One thing that a reviewer has to look at.

    Args:
        grade: critical, major or minor (EU GMP's classes of deficiencies).
        what: kind of exception, for people.
        text: what happened.
        time_s: process time [s]; NaN when it belongs to no moment.
        row: number of the row of the record, 0 when it follows from several.
    """

    grade: str
    what: str
    text: str
    time_s: float = float("nan")
    row: int = 0


def exceptions(review: Review) -> list[ExceptionItem]:
    """Return the exceptions of a reviewed batch, worst first, then in the order of the record."""
    found = [*_tests(review), *_events(review.facts), *_lots(review.facts), *_balance(review.facts)]
    return sorted(found, key=lambda item: (_ORDER.index(item.grade), item.row or 10**9))


def _tests(review: Review) -> Iterable[ExceptionItem]:
    for row in review.rows:
        if row.verdict in ("fail", "unknown"):
            grade = CRITICAL if row.group == "release" else MAJOR
            value = f"{number_text(row.value)} {unit_text(row.unit)}".strip()
            reason = f"; {row.reason}" if row.verdict == "unknown" and row.reason else ""
            yield ExceptionItem(
                grade, f"test {row.verdict}", f"{row.title}: {value}, specified {row.criterion}{reason}"
            )


def _events(facts: Facts) -> Iterable[ExceptionItem]:
    standing = {id(event) for event in standing_alarms(facts.events).values()}
    for row, event in enumerate(facts.events, start=1):
        item = _item(event, row, id(event) in standing)
        if item is not None:
            yield item


def _item(event: RecordEvent, row: int, stands: bool) -> ExceptionItem | None:
    kind, data, time_s = event.kind, event.data, event.process_time_s
    if kind == "alarm_raised":
        high = str(data.get("priority", "")).upper() in ("HIGH", "3")
        name = f"alarm{', still standing' if stands else ''}"
        grade = CRITICAL if stands else MAJOR if high else MINOR
        return ExceptionItem(grade, name, f"{event.what}: {data.get('message') or event.why}", time_s, row)
    if kind == "phase_ended" and data.get("status") in ("aborted", "canceled", "interrupted"):
        if data.get("status") == "canceled" and not _message(data):
            return None  # a step that accompanies another one ends with it
        text = f"{data.get('phase_id') or event.what}: {data.get('status')} {_message(data)}".strip()
        return ExceptionItem(MAJOR, "step not successful", text, time_s, row)
    if kind == "phase_ended" and (data.get("result") or {}).get("ended_by") == "time":
        return ExceptionItem(MINOR, "seen less than asked for", _seen_in_time(event), time_s, row)
    if kind == "batch_ended" and data.get("state") != "completed":
        return ExceptionItem(CRITICAL, "end of the batch", f"{data.get('state')}: {event.why}", time_s, row)
    simple = {
        "identity_refused": (CRITICAL, "identity refused"),
        "signature_refused": (CRITICAL, "signature refused"),
        "module_lost": (MAJOR, "module lost"),
        "batch_taken_up": (MAJOR, "taken up after an interruption"),
        "phase_failed": (MAJOR, "attempt failed"),
        "phase_recalled": (MINOR, "step recalled after an interruption"),
        "prompt_refused": (MINOR, "answer refused"),
        "step_not_available": (MINOR, "step without a module"),
        "alarm_shelved": (MINOR, "alarm shelved"),
        "alarm_removed": (MAJOR, "alarm out of service"),
    }
    if kind in simple:
        grade, what = simple[kind]
        return ExceptionItem(grade, what, f"{event.what}: {event.why}".rstrip(": "), time_s, row)
    if kind == "state_changed" and str(data.get("new")) == "held":
        return ExceptionItem(MAJOR, "held", event.why or event.what, time_s, row)
    if kind == "command" and event.who not in _PROGRAMS and str(data.get("command", "")) in _BY_PEOPLE:
        text = f"{data.get('command')} by {event.who}: {event.why}"
        return ExceptionItem(MINOR, "command of a person", text, time_s, row)
    if kind == "recipe_parameter" and data.get("default") not in (None, data.get("value")):
        text = f"{event.what} is {number_text(data.get('value'))}, the recipe has {number_text(data['default'])}"
        return ExceptionItem(MINOR, "parameter changed", text, time_s, row)
    return None


def _lots(facts: Facts) -> Iterable[ExceptionItem]:
    started = next((e.wall_time[:10] for e in facts.events if e.kind == "batch_started"), "")
    for row, event in enumerate(facts.events, start=1):
        expires = str(event.data.get("expires") or "") if event.kind == "material" else ""
        due = str(event.data.get("due") or "") if event.kind == "calibration" else ""
        if expires and expires < started:
            text = f"{event.what}, lot {event.data.get('lot')}: expired {expires}, used {started}"
            yield ExceptionItem(CRITICAL, "lot expired", text, event.process_time_s, row)
        if due and due < started:
            text = f"{event.what}: calibration was due {due}, used {started}"
            yield ExceptionItem(MAJOR, "calibration overdue", text, event.process_time_s, row)


def _balance(facts: Facts) -> Iterable[ExceptionItem]:
    for balance in trace(facts.events).balances:
        gap_ul = balance.gap_ul
        if gap_ul is not None and not balance.is_closed:
            text = f"{balance.step}: {balance.way}, gap {gap_ul / 1000.0:+.2f} mL by weight"
            yield ExceptionItem(MAJOR, "balance not closed", text, balance.time_s, balance.row)


def _seen_in_time(event: RecordEvent) -> str:
    """What an inspection has seen whose time was out before it had what was asked for."""
    result = event.data["result"]
    ends = [number_text(result.get(f"viability_{end}")) for end in ("low", "high")]
    step, seen = event.data.get("phase_id") or event.what, number_text(result.get("viability"))
    return f"{step}: the time was out after {result.get('cells')} cells, viability {seen} (95 %: {' to '.join(ends)})"


def _message(data: Mapping[str, Any]) -> str:
    result = data.get("result")
    return str(result.get("error_msg") or "") if isinstance(result, Mapping) else ""
