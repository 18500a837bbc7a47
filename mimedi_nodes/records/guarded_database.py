# SPDX-License-Identifier: Apache-2.0
"""A database of a program's own that notices when its file is lost under it, and goes on only when it is whole again.

For queues and memories whose content is this program's alone: what the open connection still holds is as good as the
file was, and is put back. A batch record is none of these: there the loss itself is evidence (`file_guard`).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from .errors import LostFileError, RecordError
from .file_guard import FileGuard
from .sqlite import open_database, storage_error

_SCHEMA = """
CREATE TABLE IF NOT EXISTS written(one INTEGER PRIMARY KEY CHECK (one = 1), times INTEGER NOT NULL);
INSERT OR IGNORE INTO written VALUES (1, 0);
"""
_ADVICE = "find out who did it; what was open is put back with the next use"
_COUNT = "UPDATE written SET times = times + 1 RETURNING times"


class GuardedDatabase:
    """SQLite with WAL and full fsync, watched; used from any thread of one process.

    Every transaction is counted inside the file, so that an older copy in its place shows. When the file was cut,
    removed or replaced, the operation that finds it raises, and the content that is still open is saved beside it.
    The next one opens the file anew; where that is not whole, the saved content takes its place, and what was found
    there is kept as `<name>.displaced`.

    Args:
        path: database file, made when missing; ":memory:" for a run that nobody resumes.
        schema: statements that make the tables when they are missing.
        what: what it is, for messages.

    Raises:
        RecordError: it cannot be opened, or is no database.
    """

    def __init__(self, path: Path | str, schema: str, what: str) -> None:
        self._path = None if str(path) == ":memory:" else Path(path)
        self._what = f"{what} {path}"
        self._schema = schema if self._path is None else schema + _SCHEMA
        self._lock = threading.RLock()
        self._guard = FileGuard(self._path, _ADVICE) if self._path is not None else None
        self._times = 0
        self._database: sqlite3.Connection | None = self._opened()

    def read(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT; raises RecordError."""
        with self._lock, storage_error(self._what):
            return self._open().execute(statement, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, on disk when the block is left; undone when an error leaves it.

        Raises:
            LostFileError: the file was lost since it was last used; nothing was written.
            RecordError: the disk is full or the file locked; nothing was written.
        """
        with self._lock, storage_error(self._what):
            self.check()
            database = self._open()
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                times = 0 if self._guard is None else int(database.execute(_COUNT).fetchone()[0])
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
            self._times = times
            if self._guard is not None:
                self._guard.note()

    def write(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        """Carry out one statement as a transaction; raises as `writing` does."""
        if self._guard is not None:
            with self.writing() as database:
                database.execute(statement, values)
            return
        with self._lock, storage_error(self._what):  # nothing to count in: a statement by itself is a transaction
            self._open().execute(statement, values)

    def check(self) -> None:
        """Raise LostFileError when the file on disk is no longer the one that is open."""
        with self._lock:
            if self._guard is None:
                return
            database = self._open()
            try:
                self._guard.check()
            except LostFileError as error:
                self._save(database)
                self.close()
                raise LostFileError(str(error)) from error

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            if self._database is not None:
                self._database.close()
                self._database = None

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            self._database = self._opened_again()
        return self._database

    def _opened(self) -> sqlite3.Connection:
        database = open_database(self._path if self._path is not None else ":memory:")
        try:
            with storage_error(self._what):
                database.executescript(self._schema)
                if self._guard is not None:
                    self._times = int(database.execute("SELECT times FROM written").fetchone()[0])
                    self._guard.note()
        except BaseException:
            database.close()
            raise
        return database

    def _opened_again(self) -> sqlite3.Connection:
        """Open the file where it is whole, else what was saved of it."""
        path, saved = self._files()
        if not self._is_whole(path):
            if not self._is_whole(saved):
                raise LostFileError(
                    f"{self._what}: was lost while it was in use, and what is there now is not what was written; "
                    "put a copy of this very file in its place, or start the node again without it "
                    "when no batch is under way"
                )
            for ending in ("", "-wal", "-shm"):
                if Path(f"{path}{ending}").exists():
                    os.replace(f"{path}{ending}", f"{path}.displaced{ending}")
            os.replace(saved, path)
        saved.unlink(missing_ok=True)
        return self._opened()

    def _save(self, database: sqlite3.Connection) -> None:
        """Copy what is open beside the lost file; left away where it is not whole."""
        _, saved = self._files()
        saved.unlink(missing_ok=True)
        try:
            with closing(sqlite3.connect(saved)) as copy:
                database.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, no log beside it
        except (sqlite3.Error, OSError):
            saved.unlink(missing_ok=True)

    def _is_whole(self, path: Path) -> bool:
        """Return whether a file is a sound database with everything that was written here."""
        if not path.exists():
            return False
        try:
            with closing(open_database(path, read_only=True)) as database, storage_error(str(path)):
                sound = database.execute("PRAGMA quick_check").fetchone() == ("ok",)
                return sound and int(database.execute("SELECT times FROM written").fetchone()[0]) >= self._times
        except (RecordError, OSError):
            return False

    def _files(self) -> tuple[Path, Path]:
        assert self._path is not None
        return self._path, Path(f"{self._path}.saved")
