# SPDX-License-Identifier: Apache-2.0
"""A person at a stand-alone window: finds controls by their names, clicks where they are drawn and types.

    python window_hand.py overview|all LABEL WHO

Run as a process of its own, joined to a workcell that is about to ask for the label of its batch: answers the question,
holds, restarts, acknowledges an alarm, stops. Each step waits for what the window shows and is told on a line of
its own; what is not seen in time ends the process with 1. With an X display the input goes through the X server by
xdotool, so that a window in front, a wrong focus or a disabled button are met as by a hand; off-screen by Qt's own.

She acts as people do: waits until a control rests where it is, looks whether her click or her letters have come to
anything, and does it again when they have not, since a banner may move a button away under the pointer and a dialog may
not have the keyboard yet. A command that the workcell refuses is not given twice.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from mimedi_nodes.dashboard.boards.alarm_board import AlarmBoard
from mimedi_nodes.dashboard.look.qt import QtCore, QtWidgets
from mimedi_nodes.dashboard.options import parse
from mimedi_nodes.dashboard.window import Window

QtTest = importlib.import_module(QtCore.__name__.replace("QtCore", "QtTest"))
STEP_S = 60.0
"""Longest wait for what a step shows [s of steady time], on a loaded machine."""
LOOK_S = 3.0
"""For how long she waits for what a click or a key does before she does it again [s of steady time]."""
REST_S = 0.1
"""A control that is where it was so long before [s of steady time] is no longer moved by the layout."""


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

    def control(self, letter: str) -> None:
        """Press Ctrl and a letter or digit."""
        QtTest.QTest.keyClick(
            QtWidgets.QApplication.focusWindow(), QtCore.Qt.Key(ord(letter.upper())), QtCore.Qt.ControlModifier
        )


class XHand:
    """Moves the display's pointer and presses its keys."""

    def click(self, control: QtWidgets.QWidget) -> None:
        """Press and release the left button over a control."""
        place = control.window().windowHandle().mapToGlobal(pointed(control))
        self._do("mousemove", str(place.x()), str(place.y()), "click", "1")

    def type(self, text: str) -> None:
        """Type into whatever has the focus; a line feed is Enter."""
        for number, line in enumerate(text.split("\n")):
            if number:
                self._do("key", "Return")
            if line:
                self._do("type", "--delay", "4", line)

    def focus(self, window: QtWidgets.QWidget) -> None:
        """Give the keyboard to a window, as a window manager does when a dialog is over: there is none here."""
        # Refused while the window is not on the screen yet: who asks looks whether it came to anything.
        self._do("windowfocus", str(int(window.winId())), check=False)

    def control(self, letter: str) -> None:
        """Press Ctrl and a letter or digit."""
        self._do("key", f"ctrl+{letter}")

    @staticmethod
    def _do(*words: str, check: bool = True) -> None:
        subprocess.run(["xdotool", *words], check=check, timeout=STEP_S)


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
        if not (found := self.comes(seen, STEP_S)):
            self.give_up(what)
        return found

    def comes(self, seen: Callable[[], Any], within_s: float) -> Any:
        """Run Qt's loop until something is seen or the time [s] is over; return what was seen."""
        end_s = time.monotonic() + within_s
        while not (found := seen()) and time.monotonic() < end_s:
            self.application.processEvents(QtCore.QEventLoop.AllEvents, 20)
        return found

    def act(self, do: Callable[[], None], seen: Callable[[], Any], what: str) -> None:
        """Do something until it has come to what it is done for."""
        end_s = time.monotonic() + STEP_S
        while time.monotonic() < end_s:
            do()
            if self.comes(seen, LOOK_S):
                return
        self.give_up(what)

    def give_up(self, what: str) -> NoReturn:
        """End with what was not seen and what is seen in its place."""
        focus = QtWidgets.QApplication.focusWidget()
        keys = f"{type(focus).__name__} {focus.objectName()}" if focus is not None else "nothing"
        raise SystemExit(f"not within {STEP_S:g} s: {what}; the keyboard is at {keys}; shown: {self.shown()}")

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

    def at_rest(self, kind: type, name: str) -> Any:
        """Return a control that can be used and stays where it is, None when there is none now."""
        before = [(w, w.mapToGlobal(pointed(w))) for w in self.controls(kind, name)]
        self.comes(lambda: False, REST_S)
        now = [(w, w.mapToGlobal(pointed(w))) for w in self.controls(kind, name)]
        return next((one for one, place in now if (one, place) in before), None)

    def click(self, kind: type, name: str, seen: Callable[[], Any], what: str) -> None:
        """Click a control, once it is there and enabled, until the click shows."""
        self.until(lambda: self.controls(kind, name), f"{name} can be clicked")
        self.act(lambda: self.press(self.at_rest(kind, name)), seen, what)

    def press(self, control: Any) -> None:
        """Click a control if there is one."""
        if control is not None:
            self.hand.click(control)

    def write(self, name: str, text: str) -> None:
        """Click into a field and type until the field says what it is to say."""

        def field() -> Any:
            return next(iter(self.controls(QtWidgets.QLineEdit, name)), None)

        def go_there_and_type() -> None:
            self.press(self.at_rest(QtWidgets.QLineEdit, name))
            if not self.comes(lambda: field() is not None and field().hasFocus(), LOOK_S):
                if field() is not None:
                    self.hand.focus(field().window())
                return
            if field().text():
                self.hand.control("a")  # what was typed before is written over
            self.hand.type(text)

        self.until(field, f"{name} can be written into")
        self.act(go_there_and_type, lambda: field() is not None and field().text() == text, f"{name} says {text!r}")

    def go_to(self, tab: int) -> None:
        """Show a tab by its key."""
        if self.tabs:
            self.act(
                lambda: self.press_tab_key(tab),
                lambda: self.window.widget.currentIndex() == tab - 1,
                f"tab {tab} is in front",
            )

    def press_tab_key(self, tab: int) -> None:
        """Press a tab's key in the window, once the window has the keyboard."""
        self.hand.focus(self.window.widget)
        if self.comes(QtWidgets.QApplication.focusWindow, LOOK_S):
            self.hand.control(str(tab))

    def answer(self, text: str) -> None:
        """Answer the open question as a scanner does, which ends its line."""

        def taken() -> bool:
            return not any(f.text() == text for f in self.controls(QtWidgets.QLineEdit, "prompt_text"))

        self.write("prompt_text", text)
        self.act(lambda: self.hand.type("\n"), taken, "the answer is sent")
        self.until(lambda: not self.seen(QtWidgets.QLineEdit, "prompt_text"), "the question is closed")

    def command(self, command: str, why: str, state: str) -> None:
        """Give a command by button and dialog, and wait for the state that it leads to."""

        def dialog() -> list[Any]:
            return self.seen(QtWidgets.QLineEdit, "act_why")

        self.click(QtWidgets.QPushButton, f"command_{command}", dialog, f"the dialog of {command} is open")
        self.write("act_why", why)
        self.click(QtWidgets.QPushButton, "act_confirm", lambda: not dialog(), f"{command} is confirmed")
        self.until(lambda: self.batch_state() == state, f"the batch is {state}")

    def batch_state(self) -> str:
        """Return the state that the board in front shows."""
        return next((w.text() for w in self.controls(QtWidgets.QLabel, "batch_state")), "")

    def acknowledge(self) -> str:
        """Acknowledge the alarm at the top; return its id once it waits no more."""
        return self._acknowledge_in_list() if self.tabs else self._acknowledge_in_panel()

    def _acknowledge_in_list(self) -> str:
        board = next(b for b in self.window.boards if isinstance(b, AlarmBoard))

        def waits() -> list[str]:
            rows = range(board.list.rowCount())
            return [board.list.item(row, 2).text() for row in rows if board.list.item(row, 0).font().bold()]

        self.until(lambda: board.selected() is not None and board.buttons["acknowledge"].isEnabled(), "an alarm waits")
        alarm_id = str(board.selected().alarm_id)
        self.click(
            QtWidgets.QPushButton, "alarm_acknowledge", lambda: alarm_id not in waits(), f"{alarm_id} is acknowledged"
        )
        return alarm_id

    def _acknowledge_in_panel(self) -> str:
        rows = self.window.boards[0].alarms

        def waiting() -> dict[str, Any]:
            known = rows.rows.items()
            return {name: row.button for name, row in known if row.button is not None and row.button.text() == "ACK"}

        def press(alarm_id: str) -> None:
            button = waiting().get(alarm_id)
            if button is not None and button.isVisible() and button.isEnabled():
                self.hand.click(button)

        alarm_id = next(iter(self.until(waiting, "an alarm waits")))
        self.act(lambda: press(alarm_id), lambda: alarm_id not in waiting(), f"{alarm_id} is acknowledged")
        return str(alarm_id)


def main() -> NoReturn:
    """Carry out the steps and end the process; see the module's text."""
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
    # As the product's window does: with the frame alive, Qt's objects go at the very end, the application not first.
    sys.exit(0)


def tell(word: str) -> None:
    """Tell the test that a step is done."""
    print(word, flush=True)


if __name__ == "__main__":
    main()
