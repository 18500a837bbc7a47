# SPDX-License-Identifier: Apache-2.0
"""Finds whatever was done to a record after it was written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .attachments import attached_path, file_hash, registered
from .chain import (
    DATABASE_FILE,
    HEAD_COLUMNS,
    HEADS_FILE,
    JOURNAL,
    ROW_COLUMNS,
    SCHEMA,
    SELECT_SCHEMA,
    first_hash,
    is_row,
    row_event,
    row_hash,
)
from .errors import EventError, RecordError
from .events import RecordEvent
from .heads import Head, key_id
from .signatures import SignerKey, check_signature, read_signature
from .sqlite import open_database, storage_error
from .verify_heads import check_heads, compare_heads, read_heads
from .verify_report import MAX_ROWS_NAMED, VerifyReport


def verify(
    folder: Path,
    heads_folder: Path,
    public_key: Ed25519PublicKey | Sequence[Ed25519PublicKey],
    expected_head: str = "",
    signer_keys: Mapping[str, SignerKey] | None = None,
) -> VerifyReport:
    """Compare a run's record with its chain, its signed heads outside the run, its attachments and its signatures.

    Finds edited, removed, inserted and reordered rows, a cut tail, a recomputed chain, altered heads, tables or
    triggers, altered or missing attachments, signatures that nobody gave or that were moved. Reads only.

    Args:
        folder: run folder, named like the batch.
        heads_folder: folder of the ledgers, outside the run.
        public_key: the key, or all keys, that the recorder has signed with.
        expected_head: first digits of a hash that the record must contain, as printed on a report.
        signer_keys: keys of the accounts, by their short names; None when the accounts are not at hand.
    """
    keys = [public_key] if isinstance(public_key, Ed25519PublicKey) else list(public_key)
    batch_id = "" if folder.name == JOURNAL else folder.name
    report = VerifyReport(batch_id=batch_id)
    ledger = read_heads(heads_folder / f"{folder.name}.jsonl", "ledger", report)
    copy = read_heads(folder / HEADS_FILE, "heads.jsonl", report)
    database_file = folder / DATABASE_FILE
    if not database_file.is_file():
        if ledger:
            report.find("record_removed", f"{database_file} is gone; the ledger has {ledger[-1].count} rows of it")
        else:
            report.missing.append(f"{database_file}: there is no record; give the folder of a run")
        return report
    try:
        rows, stored = _read_database(database_file, report)
    except RecordError as error:
        report.find("unreadable", str(error))
        return report
    hashes = _check_rows(batch_id, rows, report)
    by_key = {key_id(key): key for key in keys}
    for name, heads in (("record", stored), ("ledger", ledger), ("heads.jsonl", copy)):
        if heads is not None:
            check_heads(batch_id, name, heads, hashes, by_key, report)
    compare_heads(stored, ledger, copy, len(rows), folder, heads_folder, report)
    events = _events(rows, report)
    _check_attachments(folder, events, report)
    _check_signatures(rows, hashes, signer_keys, report)
    if expected_head and not any(value.startswith(expected_head.lower()) for value in hashes[1:]):
        report.find("other_head", f"no row has the hash {expected_head}…; it is not the record that the hash is of")
    return report


def _read_database(path: Path, report: VerifyReport) -> tuple[list[tuple[Any, ...]], list[Head]]:
    with closing(open_database(path, read_only=True)) as database, storage_error(str(path)):
        database.execute("BEGIN")  # one state of the database, also while the recorder writes
        (check,) = database.execute("PRAGMA integrity_check(1)").fetchone()
        if check != "ok":
            report.find("damaged", f"{path}: {check}")
        found = {sql for (sql,) in database.execute(SELECT_SCHEMA)}
        for sql in sorted(found - set(SCHEMA)):
            report.find("schema_altered", f"the database has what the recorder never made: {' '.join(sql.split())}")
        for sql in SCHEMA:
            if sql not in found:
                report.find("schema_altered", f"the database lacks: {' '.join(sql.split())[:80]}…")
        rows = database.execute(f"SELECT {', '.join(ROW_COLUMNS)} FROM rows ORDER BY number").fetchall()
        heads = []
        for row in database.execute(f"SELECT {', '.join(HEAD_COLUMNS)} FROM heads ORDER BY number"):
            try:
                heads.append(Head.from_fields(dict(zip(HEAD_COLUMNS, row, strict=True))))
            except RecordError as error:
                report.find("head_altered", f"record: {error}")
    report.rows = len(rows)
    return rows, heads


def _check_rows(batch_id: str, rows: Sequence[tuple[Any, ...]], report: VerifyReport) -> list[str]:
    """Return the hashes that the rows have by their content, the first one being what row 1 is chained to."""
    hashes = [first_hash(batch_id)]
    stored_before = hashes[0]
    due = 1
    altered = 0
    last: dict[str, int] = {}
    for row in rows:
        fields = dict(zip(ROW_COLUMNS, row, strict=True))
        number = fields["number"]
        if not is_row(row):
            altered += 1
            if altered <= MAX_ROWS_NAMED:
                report.find("row_altered", f"row {number} holds what no row can hold: the file is damaged", due)
            hashes.append("")
            stored_before, due = str(fields["hash"]), due + 1
            continue
        if number != due:
            report.find("rows_removed", f"rows {due} to {number - 1} are gone", due)
        elif row_hash(stored_before, number, fields) != fields["hash"]:
            altered += 1
            if altered <= MAX_ROWS_NAMED:
                what = f"{fields['kind']} of {fields['producer']}, number {fields['sequence']}"
                report.find("row_altered", f"row {number} ({what}) is not what was written there", number)
        if fields["batch_id"] != batch_id:
            report.find("other_batch", f"row {number} is of batch {fields['batch_id']!r}, not {batch_id!r}", number)
        if fields["sequence"] <= last.get(fields["producer"], 0):
            report.find("reordered", f"row {number} comes after later events of {fields['producer']}", number)
        last[fields["producer"]] = fields["sequence"]
        hashes.append(row_hash(hashes[-1], len(hashes), fields))
        stored_before = fields["hash"]
        due = number + 1
    if altered > MAX_ROWS_NAMED:
        report.find("row_altered", f"{altered - MAX_ROWS_NAMED} more rows are not what was written there")
    report.head_hash = hashes[-1] if rows else ""
    _note_clock(rows, report)
    return hashes


def _note_clock(rows: Sequence[tuple[Any, ...]], report: VerifyReport) -> None:
    """Tell where a producer's wall clock was set back: no alteration, but what a reader of stamps must know."""
    last: dict[str, str] = {}
    rows = [row for row in rows if is_row(row)]
    place = {name: ROW_COLUMNS.index(name) for name in ("producer", "wall_time", "number")}
    back = []
    for row in rows:
        producer, stamp = str(row[place["producer"]]), str(row[place["wall_time"]])
        if stamp < last.get(producer, ""):
            back.append(f"row {row[place['number']]} ({producer}: {last[producer]} to {stamp})")
        last[producer] = stamp
    if back:
        more = f" and {len(back) - 3} more" if len(back) > 3 else ""
        report.notes.append(f"wall time was set back at {', '.join(back[:3])}{more}; process time and order are kept")


