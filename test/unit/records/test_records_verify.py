# SPDX-License-Identifier: Apache-2.0
"""Whatever is done to a record is found: the tamper matrix."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from record_run import Run

from mimedi_nodes.commands.verify import main
from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.chain import EVENT_COLUMNS, ROW_COLUMNS, first_hash, row_hash
from mimedi_nodes.records.errors import RecordError
from mimedi_nodes.records.heads import Head, Signer

OTHER = {
    "number": 77,
    "producer": "mallory",
    "sequence": 70,
    "batch_id": "B2",
    "process_time_s": 121.0,
    "wall_time": "2020-01-01T00:00:00Z",
    "kind": "decision",
    "who": "mallory",
    "what": "lactate_mm",
    "why": "because",
    "data_json": '{"value":99.0}',
    "hash": "0" * 64,
}


def open_raw(run: Run) -> sqlite3.Connection:
    """A forger's view: triggers off."""
    database = sqlite3.connect(run.database, isolation_level=None)
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {name}")
    return database


def put_triggers_back(database: sqlite3.Connection) -> None:
    from mimedi_nodes.records.chain import SCHEMA

    for statement in SCHEMA:
        if statement.startswith("CREATE TRIGGER"):
            database.execute(statement)
    database.close()


def recompute_chain(database: sqlite3.Connection, batch_id: str = "B1") -> None:
    previous = first_hash(batch_id)
    for row in database.execute(f"SELECT {', '.join(ROW_COLUMNS)} FROM rows ORDER BY number").fetchall():
        fields = dict(zip(ROW_COLUMNS, row, strict=True))
        previous = row_hash(previous, fields["number"], fields)
        database.execute("UPDATE rows SET hash = ? WHERE number = ?", (previous, fields["number"]))


def test_untouched_run_is_intact(run: Run) -> None:
    report = run.verify()
    assert (report.verdict, report.rows, report.heads, report.attachments) == ("intact", 7, 3, 1)
    assert not report.notes


@pytest.mark.parametrize("column", ROW_COLUMNS)
@pytest.mark.parametrize("number", [1, 3, 7])
def test_edit_of_any_column_of_any_row_is_found(run: Run, column: str, number: int) -> None:
    database = open_raw(run)
    changed = database.execute(f"UPDATE rows SET {column} = ? WHERE number = ?", (OTHER[column], number))
    assert changed.rowcount == 1
    put_triggers_back(database)
    report = run.verify()
    assert report.verdict == "altered"
    assert "schema_altered" not in run.codes()
    with pytest.raises(RecordError, match="verify"):
        BatchRecord(run.folder, run.signer)


@pytest.mark.parametrize("column", EVENT_COLUMNS)
def test_edit_with_recomputed_chain_is_found_by_the_heads(run: Run, column: str) -> None:
    database = open_raw(run)
    database.execute(f"UPDATE rows SET {column} = ? WHERE number = 4", (OTHER[column],))
    recompute_chain(database)
    put_triggers_back(database)
    assert "rows_replaced" in run.codes()
    with pytest.raises(RecordError, match="verify"):
        BatchRecord(run.folder, run.signer)


@pytest.mark.parametrize("number", [1, 4, 7])
@pytest.mark.parametrize("recompute", [False, True])
def test_removed_row_is_found(run: Run, number: int, recompute: bool) -> None:
    database = open_raw(run)
    database.execute("DELETE FROM rows WHERE number = ?", (number,))
    if recompute:
        database.execute("UPDATE rows SET number = -number + 1 WHERE number > ?", (number,))
        database.execute("UPDATE rows SET number = -number WHERE number < 0")
        recompute_chain(database)
    put_triggers_back(database)
    codes = run.codes()
    assert codes & {"rows_removed", "rows_replaced", "tail_cut"}


