# SPDX-License-Identifier: Apache-2.0
"""The overview in a window of its own, for machines without rqt."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

from rclpy.utilities import remove_ros_args

from .live import LiveOverview
from .qt import QtCore, QtWidgets

_SIGNAL_CHECK_MS = 300


def main(argv: Sequence[str] | None = None) -> None:
    """Show the window until it is closed or the process is told to stop; exits with 0.

    `--screenshot FILE --after SECONDS` saves what is shown after that time and ends (with `QT_QPA_PLATFORM=offscreen`
    where there is no display).
    """
    arguments = list(sys.argv if argv is None else ["dashboard", *argv])
    parser = argparse.ArgumentParser(prog="workcell dashboard", description="The operator's window of one workcell.")
    parser.add_argument("--namespace", default="", help="namespace of the workcell (default: none)")
    parser.add_argument("--modules", help="names of its modules, comma-separated (default: config/modules.yaml)")
    parser.add_argument("--operator", default="", help="name that acts are signed with")
    parser.add_argument("--size", type=_size, default=(1280, 800), metavar="WxH", help="size of the window [px]")
    parser.add_argument("--full-screen", action="store_true", help="fill the screen")
    parser.add_argument("--screenshot", metavar="FILE", help="save a picture of the window and end")
    parser.add_argument("--after", type=float, default=5.0, metavar="S", help="time before the screenshot [s]")
    given = parser.parse_args(remove_ros_args(arguments)[1:])
    application = QtWidgets.QApplication(arguments[:1])
    application.setApplicationName("Workcell")
    _end_on_signals(application)
    live = LiveOverview(given.namespace, given.modules.split(",") if given.modules else None, arguments)
    live.widget.operator.setText(given.operator)
    live.widget.resize(*given.size)
    saved = [True]
    if given.screenshot:

        def save() -> None:
            saved[0] = live.widget.grab().save(given.screenshot)
            application.quit()

        QtCore.QTimer.singleShot(round(1000.0 * given.after), save)
    live.widget.showFullScreen() if given.full_screen else live.widget.show()
    status = application.exec_()
    live.close()
    if not saved[0]:
        print(f"dashboard: cannot write {given.screenshot}; its folder must exist, .png or .jpg", file=sys.stderr)
        status = 2
    sys.exit(status)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) >= 640 and int(height) >= 480):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 1280x800, at least 640x480")
    return int(width), int(height)


def _end_on_signals(application: QtWidgets.QApplication) -> None:
    """Let SIGINT and SIGTERM close the window, one that comes before Qt's loop runs included.

    Python sees a signal only when Qt's loop comes back to it: hence the timer.
    """
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: told.set())
    timer = QtCore.QTimer(application)
    timer.timeout.connect(lambda: application.quit() if told.is_set() else None)
    timer.start(_SIGNAL_CHECK_MS)


if __name__ == "__main__":
    main()
