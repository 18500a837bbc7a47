# SPDX-License-Identifier: Apache-2.0
"""Where the batch stands: state, phase, day, cells, time left, and why it is held."""

from __future__ import annotations

import math

from ...process.engine.procedure_state import ProcedureState
from ..look import wording
from ..look.language import tr
from ..look.qt import QtCore, QtWidgets, Signal
from ..views import BatchesView, BatchSnapshot
from .parts import ElidedLabel, Panel, label, set_mark, set_text

_HELD = {ProcedureState.HOLDING, ProcedureState.HELD, ProcedureState.PAUSED, ProcedureState.PAUSING}
_ENDED_BADLY = {ProcedureState.STOPPING, ProcedureState.STOPPED, ProcedureState.ABORTING, ProcedureState.ABORTED}


def attention(state: str) -> str:
    """Return the theme's mark of a procedure state; empty for a normal one, and `stale` for an unknown word."""
    if state in _HELD:
        return "held"
    if state in _ENDED_BADLY:
        return "high"
    return "" if state in ProcedureState._value2member_map_ else "stale"


class _Figure(QtWidgets.QWidget):
    """A big value over its name."""

    def __init__(self, caption: str, name: str) -> None:
        super().__init__()
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.value = label("far", wording.UNKNOWN, name)
        column.addWidget(self.value)
        column.addWidget(label("small", caption))

    def show_value(self, text: str) -> None:
        set_text(self.value, text)


class BatchPanel(Panel):
    """The strip on top of the window, to be read from three metres; chooses the batch where there are several."""

    chosen = Signal(str)
    """Emits the name of the batch that is to be shown."""

    def __init__(self) -> None:
        super().__init__("", "batch")
        top = QtWidgets.QHBoxLayout()
        top.setSpacing(34)
        self.state = label("far", tr("NO BATCH"), "batch_state")
        self.state.setProperty("attention", "")
        self.identity = ElidedLabel("small", "batch_identity")
        first = QtWidgets.QVBoxLayout()
        first.setSpacing(0)
        first.addWidget(self.state, 0, QtCore.Qt.AlignLeft)
        which = QtWidgets.QHBoxLayout()
        which.setSpacing(10)
        self.choice = QtWidgets.QComboBox()
        self.choice.setObjectName("batch_choice")
        self.choice.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToContents)
        self.choice.setToolTip(tr("Several batches are in production: choose which one is shown"))
        self.choice.activated.connect(lambda row: self.chosen.emit(str(self.choice.itemData(row))))
        self.choice.hide()
        self.waiting = label("", "", "batches_waiting")
        self.waiting.setProperty("attention", "held")
        self.waiting.hide()
        which.addWidget(self.choice)
        which.addWidget(self.waiting)
        which.addWidget(self.identity, 1)
        first.addLayout(which)
        top.addLayout(first, 1)
        self._day = _Figure(tr("process day"), "batch_day")
        self._cells = _Figure(tr("viable cells"), "batch_cells")
        self._left = _Figure(tr("expected time left"), "batch_left")
        for figure in (self._day, self._cells, self._left):
            top.addWidget(figure)
        self.body.addLayout(top)
        bottom = QtWidgets.QHBoxLayout()
        bottom.setSpacing(16)
        self.phase = ElidedLabel("mid", "batch_phase")
        self.progress = QtWidgets.QProgressBar()
        self.progress.setObjectName("batch_progress")
        self.progress.setRange(0, 1000)
        bottom.addWidget(self.phase, 3)
        bottom.addWidget(self.progress, 2)
        self.body.addLayout(bottom)
        self.hold_reason = label("mid", "", "batch_hold_reason")
        self.hold_reason.setWordWrap(True)
        self.hold_reason.setProperty("attention", "held")
        self.hold_reason.hide()
        self.body.addWidget(self.hold_reason)
        self._show_progress(math.nan, 0, 0)
        self._state_text = tr("NO BATCH")
        self._attention = ""

    def show_batch(self, batch: BatchSnapshot) -> None:
        """Show where a batch stands."""
        self._state_text = batch.state.upper() if batch.batch_id else tr("NO BATCH")
        self._attention = attention(batch.state)
        product = "" if batch.recipe.startswith(batch.product) else batch.product
        self.identity.set_whole("  ·  ".join(filter(None, (batch.batch_id, batch.recipe, product))))
        self._day.show_value(wording.number(batch.process_day, 1))
        self._cells.show_value(wording.powers(batch.viable_cells))
        self._left.show_value(wording.hours(batch.expected_remaining_h))
        phase = "  ·  ".join(filter(None, (wording.phases(batch.phase_id), batch.step)))
        self.phase.set_whole(phase)
        self._show_progress(batch.progress, batch.phases_done, batch.phases_total)
        set_text(self.hold_reason, batch.hold_reason)
        self.hold_reason.setVisible(bool(batch.hold_reason))

    def show_batches(self, batches: BatchesView) -> None:
        """Offer the batches where there are several, and name those not shown that wait for a person."""
        names = list(batches.states)
        self.choice.setVisible(len(names) > 1)
        if names != [self.choice.itemData(row) for row in range(self.choice.count())]:
            self.choice.clear()
            for name in names:
                self.choice.addItem(name, name)
        for row, name in enumerate(names):
            text = f"{name}  ·  {batches.states[name].upper()}"
            if self.choice.itemText(row) != text:
                self.choice.setItemText(row, text)
        self.choice.setCurrentIndex(self.choice.findData(batches.shown))
        set_text(self.waiting, tr("{batches} waits", batches=", ".join(batches.waiting)))
        self.waiting.setVisible(bool(batches.waiting))

    def show_presence(self, known: bool, present: bool, awaited: bool = False) -> None:
        """Show whether the coordinator, whose word this is, is there; `known` when it has ever told of a batch.

        Args:
            awaited: whether it may still be found, so that its absence means nothing yet.
        """
        self.mark_stale(known and not present)
        set_mark(self.state, "attention", "stale" if known and not present else self._attention)
        if present:
            set_text(self.state, self._state_text if known else tr("NO BATCH"))
        elif awaited:
            sought = tr("{state}?  CONNECTING …", state=self._state_text)
            set_text(self.state, sought if known else wording.connecting())
        else:
            lost = tr("{state}?  COORDINATOR LOST", state=self._state_text)
            set_text(self.state, lost if known else tr("NO COORDINATOR"))

    def _show_progress(self, share: float, done: int, total: int) -> None:
        known = math.isfinite(share)
        self.progress.setValue(round(1000.0 * min(max(share, 0.0), 1.0)) if known else 0)
        phases = tr("{done} of {total} phases", done=done, total=total) if total else ""
        self.progress.setFormat("  ·  ".join(filter(None, (wording.percent(share) if known else "", phases))) or "–")
