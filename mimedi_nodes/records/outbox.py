# SPDX-License-Identifier: Apache-2.0
"""Durable queue of a producer's events: on disk here until they are on disk at the recorder."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import RecordError
from .events import RecordEvent, wall_time
from .guarded_database import GuardedDatabase

_SCHEMA = """
CREATE TABLE IF NOT EXISTS producer(one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events(
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,  -- AUTOINCREMENT: a number once used never comes back
    batch_id TEXT NOT NULL, process_time_s REAL, wall_time TEXT NOT NULL, kind TEXT NOT NULL,
    who TEXT NOT NULL, what TEXT NOT NULL, why TEXT NOT NULL, data_json TEXT NOT NULL);
"""
_COLUMNS = ("sequence", "batch_id", "process_time_s", "wall_time", "kind", "who", "what", "why", "data_json")
_INSERT = f"INSERT INTO events({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM events ORDER BY sequence LIMIT ?"


class Outbox:
    """Queue of one producer's events with numbers that go on over restarts.

    Used from any thread of one process. An event is durable (SQLite WAL, full fsync) when `append` returns;
    within `group()`, or by `append_soon`, several events share one commit and so one fsync.

    Args:
        path: database file, made when missing; `":memory:"` for headless runs, where nothing has to outlive
            the process.
        producer: name under which the events go into the record; a file belongs to one producer for ever.

    Raises:
        RecordError: the file cannot be opened, or belongs to another producer.
    """

    def __init__(self, path: Path | str, producer: str) -> None:
        self.producer = producer
        self._path = str(path)
        self._lock = threading.RLock()
        self._groups = 0
        self._flush_scheduled = False
        self._buffer: list[RecordEvent] = []
        self._database = GuardedDatabase(path, _SCHEMA, "outbox")
        try:
            if not self._database.read("SELECT name FROM producer"):
                with self._database.writing() as database:  # only once: that it was touched tells the desk of news
                    database.execute("INSERT OR IGNORE INTO producer VALUES (1, ?)", (producer,))
            ((owner,),) = self._database.read("SELECT name FROM producer")
            rows = self._database.read("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
            if owner != producer:
                raise RecordError(
                    f"outbox {self._path} belongs to {owner!r}, not to {producer!r}; "
                    "give each producer a file of its own"
                )
        except RecordError:
            self._database.close()
            raise
        self._last_sequence = int(rows[0][0]) if rows else 0
        ((oldest,),) = self._database.read("SELECT MIN(sequence) FROM events")
        self._acknowledged = self._last_sequence if oldest is None else int(oldest) - 1

    @property
    def last_sequence(self) -> int:
        """Number of the last event, 0 before the first."""
        return self._last_sequence

    def append(
        self,
        batch_id: str,
        process_time_s: float,
        kind: str,
        who: str,
        what: str,
        why: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> RecordEvent:
        """Queue an event and return it, numbered and stamped; durable on return unless within `group()`.

        Raises:
            EventError: a field is not allowed; nothing was queued.
            RecordError: the disk is full or the file locked; nothing was queued.
        """
        with self._lock:
            event = self._number(batch_id, process_time_s, kind, who, what, why, data)
            if not self._groups:
                try:
                    self.flush()
                except RecordError:
                    self._forget_after(event.sequence - 1)
                    raise
            return event

    def append_soon(
        self,
        batch_id: str,
        process_time_s: float,
        kind: str,
        who: str,
        what: str,
        why: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> RecordEvent:
        """Queue an event that becomes durable with all others of this tick, when the loop comes round.

        For what reports an act, never for what has to be on disk before it: that is `append`. Durable on
        return when no loop is running. When the commit fails the events stay queued in memory; the next
        call tries again and raises.

        Raises:
            EventError, RecordError: see `append`.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self.append(batch_id, process_time_s, kind, who, what, why, data)
        with self._lock:
            event = self._number(batch_id, process_time_s, kind, who, what, why, data)
            if not self._groups and not self._flush_scheduled:
                self._flush_scheduled = True
                loop.call_soon(self._flush_tick)
            return event

    @contextmanager
    def group(self) -> Iterator[None]:
        """Commit all events appended inside together at the end; none of them when an error leaves it.

        Raises:
            RecordError: the commit failed; none of them was queued.
        """
        with self._lock:
            if not self._groups:
                self.flush()
            before = self._last_sequence
            self._groups += 1
            try:
                yield
            except BaseException:
                self._forget_after(before)
                raise
            finally:
                self._groups -= 1
            if not self._groups:
                try:
                    self.flush()
                except RecordError:
                    self._forget_after(before)
                    raise

    def flush(self) -> None:
        """Make everything appended so far durable.

        Raises:
            RecordError: the disk is full or the file locked; the events stay queued in memory.
        """
        with self._lock:
            if self._groups or not self._buffer:
                return
            with self._database.writing() as database:
                database.executemany(_INSERT, [_row(event) for event in self._buffer])
            self._buffer.clear()

    def check(self) -> None:
        """Raise LostFileError when the file on disk was cut, removed or replaced; see `GuardedDatabase`."""
        self._database.check()

    def pending(self, limit: int = 256, max_bytes: int = 1 << 20) -> list[RecordEvent]:
        """Return the oldest durable events that the recorder has not acknowledged, in order.

        Args:
            limit: most events.
            max_bytes: most text of data [characters]; one event is always returned.

        Raises:
            RecordError: what was still to be made durable cannot be, or the file cannot be read.
        """
        events: list[RecordEvent] = []
        size = 0
        with self._lock:
            self.flush()
            rows = self._database.read(_SELECT, (limit,))
        for row in rows:
            fields = dict(zip(_COLUMNS, row, strict=True))
            size += len(fields["data_json"])
            if events and size > max_bytes:
                break
            events.append(RecordEvent.from_fields({"producer": self.producer, **fields}))
        return events

    def acknowledge(self, sequence: int) -> None:
        """Forget all events up to number `sequence`: the recorder has them on disk.

        Raises:
            RecordError: the number was never given out: this file was replaced by an older one. Or the disk
                is full or the file locked; the events will be sent again, which does no harm.
        """
        with self._lock:
            if sequence > self._last_sequence:
                raise RecordError(
                    f"outbox {self._path}: the recorder acknowledged event {sequence} of {self.producer}, "
                    f"the last one here is {self._last_sequence}; an older file took its place: restore it"
                )
            with self._database.writing() as database:
                database.execute("DELETE FROM events WHERE sequence <= ?", (sequence,))
            self._acknowledged = max(self._acknowledged, sequence)

    @property
    def pending_count(self) -> int:
        """Number of events that the recorder has not acknowledged, those not yet durable included."""
        return self._last_sequence - self._acknowledged

    def close(self) -> None:
        """Make everything durable and close the file."""
        with self._lock:
            try:
                self.flush()
            finally:
                self._database.close()

    def _number(
        self,
        batch_id: str,
        process_time_s: float,
        kind: str,
        who: str,
        what: str,
        why: str,
        data: Mapping[str, Any] | None,
    ) -> RecordEvent:
        event = RecordEvent(
            producer=self.producer,
            sequence=self._last_sequence + 1,
            batch_id=batch_id,
            process_time_s=process_time_s,
            wall_time=wall_time(),
            kind=kind,
            who=who,
            what=what,
            why=why,
            data=data if data is not None else {},
        )
        self._buffer.append(event)
        self._last_sequence = event.sequence
        return event

    def _forget_after(self, sequence: int) -> None:
        self._buffer = [event for event in self._buffer if event.sequence <= sequence]
        self._last_sequence = sequence

    def _flush_tick(self) -> None:
        with self._lock:
            self._flush_scheduled = False
            # Still in the buffer when this fails: the next append, flush or pending tries again and raises.
            with suppress(RecordError):
                self.flush()


def _row(event: RecordEvent) -> tuple[Any, ...]:
    fields = event.as_fields()
    return tuple(fields[name] for name in _COLUMNS)  # SQLite stores NaN as NULL
