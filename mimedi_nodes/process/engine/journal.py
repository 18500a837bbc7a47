# SPDX-License-Identifier: Apache-2.0
"""The coordinator's write-ahead journal: what was meant, done and answered, on disk before it is acted upon.

Replaying is harmless: a step that has ended is never run again, its result is read from here; a step that was
meant has its goal UUID here, so that the module can say what became of it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...records.errors import RecordError
from ...records.file_guard import FileGuard
from ...records.sqlite import open_database
from ..errors import WorkcellError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS steps (
    path TEXT PRIMARY KEY, kind TEXT NOT NULL, intent TEXT NOT NULL, intent_s REAL NOT NULL,
    status TEXT, result TEXT, ended_s REAL
);
CREATE TABLE IF NOT EXISTS goals (
    goal_id TEXT PRIMARY KEY, path TEXT NOT NULL, attempt INTEGER NOT NULL, intent TEXT NOT NULL,
    intent_s REAL NOT NULL, status TEXT, result TEXT, ended_s REAL
);
CREATE TABLE IF NOT EXISTS laboratory (
    sample_id TEXT NOT NULL, test TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (sample_id, test)
);
CREATE TABLE IF NOT EXISTS recorded (event TEXT PRIMARY KEY);
"""


class JournalError(WorkcellError):
    """The journal cannot be used, or belongs to something else."""


