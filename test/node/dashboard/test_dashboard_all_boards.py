# SPDX-License-Identifier: Apache-2.0
"""Every board, off-screen: it fits, is grey when all is well, remembers, and speaks both languages."""

import ast
import importlib
import string
from pathlib import Path

import dashboard_scene as scene
import pytest
from dashboard_hand import NAME, until

from mimedi_nodes.dashboard.boards import by_name as boards
from mimedi_nodes.dashboard.look import language
from mimedi_nodes.dashboard.look.french import FRENCH
from mimedi_nodes.dashboard.look.qt import QtCore, QtWidgets
from mimedi_nodes.dashboard.views import PresenceView

QtTest = importlib.import_module(QtCore.__name__.replace("QtCore", "QtTest"))
SOURCES = Path(boards.__file__).parents[1]


@pytest.mark.parametrize("name", ["overview", *boards.SIX])
@pytest.mark.parametrize("tongue", language.LANGUAGES)
def test_every_board_fits_takes_everything_and_keeps_its_settings(show, name, tongue):
    language.choose(tongue)
    try:
        board = show(name)
        for items in (scene.everything(), scene.two_vessels(), scene.trouble(), [PresenceView(frozenset())]):
            board.show_items(items)
            board.clock.now_s += 10.0
            board.refresh()
            QtWidgets.QApplication.processEvents()
            hint = board.minimumSizeHint()
            assert (hint.width() <= 1280, hint.height() <= 800) == (True, True), (hint, items[:2])
        assert not board.grab().isNull()
        board.operator.setText(NAME)
        kept = board.settings()
        other = show(name)
        other.restore(kept)
        assert other.settings() == kept
        other.restore({"zoom": "nonsense", "quantities": "{", "span": "x", "target": "99"})  # of another version
    finally:
        language.choose("en")


@pytest.mark.parametrize("name", ["workcell", "batch", "trends", "vision"])
def test_what_is_normal_is_grey(show, name):
    board = show(name)
    items = [scene.everybody(), *scene.modules(), scene.plan(), scene.batch(), *scene.culture(), *scene.values()]
    board.show_items(items)
    board.refresh()
    QtWidgets.QApplication.processEvents()
    image = board.grab().toImage()
    pixels = [image.pixelColor(x, y) for x in range(0, 1280, 3) for y in range(0, 800, 3)]
    # Dark strokes of curves and of the now-line are no alarm: those are bright and strong.
    loud = [c.name() for c in pixels if c.saturation() > 150 and c.value() > 160]
    assert loud == []


def texts_of_the_code():
    """Every text that the code gives to tr() or later()."""
    found = {}
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", ""))
            if named in ("tr", "later") and node.args and isinstance(node.args[0], ast.Constant):
                found[node.args[0].value] = path.name
    return found


def test_every_text_is_there_in_french_with_the_same_values_and_none_too_many():
    said = texts_of_the_code()
    assert set(said) == set(FRENCH)

    def places(text):
        return {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}

    assert {k: places(k) for k in FRENCH} == {k: places(v) for k, v in FRENCH.items()}
    assert all(k.count("&") == v.count("&") for k, v in FRENCH.items())  # each button keeps a key


def test_the_language_is_that_of_the_session_and_others_are_refused(monkeypatch):
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert language.preferred() == "fr"
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert language.preferred() == "en"
    with pytest.raises(ValueError, match="not one of en, fr"):
        language.choose("de")


def focused_by_tab(board, key):
    """Presses Tab (or Shift+Tab) where the keyboard is; returns the name or text of what has it then."""
    QtTest.QTest.keyClick(QtWidgets.QApplication.focusWidget() or board, key)
    now = QtWidgets.QApplication.focusWidget()
    return now.objectName() or now.text()


def test_tab_goes_from_the_question_over_alarms_and_commands_to_who_acts_and_round(show):
    board = show("overview")
    board.show_items(scene.everything())
    board.activateWindow()
    until(board.isActiveWindow, "the window is active")
    commands = [f"command_{name}" for name in ("pause", "hold", "stop", "abort")]
    order = ["Raise", "Keep", "Take a sample first", "ACK", *commands, "operator"]
    assert board.focusWidget() is board  # no button: a stray key asks for nothing
    assert [focused_by_tab(board, QtCore.Qt.Key_Tab) for _ in order] == order
    assert [focused_by_tab(board, QtCore.Qt.Key_Backtab) for _ in order[1:]] == order[-2::-1]


@pytest.mark.parametrize("tongue", language.LANGUAGES)
@pytest.mark.parametrize("name", ["overview", *boards.SIX])
def test_no_two_buttons_of_a_board_have_the_same_key(show, name, tongue):
    language.choose(tongue)
    try:
        buttons = show(name).findChildren(QtWidgets.QAbstractButton)
    finally:
        language.choose("en")
    keys = [each.text()[each.text().index("&") + 1].lower() for each in buttons if "&" in each.text()]
    assert len(keys) == len(set(keys)), [each.text() for each in buttons]
