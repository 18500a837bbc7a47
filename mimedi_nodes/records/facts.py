# SPDX-License-Identifier: Apache-2.0
"""What a record says about its batch: the values that specification, summary and report are computed from."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from .events import RecordEvent, twin_rows

_ITERATION = re.compile(r"\[\d+\]|#\d+")
_NOT_SUCCEEDED = frozenset({"aborted", "canceled", "interrupted"})


@dataclass(frozen=True)
class Detail:
    """Where a value came from: its interval, unit, method, status and process time [s]."""

    value: Any
    low: float | None = None
    high: float | None = None
    unit: str = ""
    method: str = ""
    status: str = ""
    process_time_s: float = math.nan


@dataclass
class Facts:
    """Facts of one batch.

    `values` is what expressions of a specification read, nested mappings of plain values; what nobody told is
    missing or None there, so that an expression that needs it raises:

    * `batch.*`: data of `batch_started` (`run_kind`: production or engineering, `patient_id`, `donor_id`,
      `patient_weight_kg`, `recipe`, `product` ...);
    * `parameter.<name>`: value of a recipe parameter;
    * `phase.<step>.<field>`: result of the last run of a step that succeeded, by the step's own name (the last
      part of its path) and by its whole path (`phase.release.fill.formulate.dose_car_cells`);
    * `lab.<test>`: last result of the external laboratory; None while it is pending;
    * `measured.<name>`: last measured value;
    * `extremes.<field>.min|max`: over all phase results that report the field;
    * `counts.*`: `alarms`, `alarms_standing`, `phases_failed`, `prompts_open`, `steps_not_available`;
    * `ended.state`, `ended.reason`: how the procedure ended; missing while it runs;
    * `identity.mismatches`: containers and labels that were of another patient; None when nobody was named.
    """

    values: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Detail] = field(default_factory=dict)
    events: list[RecordEvent] = field(default_factory=list)
    twins: frozenset[int] = frozenset()
    """Places of the events that stand there a second time, see `twin_rows`."""

    def of_kind(self, *kinds: str) -> list[RecordEvent]:
        """Return the events of some kinds, in the order of the record, each once."""
        return [event for place, event in enumerate(self.events) if event.kind in kinds and place not in self.twins]

    def series(self, name: str) -> list[tuple[float, float]]:
        """Return process times [s] and values of a measurement, without unknown ones."""
        points = []
        for event in self.of_kind("measurement"):
            value: Any = event.data.get("value")
            if event.data.get("name", event.what) == name and is_number(value):
                points.append((event.process_time_s, float(value)))
        return points

    def unended(self) -> list[RecordEvent]:
        """Return the starts of the phases that had not ended when the record did; a phase's first start only."""
        ended = {_goal(event) for event in self.of_kind("phase_ended")}
        begun: dict[str, RecordEvent] = {}
        for event in self.of_kind("phase_started"):
            begun.setdefault(_goal(event), event)
        return [event for goal, event in begun.items() if goal not in ended]


def gather_facts(events: Iterable[RecordEvent]) -> Facts:
    """Return the facts of a batch from its events, in the order of the record."""
    facts = Facts(events=list(events))
    facts.twins = twin_rows(facts.events)
    values = facts.values
    for name in ("batch", "parameter", "phase", "lab", "measured", "extremes", "counts", "identity"):
        values[name] = {}
    for place, event in enumerate(facts.events):
        reader = _READERS.get(event.kind)
        if reader is not None and place not in facts.twins:
            reader(facts, event)
    _count(facts)
    _check_identity(facts)
    return facts


def run_kind(events: Iterable[RecordEvent]) -> str | None:
    """Return `production` or `engineering`, as the batch was started; None when its start does not say."""
    for event in events:
        if event.kind == "batch_started":
            kind = event.data.get("run_kind")
            if kind is None and isinstance(event.data.get("engineering_run"), bool):
                kind = "engineering" if event.data["engineering_run"] else "production"
            return kind if kind in ("production", "engineering") else None
    return None


def step_name(phase_id: str) -> str:
    """Return a step's own name: the last part of its path, without the number of a loop's turn."""
    return _ITERATION.sub("", phase_id).rsplit(".", 1)[-1]


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a value is a known number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def alarm_key(event: RecordEvent) -> str:
    """Return whose alarm it is, and which: the same for its raising and its clearing.

    The supervisor writes for others: it names the source, when a module's process died with its alarms say.
    """
    return f"{event.data.get('source') or event.producer}/{event.data.get('alarm_id', event.what)}"


def standing_alarms(events: Iterable[RecordEvent]) -> dict[str, RecordEvent]:
    """Return the alarms that were raised and not cleared, by source and id, oldest first."""
    standing: dict[str, RecordEvent] = {}
    for event in events:
        if event.kind == "alarm_raised":
            standing.setdefault(alarm_key(event), event)
        elif event.kind == "alarm_cleared":
            standing.pop(alarm_key(event), None)
    return standing


