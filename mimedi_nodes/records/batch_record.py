# SPDX-License-Identifier: Apache-2.0
"""The append-only, hash-chained record of one batch."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .chain import (
    DATABASE_FILE,
    EVENT_COLUMNS,
    HEAD_COLUMNS,
    HEADS_FILE,
    ROW_COLUMNS,
    SCHEMA,
    SELECT_SCHEMA,
    event_columns,
    first_hash,
    folder_name,
    is_row,
    row_event,
    row_hash,
)
from .errors import GapError, RecordError, StorageError
from .events import RecordEvent, check_batch_id, wall_time
from .file_guard import FileGuard
from .heads import Head, HeadLedger, Signer
from .sqlite import open_database, storage_error

_INSERT_ROW = f"INSERT INTO rows VALUES ({', '.join('?' * len(ROW_COLUMNS))})"
_INSERT_HEAD = f"INSERT INTO heads VALUES ({', '.join('?' * len(HEAD_COLUMNS))})"
_SELECT_ROWS = f"SELECT {', '.join(ROW_COLUMNS)} FROM rows ORDER BY number"
_SELECT_HEADS = f"SELECT {', '.join(HEAD_COLUMNS)} FROM heads ORDER BY number"


class BatchRecord:
    """Record of one batch: takes events once, in order, and signs its head at every acknowledgement.

    Opening checks the whole chain and all heads; a record that does not verify is not continued.

    Args:
        folder: run folder, named like the batch; None keeps the record in memory (headless runs).
        signer: signs the heads.
        heads_folder: folder of the ledger of heads, outside the run; `<run>/../.heads` when None.
        batch_id: batch of the record; the folder's name when None. Empty for the workcell's journal.

    Raises:
        RecordError: cannot be opened, is held by another recorder, or does not verify.
    """

    def __init__(
        self,
        folder: Path | None,
        signer: Signer,
        heads_folder: Path | None = None,
        batch_id: str | None = None,
    ) -> None:
        if batch_id is None:
            if folder is None:
                raise RecordError("batch_id: is missing; a record in memory has no folder to be named after")
            batch_id = check_batch_id(folder.name)
        elif batch_id:
            check_batch_id(batch_id)
        self.batch_id = batch_id
        self.folder = folder
        self._signer = signer
        self._name = f"record of {folder_name(batch_id)}"
        self._ledger: HeadLedger | None = None
        self._copy_bytes = -1
        if folder is not None:
            heads_folder = heads_folder if heads_folder is not None else folder.parent / ".heads"
            if folder.resolve() in (heads_folder.resolve(), *heads_folder.resolve().parents):
                raise RecordError(f"{heads_folder}: lies inside the run folder; keep the heads outside of it")
            self._ledger = HeadLedger(heads_folder / f"{folder_name(batch_id)}.jsonl")
        try:
            self._open_database(":memory:" if folder is None else folder / DATABASE_FILE)
        except BaseException:
            if self._ledger is not None:
                self._ledger.close()
            raise

    def _open_database(self, path: Path | str) -> None:
        self._database = open_database(path)
        self._guard = FileGuard(path) if isinstance(path, Path) else None
        try:
            # REPLACE would delete without asking the triggers otherwise.
            self._database.execute("PRAGMA recursive_triggers = ON")
            self._create_or_check()
            self._load()
            if self._guard is not None:
                self._guard.note()
            self._write_heads_out()
        except BaseException:
            self._database.close()
            raise

    @property
    def count(self) -> int:
        """Number of rows."""
        return self._count

    @property
    def head(self) -> Head | None:
        """The last signed head; None before the first event."""
        return self._heads[-1] if self._heads else None

    @property
    def last_sequences(self) -> Mapping[str, int]:
        """Highest number taken of each producer."""
        return dict(self._last)

    def append(
        self, events: Sequence[RecordEvent], contiguous: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        """Take events and return, per producer named in them, the highest number that is on disk.

        Events that are there already are passed over, so sending twice does no harm. All or none are taken.

        Args:
            events: events of this batch, those of one producer in their order.
            contiguous: per producer, the number up to which the caller answers that nothing is missing (a
                store that puts a producer's events into several records); without it, numbers must follow
                each other.

        Raises:
            GapError: events of a producer are missing before these.
            RecordError: another batch's event; a number that is taken by another event; disk full or locked.
            LostFileError: the file was cut short or replaced; close this record and open it anew.
        """
        if self._guard is not None:
            self._guard.check()
        fresh = self._fresh(events, contiguous or {})
        if fresh:
            self._commit(fresh)
        self._write_heads_out()
        return {event.producer: self._last[event.producer] for event in events}

    def events(self) -> Iterator[RecordEvent]:
        """Return all events in the order in which they were taken; raises as `append` when the file is lost."""
        if self._guard is not None:
            self._guard.check()
        with storage_error(self._name):
            rows = self._database.execute(_SELECT_ROWS).fetchall()
        return (row_event(row) for row in rows)

    def hash_of(self, number: int) -> str | None:
        """Return the hash of a row, None when there is no such row."""
        with storage_error(self._name):
            row = self._database.execute("SELECT hash FROM rows WHERE number = ?", (number,)).fetchone()
        return str(row[0]) if row else None

    def close(self) -> None:
        """Close the database and give up the ledger."""
        with storage_error(self._name):
            self._database.close()
        if self._ledger is not None:
            self._ledger.close()

    def _create_or_check(self) -> None:
        with storage_error(self._name):
            found = {sql for (sql,) in self._database.execute(SELECT_SCHEMA)}
            if not found:
                self._database.execute("BEGIN IMMEDIATE")
                for statement in SCHEMA:
                    self._database.execute(statement)
                self._database.execute("COMMIT")
            elif found != set(SCHEMA):
                raise RecordError(f"{self._name}: its tables or triggers were altered; run `workcell verify`")

    def _load(self) -> None:
        with storage_error(self._name):
            rows = self._database.execute(_SELECT_ROWS).fetchall()
            heads = self._database.execute(_SELECT_HEADS).fetchall()
        self._count = len(rows)
        self._last: dict[str, int] = {}
        hashes = [first_hash(self.batch_id)]
        for number, row in enumerate(rows, start=1):
            if not is_row(row):
                raise RecordError(f"{self._name}: row {number} is damaged; run `workcell verify`")
            fields = dict(zip(ROW_COLUMNS, row, strict=True))
            expected = row_hash(hashes[-1], number, fields)
            if fields["number"] != number or fields["hash"] != expected:
                raise RecordError(f"{self._name}: row {number} does not verify; run `workcell verify`")
            hashes.append(expected)
            self._last[fields["producer"]] = fields["sequence"]
        self._hash = hashes[-1]
        self._heads = [Head.from_fields(dict(zip(HEAD_COLUMNS, row, strict=True))) for row in heads]
        signed = self._heads[-1].count if self._heads else 0
        if signed != self._count:
            raise RecordError(f"{self._name}: {self._count} rows, {signed} signed; run `workcell verify`")
        outside = self._ledger.heads if self._ledger is not None else []
        for head in (*self._heads, *outside):
            right = head.count < len(hashes) and head.hash == hashes[head.count]
            if not right or head.batch_id != self.batch_id:
                raise RecordError(f"{self._name}: head {head.number} does not fit; run `workcell verify`")
            if head.key_id == self._signer.key_id and not head.signed_by(self._signer.public_key):
                raise RecordError(f"{self._name}: head {head.number} is forged; run `workcell verify`")

    def _fresh(self, events: Sequence[RecordEvent], contiguous: Mapping[str, int]) -> list[RecordEvent]:
        fresh: list[RecordEvent] = []
        last = dict(self._last)
        for event in events:
            if event.batch_id != self.batch_id:
                raise RecordError(
                    f"{self._name}: event {event.sequence} of {event.producer} belongs to batch "
                    f"{event.batch_id!r}; send it to that record"
                )
            before = last.get(event.producer)
            if before is not None and event.sequence <= before:
                self._same(event, fresh)
                continue
            if before is not None:
                due = max(before, contiguous.get(event.producer, 0)) + 1
                if event.sequence > due:
                    raise GapError(event.producer, due, event.sequence)
            last[event.producer] = event.sequence
            fresh.append(event)
        return fresh

    def _same(self, event: RecordEvent, fresh: Sequence[RecordEvent]) -> None:
        with storage_error(self._name):
            row = self._database.execute(
                f"SELECT {', '.join(EVENT_COLUMNS)} FROM rows WHERE producer = ? AND sequence = ?",
                (event.producer, event.sequence),
            ).fetchone()
        known: dict[str, Any] | None = None
        if row is not None:
            known = dict(zip(EVENT_COLUMNS, row, strict=True))
        else:
            for other in fresh:
                if (other.producer, other.sequence) == (event.producer, event.sequence):
                    known = event_columns(other)
        if known != event_columns(event):
            raise RecordError(
                f"{self._name}: number {event.sequence} of {event.producer} was given to another event; "
                "its outbox was replaced: restore it, or give the producer another name"
            )

    def _commit(self, fresh: Sequence[RecordEvent]) -> None:
        rows = []
        previous = self._hash
        for number, event in enumerate(fresh, start=self._count + 1):
            fields = event_columns(event)
            previous = row_hash(previous, number, fields)
            rows.append((number, *(fields[name] for name in EVENT_COLUMNS), previous))
        number = len(self._heads) + 1
        head = self._signer.sign(self.batch_id, number, self._count + len(rows), previous, wall_time())
        with storage_error(self._name):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.executemany(_INSERT_ROW, rows)
                self._database.execute(_INSERT_HEAD, tuple(vars(head)[name] for name in HEAD_COLUMNS))
                self._database.execute("COMMIT")
            except sqlite3.Error:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        if self._guard is not None:
            self._guard.note()
        self._count, self._hash = head.count, head.hash
        self._heads.append(head)
        for event in fresh:
            self._last[event.producer] = event.sequence

    def _write_heads_out(self) -> None:
        """Bring the ledger, and its copy in the run folder, up to the heads of the database."""
        if self._ledger is None or self.folder is None:
            return
        missing = self._heads[self._ledger.last_number :]
        self._ledger.append(missing)
        copy = self.folder / HEADS_FILE
        try:
            # Rewritten whole when it is not what was last written here: at the start, or after other hands.
            if not copy.exists() or copy.stat().st_size != self._copy_bytes:
                draft = copy.with_suffix(".draft")
                draft.write_text("".join(head.line() for head in self._heads), encoding="utf-8")
                os.replace(draft, copy)
            elif missing:
                with copy.open("a", encoding="utf-8") as stream:
                    stream.write("".join(head.line() for head in missing))
            self._copy_bytes = copy.stat().st_size
        except OSError as error:
            raise StorageError(f"{copy}: {error.strerror}; free space, then continue") from error
