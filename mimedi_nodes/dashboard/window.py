# SPDX-License-Identifier: Apache-2.0
"""The boards in windows of their own, for machines without rqt."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial

from rclpy.utilities import remove_ros_args

from ..commands.people import Place
from . import boards, language
from .board import Board
from .live import Live
from .options import parse
from .qt import QtCore, QtGui, QtWidgets
from .record_board import RecordBoard

_SIGNAL_CHECK_MS = 300


def main(argv: Sequence[str] | None = None) -> None:
    """Show the window until it is closed or the process is told to stop; exits with 0.

    `--screenshot FILE --after SECONDS` saves what is shown after that time and ends (with `QT_QPA_PLATFORM=offscreen`
    where there is no display).
    """
    arguments = list(sys.argv if argv is None else ["dashboard", *argv])
    given = parse(remove_ros_args(arguments)[1:])
    application = QtWidgets.QApplication(arguments[:1])
    application.setApplicationName("Workcell")
    _end_on_signals(application)
    language.choose(given.language or language.preferred())
    modules = given.modules.split(",") if given.modules else None
    live = Live(given.namespace, modules, arguments, given.runs, Place(given.runs).session)
    settings = QtCore.QSettings("mimedi", "workcell")
    shown = [boards.make(name, live.modules, given.runs) for name in _names(given.name)]
    for board in shown:
        board.restore(_read(settings, board))
        if given.operator is not None:
            board.operator.setText(given.operator)
        live.add(board)
    window: QtWidgets.QWidget = shown[0] if len(shown) == 1 else _tabs(shown)
    if live.namespace:
        window.setWindowTitle(f"{window.windowTitle()} {live.namespace}")
    window.resize(*given.size)
    saved = [True]
    if given.screenshot:

        def save() -> None:
            saved[0] = window.grab().save(given.screenshot)
            application.quit()

        QtCore.QTimer.singleShot(round(1000.0 * given.after), save)
    window.showFullScreen() if given.full_screen else window.show()
    status = application.exec_()
    for board in shown:
        _write(settings, board)
        if isinstance(board, RecordBoard):
            board.close_reader()
    settings.sync()
    live.close()
    if not saved[0]:
        print(f"dashboard: cannot write {given.screenshot}; its folder must exist, .png or .jpg", file=sys.stderr)
        status = 2
    sys.exit(status)


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