def _goal(event: RecordEvent) -> str:
    """Return what a phase's start and end have in common."""
    return str(event.data.get("goal_id") or event.data.get("phase_id") or event.what)


def _batch_started(facts: Facts, event: RecordEvent) -> None:
    batch = facts.values["batch"]
    batch.update(event.data)
    batch["batch_id"] = event.batch_id
    # The names that recipes and specifications use, whichever of the two the event was written with.
    for name, short in (("patient_id", "patient"), ("donor_id", "donor"), ("patient_weight_kg", "weight_kg")):
        batch[name] = event.data.get(name, event.data.get(short))
    batch["run_kind"] = run_kind([event])
    batch["began"] = event.wall_time
    parameters = event.data.get("parameters")
    if isinstance(parameters, Mapping):
        for name, value in parameters.items():
            facts.values["parameter"][name] = value.get("value") if isinstance(value, Mapping) else value


def _batch_ended(facts: Facts, event: RecordEvent) -> None:
    facts.values["ended"] = {"state": event.data.get("state"), "reason": event.data.get("reason")}


def _recipe_parameter(facts: Facts, event: RecordEvent) -> None:
    name = str(event.data.get("name", event.what))
    facts.values["parameter"][name] = event.data.get("value")
    facts.details[f"parameter.{name}"] = _detail(event)


def _phase_ended(facts: Facts, event: RecordEvent) -> None:
    result = event.data.get("result")
    phase_id = str(event.data.get("phase_id") or event.what)
    if not isinstance(result, Mapping) or event.data.get("status") in _NOT_SUCCEEDED:
        return
    for name, value in result.items():
        if is_number(value) and name != "error_code":
            extremes = facts.values["extremes"].setdefault(name, {"min": value, "max": value})
            extremes["min"], extremes["max"] = min(extremes["min"], value), max(extremes["max"], value)
    facts.values["phase"][step_name(phase_id)] = dict(result)
    place = facts.values["phase"]
    parts = _ITERATION.sub("", phase_id).split(".")
    if len(parts) > 1:
        for part in parts[:-1]:
            place = place.setdefault(part, {})
        place[parts[-1]] = dict(result)


def _laboratory_result(facts: Facts, event: RecordEvent) -> None:
    test = str(event.data.get("test", event.what))
    pending = str(event.data.get("status", "")).lower() in ("pending", "ordered")
    facts.values["lab"][test] = None if pending else event.data.get("value")
    facts.details[f"lab.{test}"] = _detail(event)


def _measurement(facts: Facts, event: RecordEvent) -> None:
    name = str(event.data.get("name", event.what))
    facts.values["measured"][name] = event.data.get("value")
    facts.details[f"measured.{name}"] = _detail(event)


_READERS = {
    "batch_started": _batch_started,
    "batch_ended": _batch_ended,
    "recipe_parameter": _recipe_parameter,
    "phase_ended": _phase_ended,
    "laboratory_result": _laboratory_result,
    "measurement": _measurement,
}


def _detail(event: RecordEvent) -> Detail:
    data = event.data
    return Detail(
        value=data.get("value"),
        low=data.get("low") if is_number(data.get("low")) else None,
        high=data.get("high") if is_number(data.get("high")) else None,
        unit=str(data.get("unit") or ""),
        method=str(data.get("method") or ""),
        status=str(data.get("status") or ""),
        process_time_s=event.process_time_s,
    )


def _count(facts: Facts) -> None:
    ended: dict[str, str] = {}
    for event in facts.of_kind("phase_ended"):
        ended[str(event.data.get("phase_id") or event.what)] = str(event.data.get("status", ""))
    open_prompts = {str(event.data.get("prompt_id", event.what)) for event in facts.of_kind("prompt_asked")}
    open_prompts -= {str(event.data.get("prompt_id", event.what)) for event in facts.of_kind("prompt_answered")}
    facts.values["counts"] = {
        "alarms": len(facts.of_kind("alarm_raised")),
        "alarms_standing": len(standing_alarms(facts.events)),
        "phases": len(ended),
        "phases_failed": sum(status in _NOT_SUCCEEDED for status in ended.values()),
        "prompts_open": len(open_prompts),
        "steps_not_available": len(facts.of_kind("step_not_available")),
    }


def _check_identity(facts: Facts) -> None:
    """Compare every identity that an event names with those that the batch was started for."""
    batch = facts.values["batch"]
    allowed = {batch[name] for name in ("patient_id", "donor_id", "chain_of_identity") if batch.get(name)}
    if not allowed:
        facts.values["identity"] = {"mismatches": None, "checked": 0}
        return
    checked = mismatches = 0
    for event in facts.events:
        if event.kind == "batch_started":
            continue
        identity = event.data.get("chain_of_identity")
        result = event.data.get("result")
        matches = result.get("matches") if isinstance(result, Mapping) else None
        if identity:
            checked += 1
            mismatches += identity not in allowed
        if isinstance(matches, bool):
            checked += 1
            mismatches += not matches
    facts.values["identity"] = {"mismatches": mismatches, "checked": checked}
