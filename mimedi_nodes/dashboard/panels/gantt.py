# SPDX-License-Identifier: Apache-2.0
"""The batch against its plan: one row an operation, planned bars outlined, done bars filled, the present as a line."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..look import theme, wording
from ..look.language import tr
from ..look.qt import QtCore, QtGui, QtWidgets
from ..views import BatchSnapshot, HistoryView, PlanView, SpanView

DAY_S = 86400.0
ZOOMS = {"batch": math.inf, "day": DAY_S, "hours": 3.0 * 3600.0}
"""What the chart can show: the whole batch, a day or three hours around now [s]."""


def operation_of(path: str) -> str:
    """Return unit procedure and operation of a step's path, joined by a dot."""
    return ".".join(path.split(".")[:2])


class Timeline:
    """Spans of the batch that is shown: from its record where there is one, else from what was heard."""

    def __init__(self) -> None:
        self.batch_id = ""
        self.start_s = 0.0
        self.now_s = math.nan
        self.plan: tuple[SpanView, ...] = ()
        self._recorded: tuple[SpanView, ...] = ()
        self._heard: dict[str, SpanView] = {}
        self._running: frozenset[str] = frozenset()

    def take_batch(self, batch: BatchSnapshot) -> None:
        """Take where the batch stands; phases that are no longer named have ended."""
        if batch.batch_id != self.batch_id:
            self.batch_id = batch.batch_id
            self._recorded, self._heard, self._running = (), {}, frozenset()
        self.now_s = batch.time_s
        if math.isfinite(batch.process_day):
            self.start_s = batch.time_s - batch.process_day * DAY_S
        running = frozenset(name.strip() for name in batch.phase_id.split(",") if name.strip())
        for path in running - self._running:
            self._heard[path] = SpanView(path, batch.time_s)
        for path in self._running - running:
            self._heard[path] = SpanView(path, self._heard[path].start_s, batch.time_s)
        self._running = running

    def take_plan(self, plan: PlanView) -> None:
        """Take a recipe's plan."""
        self.plan = plan.spans

    def take_history(self, history: HistoryView) -> None:
        """Take what the record tells of this batch."""
        if history.batch_id == self.batch_id:
            self._recorded = history.spans

    def done(self) -> list[SpanView]:
        """Return the spans so far: nothing from after now, which a replayed batch's record would have."""
        known = {span.path: span for span in self._recorded if not span.start_s > self.now_s}
        for path, span in self._heard.items():
            known.setdefault(path, span)
        return [
            SpanView(s.path, s.start_s, s.end_s if s.end_s <= self.now_s else math.nan, s.failed)
            for s in known.values()
        ]

    def rows(self) -> list[str]:
        """Return the operations in the order of the plan, others after them."""
        paths = [span.path for span in self.plan] + [span.path for span in sorted(self.done(), key=_start)]
        return list(dict.fromkeys(operation_of(path) for path in paths))


def _start(span: SpanView) -> float:
    return span.start_s


