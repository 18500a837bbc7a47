# SPDX-License-Identifier: Apache-2.0
"""A module's memory of its goals: survives the process, answers the coordinator after a crash."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...process.context import PhaseHeader
from ...process.gateway import PhaseRecall, PhaseStatus
from ...records.guarded_database import GuardedDatabase

_SCHEMA = """
CREATE TABLE IF NOT EXISTS goals (
    goal_id TEXT PRIMARY KEY, action TEXT NOT NULL, goal TEXT NOT NULL, header TEXT NOT NULL, status TEXT NOT NULL,
    started_s REAL NOT NULL, ended_s REAL, checkpoint TEXT, result TEXT
);
CREATE TABLE IF NOT EXISTS alarms (alarm_id TEXT PRIMARY KEY, header TEXT NOT NULL);
"""


class GoalStore:
    """Last goals, checkpoints and outcomes of one module, on disk before they are answered.

    Args:
        path: database file, or ":memory:" for a run that nobody resumes.

    Every method raises RecordError when the file cannot be opened, read or written.
    """

    def __init__(self, path: Path | str) -> None:
        self._db = GuardedDatabase(path, _SCHEMA, "memory of goals")

    @property
    def is_empty(self) -> bool:
        """Whether there has never been a goal."""
        return not self._db.read("SELECT 1 FROM goals LIMIT 1")

    def check(self) -> None:
        """Raise LostFileError when the file on disk was cut, removed or replaced; see `GuardedDatabase`."""
        self._db.check()

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def begin(
        self, goal_id: str, action: str, goal: Mapping[str, Any], header: PhaseHeader, now_s: float
    ) -> Mapping[str, Any] | None:
        """Note that a goal runs; return its checkpoint when it ran before and was interrupted.

        Raises:
            ValueError: the goal has ended before, or another goal has the same UUID.
        """
        known = self.recall(goal_id)
        if known.status == "unknown":
            self._write(
                "INSERT INTO goals VALUES (?, ?, ?, ?, 'running', ?, NULL, NULL, NULL)",
                (goal_id, action, json.dumps(goal), json.dumps(vars(header)), now_s),
            )
            return None
        if known.status != "interrupted":
            raise ValueError(f"goal {goal_id} is already {known.status}; choose a new UUID")
        if known.action != action or dict(known.goal) != json.loads(json.dumps(goal)):
            raise ValueError(f"goal {goal_id} was {known.action} {dict(known.goal)}; a UUID names one goal only")
        self._set(goal_id, "running")
        return dict(known.checkpoint)

    def checkpoint(self, goal_id: str, data: Mapping[str, Any]) -> None:
        """Store the checkpoint of a running goal."""
        self._write("UPDATE goals SET checkpoint = ? WHERE goal_id = ?", (json.dumps(data), goal_id))

    def note(self, goal_id: str, status: PhaseStatus) -> None:
        """Note that a goal is running or held."""
        self._set(goal_id, status)

    def end(self, goal_id: str, status: PhaseStatus, result: Mapping[str, Any], now_s: float) -> None:
        """Store how a goal ended."""
        self._write(
            "UPDATE goals SET status = ?, result = ?, ended_s = ? WHERE goal_id = ?",
            (status, json.dumps(result), now_s, goal_id),
        )

    def interrupt_running(self) -> list[str]:
        """Mark goals of an earlier life that never ended as interrupted; return their UUIDs."""
        rows = self._db.read("SELECT goal_id FROM goals WHERE status IN ('running', 'held')")
        for (goal_id,) in rows:
            self._set(goal_id, "interrupted")
        return [goal_id for (goal_id,) in rows]

    def note_alarm(self, alarm_id: str, active: bool, header: PhaseHeader) -> None:
        """Note that an alarm was raised during a goal with this header, or cleared."""
        if active:
            self._write("INSERT OR IGNORE INTO alarms VALUES (?, ?)", (alarm_id, json.dumps(vars(header))))
        else:
            self._write("DELETE FROM alarms WHERE alarm_id = ?", (alarm_id,))

    def standing_alarms(self) -> dict[str, PhaseHeader]:
        """Return the alarms that were raised and not cleared, each with the header it was raised under."""
        rows = self._db.read("SELECT alarm_id, header FROM alarms ORDER BY rowid")
        return {alarm_id: PhaseHeader(**json.loads(header)) for alarm_id, header in rows}

    def batches(self) -> frozenset[str]:
        """Return the batches that have had a goal here."""
        rows = self._db.read("SELECT DISTINCT json_extract(header, '$.batch_id') FROM goals")
        return frozenset(str(batch_id) for (batch_id,) in rows if batch_id)

    def recall(self, goal_id: str) -> PhaseRecall:
        """Return what is known of a goal; status "unknown" when nothing is."""
        rows = self._db.read(
            "SELECT status, action, goal, result, checkpoint, started_s, ended_s FROM goals WHERE goal_id = ?",
            (goal_id,),
        )
        if not rows:
            return PhaseRecall("unknown")
        ((status, action, goal, result, checkpoint, started_s, ended_s),) = rows
        return PhaseRecall(
            status,
            action,
            json.loads(goal),
            json.loads(result or "{}"),
            json.loads(checkpoint or "{}"),
            started_s,
            float("nan") if ended_s is None else ended_s,
        )

    def _set(self, goal_id: str, status: str) -> None:
        self._write("UPDATE goals SET status = ? WHERE goal_id = ?", (status, goal_id))

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        self._db.write(statement, values)
