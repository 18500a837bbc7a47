# SPDX-License-Identifier: Apache-2.0
"""Alarms (ISA-18.2): the list, what to do, people's acts, the history of the batch, and the flood meter."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from ...process.alarms.table import AlarmTable
from ..board import Board
from ..look import alarm_words, french_names, theme, wording
from ..look.language import named, tr
from ..look.qt import QtCore, QtGui, QtWidgets
from ..panels.act_dialog import ShelveDialog
from ..panels.alarm_panel import by_urgency, priority_word, state_word
from ..panels.parts import Panel, label, set_mark, set_text
from ..views import (
    ACKNOWLEDGEABLE,
    AlarmState,
    AlarmsView,
    AlarmView,
    HistoryView,
    PresenceView,
    Reply,
    Request,
    RequestKind,
    Source,
)

FLOOD_WINDOW_S = 600.0
FLOOD_BEGINS, FLOOD_ENDS = 10, 5
"""A flood is more than 10 new alarms in 10 minutes; it ends below 5 (ANSI/ISA-18.2, 3.1.43 and 16)."""
HISTORY_ROWS = 500


class FloodMeter:
    """Counts new alarms in the last ten minutes of steady time."""

    def __init__(self) -> None:
        self._raised: deque[float] = deque()
        self.flood = False

    def raised(self, now_s: float) -> None:
        """Note a new alarm at steady time `now_s` [s]."""
        self._raised.append(now_s)

    def count(self, now_s: float) -> int:
        """Return how many alarms came within the last ten minutes, and see whether that is a flood."""
        while self._raised and self._raised[0] < now_s - FLOOD_WINDOW_S:
            self._raised.popleft()
        count = len(self._raised)
        self.flood = count > FLOOD_BEGINS or (self.flood and count >= FLOOD_ENDS)
        return count


class AlarmBoard(Board):
    """The alarm list with everything that one does to alarms.

    Args:
        table: the rationalised alarms: cause and consequence stand there, not in the messages.
        now_s: steady clock [s].
    """

    def __init__(self, table: AlarmTable, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__("alarm_board", tr("Alarms"), now_s)
        self._table = table
        alarm_words.make_ready()
        self._alarms: list[AlarmView] = []
        self._present = self._heard = False
        self._awaited = True
        self._history_shown: tuple[str, int] = ("", -1)
        self.meter = FloodMeter()
        self.dialog: ShelveDialog | None = None
        self._build()
        self._lay_out()
        self.rescale()
        self.handlers = {
            AlarmsView: self._show_alarms,
            HistoryView: self._show_history,
            PresenceView: self._show_presence,
            Reply: self._show_reply,
        }
        self._show_selected()
        self._head()

    def _build(self) -> None:
        self.headline = label("far", "", "alarm_headline")
        self.headline.setProperty("attention", "")
        self.flood = label("mid", "", "flood")
        self.flood.setProperty("attention", "")
        self.list = _table("alarm_list", (tr("priority"), tr("state"), tr("alarm"), tr("what was seen"), tr("source")))
        self.list.itemSelectionChanged.connect(self._show_selected)
        self.told = label("", "", "alarm_told")
        self.told.setWordWrap(True)
        self.details = {}
        for name in ("message", "cause", "consequence", "response"):
            text = label("question" if name == "response" else "", "", f"alarm_{name}")
            text.setWordWrap(True)
            text.setTextInteractionFlags(QtCore.Qt.TextSelectableByMouse)
            self.details[name] = text
        self.buttons = {}
        for act, text in (
            ("acknowledge", tr("&Acknowledge")),
            ("reset", tr("&Reset")),
            ("shelve", tr("&Shelve…")),
            ("unshelve", tr("&Unshelve…")),
        ):
            button = QtWidgets.QPushButton(text)
            button.setObjectName(f"alarm_{act}")
            button.clicked.connect(lambda _=False, act=act: self._ask(act))
            self.buttons[act] = button
        self.history = _table("alarm_history", (tr("day"), tr("what"), tr("alarm"), tr("who")))

    def _lay_out(self) -> None:
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(10, 10, 10, 10)
        column.setSpacing(8)
        head = QtWidgets.QHBoxLayout()
        head.addWidget(self.headline)
        head.addStretch(1)
        head.addWidget(self.flood)
        head.addSpacing(20)
        head.addLayout(self.operator_row())
        column.addLayout(head)
        split = QtWidgets.QSplitter(QtCore.Qt.Vertical)
        self.listing = Panel("", "alarm_listing")
        self.listing.body.addWidget(self.list)
        split.addWidget(self.listing)
        lower = QtWidgets.QWidget()
        row = QtWidgets.QHBoxLayout(lower)
        row.setContentsMargins(0, 0, 0, 0)
        detail = Panel("", "alarm_detail")
        names = (tr("Seen"), tr("Cause"), tr("Consequence"), tr("What to do"))
        for name, text in zip(self.details, names, strict=True):
            detail.body.addWidget(label("small", text))
            detail.body.addWidget(self.details[name])
        detail.body.addStretch(1)
        acts = QtWidgets.QHBoxLayout()
        for button in self.buttons.values():
            acts.addWidget(button)
        acts.addStretch(1)
        detail.body.addWidget(self.told)
        detail.body.addLayout(acts)
        row.addWidget(detail, 3)
        past = Panel(tr("History of the batch"), "alarm_past")
        past.body.addWidget(self.history)
        row.addWidget(past, 2)
        split.addWidget(lower)
        split.setStretchFactor(0, 3)
        split.setStretchFactor(1, 4)
        column.addWidget(split, 1)

    def age(self) -> None:
        """Let the flood meter run down."""
        count = self.meter.count(self.now_s())
        text = tr("{count} new in 10 min", count=count)
        set_text(self.flood, tr("FLOOD  ·  {text}", text=text) if self.meter.flood else text)
        set_mark(self.flood, "attention", "held" if self.meter.flood else "")

    def selected(self) -> AlarmView | None:
        """Return the alarm that is chosen in the list."""
        row = self.list.currentRow()
        return self._alarms[row] if 0 <= row < len(self._alarms) and self.list.selectedItems() else None

    def _show_alarms(self, view: AlarmsView) -> None:
        known = {(a.alarm_id, a.source) for a in self._alarms}
        chosen = self.selected()
        fresh = [a for a in view.alarms if a.state is not AlarmState.NORMAL]
        if self._heard:
            for alarm in fresh:
                if (alarm.alarm_id, alarm.source) not in known:
                    self.meter.raised(self.now_s())
        self._heard = True
        self._alarms = sorted(fresh, key=by_urgency)
        self.list.blockSignals(True)
        self.list.setRowCount(len(self._alarms))
        for row, alarm in enumerate(self._alarms):
            self._fill(row, alarm)
        keys = [(a.alarm_id, a.source) for a in self._alarms]
        key = (chosen.alarm_id, chosen.source) if chosen is not None else None
        if keys:
            self.list.selectRow(keys.index(key) if key in keys else 0)
        self.list.blockSignals(False)
        self._show_selected()
        self._head()
        self.age()

    def _fill(self, row: int, alarm: AlarmView) -> None:
        waits = alarm.state in ACKNOWLEDGEABLE
        words = (
            f"{theme.PRIORITY_MARK[alarm.priority]} {priority_word(alarm.priority)}",
            state_word(alarm.state),
            alarm.alarm_id,
            alarm.message,
            alarm.source,
        )
        for place, text in enumerate(words):
            item = QtWidgets.QTableWidgetItem(text)
            item.setToolTip(text)
            font = item.font()
            font.setBold(waits)
            item.setFont(font)
            if place == 0 and waits:
                # An icon, which the selection does not paint over.
                square = QtGui.QPixmap(24, 24)
                square.fill(QtGui.QColor(theme.PRIORITY_COLOUR[alarm.priority]))
                icon = QtGui.QIcon(square)
                icon.addPixmap(square, QtGui.QIcon.Selected)
                item.setIcon(icon)
            self.list.setItem(row, place, item)

    def _show_selected(self) -> None:
        alarm = self.selected()
        entry = self._table.entry(alarm.alarm_id) if alarm is not None else None
        texts = {
            "message": alarm.message if alarm else "",
            "cause": alarm_words.said(entry.cause) if entry else "",
            "consequence": alarm_words.said(entry.consequence) if entry else "",
            "response": alarm_words.said(alarm.response or entry.response) if alarm and entry else "",
        }
        for name, text in texts.items():
            set_text(self.details[name], text or wording.UNKNOWN)
        state = alarm.state if alarm is not None else None
        allowed = {
            "acknowledge": state in ACKNOWLEDGEABLE,
            "reset": state is AlarmState.LATCHED_ACKNOWLEDGED,
            "shelve": state is not None
            and state not in (AlarmState.SHELVED, AlarmState.SUPPRESSED_BY_DESIGN, AlarmState.OUT_OF_SERVICE),
            "unshelve": state is AlarmState.SHELVED,
        }
        for act, button in self.buttons.items():
            button.setEnabled(self._present and allowed[act])
            why_not = "" if allowed[act] else tr("Not possible in this state of the alarm")
            button.setToolTip(why_not if self._present else wording.no_supervisor(self._awaited))

    def _ask(self, act: str) -> None:
        alarm = self.selected()
        if alarm is None:
            return
        if act in ("acknowledge", "reset"):
            if self.sign(Request(RequestKind.ALARM, alarm.alarm_id, act, "")):
                self.buttons[act].setEnabled(False)
            return
        self.dialog = ShelveDialog(alarm.alarm_id, act == "shelve", self.operator.name(), self)
        self.dialog.accepted.connect(lambda: self._send(alarm.alarm_id, act))
        self.dialog.open()

    def _send(self, alarm_id: str, act: str) -> None:
        assert self.dialog is not None
        who, why = self.dialog.given()
        self.requested.emit(Request(RequestKind.ALARM, alarm_id, act, who, why, self.dialog.hours()))

    def _show_history(self, history: HistoryView) -> None:
        shown = (history.batch_id, len(history.alarms))
        if shown == self._history_shown:
            return
        self._history_shown = shown
        rows = history.alarms[-HISTORY_ROWS:][::-1]
        self.history.setRowCount(len(rows))
        for row, (time_s, kind, alarm_id, who) in enumerate(rows):
            day = wording.number(time_s / 86400.0, 2) if math.isfinite(time_s) else wording.UNKNOWN
            for place, text in enumerate((day, named(french_names.ALARM_ACTS, kind, kind), alarm_id, who)):
                item = QtWidgets.QTableWidgetItem(text)
                item.setToolTip(text)
                self.history.setItem(row, place, item)

    def _show_presence(self, item: PresenceView) -> None:
        self._present, self._awaited = Source.SUPERVISOR in item.present, Source.SUPERVISOR in item.awaited
        self.listing.mark_stale(not self._present)
        self._show_selected()
        self._head()

    def _show_reply(self, reply: Reply) -> None:
        if reply.request.kind is not RequestKind.ALARM:
            return
        text = tr("taken") if reply.accepted else tr("refused: {message}", message=reply.message)
        set_text(self.told, f"{reply.request.act} {reply.request.target}: {text}")
        self._show_selected()

    def _head(self) -> None:
        if not self._present:
            set_text(self.headline, wording.connecting() if self._awaited else tr("ALARMS NOT WATCHED"))
            set_mark(self.headline, "attention", "stale")
            return
        waiting = [a.priority for a in self._alarms if a.state in ACKNOWLEDGEABLE]
        text = tr("{count} alarms, {waiting} wait", count=len(self._alarms), waiting=len(waiting))
        set_text(self.headline, text if self._alarms else tr("No alarms"))
        worst = max(waiting, default=None)
        set_mark(self.headline, "attention", worst.name.lower() if worst else "")


def _table(name: str, columns: tuple[str, ...]) -> QtWidgets.QTableWidget:
    made = QtWidgets.QTableWidget(0, len(columns))
    made.setObjectName(name)
    made.setHorizontalHeaderLabels(list(columns))
    made.verticalHeader().setVisible(False)
    made.setEditTriggers(QtWidgets.QAbstractItemView.NoEditTriggers)
    made.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
    made.setSelectionMode(QtWidgets.QAbstractItemView.SingleSelection)
    made.setTabKeyNavigation(False)
    made.setShowGrid(False)
    made.setAlternatingRowColors(True)
    made.setWordWrap(False)
    header = made.horizontalHeader()
    header.setSectionResizeMode(QtWidgets.QHeaderView.ResizeToContents)
    header.setStretchLastSection(False)
    header.setSectionResizeMode(3 if len(columns) == 5 else 2, QtWidgets.QHeaderView.Stretch)
    return made
