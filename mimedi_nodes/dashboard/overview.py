# SPDX-License-Identifier: Apache-2.0
"""The overview: everything an operator needs to see of one workcell, on one screen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from . import theme
from .alarm_panel import AlarmPanel
from .batch_panel import BatchPanel
from .command_panel import CommandPanel
from .module_panel import ModulePanel
from .parts import label, set_mark
from .prompt_panel import PromptPanel
from .qt import QtCore, QtGui, QtWidgets, Signal
from .trend_panel import TrendPanel
from .views import (
    AlarmsView,
    BatchSnapshot,
    MeasurementView,
    ModuleView,
    PictureView,
    PopulationView,
    PresenceView,
    PromptView,
    Reply,
    Request,
    RequestKind,
    Source,
)
from .vision_panel import VisionPanel

REFRESH_MS = 1000
"""How often the ages of what is shown are looked at."""


class Overview(QtWidgets.QWidget):
    """The whole window's content; takes plain values by `show_items`, gives requests by `requested`.

    Args:
        modules: names of the modules that should be there.
        vision: name of the module with the microscope.
        now_s: steady clock [s].
    """

    requested = Signal(object)

    def __init__(
        self, modules: Sequence[str], vision: str = "vision_qc", now_s: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.setObjectName("overview")
        self.setWindowTitle("Workcell")
        self._scale = 0.0
        self._vision_module = vision
        self._batch_known = False
        self._present: frozenset[Source] = frozenset()
        self.batch = BatchPanel()
        self.modules = ModulePanel(modules, now_s)
        self.vision = VisionPanel(now_s)
        self.trend = TrendPanel()
        self.alarms = AlarmPanel()
        self.prompt = PromptPanel()
        self.commands = CommandPanel()
        self.operator = QtWidgets.QLineEdit()
        self.operator.setObjectName("operator")
        self.operator.setPlaceholderText("your name")
        self.operator.setMaximumWidth(240)
        self._lay_out()
        self._rescale()
        self.operator.textChanged.connect(self._name_given)
        self.commands.requested.connect(self.requested)
        self.prompt.answered.connect(self._sign)
        self.alarms.acted.connect(self._sign)
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self.refresh)
        self._timer.start(REFRESH_MS)
        self._show_presence()

    def _lay_out(self) -> None:
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(10, 10, 10, 10)
        column.setSpacing(8)
        column.addWidget(self.batch)
        column.addWidget(self.modules)
        left, right = QtWidgets.QVBoxLayout(), QtWidgets.QVBoxLayout()
        left.setSpacing(8)
        right.setSpacing(8)
        left.addWidget(self.vision, 9)
        left.addWidget(self.trend, 10)
        right.addWidget(self.prompt)
        right.addWidget(self.alarms, 1)
        middle = QtWidgets.QHBoxLayout()
        middle.setSpacing(8)
        middle.addLayout(left, 3)
        middle.addLayout(right, 2)
        column.addLayout(middle, 1)
        bottom = QtWidgets.QHBoxLayout()
        bottom.setSpacing(8)
        bottom.addWidget(self.commands, 1)
        bottom.addWidget(label("small", "Operator"))
        bottom.addWidget(self.operator)
        column.addLayout(bottom)

    def show_items(self, items: Iterable[object]) -> None:
        """Show what has arrived, each kind in its panel."""
        measured = []
        for item in items:
            if isinstance(item, MeasurementView):
                measured.append(item)
                if item.module == self._vision_module:
                    self.vision.show_measurement(item)
            elif isinstance(item, ModuleView):
                self.modules.show_module(item)
            elif isinstance(item, BatchSnapshot):
                self._show_batch(item)
            elif isinstance(item, AlarmsView):
                self.alarms.show_alarms(item)
            elif isinstance(item, PromptView):
                self.prompt.show_prompt(item)
            elif isinstance(item, PopulationView):
                self.vision.show_population(item)
            elif isinstance(item, PictureView):
                self.vision.show_picture(item)
            elif isinstance(item, PresenceView):
                self._present = item.present
                self._show_presence()
            elif isinstance(item, Reply):
                self._show_reply(item)
            else:
                raise TypeError(f"the overview has no panel for {type(item).__name__}")
        if measured:
            self.trend.show_measurements(measured)

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        """Let letters grow with the window."""
        super().resizeEvent(event)
        self._rescale()

    def _rescale(self) -> None:
        scale = theme.scale_for(self.height())
        if scale != self._scale:
            self._scale = scale
            self.setStyleSheet(theme.style(scale))
            self.trend.set_scale(scale)

    def refresh(self) -> None:
        """Show how old everything is."""
        self.modules.refresh()
        self.vision.refresh()
        self.trend.refresh()

    def _show_batch(self, batch: BatchSnapshot) -> None:
        self._batch_known = bool(batch.batch_id)
        self.batch.show_batch(batch)
        self.commands.show_batch(batch)
        self.trend.show_batch(batch)
        self.prompt.show_batch(batch)
        self._show_presence()

    def _show_presence(self) -> None:
        coordinator = Source.COORDINATOR in self._present
        self.batch.show_presence(self._batch_known, coordinator)
        self.commands.show_presence(coordinator)
        self.prompt.mark_stale(not coordinator)
        self.alarms.show_presence(Source.SUPERVISOR in self._present)

    def _show_reply(self, reply: Reply) -> None:
        panels: dict[RequestKind, CommandPanel | PromptPanel | AlarmPanel] = {
            RequestKind.COMMAND: self.commands,
            RequestKind.ANSWER: self.prompt,
            RequestKind.ALARM: self.alarms,
        }
        panels[reply.request.kind].show_reply(reply)

    def _name_given(self, name: str) -> None:
        self.commands.who = name.strip()
        set_mark(self.operator, "missing", False)

    def _sign(self, request: Request) -> None:
        """Send a request under the operator's name; without a name, ask for it and send nothing."""
        who = self.operator.text().strip()
        if not who:
            set_mark(self.operator, "missing", True)
            self.operator.setFocus()
            return
        if request.kind is RequestKind.ANSWER:
            self.prompt.mark_sent()
        else:
            self.alarms.mark_sent(request.target)
        self.requested.emit(replace(request, who=who))