class GanttChart(QtWidgets.QWidget):
    """Draws a Timeline."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("gantt")
        self.setMinimumSize(420, 160)
        self.timeline = Timeline()
        self.zoom = "batch"
        self._scale = 1.0
        self._boxes: list[tuple[QtCore.QRectF, str]] = []
        self.setMouseTracking(True)

    def set_scale(self, scale: float) -> None:
        """Draw letters at the window's scale."""
        self._scale = scale
        self.update()

    def window_s(self) -> tuple[float, float]:
        """Return what is shown, in process time from the start of the batch [s]."""
        line = self.timeline
        now_s = line.now_s - line.start_s if math.isfinite(line.now_s) else 0.0
        span_s = ZOOMS[self.zoom]
        if math.isfinite(span_s):
            return now_s - 0.7 * span_s, now_s + 0.3 * span_s
        ends = [span.end_s for span in line.plan] + [now_s * 1.02, 3600.0]
        return 0.0, max(ends)

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.Antialiasing)
        font = QtGui.QFont(self.font())
        font.setPixelSize(round(14 * self._scale))
        painter.setFont(font)
        rows = self.timeline.rows()
        self._boxes = []
        if not rows:
            painter.setPen(QtGui.QColor(theme.MUTED))
            painter.drawText(self.rect(), QtCore.Qt.AlignCenter, tr("No recipe and no batch yet"))
            return
        metrics = painter.fontMetrics()
        left = min(max(metrics.horizontalAdvance(row) for row in rows) + 16, self.width() // 2)
        foot = metrics.height() + 10
        height = (self.height() - foot) / len(rows)
        first, last = self.window_s()
        wide = max(self.width() - left - 8, 10)

        def x_of(time_s: float) -> float:
            return left + wide * min(max((time_s - first) / (last - first), 0.0), 1.0)

        for number, row in enumerate(rows):
            top = number * height
            if number % 2:
                painter.fillRect(QtCore.QRectF(0, top, self.width(), height), QtGui.QColor(theme.BACKGROUND))
            painter.setPen(QtGui.QColor(theme.TEXT))
            place = QtCore.QRectF(6, top, left - 12, height)
            elided = metrics.elidedText(row, QtCore.Qt.ElideMiddle, left - 12)
            painter.drawText(place, QtCore.Qt.AlignVCenter | QtCore.Qt.AlignLeft, elided)
        self._bars(painter, rows, height, x_of, (first, last))
        self._axis(painter, x_of, (first, last), self.height() - foot)

    def _bars(self, painter: QtGui.QPainter, rows: Sequence[str], height: float, x_of, shown) -> None:  # type: ignore[no-untyped-def]
        line = self.timeline
        place = {row: number for number, row in enumerate(rows)}
        for span in line.plan:
            if span.end_s < shown[0] or span.start_s > shown[1]:
                continue
            top = place[operation_of(span.path)] * height
            box = _box(x_of(span.start_s), x_of(span.end_s), top + 0.1 * height, 0.8 * height)
            painter.setPen(QtGui.QPen(QtGui.QColor(theme.LINE), 1))
            painter.setBrush(QtCore.Qt.NoBrush)
            painter.drawRect(box)
        painter.setPen(QtCore.Qt.NoPen)
        for span in line.done():
            start_s = span.start_s - line.start_s
            running = math.isnan(span.end_s)
            end_s = (line.now_s if running else span.end_s) - line.start_s
            if end_s < shown[0] or start_s > shown[1]:
                continue
            top = place[operation_of(span.path)] * height
            box = _box(x_of(start_s), x_of(end_s), top + 0.25 * height, 0.5 * height)
            colour = theme.PRIORITY_COLOUR[3] if span.failed else theme.TEXT if running else theme.GAUGE
            painter.fillRect(box, QtGui.QColor(colour))
            took = wording.hours((end_s - start_s) / 3600.0)
            self._boxes.append((box, f"{span.path}  ·  {tr('running') if running else took}"))

    def _axis(self, painter: QtGui.QPainter, x_of, shown, top: float) -> None:  # type: ignore[no-untyped-def]
        painter.setPen(QtGui.QColor(theme.MUTED))
        step_s, name = _tick(shown[1] - shown[0])
        number = math.ceil(shown[0] / step_s)
        while number * step_s <= shown[1]:
            x = x_of(number * step_s)
            painter.drawLine(QtCore.QPointF(x, top), QtCore.QPointF(x, top + 4))
            unit = DAY_S if name == "d" else 3600.0
            text = f"{number * step_s / unit:g} {name}"
            if x + 3 + painter.fontMetrics().horizontalAdvance(text) <= self.width():
                painter.drawText(QtCore.QPointF(x + 3, self.height() - 4), text)
            number += 1
        line = self.timeline
        if math.isfinite(line.now_s):
            x = x_of(line.now_s - line.start_s)
            painter.setPen(QtGui.QPen(QtGui.QColor("#1f4e79"), 2))
            painter.drawLine(QtCore.QPointF(x, 0), QtCore.QPointF(x, top))
            before = painter.fontMetrics().horizontalAdvance(tr("now")) + 6
            painter.drawText(QtCore.QPointF(max(x - before, 0), top - 4), tr("now"))

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        """Tell the name of the phase under the pointer."""
        found = [text for box, text in self._boxes if box.adjusted(-2, -3, 2, 3).contains(QtCore.QPointF(event.pos()))]
        self.setToolTip(found[-1] if found else "")


def _box(left: float, right: float, top: float, height: float) -> QtCore.QRectF:
    return QtCore.QRectF(left, top, max(right - left, 2.0), height)


def _tick(span_s: float) -> tuple[float, str]:
    for step_s, name in ((900.0, "h"), (3600.0, "h"), (6 * 3600.0, "h"), (DAY_S, "d"), (2 * DAY_S, "d")):
        if span_s / step_s <= 13:
            return step_s, name
    return 7 * DAY_S, "d"
