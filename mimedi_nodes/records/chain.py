# SPDX-License-Identifier: Apache-2.0
"""The rows of a batch record, their hashes, and the one schema of its database."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from .canonical import encode_plain
from .events import RecordEvent

DATABASE_FILE = "record.sqlite"
HEADS_FILE = "heads.jsonl"
JOURNAL = ".journal"
"""Name of the folder and ledger of events outside any batch (empty batch_id)."""

EVENT_COLUMNS = (
    "producer",
    "sequence",
    "batch_id",
    "process_time_s",
    "wall_time",
    "kind",
    "who",
    "what",
    "why",
    "data_json",
)
ROW_COLUMNS = ("number", *EVENT_COLUMNS, "hash")
HEAD_COLUMNS = ("batch_id", "number", "count", "hash", "wall_time", "key_id", "signature")

SCHEMA: tuple[str, ...] = (
    """CREATE TABLE rows(
    number INTEGER PRIMARY KEY, producer TEXT NOT NULL, sequence INTEGER NOT NULL, batch_id TEXT NOT NULL,
    process_time_s REAL, wall_time TEXT NOT NULL, kind TEXT NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
    why TEXT NOT NULL, data_json TEXT NOT NULL, hash TEXT NOT NULL) STRICT""",
    "CREATE UNIQUE INDEX rows_once ON rows(producer, sequence)",
    """CREATE TABLE heads(
    batch_id TEXT NOT NULL, number INTEGER PRIMARY KEY, count INTEGER NOT NULL, hash TEXT NOT NULL,
    wall_time TEXT NOT NULL, key_id TEXT NOT NULL, signature TEXT NOT NULL) STRICT""",
    *(
        f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table} "
        "BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END"
        for table in ("rows", "heads")
        for act in ("UPDATE", "DELETE")
    ),
)
"""Everything in the database: rows chained by hash, heads signed. No table without its proof."""

SELECT_SCHEMA = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"


def first_hash(batch_id: str) -> str:
    """Return what row 1 of a batch is chained to, so that no chain fits another batch."""
    return hashlib.sha256(b"mimedi batch record 1\n" + batch_id.encode()).hexdigest()


def row_hash(previous: str, number: int, fields: Mapping[str, Any]) -> str:
    """Return the hash of a row: SHA-256 over the previous hash and the row's canonical JSON.

    Args:
        previous: hash of the row before, hexadecimal.
        number: number of the row, from 1.
        fields: the columns of `EVENT_COLUMNS`; `process_time_s` None when unknown.
    """
    content = {"number": number, **{name: fields[name] for name in EVENT_COLUMNS}}
    return hashlib.sha256(f"{previous}\n{encode_plain(content)}".encode()).hexdigest()


def event_columns(event: RecordEvent) -> dict[str, Any]:
    """Return the columns of an event as the database gives them back: an unknown time is None."""
    fields = event.as_fields()
    if fields["process_time_s"] != fields["process_time_s"]:
        fields["process_time_s"] = None
    return fields


def is_row(row: Sequence[Any]) -> bool:
    """Return whether the columns of a row have the types that its table allows; a damaged file gives others."""
    kinds: dict[str, type | tuple[type, ...]] = {
        "number": int, "sequence": int, "process_time_s": (float, int, type(None)),
    }  # fmt: skip
    return all(isinstance(value, kinds.get(name, str)) for name, value in zip(ROW_COLUMNS, row, strict=True))


def row_event(row: Sequence[Any]) -> RecordEvent:
    """Return the event of a row of `ROW_COLUMNS`; raises EventError when it is none."""
    return RecordEvent.from_fields(dict(zip(EVENT_COLUMNS, row[1:-1], strict=True)))


def folder_name(batch_id: str) -> str:
    """Return the name of a batch's run folder and ledger."""
    return batch_id or JOURNAL
