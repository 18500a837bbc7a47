# SPDX-License-Identifier: Apache-2.0
"""The rqt plugins' manifest, and people who log in at a window."""

import ast
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import dashboard_scene as scene
import pytest

from mimedi_nodes.commands.parts.people import Place, registry
from mimedi_nodes.dashboard.boards import by_name as boards
from mimedi_nodes.dashboard.feed.inbox import Inbox
from mimedi_nodes.dashboard.look.qt import QtCore, Signal
from mimedi_nodes.dashboard.views import (
    Request,
    RequestKind,
)
from mimedi_nodes.process.people.accounts import LoginError, check_session

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "unit" / "records"))
from dashboard_hand import BEN, until

SOURCES = Path(boards.__file__).parents[1]


def test_every_plugin_of_the_manifest_is_a_class_for_one_of_the_boards():
    """What rqt reads before it loads anything is held to the source; test_dashboard_ros loads it."""
    root = SOURCES.parents[1]
    classes = {}
    for node in ast.parse((SOURCES / "plugin.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names = [i.value.value for i in node.body if isinstance(i, ast.Assign) and i.targets[0].id == "NAME"]
            classes[node.name] = names[0] if names else ""
    manifest = ElementTree.parse(root / "plugin.xml").getroot()
    found = [entry.attrib["type"].rsplit(".", 1) for entry in manifest.iter("class")]
    assert {module for module, _ in found} == {"mimedi_nodes.dashboard.plugin"}
    assert sorted(classes[name] for _, name in found) == sorted(["overview", *boards.SIX])
    assert all(entry.attrib["base_class_type"] == "rqt_gui_py::Plugin" for entry in manifest.iter("class"))


@pytest.fixture
def live(runs, monkeypatch):
    """A window joined to a bridge that only notes who acts."""
    from mimedi_nodes.dashboard.live import Live

    class Bridge(QtCore.QObject):
        arrived = Signal()

        def __init__(self):
            super().__init__()
            self.sent, self.inbox = [], Inbox(self.arrived.emit)

        def send(self, request, who=""):
            self.sent.append(who)

        def post(self, key, item):
            self.inbox.post(key, item)

        def take(self):
            return self.inbox.take()

        def close(self):
            return None

    monkeypatch.setattr("mimedi_nodes.dashboard.live.RosBridge", lambda *_: Bridge())
    made = []

    def make():
        made.append(Live("", scene.MODULES, [], None, Place(runs)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.ros
def test_an_act_goes_under_the_session_of_the_person_that_it_names(runs, live):
    users = registry(Place(runs))
    token = users.open_session(users.authenticate("ben", BEN))
    Place(runs).session.write_text(token)
    window = live()
    window.send(Request(RequestKind.COMMAND, "", "hold", "ben", "x"))
    window.send(Request(RequestKind.COMMAND, "", "hold", "somebody else", "x"))
    assert window.bridge.sent == [token, "somebody else"]


@pytest.mark.ros
def test_a_person_logs_in_at_the_window_acts_and_leaves(runs, live, show):
    Place(runs).session.unlink(missing_ok=True)
    board, window = show("batch", runs), live()
    window.add(board)
    until(board.login.isVisible, "the accounts are seen")
    board.login.click()
    dialog = board.login_dialog
    assert not dialog.confirm.isEnabled()
    dialog.user.setText("ben")
    dialog.password.setText("not the password")
    dialog.confirm.click()
    until(lambda: "wrong" in dialog.told.text(), "refusal")
    assert (dialog.password.text(), board.operator.text()) == ("", "")
    dialog.password.setText(BEN)
    dialog.confirm.click()
    until(lambda: board.operator.text() == "ben", "the session")
    assert board.operator.isReadOnly()
    assert not dialog.isVisible()
    board.sign(Request(RequestKind.ANSWER, "p1", "Yes", ""))
    (token,) = window.bridge.sent
    assert check_session(token, registry(Place(runs)).accounts(), time.time()).user == "ben"
    board.login.click()
    until(lambda: not board.operator.isReadOnly(), "logged out")
    with pytest.raises(LoginError):
        check_session(token, registry(Place(runs)).accounts(), time.time())
    assert not board.sign(Request(RequestKind.ANSWER, "p1", "Yes", ""))  # nobody is named any more
    window.remove(board)
