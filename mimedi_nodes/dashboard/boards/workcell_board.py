# SPDX-License-Identifier: Apache-2.0
"""The workcell: the mimic diagram under the batch's strip."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..board import Board
from ..look.language import tr
from ..look.qt import QtWidgets
from ..panels.batch_panel import BatchPanel
from ..panels.mimic import Mimic
from ..panels.parts import Panel
from ..views import BatchesView, BatchSnapshot, CassettesView, MeasurementView, ModuleView, PresenceView, Source


class WorkcellBoard(Board):
    """All modules, vessels and lines with their live states.

    Args:
        now_s: steady clock [s].
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__("workcell_board", tr("Workcell"), now_s)
        self._known = False
        self.batch = BatchPanel()
        self.mimic = Mimic(now_s)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(10, 10, 10, 10)
        column.setSpacing(8)
        column.addWidget(self.batch)
        frame = Panel("", "mimic_panel")
        frame.body.addWidget(self.mimic, 1)
        column.addWidget(frame, 1)
        self._present, self._awaited = False, True
        self.rescale()
        self.batch.chosen.connect(self.batch_chosen)
        self.handlers = {
            BatchSnapshot: self._batch,
            BatchesView: self.batch.show_batches,
            ModuleView: self._module,
            MeasurementView: self._measured,
            PresenceView: self._presence,
            CassettesView: self._cassettes,
        }
        self.batch.show_presence(False, False, True)

    def age(self) -> None:
        """Draw once a second: that is often enough for levels and states, and shows what has grown stale."""
        self.mimic.update()

    def _batch(self, batch: BatchSnapshot) -> None:
        self._known = bool(batch.batch_id)
        self.batch.show_batch(batch)
        self.batch.show_presence(self._known, self._present, self._awaited)

    def _module(self, view: ModuleView) -> None:
        self.mimic.show_module(view)

    def _measured(self, item: MeasurementView) -> None:
        self.mimic.show_measurement(item)

    def _cassettes(self, known: CassettesView) -> None:
        self.mimic.show_cassettes(known)

    def _presence(self, item: PresenceView) -> None:
        self._present, self._awaited = Source.COORDINATOR in item.present, Source.COORDINATOR in item.awaited
        self.batch.show_presence(self._known, self._present, self._awaited)
