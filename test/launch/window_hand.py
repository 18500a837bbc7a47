# SPDX-License-Identifier: Apache-2.0
"""A person at a stand-alone window: finds controls by their names, clicks where they are drawn and types.

    python window_hand.py overview|all LABEL WHO

Run as a process of its own, joined to a workcell that is about to ask for the label of its batch: answers the question,
holds, restarts, acknowledges an alarm, stops. Each step waits for what the window shows and is told on a line of
its own; what is not seen in time ends the process with 1. With an X display the input goes through the X server by
xdotool, so that a window in front, a wrong focus or a disabled button are met as by a hand; off-screen by Qt's own.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from mimedi_nodes.dashboard.alarm_board import AlarmBoard
from mimedi_nodes.dashboard.options import parse
from mimedi_nodes.dashboard.qt import QtCore, QtWidgets
from mimedi_nodes.dashboard.window import Window

QtTest = importlib.import_module(QtCore.__name__.replace("QtCore", "QtTest"))
STEP_S = 30.0
"""Longest wait for what a step shows [s of steady time], on a loaded machine."""


def pointed(control: QtWidgets.QWidget) -> QtCore.QPoint:
    """Return where a control is clicked, in its window."""
    return control.mapTo(control.window(), control.rect().center())


class QtHand:
    """Sends events to Qt's windows, which find the control at the place themselves."""

    def click(self, control: QtWidgets.QWidget) -> None:
        """Press and release the left button over a control."""
        QtTest.QTest.mouseClick(
            control.window().windowHandle(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, pointed(control)
        )

    def type(self, text: str) -> None:
        """Type into whatever has the focus; a line feed is Enter."""
        for letter in text:
            target = QtWidgets.QApplication.focusWindow()
            if letter == "\n":
                QtTest.QTest.keyClick(target, QtCore.Qt.Key_Return)
            else:
                QtTest.QTest.keyClick(target, letter)

    def focus(self, window: QtWidgets.QWidget) -> None:
        """Give the keyboard to a window; Qt's own platforms do so by themselves."""
        window.activateWindow()

    def shortcut(self, number: int) -> None:
        """Press Ctrl and a digit."""
        key = QtCore.Qt.Key_0 + number
        QtTest.QTest.keyClick(QtWidgets.QApplication.focusWindow(), key, QtCore.Qt.ControlModifier)


class XHand:
    """Moves the display's pointer and presses its keys."""

    def click(self, control: QtWidgets.QWidget) -> None:
        """Press and release the left button over a control."""
        place = control.window().windowHandle().mapToGlobal(pointed(control))
        self._do("mousemove", "--sync", str(place.x()), str(place.y()), "click", "1")

    def type(self, text: str) -> None:
        """Type into whatever has the focus; a line feed is Enter."""
        for number, line in enumerate(text.split("\n")):
            if number:
                self._do("key", "Return")
            if line:
                self._do("type", "--delay", "4", line)

    def focus(self, window: QtWidgets.QWidget) -> None:
        """Give the keyboard to a window, as a window manager does when a dialog is over: there is none here."""
        self._do("windowfocus", str(int(window.winId())))

    def shortcut(self, number: int) -> None:
        """Press Ctrl and a digit."""
        self._do("key", f"ctrl+{number}")

    @staticmethod
    def _do(*words: str) -> None:
        subprocess.run(["xdotool", *words], check=True, timeout=STEP_S)


class Person:
    """Looks at the window and acts on it."""

    def __init__(self, name: str, who: str) -> None:
        self.application = QtWidgets.QApplication(["dashboard"])
        self.hand = XHand() if self.application.platformName() == "xcb" else QtHand()
        self.tabs = name == "all"
        given = parse([name, "--operator", who, "--language", "en", "--runs", "/nonexistent"])
        self.window = Window(given, ["dashboard"])
        self.window.widget.move(0, 0)
        self.window.widget.activateWindow()

    def until(self, seen: Callable[[], Any], what: str) -> Any:
        """Run Qt's loop until something is seen; return it."""
        end_s = time.monotonic() + STEP_S
        while not (found := seen()):
            if time.monotonic() > end_s:
                raise SystemExit(f"not within {STEP_S:g} s: {what}; shown: {self.shown()}")
            self.application.processEvents(QtCore.QEventLoop.AllEvents, 20)
        return found

    def seen(self, kind: type, name: str = "") -> list[Any]:
        """Return the widgets of a kind and object name that are on the screen."""
        found = [w for w in self.application.allWidgets() if isinstance(w, kind) and w.isVisible()]
        return [w for w in found if not name or w.objectName() == name]

    def controls(self, kind: type, name: str = "") -> list[Any]:
        """Return those of them that are enabled."""
        return [w for w in self.seen(kind, name) if w.isEnabled()]

    def shown(self) -> list[str]:
        """Return the texts on the screen."""
        return [w.text() for w in self.controls(QtWidgets.QLabel) if w.text()]

    def click(self, kind: type, name: str) -> None:
        """Click a control once it is there and enabled."""
        self.hand.click(self.until(lambda: self.controls(kind, name), f"{name} can be clicked")[0])

    def write(self, name: str, text: str) -> None:
        """Click into a field and type."""
        self.click(QtWidgets.QLineEdit, name)
        field = self.controls(QtWidgets.QLineEdit, name)[0]
        self.until(field.hasFocus, f"{name} has the focus")
        self.hand.type(text)

    def go_to(self, tab: int) -> None:
        """Show a tab by its key."""
        if self.tabs:
            self.hand.focus(self.window.widget)
            self.until(lambda: QtWidgets.QApplication.focusWindow(), "the window has the focus")
            self.hand.shortcut(tab)
            self.until(lambda: self.window.widget.currentIndex() == tab - 1, f"tab {tab}")

    def answer(self, text: str) -> None:
        """Answer the open question as a scanner does."""
        self.write("prompt_text", text + "\n")
        self.until(lambda: not self.seen(QtWidgets.QLineEdit, "prompt_text"), "the question is closed")

    def command(self, command: str, why: str, state: str) -> None:
        """Give a command by button and dialog, and wait for the state that it leads to."""
        self.click(QtWidgets.QPushButton, f"command_{command}")
        self.write("act_why", why)
        self.click(QtWidgets.QPushButton, "act_confirm")
        self.until(lambda: self.batch_state() == state, f"the batch is {state}")

    def batch_state(self) -> str:
        """Return the state that the board in front shows."""
        return next((w.text() for w in self.controls(QtWidgets.QLabel, "batch_state")), "")

    def acknowledge(self) -> str:
        """Acknowledge the alarm at the top; return its id once it waits no more."""
        return self._acknowledge_in_list() if self.tabs else self._acknowledge_in_panel()

    def _acknowledge_in_list(self) -> str:
        board = next(b for b in self.window.boards if isinstance(b, AlarmBoard))
        self.click(QtWidgets.QPushButton, "alarm_acknowledge")
        alarm_id = str(board.selected().alarm_id)

        def waits() -> bool:
            ids = [board.list.item(row, 2).text() for row in range(board.list.rowCount()) if bold(row)]
            return alarm_id in ids

        def bold(row: int) -> bool:
            return board.list.item(row, 0).font().bold()

        self.until(lambda: not waits(), f"{alarm_id} is acknowledged")
        return alarm_id

    def _acknowledge_in_panel(self) -> str:
        rows = self.window.boards[0].alarms

        def waiting() -> dict[str, Any]:
            known = rows.rows.items()
            return {name: row.button for name, row in known if row.button is not None and row.button.text() == "ACK"}

        alarm_id, button = next(iter(self.until(waiting, "an alarm waits").items()))
        self.until(button.isVisible, "its button is on the screen")
        self.hand.click(button)
        self.until(lambda: alarm_id not in waiting(), f"{alarm_id} is acknowledged")
        return str(alarm_id)


def main() -> int:
    """Carry out the steps; see the module's text."""
    name, text, who = sys.argv[1:4]
    person = Person(name, who)
    person.go_to(2)
    person.answer(text)
    tell("answered")
    person.until(lambda: person.batch_state() == "RUNNING", "the batch runs")
    person.command("hold", "a look at the bag", "HELD")
    tell("held")
    person.command("restart", "the bag is fine", "RUNNING")
    tell("running")
    person.go_to(4)
    tell(f"acknowledged {person.acknowledge()}")
    person.go_to(2)
    person.command("stop", "enough for a test", "STOPPED")
    tell("stopped")
    person.window.close()
    return 0


def tell(word: str) -> None:
    """Tell the test that a step is done."""
    print(word, flush=True)


if __name__ == "__main__":
    sys.exit(main())
