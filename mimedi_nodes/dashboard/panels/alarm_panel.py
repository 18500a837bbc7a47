# SPDX-License-Identifier: Apache-2.0
"""The alarms that are not normal, most urgent first, with what to do and a button to acknowledge."""

from __future__ import annotations

from functools import partial

from ..look import alarm_words, french_names, theme, wording
from ..look.language import later, named, tr
from ..look.qt import QtCore, QtWidgets, Signal
from ..views import ACKNOWLEDGEABLE, AlarmPriority, AlarmState, AlarmsView, AlarmView, Reply, Request, RequestKind
from .parts import ElidedLabel, Panel, label, set_mark, set_text

MESSAGE_LETTERS = 110
"""A message's length in the list; the whole is its tool tip."""

WHOLE_ALARMS = 4
"""With more than so many alarms each has one line: in a flood it is the list that must be seen."""

_WORD = {
    AlarmState.UNACKNOWLEDGED: "",
    AlarmState.ACKNOWLEDGED: later("acknowledged"),
    AlarmState.RETURNED_UNACKNOWLEDGED: later("gone by itself, not acknowledged"),
    AlarmState.LATCHED_UNACKNOWLEDGED: later("cause gone, latched"),
    AlarmState.LATCHED_ACKNOWLEDGED: later("cause gone, latched, acknowledged"),
    AlarmState.SHELVED: later("shelved"),
    AlarmState.SUPPRESSED_BY_DESIGN: later("suppressed by design"),
    AlarmState.OUT_OF_SERVICE: later("out of service"),
}
_SILENT = {AlarmState.SHELVED, AlarmState.SUPPRESSED_BY_DESIGN, AlarmState.OUT_OF_SERVICE}


def state_word(state: AlarmState) -> str:
    """Return what a state of an alarm means to people."""
    return tr(_WORD[state]) if _WORD[state] else tr("unacknowledged")


def by_urgency(alarm: AlarmView) -> tuple[int, int, int, float, str]:
    """Sort key: heard before silenced, waiting for a person before acknowledged, then priority, newest first."""
    return (
        alarm.state in _SILENT,
        alarm.state not in ACKNOWLEDGEABLE,
        -alarm.priority,
        -alarm.time_s if alarm.time_s == alarm.time_s else 0.0,
        alarm.alarm_id,
    )


def priority_word(priority: AlarmPriority) -> str:
    """Return a priority in words."""
    word = priority.name.lower()
    return named(french_names.PRIORITIES, word, word)


def _counted(alarms: int) -> str:
    if alarms == 1:
        return tr("1 ALARM")
    return tr("{count} ALARMS", count=alarms) if alarms else tr("No alarms")


class AlarmRow(QtWidgets.QWidget):
    """One alarm."""

    acted = Signal(object)

    def __init__(self, alarm: AlarmView) -> None:
        super().__init__()
        self.setObjectName(f"alarm_{alarm.alarm_id}")
        self.alarm = alarm
        self.sent = False
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 2, 0, 2)
        row.setSpacing(8)
        colour = theme.LINE if alarm.state in _SILENT else theme.PRIORITY_COLOUR[alarm.priority]
        mark = label("mark", theme.PRIORITY_MARK[alarm.priority])
        mark.setStyleSheet(f"color: {colour};")
        mark.setToolTip(f"{tr('priority')}: {priority_word(alarm.priority)}")
        row.addWidget(mark)
        column = QtWidgets.QVBoxLayout()
        column.setSpacing(0)
        message = alarm.message or alarm.alarm_id
        first = label("alarm", wording.shortened(message, MESSAGE_LETTERS))
        first.setToolTip(message)
        first.setWordWrap(True)
        line = ElidedLabel("alarm")
        for each in (first, line):
            each.setProperty("unacknowledged", alarm.state in ACKNOWLEDGEABLE)
            column.addWidget(each)
        word = _WORD.get(alarm.state, "")
        what_to_do = alarm_words.said(alarm.response)
        second = "  ·  ".join(filter(None, (tr(word) if word else "", what_to_do, alarm.alarm_id)))
        response = label("small", second)
        response.setWordWrap(True)
        column.addWidget(response)
        row.addLayout(column, 1)
        line.set_whole(message)
        line.setToolTip(f"{message}\n{second}")
        line.hide()
        self._whole, self._line = (first, response), line
        self.button: QtWidgets.QPushButton | None = None
        act = _act(alarm.state)
        if act:
            self.button = QtWidgets.QPushButton(tr("ACK") if act == "acknowledge" else tr("Reset"))
            self.button.clicked.connect(partial(self._ask, act))
            row.addWidget(self.button)

    def enable(self, present: bool, awaited: bool = False) -> None:
        """Open its button, but not until a reply has come, nor while the supervisor is not there to give one."""
        if self.button is not None:
            self.button.setEnabled(present and not self.sent)
            act = f"{_act(self.alarm.state)} {self.alarm.alarm_id}"
            self.button.setToolTip(act if present else wording.no_supervisor(awaited))

    def compact(self, compact: bool) -> None:
        """Show one line, where many alarms must be seen at once; the tool tip has the rest."""
        for each in self._whole:
            each.setVisible(not compact)
        self._line.setVisible(compact)

    def _ask(self, act: str, *_: object) -> None:
        self.acted.emit(Request(RequestKind.ALARM, self.alarm.alarm_id, act, ""))


