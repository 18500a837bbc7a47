# SPDX-License-Identifier: Apache-2.0
"""Random tampering: whatever is changed in any table, column, row, file or byte, `verify` does not call it intact."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_run import Run

from mimedi_nodes.records.chain import HEAD_COLUMNS, ROW_COLUMNS, SCHEMA, first_hash, row_hash
from mimedi_nodes.records.heads import Head, Signer

MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Where the copies lie: the disk's speed is not tested."""
COLUMNS = {"rows": ROW_COLUMNS, "heads": HEAD_COLUMNS}
WHOLE = {("rows", "number"), ("rows", "sequence"), ("heads", "number"), ("heads", "count")}
EVERYTHING = settings(max_examples=150, deadline=None)


@pytest.fixture(scope="session")
def original(finished_runs: Path, signer: Signer) -> Run:
    return Run(finished_runs / "B1", finished_runs / ".heads", signer)


@contextlib.contextmanager
def copy_of(run: Run) -> Iterator[Run]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        runs = Path(folder) / "runs"
        shutil.copytree(run.folder.parent, runs)
        yield Run(runs / run.folder.name, runs / ".heads", run.signer)


@contextlib.contextmanager
def forger(run: Run) -> Iterator[sqlite3.Connection]:
    """The database without its triggers, which are put back in the end, as somebody would who knows them."""
    database = sqlite3.connect(run.database, isolation_level=None)
    triggers = [statement for statement in SCHEMA if statement.startswith("CREATE TRIGGER")]
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {name}")
    yield database
    for statement in triggers:
        database.execute(statement)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def dump(run: Run) -> dict[str, Any]:
    """Everything that the record says: rows, heads, tables, and the files beside it."""
    content: dict[str, Any] = {}
    with sqlite3.connect(f"{run.database.as_uri()}?mode=ro&immutable=1", uri=True) as database:
        for table, columns in COLUMNS.items():
            content[table] = database.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY number").fetchall()
        content["schema"] = sorted(sql for (sql,) in database.execute("SELECT sql FROM sqlite_master") if sql)
    database.close()
    content["ledger"] = run.ledger.read_bytes()
    content["copy"] = (run.folder / "heads.jsonl").read_bytes()
    content["attachment"] = (run.folder / "cells.png").read_bytes()
    return content


def recompute(database: sqlite3.Connection) -> None:
    """Number the rows anew and chain them, as somebody would who has the program."""
    rows = database.execute(f"SELECT {', '.join(ROW_COLUMNS)} FROM rows ORDER BY number").fetchall()
    database.execute("DELETE FROM rows")
    previous = first_hash("B1")
    for number, row in enumerate(rows, start=1):
        fields = {**dict(zip(ROW_COLUMNS, row, strict=True)), "number": number}
        previous = fields["hash"] = row_hash(previous, number, fields)
        places = ", ".join("?" * len(ROW_COLUMNS))
        database.execute(f"INSERT INTO rows VALUES ({places})", [fields[name] for name in ROW_COLUMNS])


def sign_with_own_key(run: Run, database: sqlite3.Connection) -> None:
    """Replace every head by one over the rows as they are now, signed with a key of the forger's own."""
    hashes = ["", *(h for (h,) in database.execute("SELECT hash FROM rows ORDER BY number"))]
    heads = [Head(*row) for row in database.execute(f"SELECT {', '.join(HEAD_COLUMNS)} FROM heads ORDER BY number")]
    mallory = Signer.ephemeral()
    forged = []
    for head in heads:
        count = min(head.count, len(hashes) - 1)
        forged.append(mallory.sign(head.batch_id, head.number, count, hashes[count], head.wall_time))
    database.execute("DELETE FROM heads")
    for head in forged:
        database.execute(f"INSERT INTO heads VALUES ({', '.join('?' * 7)})", [vars(head)[n] for n in HEAD_COLUMNS])
    (run.folder / "heads.jsonl").write_text("".join(head.line() for head in forged))


def sqlite_value(table: str, column: str) -> st.SearchStrategy[Any]:
    if (table, column) in WHOLE:
        return st.integers(-5, 2**40)
    if column == "process_time_s":
        return st.none() | st.floats(allow_nan=False, allow_infinity=False)
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


EDITS = st.sampled_from([(t, c) for t, columns in COLUMNS.items() for c in columns]).flatmap(
    lambda place: st.tuples(st.just(place[0]), st.just(place[1]), sqlite_value(*place))
)


