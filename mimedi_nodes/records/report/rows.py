# SPDX-License-Identifier: Apache-2.0
"""Rows of the report's tables, from the facts of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..events import RecordEvent
from ..facts import Facts, alarm_key, is_number, standing_alarms, step_name
from ..review import ReleaseRow, Review, number_text, unit_text
from .field_text import days_text, quantity, results_text, took_text

_DECISIVE = (
    "decision",
    "command",
    "alarm_acknowledged",
    "signature",
    "identity_refused",
    "prompt_refused",
    "phase_failed",
    "phase_recalled",
    "module_lost",
    "batch_taken_up",
)
_PROGRAMS = ("coordinator", "supervisor", "recorder")
_UNUSUAL = ("held", "holding", "stop", "abort")


def identity_rows(summary: Mapping[str, Any], started: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Who and what the batch is, as name and value."""
    weight = started.get("patient_weight_kg")
    rows = [
        ("Product", summary["product"]),
        ("Recipe", f"{summary['recipe']} {started.get('version') or ''}".strip()),
        ("Chain of identity, recipient", started.get("patient_id")),
        ("Chain of identity, donor", _donor(started)),
        ("Body weight", f"{weight:g} kg" if is_number(weight) else None),
        ("Kind of run", started.get("run_kind")),
        ("Began (UTC)", str(started.get("began") or "")[:16].replace("T", " ")),
        ("Duration", f"{summary['duration_d']:.1f} d" if is_number(summary["duration_d"]) else None),
    ]
    return [(name, str(value) if value not in (None, "") else "–") for name, value in rows]


def _donor(started: Mapping[str, Any]) -> Any:
    """The donor, said to be the recipient where they are one person."""
    donor = started.get("donor_id")
    return "recipient" if donor and donor == started.get("patient_id") else donor