def _events(rows: Sequence[tuple[Any, ...]], report: VerifyReport) -> list[RecordEvent]:
    events = []
    for row in rows:
        if not is_row(row):
            continue  # told already
        try:
            events.append(row_event(row))
        except EventError as error:
            report.find("no_event", f"row {row[0]} is no event: {error}", row[0])
    return events


def _check_attachments(folder: Path, events: Sequence[RecordEvent], report: VerifyReport) -> None:
    for path, data in registered(events).items():
        report.attachments += 1
        try:
            file = attached_path(folder, path)
            if file.resolve() != folder.resolve() / path:
                report.find("attachment_altered", f"{path} is a link to another place, not the file that was attached")
                continue
            if not file.is_file():
                report.find("attachment_missing", f"{path} was attached and is gone")
                continue
            sha256, _ = file_hash(file)
        except RecordError as error:
            report.find("attachment_altered", str(error))
            continue
        if sha256 != data.get("sha256"):
            report.find("attachment_altered", f"{path} is not the file that was attached")


def _check_signatures(
    rows: Sequence[tuple[Any, ...]],
    hashes: Sequence[str],
    keys: Mapping[str, SignerKey] | None,
    report: VerifyReport,
) -> None:
    """Each signature is its signer's own, over the rows that the record has before it."""
    for number, row in enumerate(rows, start=1):
        if row[ROW_COLUMNS.index("kind")] != "signature" or not is_row(row):
            continue
        report.signatures += 1
        try:
            signature = read_signature(row_event(row), number)
        except (EventError, RecordError) as error:
            report.find("signature_invalid", f"row {number}: {error}", number)
            continue
        signed = signature.statement.count
        wrong = check_signature(signature, hashes[signed] if 0 < signed < number else None, keys or {})
        if wrong and (keys is not None or "belongs to no account" not in wrong):
            report.find("signature_invalid", f"row {number}: {wrong}", number)
    if report.signatures and keys is None:
        report.missing.append(
            f"{report.signatures} electronic signatures cannot be checked without the accounts; "
            "give their folder with --users"
        )
