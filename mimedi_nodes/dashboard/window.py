# SPDX-License-Identifier: Apache-2.0
"""The boards in windows of their own, for machines without rqt."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial

from rclpy.utilities import remove_ros_args

from ..commands.parts.people import Place
from .board import Board
from .boards import by_name as boards
from .boards.record_board import RecordBoard
from .live import Live
from .look import language
from .look.qt import QtCore, QtGui, QtWidgets
from .options import parse

_SIGNAL_CHECK_MS = 300
_LANGUAGE = "language"
DEFAULT_SIZE = (1280, 800)
DISPLAY_LOST = "connection broke"
"""What Qt's platform plugins for X11 and Wayland say when their server is gone."""
EXIT_NO_DISPLAY = 2
SWITCH_S = 0.001
"""For how long Python lets another thread compute before Qt's gets its turn [s]: drawing hands over often, and would
wait five times as long each time while a record is read."""


class Window:
    """The chosen boards of one workcell in a window of their own, joined to it and with what they remember.

    Args:
        given: the options, see `options.parse`.
        arguments: the process' arguments, ROS arguments among them.
    """

    def __init__(self, given: argparse.Namespace, arguments: Sequence[str]) -> None:
        self._settings = QtCore.QSettings("mimedi", "workcell")
        self._given = given
        kept = self._settings.value(_LANGUAGE)
        language.choose(given.language or (kept if kept in language.LANGUAGES else language.preferred()))
        modules = given.modules.split(",") if given.modules else None
        self.live = Live(given.namespace, modules, arguments, given.runs, Place(given.runs))
        self.boards = [boards.make(name, self.live.modules, given.runs) for name in _names(given.name)]
        for board in self.boards:
            board.restore(_read(self._settings, board))
            if given.operator is not None:
                board.operator.setText(given.operator)
            self.live.add(board)
        self.widget: QtWidgets.QWidget = self.boards[0] if len(self.boards) == 1 else _tabs(self.boards)
        if self.live.namespace:
            self.widget.setWindowTitle(f"{self.widget.windowTitle()} {self.live.namespace}")
        self._take_place()
        self.widget.showFullScreen() if given.full_screen else self.widget.show()

    def _take_place(self) -> None:
        """Stand where the window stood, with the board open that was; a picture has the size that is asked for."""
        self.widget.resize(*(self._given.size or DEFAULT_SIZE))
        if self._given.screenshot:
            return
        place = self._settings.value(self._key("place"))
        if self._given.size is None and isinstance(place, QtCore.QByteArray):
            self.widget.restoreGeometry(place)
        if isinstance(self.widget, QtWidgets.QTabWidget):
            names = [board.objectName() for board in self.boards]
            shown = self._settings.value(self._key("board"))
            self.widget.setCurrentIndex(names.index(shown) if shown in names else 0)

    def _keep_place(self) -> None:
        if self._given.screenshot:
            return
        if not self.widget.isFullScreen():
            self._settings.setValue(self._key("place"), self.widget.saveGeometry())
        if isinstance(self.widget, QtWidgets.QTabWidget):
            self._settings.setValue(self._key("board"), self.boards[self.widget.currentIndex()].objectName())
        if self._given.language:  # what was asked for once holds from then on
            self._settings.setValue(_LANGUAGE, self._given.language)

    def _key(self, what: str) -> str:
        return f"window_{self._given.name}/{what}"

    def close(self) -> None:
        """Remember what is to be remembered and leave the graph."""
        self._keep_place()
        for board in self.boards:
            _write(self._settings, board)
            if isinstance(board, RecordBoard):
                board.close_reader()
        self._settings.sync()
        self.live.close()


def main(argv: Sequence[str] | None = None) -> None:
    """Show the window until it is closed or the process is told to stop; exits with 0.

    `--screenshot FILE --after SECONDS` saves what is shown after that time and ends (with `QT_QPA_PLATFORM=offscreen`
    where there is no display).
    """
    sys.setswitchinterval(SWITCH_S)
    arguments = list(sys.argv if argv is None else ["dashboard", *argv])
    given = parse(remove_ros_args(arguments)[1:])
    if not _has_display():
        print(
            "workcell dashboard: there is no display. Open it at a desktop or by `ssh -X`; without one: "
            "./workcell watch, ./workcell web, or a picture by "
            "QT_QPA_PLATFORM=offscreen ./workcell dashboard --screenshot FILE.png",
            file=sys.stderr,
        )
        sys.exit(2)
    application = QtWidgets.QApplication(arguments[:1])
    application.setApplicationName("Workcell")
    _end_on_signals(application)
    window = Window(given, arguments)
    _leave_with_the_display(window)
    saved = [True]
    if given.screenshot:

        def save() -> None:
            saved[0] = window.widget.grab().save(given.screenshot)
            application.quit()

        QtCore.QTimer.singleShot(round(1000.0 * given.after), save)
    status = application.exec_()
    window.close()
    if not saved[0]:
        print(f"dashboard: cannot write {given.screenshot}; its folder must exist, .png or .jpg", file=sys.stderr)
        status = 2
    sys.exit(status)


def _has_display() -> bool:
    """Whether Qt finds a screen: without one it ends the process by a signal, and tells of plugins."""
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def _leave_with_the_display(window: Window) -> None:
    """Leave in order when the display dies.

    Qt says so and ends the process by exit(), which takes static objects apart under the ROS thread: with a torn heap,
    its settings unsaved and its node left behind in the graph.
    """

    def told(kind: object, context: object, text: str | None) -> None:
        if DISPLAY_LOST not in (text or ""):
            print(text, file=sys.stderr)
            return
        print("workcell dashboard: the display is gone; the workcell goes on without this window", file=sys.stderr)
        try:
            window.close()
        finally:
            sys.stderr.flush()
            os._exit(EXIT_NO_DISPLAY)

    QtCore.qInstallMessageHandler(told)


def _names(name: str) -> Sequence[str]:
    return boards.SIX if name == "all" else (name,)


def _tabs(shown: Sequence[Board]) -> QtWidgets.QTabWidget:
    """All boards as tabs, chosen by Ctrl+1 and so on; one operator's name for all."""
    tabs = QtWidgets.QTabWidget()
    tabs.setWindowTitle(language.tr("Workcell"))
    for number, board in enumerate(shown):
        tabs.addTab(board, f"{board.windowTitle()}")
        key = QtWidgets.QShortcut(QtGui.QKeySequence(f"Ctrl+{number + 1}"), tabs)
        key.activated.connect(partial(tabs.setCurrentIndex, number))
        for other in shown:
            if other is not board:
                board.operator.textEdited.connect(other.operator.setText)
    return tabs


def _read(settings: QtCore.QSettings, board: Board) -> dict[str, str]:
    settings.beginGroup(board.objectName())
    found = {key: str(settings.value(key)) for key in settings.childKeys()}
    settings.endGroup()
    return found


def _write(settings: QtCore.QSettings, board: Board) -> None:
    settings.beginGroup(board.objectName())
    for key, value in board.settings().items():
        settings.setValue(key, value)
    settings.endGroup()


def _end_on_signals(application: QtWidgets.QApplication) -> None:
    """Let SIGINT and SIGTERM close the window, one that comes before Qt's loop runs included.

    Python sees a signal only when Qt's loop comes back to it: hence the timer.
    """
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    timer = QtCore.QTimer(application)
    timer.timeout.connect(lambda: told.is_set() and application.quit())
    timer.start(_SIGNAL_CHECK_MS)


if __name__ == "__main__":
    main()
