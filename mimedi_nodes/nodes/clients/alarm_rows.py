# SPDX-License-Identifier: Apache-2.0
"""The alarm list as plain rows, for terminal and web page."""

from __future__ import annotations

from typing import Any

from ...process.alarms.states import ACKNOWLEDGEABLE, AlarmState


def as_rows(alarms: Any) -> list[dict[str, Any]]:
    """Return an AlarmList as plain rows, most urgent first; None, nothing heard yet, has no rows."""
    rows = [
        {
            "alarm_id": a.alarm_id,
            "source": a.source,
            "state": AlarmState(a.state).name,
            "priority": {1: "low", 2: "medium", 3: "high"}.get(a.priority, "high"),
            "waits": a.state in ACKNOWLEDGEABLE,
            "message": a.message,
            "response": a.response,
            "time_s": a.stamp.sec + 1e-9 * a.stamp.nanosec,
        }
        for a in (alarms.alarms if alarms is not None else [])
    ]
    order = ("high", "medium", "low")
    return sorted(rows, key=lambda r: (not r["waits"], order.index(r["priority"]), -r["time_s"]))
