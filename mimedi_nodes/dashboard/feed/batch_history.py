# SPDX-License-Identifier: Apache-2.0
"""What boards show of a batch's record: its phases, alarms, curves, forecasts and analyses, gathered row by row."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

from ...records.events import RecordEvent
from ..views import AnalysisView, HistoryView, SpanView
from .analyses import analysis_view

_ALARM_KINDS = frozenset(
    {"alarm_raised", "alarm_cleared", "alarm_acknowledged", "alarm_reset", "alarm_shelved", "alarm_unshelved"}
)
_log = logging.getLogger(__name__)


class BatchHistory:
    """Takes the rows of a record in their order, some at a time: a culture's record grows for days.

    Args:
        batch_id: the batch.
    """

    def __init__(self, batch_id: str) -> None:
        self.batch_id = batch_id
        self.rows = 0
        self.last: RecordEvent | None = None
        self._started: dict[str, float] = {}
        self._spans: list[SpanView] = []
        self._alarms: list[tuple[float, str, str, str]] = []
        self._harvest: list[tuple[float, float, float, float]] = []
        self._curves: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
        self._analyses: dict[tuple[str, str], AnalysisView] = {}

    def take(self, events: Sequence[RecordEvent]) -> None:
        """Take the next rows."""
        for event in events:
            self._take(event)
        self.rows += len(events)
        self.last = events[-1] if events else self.last

    def view(self) -> HistoryView:
        """Return what is known by now."""
        going = [SpanView(path, start_s) for path, start_s in self._started.items()]
        measured = {key: tuple(sorted(points)) for key, points in self._curves.items()}
        return HistoryView(
            self.batch_id, (*self._spans, *going), tuple(self._alarms), measured, tuple(self._harvest),
            tuple(self._analyses.values()),
        )  # fmt: skip

    def _take(self, event: RecordEvent) -> None:
        if event.kind == "phase_intended":
            self._started[event.what] = event.process_time_s
        elif event.kind == "step_ended" and event.what in self._started:
            failed = event.data.get("status") not in ("succeeded", None)
            start_s = self._started.pop(event.what)
            self._spans.append(SpanView(event.what, start_s, event.process_time_s, failed))
        elif event.kind in _ALARM_KINDS:
            self._alarms.append((event.process_time_s, event.kind.removeprefix("alarm_"), event.what, event.who))
        elif event.kind == "analysis":
            seen = _analysis(event)
            if seen is not None:
                self._analyses[(seen.module, seen.name)] = seen
        elif event.kind == "control_decision":
            self._harvest += _forecast(event)
        elif event.kind == "measurement":
            value = event.data.get("value")
            if isinstance(value, int | float) and math.isfinite(value) and math.isfinite(event.process_time_s):
                key = (event.producer, event.what, str(event.data.get("unit", "")))
                self._curves.setdefault(key, []).append((event.process_time_s, float(value)))


def history_of(batch_id: str, events: Sequence[RecordEvent]) -> HistoryView:
    """Return what a whole record tells of a batch."""
    known = BatchHistory(batch_id)
    known.take(events)
    return known.view()


def _analysis(event: RecordEvent) -> AnalysisView | None:
    try:
        return analysis_view(event.producer, event.what, event.process_time_s, event.data)
    except ValueError as error:
        _log.warning("not shown: %s", error)
        return None


def _forecast(event: RecordEvent) -> list[tuple[float, float, float, float]]:
    """The harvest that a decision of in-process control expected; nothing where it is about something else."""
    day = event.data.get("forecast", {}).get("harvest_day")
    if not isinstance(day, dict):
        return []
    return [(event.process_time_s, float(day["median"]), float(day["low"]), float(day["high"]))]