def _act(state: AlarmState) -> str:
    if state in ACKNOWLEDGEABLE:
        return "acknowledge"
    return "reset" if state is AlarmState.LATCHED_ACKNOWLEDGED else ""


class AlarmPanel(Panel):
    """The list of alarms under a headline that is read from three metres."""

    acted = Signal(object)
    """Emits a Request with its `who` left empty: the window knows the person."""

    def __init__(self) -> None:
        super().__init__("", "alarms")
        self.headline = label("far", "", "alarm_headline")
        self.headline.setProperty("attention", "")
        self.body.addWidget(self.headline)
        self.told = label("small", "", "alarm_told")
        self.told.setWordWrap(True)
        self.told.hide()
        self.body.addWidget(self.told)
        self._list = QtWidgets.QWidget()
        self._column = QtWidgets.QVBoxLayout(self._list)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(2)
        self._column.addStretch(1)
        area = QtWidgets.QScrollArea()
        area.setWidgetResizable(True)
        area.setFocusPolicy(QtCore.Qt.NoFocus)  # Tab goes from button to button and brings them into view
        area.setWidget(self._list)
        area.viewport().setAutoFillBackground(False)
        self._list.setAutoFillBackground(False)
        self.body.addWidget(area, 1)
        alarm_words.make_ready()
        self.rows: dict[str, AlarmRow] = {}
        self._view: AlarmsView | None = None
        self._known = self._present = False
        self._awaited = True
        self._headline()

    def show_alarms(self, view: AlarmsView) -> None:
        """Show the alarms; rows that have not changed keep their widgets, and with them focus and pending acts."""
        self._known = True
        if view == self._view:
            return
        self._view = view
        wanted = [a for a in sorted(view.alarms, key=by_urgency) if a.state is not AlarmState.NORMAL]
        kept = {a.alarm_id: self.rows[a.alarm_id] for a in wanted if self._keeps(a)}
        for alarm_id, row in self.rows.items():
            if alarm_id not in kept:
                self._column.removeWidget(row)
                row.hide()  # at once: it goes when Qt comes to it
                row.deleteLater()
        self.rows = {}
        for place, alarm in enumerate(wanted):
            row = self.rows[alarm.alarm_id] = kept.get(alarm.alarm_id) or self._make(alarm)
            if self._column.indexOf(row) != place:
                self._column.insertWidget(place, row)
            row.compact(len(wanted) > WHOLE_ALARMS)
        self._headline()

    def show_presence(self, present: bool, awaited: bool = False) -> None:
        """Show whether the supervisor, who watches the alarms, is there; `awaited`: it may still be found."""
        self._present, self._awaited = present, awaited
        self.mark_stale(not present)
        for row in self.rows.values():
            row.enable(present, awaited)
        self._headline()

    def mark_sent(self, alarm_id: str) -> None:
        """Lock an alarm's button until the reply."""
        row = self.rows.get(alarm_id)
        if row is not None:
            row.sent = True
            row.enable(self._present, self._awaited)

    def show_reply(self, reply: Reply) -> None:
        """Tell why an act was refused, and let it be tried again; an accepted one comes back as a new state."""
        row = self.rows.get(reply.request.target)
        if row is not None:
            row.sent = False
            row.enable(self._present, self._awaited)
        message = tr("{what} not taken: {message}", what=reply.request.target, message=reply.message)
        set_text(self.told, "" if reply.accepted else message)
        self.told.setVisible(not reply.accepted)

    def _keeps(self, alarm: AlarmView) -> bool:
        row = self.rows.get(alarm.alarm_id)
        return row is not None and row.alarm == alarm

    def _make(self, alarm: AlarmView) -> AlarmRow:
        row = AlarmRow(alarm)
        row.enable(self._present, self._awaited)
        row.acted.connect(self.acted)
        return row

    def _headline(self) -> None:
        heard = [row.alarm for row in self.rows.values() if row.alarm.state not in _SILENT]
        if not self._present:
            set_text(self.headline, wording.connecting() if self._awaited else tr("ALARMS NOT WATCHED"))
            set_mark(self.headline, "attention", "stale")
            return
        set_text(self.headline, _counted(len(heard)))
        waiting = [alarm.priority for alarm in heard if alarm.state in ACKNOWLEDGEABLE]
        worst = max(waiting, default=None)
        set_mark(self.headline, "attention", AlarmPriority(worst).name.lower() if worst else "")