@dataclass(frozen=True)
class Entry:
    """One step in the journal.

    Args:
        status: None while the step is in flight; then how it ended.
    """

    path: str
    kind: str
    intent: Mapping[str, Any]
    intent_s: float
    status: str | None = None
    result: Any = None
    ended_s: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the step has ended."""
        return self.status is not None


class Journal:
    """Write-ahead journal of one batch (SQLite, WAL, synchronous=FULL).

    Args:
        path: database file, or ":memory:" for a run that nobody resumes.

    Raises:
        JournalError: the file cannot be opened or is no journal.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path
        self._guard = FileGuard(path) if isinstance(path, Path) else None
        try:
            self._db = open_database(path)
            self._db.executescript(_SCHEMA)
            if self._guard is not None:
                self._guard.note()
        except (RecordError, sqlite3.Error) as error:
            raise JournalError(
                f"journal {path} cannot be opened: {error}; check the disk and the folder"
            ) from error

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _run(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        try:
            if self._guard is None or statement.startswith("SELECT"):
                return self._db.execute(statement, values)
            self._guard.check()
            cursor = self._db.execute(statement, values)
            if not self._db.in_transaction:
                self._guard.note()
            return cursor
        except (RecordError, sqlite3.Error) as error:
            raise JournalError(
                f"journal {self.path}: {error}; nothing may move until it can be written"
            ) from error

    def bind(self, batch_id: str, recipe_hash: str, now_s: float) -> bool:
        """Bind the journal to a batch and a recipe; return whether the batch was begun before.

        Raises:
            JournalError: it belongs to another batch or recipe.
        """
        begun = self.get("batch_id")
        if begun is None:
            self._run("BEGIN")
            for name, value in (("recipe_hash", recipe_hash), ("started_s", now_s), ("batch_id", batch_id)):
                self.set(name, value)
            self._run("COMMIT")
            return False
        if begun != batch_id:
            raise JournalError(f"journal {self.path} belongs to batch {begun!r}, not {batch_id!r}")
        if self.get("recipe_hash") != recipe_hash:
            raise JournalError(
                f"batch {batch_id} was begun with another text of its recipe; give it the recipe it was begun with"
            )
        return True

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value of the batch."""
        row = self._run("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return default if row is None else json.loads(row[0])

    def set(self, name: str, value: Any) -> None:
        """Store a value of the batch."""
        self._run("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, json.dumps(value)))

    def entry(self, path: str) -> Entry | None:
        """Return what is known of a step, None when it was never meant."""
        row = self._run("SELECT * FROM steps WHERE path = ?", (path,)).fetchone()
        return None if row is None else _entry(row)

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Return all steps, or those of a kind, in the order in which they were meant."""
        rows = self._run("SELECT * FROM steps WHERE ? IN (kind, '') ORDER BY rowid", (kind or "",))
        return [_entry(row) for row in rows]

    def last_ended(self, action: str) -> Entry | None:
        """Return the phase of an action that was meant last of those that have ended, None when there is none."""
        row = self._run(
            "SELECT * FROM steps WHERE kind = 'phase' AND ended_s IS NOT NULL "
            "AND json_extract(intent, '$.action') = ? ORDER BY rowid DESC LIMIT 1",
            (action,),
        ).fetchone()
        return None if row is None else _entry(row)

    def begin(self, path: str, kind: str, intent: Mapping[str, Any], now_s: float) -> Entry:
        """Write down that a step is meant; a repeated call returns what stands there."""
        self._run(
            "INSERT OR IGNORE INTO steps (path, kind, intent, intent_s) VALUES (?, ?, ?, ?)",
            (path, kind, json.dumps(intent), now_s),
        )
        return self._known(path)

    def change_intent(self, path: str, intent: Mapping[str, Any], now_s: float) -> Entry:
        """Write down what a step in flight is meant to do instead (a new goal, a later deadline)."""
        self._run(
            "UPDATE steps SET intent = ?, intent_s = ? WHERE path = ? AND status IS NULL",
            (json.dumps(intent), now_s, path),
        )
        return self._known(path)

    def end(self, path: str, status: str, result: Any, now_s: float) -> Entry:
        """Write down how a step ended; the first end stands."""
        self._run(
            "UPDATE steps SET status = ?, result = ?, ended_s = ? WHERE path = ? AND status IS NULL",
            (status, json.dumps(result), now_s, path),
        )
        return self._known(path)

    def _known(self, path: str) -> Entry:
        entry = self.entry(path)
        if entry is None:
            raise JournalError(f"step {path} was never meant")
        return entry

    def begin_goal(
        self, goal_id: str, path: str, attempt: int, intent: Mapping[str, Any], now_s: float
    ) -> Entry:
        """Write down a goal and that it is now what its step is meant to do, in one transaction."""
        self._run("BEGIN")
        try:
            self._run(
                "INSERT INTO goals (goal_id, path, attempt, intent, intent_s) VALUES (?, ?, ?, ?, ?)",
                (goal_id, path, attempt, json.dumps(intent), now_s),
            )
            self.begin(path, "phase", intent, now_s)
            entry = self.change_intent(path, intent, now_s)
        except JournalError:
            self._db.rollback()
            raise
        self._run("COMMIT")
        return entry

    def end_goal(self, goal_id: str, status: str, result: Mapping[str, Any], now_s: float) -> None:
        """Write down how a goal ended; the first end stands."""
        self._run(
            "UPDATE goals SET status = ?, result = ?, ended_s = ? WHERE goal_id = ? AND status IS NULL",
            (status, json.dumps(result), now_s, goal_id),
        )

    def goals(self) -> list[dict[str, Any]]:
        """Return every goal: goal_id, path, attempt, intent, status, result."""
        names = ("goal_id", "path", "attempt", "intent", "status", "result")
        rows = self._run(f"SELECT {', '.join(names)} FROM goals ORDER BY rowid")
        found = []
        for row in rows:
            goal = dict(zip(names, row, strict=True))
            goal["intent"] = json.loads(goal["intent"])
            goal["result"] = None if goal["result"] is None else json.loads(goal["result"])
            found.append(goal)
        return found

    def put_laboratory_result(self, record: Mapping[str, Any]) -> None:
        """Store a verified laboratory record; a later one of the same sample and test replaces it."""
        self._run(
            "INSERT OR REPLACE INTO laboratory VALUES (?, ?, ?)",
            (record["sample_id"], record["test"], json.dumps(dict(record))),
        )

    def laboratory_results(self, sample_id: str) -> dict[str, dict[str, Any]]:
        """Return the laboratory records of a sample by test."""
        rows = self._run("SELECT test, record FROM laboratory WHERE sample_id = ?", (sample_id,))
        return {test: json.loads(record) for test, record in rows}

    def was_recorded(self, event: str) -> bool:
        """Return whether an event has been handed to the batch record."""
        return self._run("SELECT 1 FROM recorded WHERE event = ?", (event,)).fetchone() is not None

    def mark_recorded(self, event: str) -> None:
        """Note that an event has been handed to the batch record."""
        self._run("INSERT OR IGNORE INTO recorded VALUES (?)", (event,))


def _entry(row: tuple[Any, ...]) -> Entry:
    path, kind, intent, intent_s, status, result, ended_s = row
    return Entry(
        path,
        kind,
        json.loads(intent),
        intent_s,
        status,
        None if result is None else json.loads(result),
        ended_s,
    )
