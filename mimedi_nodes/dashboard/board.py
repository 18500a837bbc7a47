# SPDX-License-Identifier: Apache-2.0
"""What all windows have in common: they take plain values, give requests, grow with their size and keep settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .look import theme
from .look.language import tr
from .look.qt import QtCore, QtGui, QtWidgets, Signal
from .panels.login_dialog import LoginDialog
from .panels.operator_field import OperatorField
from .panels.parts import label
from .views import ITEMS, Request, SessionView

REFRESH_MS = 1000
"""How often the ages of what is shown are looked at."""


def _stops(part: QtWidgets.QWidget) -> list[QtWidgets.QWidget]:
    """Return what takes the keyboard in a part, as one reads: from the top, in a row from the left."""
    inside = [part, *part.findChildren(QtWidgets.QWidget)]
    stops = [w for w in inside if w.isEnabled() and w.isVisible() and w.focusPolicy() & QtCore.Qt.TabFocus]

    def place(widget: QtWidgets.QWidget) -> tuple[int, int]:
        corner = widget.mapTo(part, QtCore.QPoint(0, 0)) if widget is not part else QtCore.QPoint(0, 0)
        return corner.y(), corner.x()

    return sorted(stops, key=place)


class Board(QtWidgets.QWidget):
    """A window's content.

    A subclass sets `handlers` (kind of item → method) before items come, and may override `age`, `scaled`,
    `settings` and `restore`. Items of other kinds are passed over: they are for other windows.

    Args:
        name: object name; the style sheet knows `board`.
        title: title of the window.
        now_s: steady clock [s].
    """

    requested = Signal(object)
    """Emits a Request with person and reason."""

    refresh_ms = REFRESH_MS
    """How often this board looks at the ages of what it shows [ms]."""

    login_given = Signal(str, str)
    """Emits account and password of who logs in."""

    batch_chosen = Signal(str)
    """Emits the name of the batch that is to be shown, on all boards of this window's workcell."""

    logout_wanted = Signal()
    """Emits when who is logged in here leaves."""

    def __init__(self, name: str, title: str, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setProperty("board", True)
        self.setWindowTitle(title)
        self.now_s = now_s
        self.handlers: Mapping[type, Callable[[Any], None]] = {}
        self.operator = OperatorField()
        self.login = QtWidgets.QPushButton(tr("Log in…"))
        self.login.setObjectName("login")
        self.login.hide()
        self.login.clicked.connect(self._log_in_or_out)
        self.login_dialog: LoginDialog | None = None
        self._session = SessionView(accounts=False)
        self._scale = 0.0
        self._timer = QtCore.QTimer(self)
        self._timer.timeout.connect(self.refresh)
        self._timer.start(self.refresh_ms)

    def show_items(self, items: Iterable[object]) -> None:
        """Show what has arrived; raises TypeError for what is no item of any window."""
        for item in items:
            handler = self.handlers.get(type(item))
            if isinstance(item, SessionView):
                self._show_session(item)
            if handler is not None:
                handler(item)
            elif not isinstance(item, ITEMS):
                raise TypeError(f"the window has no panel for {type(item).__name__}")
        self.shown()

    def shown(self) -> None:
        """Called after a batch of items."""

    def refresh(self) -> None:
        """Show how old everything is; a hidden window has no need to."""
        if self.isVisible():
            self.age()

    def age(self) -> None:
        """Show how old everything is."""

    def scaled(self, scale: float) -> None:
        """Take a new scale of the letters where the style sheet does not reach."""

    def settings(self) -> dict[str, str]:
        """Return what is to be remembered."""
        return {"operator": self.operator.text()}

    def restore(self, settings: Mapping[str, str]) -> None:
        """Take up what was remembered; what is missing or no longer known is left as it is."""
        self.operator.setText(settings.get("operator", ""))

    def resizeEvent(self, event: QtGui.QResizeEvent) -> None:
        """Let letters grow with the window."""
        super().resizeEvent(event)
        self.rescale()

    def rescale(self) -> None:
        """Style the window for its size."""
        scale = theme.scale_for(self.height())
        if scale != self._scale:
            self._scale = scale
            self.setStyleSheet(theme.style(scale))
            self.scaled(scale)

    def tab_parts(self) -> Sequence[QtWidgets.QWidget]:
        """Return the parts in the order in which Tab goes through them, the most urgent first; none for Qt's own."""
        return ()

    def showEvent(self, event: QtGui.QShowEvent) -> None:
        """Begin with the keyboard at no button: a stray key must not ask for a command."""
        super().showEvent(event)
        if self.tab_parts() and self.focusWidget() is None:
            self.setFocusPolicy(QtCore.Qt.ClickFocus)
            self.setFocus()

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Go through the parts by Tab: what comes later, such as a question's answers, would be last in Qt's order."""
        stops = [stop for part in self.tab_parts() for stop in _stops(part)]
        if not stops:
            return bool(super().focusNextPrevChild(forward))
        now = QtWidgets.QApplication.focusWidget()
        if now in stops:
            place = (stops.index(now) + (1 if forward else -1)) % len(stops)
        else:
            place = 0 if forward else -1
        stops[place].setFocus(QtCore.Qt.TabFocusReason if forward else QtCore.Qt.BacktabFocusReason)
        return True

    def operator_row(self) -> QtWidgets.QHBoxLayout:
        """Return the row in which the operator says who she is."""
        row = QtWidgets.QHBoxLayout()
        row.addWidget(label("small", tr("Operator")))
        row.addWidget(self.operator)
        row.addWidget(self.login)
        return row

    def _show_session(self, session: SessionView) -> None:
        before, self._session = self._session, session
        self.login.setVisible(session.accounts)
        self.login.setText(tr("Log out") if session.own else tr("Log in…"))
        self.operator.setReadOnly(session.own)
        if session.user or before.own:
            self.operator.setText(session.user)
        if self.login_dialog is not None:
            if session.message:
                self.login_dialog.refuse(session.message)
            else:
                self.login_dialog.accept()
                self.login_dialog = None

    def _log_in_or_out(self, *_: object) -> None:
        if self._session.own:
            self.logout_wanted.emit()
            return
        if self.login_dialog is not None:
            self.login_dialog.reject()
        self.login_dialog = LoginDialog(self.operator.name(), self)
        self.login_dialog.given.connect(self.login_given)
        self.login_dialog.open()

    def sign(self, request: Request) -> bool:
        """Send a request under the operator's name; without a name, ask for it and send nothing."""
        who = self.operator.name()
        if not who:
            self.operator.ask()
            return False
        self.requested.emit(replace(request, who=who))
        return True