def test_inserted_row_is_found(run: Run) -> None:
    database = open_raw(run)
    database.execute("UPDATE rows SET number = -(number + 1) WHERE number >= 4")
    database.execute("UPDATE rows SET number = -number WHERE number < 0")
    forged = [4, "incubator", 9, "B1", 120.0, "2026-01-01T00:00:00Z", "measurement", "x", "y", "", "{}", "0" * 64]
    database.execute(f"INSERT INTO rows VALUES ({', '.join('?' * len(forged))})", forged)
    recompute_chain(database)
    put_triggers_back(database)
    assert {"rows_replaced", "unsigned_rows"} <= run.codes()


def test_row_appended_without_the_key_is_found(run: Run) -> None:
    database = open_raw(run)
    forged = [8, "incubator", 9, "B1", 120.0, "2026-01-01T00:00:00Z", "measurement", "x", "y", "", "{}", "0" * 64]
    database.execute(f"INSERT INTO rows VALUES ({', '.join('?' * len(forged))})", forged)
    recompute_chain(database)
    put_triggers_back(database)
    assert run.codes() == {"unsigned_rows"}
    with pytest.raises(RecordError, match="signed"):
        BatchRecord(run.folder, run.signer)


def test_reordered_rows_are_found(run: Run) -> None:
    database = open_raw(run)
    for old, new in ((3, -4), (4, 3), (-4, 4)):
        database.execute("UPDATE rows SET number = ? WHERE number = ?", (new, old))
    recompute_chain(database)
    put_triggers_back(database)
    assert {"rows_replaced", "reordered"} <= run.codes()


def test_cut_tail_is_found_by_the_ledger_alone(run: Run) -> None:
    database = open_raw(run)
    database.execute("DELETE FROM rows WHERE number > 5")
    database.execute("DELETE FROM heads WHERE number > 2")
    put_triggers_back(database)
    copy = run.folder / "heads.jsonl"
    copy.write_text("".join(copy.read_text().splitlines(keepends=True)[:2]))
    assert run.codes() == {"tail_cut"}
    with pytest.raises(RecordError, match="verify"):
        BatchRecord(run.folder, run.signer)


def test_a_copy_of_the_heads_that_is_gone_is_told(run: Run) -> None:
    (run.folder / "heads.jsonl").unlink()
    assert run.codes() == {"heads_removed"}


def test_full_recomputation_with_a_key_of_ones_own_is_found(run: Run) -> None:
    forger = Signer.ephemeral()
    with_record = BatchRecord(run.folder, run.signer)
    events = list(with_record.events())
    with_record.close()
    shutil.rmtree(run.folder)
    run.ledger.unlink()
    forged = BatchRecord(run.folder, forger)
    forged.append(events[:3])
    forged.close()
    codes = run.codes()
    assert codes == {"bad_signature"}


def test_head_of_another_key_under_the_real_keys_name_is_found(run: Run) -> None:
    lines = run.ledger.read_text().splitlines()
    real = Head.from_line(lines[-1])
    fake = Signer.ephemeral().sign("B1", real.number, real.count, real.hash, real.wall_time)
    lines[-1] = Head(**{**vars(fake), "key_id": real.key_id}).line().rstrip()
    run.ledger.write_text("\n".join(lines) + "\n")
    assert {"bad_signature", "heads_disagree"} == run.codes()


@pytest.mark.parametrize("where", ["ledger", "copy", "record"])
@pytest.mark.parametrize("field", ["batch_id", "number", "count", "hash", "wall_time", "key_id", "signature"])
def test_edited_head_is_found(run: Run, where: str, field: str) -> None:
    if where == "record":
        database = open_raw(run)
        new = {"batch_id": "B2", "number": 9, "count": 4}.get(field, "00" * 32)
        database.execute(f"UPDATE heads SET {field} = ? WHERE number = 2", (new,))
        put_triggers_back(database)
    else:
        path = run.ledger if where == "ledger" else run.folder / "heads.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        lines[1][field] = {"batch_id": "B2", "number": 9, "count": 4}.get(field, "00" * 32)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run.verify().verdict == "altered"


