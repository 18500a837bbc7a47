# SPDX-License-Identifier: Apache-2.0
"""The numbers of a record as tables: long (one row a value) and wide (one row a moment, one column a quantity)."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .events import RecordEvent
from .facts import is_number

LONG_COLUMNS = (
    "batch_id", "process_time_s", "wall_time", "source", "kind", "phase_id", "name", "value", "text", "unit", "low",
    "high", "method", "status",
)  # fmt: skip
TIME = "process_time_s"

_UNITS = {
    "ul": "uL", "um": "um", "c": "degC", "hz": "Hz", "mm": "mmol/L", "s": "s", "h": "h", "tu": "TU", "ml": "1/mL",
}  # fmt: skip
_RESULT_KINDS = ("laboratory_result", "laboratory_in_process")


def long_rows(events: Iterable[RecordEvent]) -> list[dict[str, Any]]:
    """Return one row a value: measurements, results of steps, laboratory results, parameters.

    Numbers stand under `value`, words under `text`; unknown is None in both.
    """
    rows = []
    for event in events:
        data = event.data
        if event.kind in ("measurement", "recipe_parameter", *_RESULT_KINDS):
            name = str(data.get("name") or data.get("test") or event.what)
            rows.append(_row(event, name, data.get("value"), data))
        elif event.kind == "phase_ended" and isinstance(data.get("result"), Mapping):
            for name, value in data["result"].items():
                if isinstance(value, (int, float, str)) and value != "":
                    rows.append(_row(event, name, value, {"phase_id": data.get("phase_id"), "unit": _unit_of(name)}))
    return rows


def wide_rows(events: Iterable[RecordEvent]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the columns and one row per process time at which something was measured.

    A column is named by its quantity, source and unit: `incubator.glucose_mm [mmol/L]`.
    """
    table: dict[float, dict[str, Any]] = {}
    columns: dict[str, None] = {}
    for event in events:
        if event.kind != "measurement" or math.isnan(event.process_time_s):
            continue
        unit = str(event.data.get("unit") or "")
        name = f"{event.producer}.{event.data.get('name', event.what)}" + (f" [{unit}]" if unit else "")
        columns[name] = None
        row = table.setdefault(event.process_time_s, {TIME: event.process_time_s})
        row[name] = event.data.get("value")
    return [TIME, *columns], [table[time_s] for time_s in sorted(table)]


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return a table as CSV (RFC 4180); unknown is empty, and text cannot be taken for a formula by a spreadsheet."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow([_cell(name) for name in columns])
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in columns])
    return stream.getvalue()


def _row(event: RecordEvent, name: str, value: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    number = float(value) if is_number(value) else None
    return {
        "batch_id": event.batch_id,
        "process_time_s": None if math.isnan(event.process_time_s) else event.process_time_s,
        "wall_time": event.wall_time,
        "source": event.producer,
        "kind": event.kind,
        "phase_id": str(data.get("phase_id") or ""),
        "name": name,
        "value": number,
        "text": str(value) if isinstance(value, (str, bool)) else None,
        "unit": str(data.get("unit") or ""),
        "low": float(data["low"]) if is_number(data.get("low")) else None,
        "high": float(data["high"]) if is_number(data.get("high")) else None,
        "method": str(data.get("method") or ""),
        "status": str(data.get("status") or ""),
    }


def _unit_of(name: str) -> str:
    return _UNITS.get(name.rpartition("_")[2], "")


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    # A leading = + - @ would be a formula to a spreadsheet (OWASP, CSV injection).
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
