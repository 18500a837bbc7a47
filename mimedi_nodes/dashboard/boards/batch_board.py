# SPDX-License-Identifier: Apache-2.0
"""The batch: where it stands against its plan, when it will be ready, what it asks, and the commands to it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from ..board import Board
from ..feed.forecast import reaches
from ..feed.series import Series
from ..look import wording
from ..look.language import tr
from ..look.qt import QtWidgets
from ..panels.batch_panel import BatchPanel
from ..panels.command_panel import CommandPanel
from ..panels.gantt import ZOOMS, GanttChart
from ..panels.parts import ElidedLabel, Panel, label
from ..panels.prompt_panel import PromptPanel
from ..views import (
    BatchesView,
    BatchSnapshot,
    HistoryView,
    MeasurementView,
    PlanView,
    PresenceView,
    PromptView,
    Reply,
    Request,
    RequestKind,
    Source,
)

DAY_S = 86400.0


class BatchBoard(Board):
    """Progress, forecast, questions, commands.

    Args:
        culture: name of the module that grows the cells.
        now_s: steady clock [s].
    """

    def __init__(self, culture: str = "incubator", now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__("batch_board", tr("Batch"), now_s)
        self._culture = culture
        self._known = False
        self._start_s = math.nan
        self._harvest: tuple[tuple[float, float, float, float], ...] = ()
        self._presence = PresenceView(frozenset(), frozenset(Source))
        self.cells = Series()
        self.batch, self.prompt, self.commands = BatchPanel(), PromptPanel(), CommandPanel()
        self.chart = GanttChart()
        self.forecast = ElidedLabel("mid", "forecast")
        self.target = QtWidgets.QComboBox()
        self.target.setObjectName("forecast_target")
        self.target.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToContents)
        for cells in (5e8, 1e9, 2e9, 3e9, 4.5e9, 6e9):
            self.target.addItem(tr("until {cells} cells", cells=wording.powers(cells, 1)), cells)
        self.target.setCurrentIndex(self.target.findData(4.5e9))  # when the shipped process harvests
        self.target.currentIndexChanged.connect(self._show_forecast)
        self.zoom = QtWidgets.QComboBox()
        self.zoom.setObjectName("zoom")
        for name, text in zip(ZOOMS, (tr("whole batch"), tr("a day"), tr("three hours")), strict=True):
            self.zoom.addItem(text, name)
        self.zoom.currentIndexChanged.connect(self._zoom)
        self._lay_out()
        self.rescale()
        self.operator.textChanged.connect(self._name_given)
        self.commands.requested.connect(self.requested)
        self.prompt.answered.connect(self._answer)
        self.batch.chosen.connect(self.batch_chosen)
        self.handlers = {
            BatchSnapshot: self._show_batch,
            BatchesView: self.batch.show_batches,
            PlanView: self._show_plan,
            HistoryView: self._show_history,
            MeasurementView: self._measured,
            PromptView: self.prompt.show_prompt,
            PresenceView: self._show_presence,
            Reply: self._show_reply,
        }
        self._show_presence(self._presence)

    def _lay_out(self) -> None:
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(10, 10, 10, 10)
        column.setSpacing(8)
        column.addWidget(self.batch)
        column.addWidget(self.prompt)
        plan = Panel("", "plan")
        head = QtWidgets.QHBoxLayout()
        head.addWidget(label("title", tr("Plan (outlined) and progress (filled)")))
        head.addStretch(1)
        head.addWidget(self.zoom)
        plan.body.addLayout(head)
        plan.body.addWidget(self.chart, 1)
        column.addWidget(plan, 1)
        ahead = Panel("", "ahead")
        row = QtWidgets.QHBoxLayout()
        row.addWidget(self.forecast, 1)
        row.addWidget(self.target)
        ahead.body.addLayout(row)
        column.addWidget(ahead)
        bottom = QtWidgets.QHBoxLayout()
        bottom.addWidget(self.commands, 1)
        bottom.addLayout(self.operator_row())
        column.addLayout(bottom)

    def scaled(self, scale: float) -> None:
        """Let the chart's letters grow."""
        self.chart.set_scale(scale)

    def age(self) -> None:
        """Count on from what has come; drawing the chart takes 5 ms, so not at every word of a fast batch."""
        self.chart.update()
        self._show_forecast()

    def tab_parts(self) -> Sequence[QtWidgets.QWidget]:
        """Return the question, the commands, who acts, and what is drawn."""
        return self.prompt, self.commands, self.operator, self.login, self.zoom, self.target, self.batch

    def settings(self) -> dict[str, str]:
        """Return zoom and target too."""
        target = str(self.target.currentIndex())
        return {**super().settings(), "zoom": str(self.zoom.currentData()), "target": target}

    def restore(self, settings: Mapping[str, str]) -> None:
        """Take up zoom and target too."""
        super().restore(settings)
        self.zoom.setCurrentIndex(max(self.zoom.findData(settings.get("zoom", "batch")), 0))
        target = settings.get("target", "")
        if target.isdigit() and int(target) < self.target.count():
            self.target.setCurrentIndex(int(target))

    def _show_batch(self, batch: BatchSnapshot) -> None:
        self._known = bool(batch.batch_id)
        if batch.batch_id != self.chart.timeline.batch_id:
            self._harvest = ()
            self.chart.update()
        if batch.batch_id and math.isfinite(batch.process_day):
            self._start_s = batch.time_s - batch.process_day * DAY_S
        self.batch.show_batch(batch)
        self.commands.show_batch(batch)
        self.prompt.show_batch(batch)
        self.chart.timeline.take_batch(batch)
        self._show_presence(self._presence)

    def _show_plan(self, plan: PlanView) -> None:
        self.chart.timeline.take_plan(plan)
        self.chart.update()

    def _show_history(self, history: HistoryView) -> None:
        timeline = self.chart.timeline
        timeline.take_history(history)
        points = history.curves.get((self._culture, "viable_cells", "cells"), ())
        if history.batch_id == timeline.batch_id:
            self._harvest = history.harvest
            self.cells.precede(points, timeline.now_s)
        self.chart.update()

    def _measured(self, item: MeasurementView) -> None:
        if item.module == self._culture and item.name == "viable_cells" and math.isfinite(item.value):
            self.cells.add(item.time_s, item.value)

    def _show_forecast(self, *_: object) -> None:
        known = [told for told in self._harvest if not told[0] > self.chart.timeline.now_s]
        if known:
            time_s, day, low, high = known[-1]
            self.forecast.set_whole(
                tr(
                    "Soft sensor, day {now}: harvest on day {at}, 95 % {early} to {late}",
                    now=wording.number((time_s - self._start_s) / DAY_S, 1), at=wording.number(day, 1),
                    early=wording.number(low, 1), late=wording.number(high, 1),
                )
            )  # fmt: skip
            return
        target = float(self.target.currentData())
        found = reaches(self.cells.times_s, self.cells.values, target)
        if self.cells.latest() >= target:
            self.forecast.set_whole(tr("Reached: {cells} cells", cells=wording.powers(self.cells.latest())))
            return
        if found is None or not math.isfinite(self._start_s):
            self.forecast.set_whole(tr("Forecast: not enough growing culture seen yet"))
            return
        times = (found.at_s, found.earliest_s, found.latest_s)
        days = [wording.number((at - self._start_s) / DAY_S, 1) for at in times]
        self.forecast.set_whole(
            tr(
                "Extrapolated from 36 h: day {at}, 95 % {early} to {late}; grows {rate} a day",
                at=days[0], early=days[1], late=days[2], rate=wording.number(found.rate_per_d, 2),
            )
        )  # fmt: skip

    def _zoom(self, *_: object) -> None:
        self.chart.zoom = str(self.zoom.currentData())
        self.chart.update()

    def _show_presence(self, item: PresenceView) -> None:
        self._presence = item
        coordinator, awaited = Source.COORDINATOR in item.present, Source.COORDINATOR in item.awaited
        self.batch.show_presence(self._known, coordinator, awaited)
        self.commands.show_presence(coordinator, awaited)
        self.prompt.show_presence(coordinator, awaited)

    def _show_reply(self, reply: Reply) -> None:
        if reply.request.kind is RequestKind.COMMAND:
            self.commands.show_reply(reply)
        elif reply.request.kind is RequestKind.ANSWER:
            self.prompt.show_reply(reply)

    def _name_given(self, name: str) -> None:
        self.commands.who = name.strip()

    def _answer(self, request: Request) -> None:
        if self.sign(request):
            self.prompt.mark_sent()
