# SPDX-License-Identifier: Apache-2.0
"""How the record opens SQLite: write-ahead log, full fsync, and errors that say what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import StorageError

BUSY_TIMEOUT_S = 5.0
"""How long a locked database is waited for [s]; longer means that another program holds it."""


def open_database(path: Path | str, read_only: bool = False) -> sqlite3.Connection:
    """Open or make a database with WAL and full fsync, in autocommit mode: transactions are spelled out.

    Raises:
        StorageError: it cannot be opened, or is no database.
    """
    name = str(path)
    with storage_error(name):
        if read_only:
            # Without a write-ahead log nobody writes: read it as it lies and leave no file beside it.
            mode = "mode=ro" if Path(f"{name}-wal").exists() else "mode=ro&immutable=1"
            uri = f"{Path(name).resolve().as_uri()}?{mode}"
            database = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        else:
            if name != ":memory:":
                try:
                    Path(name).parent.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise StorageError(f"{name}: {error.strerror}; give a writable folder") from error
            database = sqlite3.connect(
                name, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        try:
            if not read_only:
                database.execute("PRAGMA journal_mode = WAL")
                database.execute("PRAGMA synchronous = FULL")
            else:
                database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
        except BaseException:
            database.close()
            raise
    return database


@contextmanager
def storage_error(what: str) -> Iterator[None]:
    """Turn SQLite's errors into a StorageError that names `what` and says what to do."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise StorageError(f"{what}: {error}; {_advice(error)}") from error


def _advice(error: sqlite3.Error | UnicodeDecodeError) -> str:
    # Text that is no UTF-8 is not what was written: SQLite itself does not look.
    name = "SQLITE_CORRUPT" if isinstance(error, UnicodeDecodeError) else getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL") or "disk is full" in str(error):
        return "the disk is full: free space, then continue; nothing that was acknowledged is lost"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "another program holds the file: close it, then continue"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return "the file is damaged: keep it as it is, run `workcell verify` on the run and restore a copy"
    if name.startswith("SQLITE_IOERR"):
        return "the disk refused: check space, quota and health of the disk, then continue"
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return "give a folder that this user may write"
    return "keep the file as it is and look at the message"