@EVERYTHING
@given(edit=EDITS, row=st.integers(1, 7), afterwards=st.sampled_from(["leave", "recompute", "sign"]))
def test_any_value_in_any_column_of_any_table(
    original: Run, edit: tuple[str, str, Any], row: int, afterwards: str
) -> None:
    table, column, value = edit
    with copy_of(original) as run:
        before = dump(run)
        with forger(run) as database:
            # A number that is there already is refused: then nothing was changed.
            with contextlib.suppress(sqlite3.IntegrityError, OverflowError):
                database.execute(f"UPDATE {table} SET {column} = ? WHERE number = ?", (value, row))
            if afterwards != "leave":
                recompute(database)
            if afterwards == "sign":
                sign_with_own_key(run, database)
        expected = "intact" if dump(run) == before else "altered"
        assert run.verify().verdict == expected


def delete(database: sqlite3.Connection, rows: list[int]) -> None:
    for row in rows:
        database.execute("DELETE FROM rows WHERE number = ?", (row,))


def cut(database: sqlite3.Connection, rows: list[int]) -> None:
    database.execute("DELETE FROM rows WHERE number >= ?", (rows[0],))
    database.execute("DELETE FROM heads WHERE count >= ?", (rows[0],))


def swap(database: sqlite3.Connection, rows: list[int]) -> None:
    first, second = rows[0], rows[-1]
    for old, new in ((first, -1), (second, first), (-1, second)):
        database.execute("UPDATE rows SET number = ? WHERE number = ?", (new, old))


def insert(database: sqlite3.Connection, rows: list[int]) -> None:
    database.execute("UPDATE rows SET number = -number WHERE number >= ?", (rows[0],))
    database.execute("UPDATE rows SET number = 1 - number WHERE number < 0")
    row = (rows[0], "mallory", 1, "B1", 1.0, "2026-01-01T00:00:00Z", "decision", "m", "x", "", "{}", "0" * 64)
    database.execute(f"INSERT INTO rows VALUES ({', '.join('?' * len(row))})", row)


def double(database: sqlite3.Connection, rows: list[int]) -> None:
    columns = ", ".join(name for name in ROW_COLUMNS if name not in ("number", "sequence"))
    database.execute(
        f"INSERT INTO rows (number, sequence, {columns}) SELECT 8, 99, {columns} FROM rows WHERE number = ?", (rows[0],)
    )


@EVERYTHING
@given(
    act=st.sampled_from([delete, cut, swap, insert, double]),
    rows=st.lists(st.integers(1, 7), min_size=1, max_size=3, unique=True).map(sorted),
    afterwards=st.sampled_from(["leave", "recompute", "sign"]),
    copy_too=st.booleans(),
)
def test_any_row_removed_inserted_doubled_or_moved(
    original: Run, act: Callable[[sqlite3.Connection, list[int]], None], rows: list[int], afterwards: str,
    copy_too: bool,
) -> None:  # fmt: skip
    with copy_of(original) as run:
        before = dump(run)
        with forger(run) as database:
            act(database, rows)
            if afterwards != "leave":
                recompute(database)
            if afterwards == "sign":
                sign_with_own_key(run, database)
            if copy_too:
                # The copy that travels with the run is the forger's as well; the ledger outside is not.
                heads = database.execute(f"SELECT {', '.join(HEAD_COLUMNS)} FROM heads ORDER BY number").fetchall()
                (run.folder / "heads.jsonl").write_text("".join(Head(*head).line() for head in heads))
        expected = "intact" if dump(run) == before else "altered"
        assert run.verify().verdict == expected


@EVERYTHING
@given(data=st.data(), name=st.sampled_from(["record.sqlite", "heads.jsonl", "cells.png", "ledger"]))
def test_any_byte_of_any_file(original: Run, data: st.DataObject, name: str) -> None:
    with copy_of(original) as run:
        before = dump(run)
        path = run.ledger if name == "ledger" else run.folder / name
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(bytes(content))
        report = run.verify()
        try:
            same = dump(run) == before
        except (sqlite3.Error, UnicodeDecodeError):
            same = False
        # A byte that belongs to nothing changes nothing that the record says; SQLite may still notice. The end of the
        # last line of heads is what a power cut tears: it is told, and the other places have that head.
        torn = name in ("heads.jsonl", "ledger") and any("torn" in note for note in report.notes)
        assert report.verdict == "altered" or same or torn


@EVERYTHING
@given(share=st.floats(0.0, 0.999), name=st.sampled_from(["record.sqlite", "cells.png", "ledger"]))
def test_any_file_cut_short(original: Run, share: float, name: str) -> None:
    with copy_of(original) as run:
        path = run.ledger if name == "ledger" else run.folder / name
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        report = run.verify()
        if report.verdict == "intact":
            # A torn last line of the ledger is what a power cut leaves: it is told, and the database has the head.
            assert name == "ledger"
            assert report.notes
            assert len(content) - len(path.read_bytes()) <= len(content.splitlines(keepends=True)[-1])