@pytest.mark.parametrize("keep", [[0], [0, 2], [1, 2], []])
def test_removed_heads_are_found(run: Run, keep: list[int]) -> None:
    lines = run.ledger.read_text().splitlines(keepends=True)
    run.ledger.write_text("".join(lines[index] for index in keep))
    assert "heads_removed" in run.codes()


def test_garbage_in_the_ledger_is_found(run: Run) -> None:
    run.ledger.write_bytes(b"\xff\xfe\n" + run.ledger.read_bytes())
    assert "head_altered" in run.codes()


def test_an_attachment_that_became_a_link_or_a_folder_is_found(run: Run) -> None:
    file = run.folder / "cells.png"
    same = run.folder.parent / "same.png"
    file.rename(same)
    file.symlink_to(same)  # the same bytes today; whoever owns the other place decides tomorrow
    assert run.codes() == {"attachment_altered"}
    file.unlink()
    file.mkdir()
    assert run.codes() == {"attachment_missing"}
    file.rmdir()
    file.write_bytes(bytes(reversed(same.read_bytes())))  # of the same length
    assert run.codes() == {"attachment_altered"}


def test_edited_and_missing_attachment_are_found(run: Run) -> None:
    (run.folder / "cells.png").write_bytes(b"\x89PNG another one!")
    assert run.codes() == {"attachment_altered"}
    (run.folder / "cells.png").unlink()
    assert run.codes() == {"attachment_missing"}


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TRIGGER rows_no_update",
        "CREATE TABLE notes(text TEXT)",
        "CREATE VIEW v AS SELECT 1",
        "CREATE TRIGGER t AFTER INSERT ON rows BEGIN SELECT 1; END",
    ],
)
def test_altered_schema_is_found(run: Run, statement: str) -> None:
    database = sqlite3.connect(run.database)
    database.execute(statement)
    database.commit()
    database.close()
    assert run.codes() == {"schema_altered"}


def test_triggers_refuse_what_sql_offers(run: Run) -> None:
    database = sqlite3.connect(run.database, isolation_level=None)
    for table in ("rows", "heads"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute(f"UPDATE {table} SET hash = 'x'")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute(f"DELETE FROM {table}")
    database.close()


def test_truncated_and_damaged_database_are_found(run: Run) -> None:
    whole = run.database.read_bytes()
    run.database.write_bytes(whole[: len(whole) // 2])
    assert run.verify().verdict == "altered"
    run.database.write_bytes(b"no database at all" * 100)
    assert run.verify().verdict == "altered"
    run.database.unlink()
    assert run.codes() == {"record_removed"}


def test_record_of_another_batch_in_the_folder_is_found(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "runs" / "B2")
    other = Run(tmp_path / "runs" / "B2", run.heads_folder, run.signer)
    assert "other_batch" in other.codes()


def test_without_the_ledger_it_cannot_be_told(run: Run) -> None:
    run.ledger.unlink()
    assert run.verify().verdict == "unverifiable"


def test_printed_hash_must_be_in_the_record(run: Run) -> None:
    head = run.verify().head_hash
    assert run.verify(expected_head=head[:12].upper()).verdict == "intact"
    assert run.verify(expected_head="0123456789ab").verdict == "altered"


def test_verify_changes_nothing(run: Run) -> None:
    before = {path: path.read_bytes() for path in run.folder.iterdir()}
    run.verify()
    assert {path: path.read_bytes() for path in run.folder.iterdir()} == before


def test_command_says_it_and_exits_accordingly(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / ".workcell" / "keys"
    assert main([str(run.folder)]) == 2
    assert "record.pub.pem" in capsys.readouterr().out
    Signer.load_or_create(keys)
    assert main([str(run.folder)]) == 1  # signed by another key
    capsys.readouterr()
    from cryptography.hazmat.primitives import serialization

    (keys / "record.pub.pem").write_bytes(
        run.signer.public_key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    assert main([str(run.folder)]) == 0
    assert "INTACT" in capsys.readouterr().out
    (run.folder / "cells.png").unlink()
    assert main([str(run.folder), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"] == "altered"
    assert report["findings"][0]["code"] == "attachment_missing"
