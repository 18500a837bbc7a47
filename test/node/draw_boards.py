# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of the documentation from the scene of the tests, off-screen.

QT_QPA_PLATFORM=offscreen ./workcell exec python test/node/draw_boards.py docs/images 1280x800
"""

import argparse
import time
from pathlib import Path

import dashboard_scene as scene

from mimedi_nodes.dashboard.boards import by_name as boards
from mimedi_nodes.dashboard.boards.record_board import RecordBoard
from mimedi_nodes.dashboard.look import language
from mimedi_nodes.dashboard.look.qt import QtWidgets
from mimedi_nodes.dashboard.options import size
from mimedi_nodes.dashboard.views import PresenceView

DEADLINE_S = 20.0
STATES = {
    "running": scene.everything,
    "held": scene.trouble,
    "flood": lambda: [*scene.trouble(), scene.flood()],
    "stale": lambda: [*scene.everything(), PresenceView(frozenset())],
    "two_vessels": scene.two_vessels,
    "empty": lambda: [scene.everybody()],
}
"""What a workcell may tell; `stale` is looked at 20 s after its last word."""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("size", type=size)
    parser.add_argument("names", nargs="*", default=["overview", *boards.SIX])
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--language", default="en")
    parser.add_argument("--state", choices=STATES, default="running")
    given = parser.parse_args()
    application = QtWidgets.QApplication([])
    language.choose(given.language)
    now_s = [0.0]
    for name in given.names:
        board = boards.make(name, scene.MODULES, given.runs, lambda: now_s[0])
        board.resize(*given.size)
        board.operator.setText("A. Martin")
        board.show()
        if isinstance(board, RecordBoard):
            end_s = time.monotonic() + DEADLINE_S
            while not board.is_listed() and time.monotonic() < end_s:
                application.processEvents()
        else:
            board.show_items(STATES[given.state]())
            now_s[0] += 20.0 if given.state == "stale" else 0.0
        for _ in range(5):
            board.refresh()
            application.processEvents()
        suffix = "" if given.size == (1280, 800) else f"_{given.size[1]}"
        suffix += "" if given.state == "running" else f"_{given.state}"
        suffix += "" if given.language == "en" else f"_{given.language}"
        board.grab().save(str(given.folder / f"{name}{suffix}.png"))
        if isinstance(board, RecordBoard):
            board.close_reader()
        board.close()


if __name__ == "__main__":
    main()
