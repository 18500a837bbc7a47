# SPDX-License-Identifier: Apache-2.0
"""The record board: records are read, verified and signed."""

import dataclasses
import shutil
import sqlite3
import sys
from pathlib import Path

import dashboard_scene as scene

from mimedi_nodes.dashboard.feed.batch_history import history_of
from mimedi_nodes.dashboard.feed.run_history import RunHistory
from mimedi_nodes.dashboard.look.record_words import DECISIONS, FINDINGS, beside, heading, is_quiet
from mimedi_nodes.dashboard.views import (
    HistoryView,
)
from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.disposition import STATES
from mimedi_nodes.records.heads import Signer
from mimedi_nodes.records.review import VERDICTS

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "unit" / "records"))
from dashboard_hand import BEN, mark, text, until
from nominal_batch import BATCH, nominal_batch


def sign_as(board, password, meaning="performed"):
    board.buttons["sign"].click()
    dialog = board.dialog
    dialog.user.setText("ben")
    dialog.password.setText(password)
    dialog.meaning.setCurrentIndex(dialog.meaning.findData(meaning))
    dialog.confirm.click()


def test_a_growing_record_is_followed_and_one_that_is_another_is_read_anew(tmp_path):
    """What boards show of a record read in parts is what the whole tells."""
    events = {name: [dataclasses.replace(e, batch_id=name) for e in nominal_batch()] for name in ("B1", "B2")}
    told = []
    history = RunHistory(tmp_path, told.append)

    def look(batch_id, first, last):
        folder = tmp_path / batch_id
        for old in (folder, tmp_path / ".heads"):
            shutil.rmtree(old, ignore_errors=True)
        record = BatchRecord(folder, Signer.load_or_create(tmp_path / "keys"))
        record.append(events[batch_id][first:last])
        history.take(dataclasses.replace(scene.batch(), batch_id=batch_id, phase_id=f"row.{last}"))
        wanted = history_of(batch_id, events[batch_id][first:last])
        until(lambda: [item for item in told if isinstance(item, HistoryView)][-1:] == [wanted], f"{batch_id} is read")
        return record

    try:
        record = look("B1", 0, 300)
        record.append(events["B1"][300:])
        record.close()
        history.take(dataclasses.replace(scene.batch(), batch_id="B1", phase_id="a.b.c"))
        until(lambda: told[-1] == history_of("B1", events["B1"]), "what was added")
        look("B2", 0, 100).close()
        look("B2", 0, 90).close()
    finally:
        history.close()


def test_a_record_is_read_verified_signed_and_an_edit_is_found(show, runs):
    board = show("record", runs)
    until(lambda: board.record is not None, "the record")
    assert text(board, "record_name") == BATCH
    assert board.record.verdict
    assert len(board.record.events) == len(board.models["events"].rows) > 50
    board.filter.setText("viability measurement")
    assert 0 < len(board.models["events"].rows) < len(board.record.events)
    board.buttons["verify"].click()
    until(lambda: text(board, "record_verified").startswith("INTACT"), "verification")
    sign_as(board, "not the password")
    until(lambda: "user or password is wrong" in text(board, "record_verified"), "refusal")
    assert board.dialog.password.text() == ""
    assert board.record.signatures == ()
    sign_as(board, BEN)
    until(lambda: len(board.record.signatures) == 1, "signature")
    assert board.record.signatures[0][:3] == ("performed", "Ben Ode", "operator")
    assert board.tabs.tabText(3) == "Signatures (1)"
    database = sqlite3.connect(runs / BATCH / "record.sqlite")
    with database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        column = database.execute("PRAGMA table_info(rows)").fetchall()
        assert "why" in [row[1] for row in column]
        database.execute("UPDATE rows SET why = 'nothing at all' WHERE rowid = 7")
    database.close()
    board.buttons["verify"].click()
    until(lambda: text(board, "record_verified").startswith("ALTERED"), "the edit is found")
    assert mark(board, "record_verified") == "high"


def test_nothing_of_another_batch_is_shown_or_signed_under_the_name_of_one_that_cannot_be_read(show, recorded):
    broken = recorded / "BROKEN"
    broken.mkdir()
    (broken / "record.sqlite").write_text("no database")
    board = show("record", recorded)
    until(lambda: board.record is not None or text(board, "record_verdict"), "the newest one")
    rows = {board.list.item(row).text().split("\n")[0]: row for row in range(board.list.count())}
    board.list.setCurrentRow(rows[BATCH])
    until(lambda: board.record is not None, "the record")
    said = text(board, "record_verdict")
    assert said == FINDINGS[board.record.verdict]
    assert board.list.item(rows[BATCH]).text() == f"{BATCH}\n{said}"
    board.list.setCurrentRow(rows["BROKEN"])
    assert (board.record, text(board, "record_name"), text(board, "record_verdict")) == (None, "BROKEN", "")
    assert not any(model.rows for model in board.models.values())
    assert not board.buttons["sign"].isEnabled()
    until(lambda: text(board, "record_verdict") == "cannot be read", "the failure")
    assert board.list.item(rows["BROKEN"]).text() == "BROKEN\ncannot be read"
    board.buttons["verify"].click()
    until(lambda: text(board, "record_verified").startswith("ALTERED"), "verification of what cannot be read")


def test_the_list_tells_of_every_record_without_its_being_opened(show, recorded):
    shutil.copytree(recorded / BATCH, recorded / "A-COPY")  # read, not verified, for the list
    board = show("record", recorded)
    until(lambda: board.list.count() == 2, "list of recorded")
    until(lambda: not any(board.list.item(row).text().endswith("…") for row in (0, 1)), "both have been reviewed")
    assert {board.list.item(row).text().split("\n")[1] for row in (0, 1)} == {text(board, "record_verdict")}


def test_the_boards_words_are_those_of_review_and_disposition_and_a_decision_comes_first():
    assert (FINDINGS, DECISIONS) == (VERDICTS, STATES)
    assert (heading("held", "rejected"), beside("held", "rejected", False)) == ("Rejected", FINDINGS["held"])
    assert heading("held", "verified") == FINDINGS["held"]
    assert beside("meets", "released", True) == "Meets its specification; the record has grown since it was signed"
    quiet = {(v, s) for v in FINDINGS for s in DECISIONS if is_quiet(v, s, False)}
    assert quiet == {
        (v, s) for v in ("meets", "meets_provisionally") for s in set(DECISIONS) - {"rejected", "supplied"}
    }
    assert not is_quiet("meets", "released", True)


def test_an_empty_runs_folder_says_so(show, tmp_path):
    board = show("record")
    until(lambda: "No records in" in text(board, "record_name"), "list of runs")
    assert not board.buttons["verify"].isEnabled()
