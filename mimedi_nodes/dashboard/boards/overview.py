# SPDX-License-Identifier: Apache-2.0
"""The overview: everything an operator needs to see of one workcell, on one screen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ..board import Board
from ..look.language import tr
from ..look.qt import QtWidgets
from ..panels.alarm_panel import AlarmPanel
from ..panels.batch_panel import BatchPanel
from ..panels.command_panel import CommandPanel
from ..panels.module_panel import ModulePanel
from ..panels.prompt_panel import PromptPanel
from ..panels.trend_panel import TrendPanel
from ..panels.vision_panel import VisionPanel
from ..views import (
    AlarmsView,
    BatchesView,
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


class Overview(Board):
    """The whole window's content; takes plain values by `show_items`, gives requests by `requested`.

    Args:
        modules: names of the modules that should be there.
        vision: name of the module with the microscope.
        now_s: steady clock [s].
    """

    def __init__(
        self, modules: Sequence[str], vision: str = "vision_qc", now_s: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__("overview", tr("Workcell"), now_s)
        self._vision_module = vision
        self._batch_known = False
        self._presence = PresenceView(frozenset(), frozenset(Source))
        self._measured: list[MeasurementView] = []
        self.batch = BatchPanel()
        self.modules = ModulePanel(modules, now_s)
        self.vision = VisionPanel(now_s)
        self.trend = TrendPanel()
        self.alarms = AlarmPanel()
        self.prompt = PromptPanel()
        self.commands = CommandPanel()
        self._lay_out()
        self.rescale()
        self.operator.textChanged.connect(self._name_given)
        self.commands.requested.connect(self.requested)
        self.prompt.answered.connect(self._answer)
        self.alarms.acted.connect(self._act)
        self.batch.chosen.connect(self.batch_chosen)
        self.handlers = {
            MeasurementView: self._take_measured,
            ModuleView: self.modules.show_module,
            BatchSnapshot: self._show_batch,
            BatchesView: self.batch.show_batches,
            AlarmsView: self.alarms.show_alarms,
            PromptView: self.prompt.show_prompt,
            PopulationView: self.vision.show_population,
            PictureView: self._show_picture,
            PresenceView: self._take_presence,
            Reply: self._show_reply,
        }
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
        bottom.addLayout(self.operator_row())
        column.addLayout(bottom)

    def shown(self) -> None:
        """Give the curves what has come."""
        if self._measured:
            measured, self._measured = self._measured, []
            self.trend.show_measurements(measured)

    def tab_parts(self) -> Sequence[QtWidgets.QWidget]:
        """Return the question, the alarms, the commands, and who acts."""
        return self.prompt, self.alarms, self.commands, self.operator, self.login, self.batch

    def scaled(self, scale: float) -> None:
        """Let the axes' letters grow."""
        self.trend.set_scale(scale)

    def age(self) -> None:
        """Show how old everything is."""
        self.modules.refresh()
        self.vision.refresh()
        self.trend.refresh()
        self.trend.show_silence({name for name, tile in self.modules.tiles.items() if tile.stale})

    def _take_measured(self, item: MeasurementView) -> None:
        self._measured.append(item)
        if item.module == self._vision_module:
            self.vision.show_measurement(item)

    def _show_picture(self, picture: PictureView) -> None:
        if picture.camera == "microscope":
            self.vision.show_picture(picture)

    def _take_presence(self, item: PresenceView) -> None:
        self._presence = item
        self._show_presence()

    def _show_batch(self, batch: BatchSnapshot) -> None:
        self._batch_known = bool(batch.batch_id)
        self.batch.show_batch(batch)
        self.commands.show_batch(batch)
        self.trend.show_batch(batch)
        self.prompt.show_batch(batch)
        self._show_presence()

    def _show_presence(self) -> None:
        here, sought = self._presence.present, self._presence.awaited
        coordinator, awaited = Source.COORDINATOR in here, Source.COORDINATOR in sought
        self.batch.show_presence(self._batch_known, coordinator, awaited)
        self.commands.show_presence(coordinator, awaited)
        self.prompt.show_presence(coordinator, awaited)
        self.alarms.show_presence(Source.SUPERVISOR in here, Source.SUPERVISOR in sought)

    def _show_reply(self, reply: Reply) -> None:
        panels: dict[RequestKind, CommandPanel | PromptPanel | AlarmPanel] = {
            RequestKind.COMMAND: self.commands,
            RequestKind.ANSWER: self.prompt,
            RequestKind.ALARM: self.alarms,
        }
        panels[reply.request.kind].show_reply(reply)

    def _name_given(self, name: str) -> None:
        self.commands.who = name.strip()

    def _answer(self, request: Request) -> None:
        if self.sign(request):
            self.prompt.mark_sent()

    def _act(self, request: Request) -> None:
        if self.sign(request):
            self.alarms.mark_sent(request.target)