def figure_rows(review: Review, summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The four figures that a reader wants first, as value and name."""
    values = {row.id: row for row in review.rows}
    figures = []
    for test, percent in (("dose", False), ("viability", True), ("car", True)):
        row = values.get(test)
        if row is not None:
            kind, _, of = row.title.partition(", ")
            value, name = row.value, f"{of} in the {kind.lower()}" if of else row.title
            figures.append((f"{100 * value:.1f} %" if percent and is_number(value) else number_text(value), name))
    peak = review.facts.values["extremes"].get("viable_cells", {}).get("max")
    figures.append((number_text(peak), "viable cells at most in culture"))
    return figures


def cause_rows(review: Review) -> list[str]:
    """Why a batch is not found to meet its specification, most telling first; empty when it is."""
    if review.verdict in ("meets", "meets_provisionally"):
        return []
    causes = [_test_text(row) for row in review.rows if row.verdict == "fail"]
    for event in review.facts.of_kind("batch_ended"):
        reason = event.why or event.data.get("reason")
        if reason:
            causes.append(f"End of the procedure: {reason}")
    for event in review.facts.of_kind("phase_ended"):
        result = event.data.get("result")
        if isinstance(result, Mapping) and result.get("error_msg"):
            causes.append(f"Step {event.data.get('phase_id') or event.what}: {result['error_msg']}")
    for event in standing_alarms(review.facts.events).values():
        causes.append(f"Alarm {event.what}: {event.data.get('message') or event.why}")
    unknown = [row for row in review.rows if row.verdict == "unknown"]
    if len(unknown) > 2:  # a batch that ended early: that is one cause, not ten
        causes.append(f"{len(unknown)} tests without a result: {', '.join(row.title for row in unknown)}")
    else:
        causes += [_test_text(row) for row in unknown]
    return list(dict.fromkeys(causes))


def _test_text(row: ReleaseRow) -> str:
    text = f"{row.title}: {number_text(row.value)} {unit_text(row.unit)}, specified {row.criterion}"
    return f"{text} ({row.reason})" if row.reason and row.verdict != "fail" else text


def exception_texts(review: Review) -> list[str]:
    """What a review by exception looks at, counted."""
    counts = review.facts.values["counts"]
    failed = sum(row.verdict in ("fail", "unknown") for row in review.rows)
    simulated = sum(bool(event.data.get("simulated")) for event in review.facts.of_kind("prompt_answered"))
    return [
        f"tests failed or unknown: {failed} of {len(review.rows)}",
        f"alarms: {counts['alarms']}, of which standing {counts['alarms_standing']}",
        f"steps not successful: {counts['phases_failed']} of {counts['phases']}",
        f"open questions: {counts['prompts_open']}",
        f"answers given by a script: {simulated}",
        f"steps without a module: {counts['steps_not_available']}",
    ]


def step_rows(facts: Facts) -> list[dict[str, str]]:
    """Steps in the order of their ends; then those that had not ended when the record did."""
    rows = []
    for event in facts.of_kind("phase_ended"):
        data = event.data
        start, end = data.get("started_s"), data.get("ended_s", event.process_time_s)
        result = data.get("result") if isinstance(data.get("result"), Mapping) else {}
        row = _step_row(event, start if is_number(start) else event.process_time_s)
        row["took"] = took_text(end - start) if is_number(start) and is_number(end) else "–"
        rows.append({**row, "results": results_text(result or {}), "status": str(data.get("status", ""))})
    for event in facts.unended():
        row = _step_row(event, event.process_time_s)
        rows.append({**row, "took": "–", "results": "", "status": "not ended"})
    return rows


def _step_row(event: RecordEvent, begun_s: float) -> dict[str, str]:
    path = str(event.data.get("phase_id") or event.what)
    return {
        "day": days_text(begun_s),
        "name": step_name(path).replace("_", " "),
        "path": path,
        "module": str(event.data.get("module", "")),
        "action": str(event.data.get("action", "")),
    }


def tuning_rows(facts: Facts) -> list[dict[str, str]]:
    """What each tuning of the transducer found."""
    rows = []
    for event in facts.of_kind("phase_ended"):
        result = event.data.get("result")
        if event.data.get("action") == "TuneTransducer" and isinstance(result, Mapping):
            rows.append(
                {
                    "step": step_name(str(event.data.get("phase_id", ""))),
                    "day": days_text(event.process_time_s),
                    "channel": _khz(result.get("channel_resonance_hz")),
                    "sd": _khz(result.get("channel_resonance_sd_hz")),
                    "q": number_text(result.get("channel_q"), 3),
                    "plate": _khz(result.get("pzt_resonance_hz")),
                }
            )
    return rows


def retuning_rows(facts: Facts) -> list[dict[str, str]]:
    """How the sound followed the channel's resonance during the sorts."""
    rows = []
    for event in facts.of_kind("retuned"):
        after_s = event.data.get("after_s")
        rows.append(
            {
                "what": event.what,
                "day": days_text(event.process_time_s),
                "after": number_text(after_s / 60.0, 3) if is_number(after_s) else number_text(None),
                "old": _khz(event.data.get("old_hz")),
                "new": _khz(event.data.get("new_hz")),
                "sd": _khz(event.data.get("channel_resonance_sd_hz")),
                "why": event.why,
            }
        )
    return rows


def alarm_rows(facts: Facts) -> list[dict[str, str]]:
    """Alarms with when they were cleared."""
    rows: list[dict[str, str]] = []
    open_rows: dict[str, dict[str, str]] = {}
    for event in facts.of_kind("alarm_raised", "alarm_cleared"):
        key = alarm_key(event)
        if event.kind == "alarm_cleared":
            if key in open_rows:
                open_rows.pop(key)["cleared"] = f"day {days_text(event.process_time_s)}"
        else:
            row = {
                "day": days_text(event.process_time_s),
                "id": str(event.data.get("alarm_id", event.what)),
                "source": str(event.data.get("source") or event.producer),
                "message": str(event.data.get("message") or event.why),
                "cleared": "",
            }
            rows.append(row)
            open_rows.setdefault(key, row)
    return rows


def decision_rows(facts: Facts) -> list[dict[str, str]]:
    """Decisions, deviations and people's commands, who and why."""
    rows = []
    for event in facts.of_kind(*_DECISIVE):
        old, new = event.data.get("old"), event.data.get("new")
        who = str(event.data.get("by") or event.data.get("who") or event.who)
        # Routine of the machines stays in the record: branches taken, services reset and started by programs.
        if event.kind == "decision" and isinstance(event.data.get("outcome"), bool):
            continue
        if event.kind == "command" and (old, new) == ("COMPLETED", "IDLE"):
            continue  # a service made ready for its next phase
        if event.kind == "command" and who in _PROGRAMS and not str(new).lower().startswith(_UNUSUAL):
            continue
        rows.append(
            {
                "day": days_text(event.process_time_s),
                "what": event.what,
                "kind": event.kind.replace("_", " "),
                "why": event.why or str(event.data.get("expression", "")),
                "who": who,
                "change": str(event.data.get("outcome", "")) if old is None and new is None else f"{old} → {new}",
            }
        )
    return rows


def prompt_rows(facts: Facts) -> list[dict[str, Any]]:
    """Questions with their answers."""
    rows: dict[str, dict[str, Any]] = {}
    for event in facts.of_kind("prompt_asked", "prompt_answered"):
        key = str(event.data.get("prompt_id", event.what))
        row = rows.setdefault(
            key, {"day": "", "question": event.what, "answer": None, "who": "", "simulated": False}
        )
        row["day"] = row["day"] or days_text(event.process_time_s)
        row["question"] = event.data.get("question") or row["question"]
        if event.kind == "prompt_answered":
            row["answer"] = str(event.data.get("answer", ""))
            row["who"] = event.data.get("by") or event.who
            row["simulated"] = bool(event.data.get("simulated"))
    return list(rows.values())


def laboratory_rows(facts: Facts) -> list[dict[str, Any]]:
    """Results of the external laboratory; one that says another thing than an earlier one is marked as changed."""
    rows = []
    told: dict[tuple[str, str], Any] = {}
    for event in facts.of_kind("laboratory_result", "laboratory_in_process"):
        data = event.data
        key = (str(data.get("sample_id", "")), str(data.get("test", event.what)))
        changed = key in told and told[key] != data.get("value")
        told[key] = data.get("value")
        low, high = data.get("low"), data.get("high")
        rows.append(
            {
                "day": days_text(event.process_time_s),
                "test": quantity(str(data.get("test", event.what)))[0],
                "sample": str(data.get("sample_id", "")),
                "value": number_text(data.get("value")),
                "interval": f"{number_text(low)} to {number_text(high)}" if is_number(low) and is_number(high) else "",
                "unit": unit_text(str(data.get("unit") or "")),
                "method": str(data.get("method") or ""),
                "status": str(data.get("status") or ""),
                "changed": changed,
            }
        )
    return rows


def _khz(value_hz: Any) -> str:
    return f"{value_hz / 1000.0:.2f}" if is_number(value_hz) else "–"
