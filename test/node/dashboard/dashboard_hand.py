# SPDX-License-Identifier: Apache-2.0
"""What tests of the boards have in common: boards off-screen, a clock in the test's hand, and a look at labels."""

import os
import sys
import time
from pathlib import Path

import dashboard_scene as scene
import pytest

from mimedi_nodes.commands.parts.people import Place, registry
from mimedi_nodes.dashboard.boards import by_name as boards
from mimedi_nodes.dashboard.boards.overview import Overview
from mimedi_nodes.dashboard.look.qt import QtCore, QtWidgets
from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.heads import Signer

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "unit" / "records"))
from nominal_batch import BATCH, nominal_batch

NAME = "A. Martin"
BEN, FIRST = "correct horse battery", "phrase of the first day"


@pytest.fixture(scope="session")
def application():
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication([])


class Steady:
    """A steady clock in the test's hand."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Steady()


@pytest.fixture
def show(application, tmp_path):
    """Makes boards at 1280 x 800 with a clock in the test's hand."""
    made = []

    def make(name, runs=tmp_path):
        clock = Steady()
        board = boards.make(name, scene.MODULES, runs, clock)
        board.clock = clock
        board.requests = []
        board.requested.connect(board.requests.append)
        board.resize(1280, 800)
        board.show()
        made.append(board)
        return board

    yield make
    for board in made:
        if hasattr(board, "close_reader"):
            board.close_reader()
        board.close()
        board.deleteLater()
    application.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)


@pytest.fixture
def overview(application, clock):
    made = Overview(scene.MODULES, now_s=clock)
    made.requests = []
    made.requested.connect(made.requests.append)
    made.resize(1280, 800)
    made.show()
    yield made
    made.close()
    made.deleteLater()
    application.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)


@pytest.fixture
def recorded(tmp_path):
    """A runs folder with one finished batch; nobody has an account."""
    place = Place(tmp_path / "runs")
    record = BatchRecord(place.runs / BATCH, Signer.load_or_create(place.keys))
    record.append(nominal_batch())
    record.close()
    return place.runs


@pytest.fixture
def runs(recorded):
    """The same, and Ben, an operator."""
    place = Place(recorded)
    users = registry(place)
    users.add("anna", "Anna Ruiz", ["administrator"], FIRST, None)
    users.add("ben", "Ben Ode", ["operator"], FIRST, users.authenticate("anna", FIRST))
    users.change_password("ben", FIRST, BEN)
    return place.runs


def text(board, name):
    """The text of a label by its name, elided or not."""
    found = board.findChild(QtWidgets.QLabel, name)
    assert found is not None, name
    return found.whole() if hasattr(found, "whole") else found.text()


def mark(board, name):
    return board.findChild(QtWidgets.QLabel, name).property("attention")


def click(button):
    QtWidgets.QApplication.processEvents()  # lays out what has just been added
    assert button.isEnabled()
    assert button.isVisible()
    button.click()


def laid(board):
    """The plots of the trends once all that are chosen are there: they come one at a time."""
    until(lambda: set(board.plots) == set(board.chosen()), "the plots")
    return board.plots


def until(condition, what, deadline_s=20.0):
    end_s = time.monotonic() + deadline_s
    while not condition():
        QtWidgets.QApplication.processEvents(QtCore.QEventLoop.AllEvents, 20)
        assert time.monotonic() < end_s, what
