# SPDX-License-Identifier: Apache-2.0
"""A copy of a batch's run that verifies by itself, and putting it back (EudraLex volume 4, Annex 11, 7.2 and 17).

A copy holds the run folder, its signed heads and the recorder's public key, laid out as a runs folder:
`FOLDER/BATCH`, `FOLDER/.heads/BATCH.jsonl`, `FOLDER/.keys/record.pub.pem`.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from .chain import DATABASE_FILE, HEADS_FILE
from .errors import RecordError, StorageError
from .heads import PUBLIC_KEY_FILE, Head, HeadLedger, load_public_key
from .signatures import SignerKey
from .sqlite import open_database, storage_error
from .verify import verify
from .verify_report import VerifyReport

Signers = Mapping[str, SignerKey] | None
HEADS, KEYS, DAMAGED = ".heads", ".keys", ".damaged"
_OWN = (DATABASE_FILE, f"{DATABASE_FILE}-wal", f"{DATABASE_FILE}-shm", HEADS_FILE)
"""Files that are copied by their content, not as they lie."""


def back_up(run: Path, public_key: Path, folder: Path, signers: Signers = None) -> VerifyReport:
    """Copy a run while it may be written, and verify the copy, not the original; an earlier copy is replaced by it.

    Args:
        run: run folder; its heads lie in `run/../.heads`.
        public_key: file of the recorder's public key.
        folder: where the copies lie; outside the runs folder.
        signers: keys of the accounts, by which electronic signatures are checked.

    Raises:
        RecordError: it cannot be read or written, or the copy does not verify; then an earlier copy stays.
    """
    if run.parent.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise RecordError(f"{folder}: lies in the runs folder; keep copies on another disk")
    draft = folder / f".{run.name}.draft"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        (draft / HEADS).mkdir(parents=True)
        (folder / KEYS).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(public_key, folder / KEYS / PUBLIC_KEY_FILE)
        copy = draft / run.name
        copy.mkdir()
        for path in sorted(run.iterdir()):
            if path.is_file() and path.name not in _OWN and not path.name.startswith(".") and path.suffix != ".part":
                shutil.copy2(path, copy / path.name)
        rows = _copy_record(run, copy)
        _copy_heads(run.parent / HEADS / f"{run.name}.jsonl", draft / HEADS / f"{run.name}.jsonl", rows)
        _copy_heads(run / HEADS_FILE, copy / HEADS_FILE, rows)
        report = _verified(copy, draft / HEADS, public_key, signers)
        _replace(copy, folder / run.name)
        (folder / HEADS).mkdir(exist_ok=True)
        os.replace(draft / HEADS / f"{run.name}.jsonl", folder / HEADS / f"{run.name}.jsonl")
        shutil.rmtree(draft)
    except OSError as error:
        raise StorageError(f"{error.filename}: {error.strerror}; nothing was copied") from error
    return report


def restore(run: Path, folder: Path, public_key: Path, signers: Signers = None) -> VerifyReport:
    """Put a copy back where the record is gone or altered; what lies there is kept below `.damaged`.

    Args:
        run: run folder to be, whose heads in `run/../.heads` tell what was acknowledged.
        folder: where the copies lie.
        public_key: the site's own public key of the recorder.
        signers: see `back_up`.

    Raises:
        RecordError: the record is intact, is in use, or the copy does not verify or lacks acknowledged rows.
    """
    copy, heads = folder / run.name, run.parent / HEADS
    if verify(run, heads, load_public_key(public_key), signer_keys=signers).verdict == "intact":
        raise RecordError(f"{run}: verifies as it is; there is nothing to restore")
    report = _verified(copy, folder / HEADS, public_key, signers)
    ledger_file = heads / f"{run.name}.jsonl"
    ledger = HeadLedger(ledger_file)  # refused while a recorder has it
    try:
        known = max((head.count for head in ledger.heads), default=0)
        if known > report.rows:
            raise RecordError(
                f"{copy}: has {report.rows} rows, {known} were acknowledged: {known - report.rows} would be lost; look "
                "for a later copy, or open a deviation and keep run and copy as they are"
            )
        if not ledger.heads:
            shutil.copyfile(folder / HEADS / f"{run.name}.jsonl", ledger_file)
        if run.exists():
            number = 1
            while (kept := run.parent / DAMAGED / f"{run.name}-{number}").exists():
                number += 1
            kept.parent.mkdir(exist_ok=True)
            os.replace(run, kept)
        draft = run.parent / f".{run.name}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(copy, draft)
        os.replace(draft, run)
    except OSError as error:
        raise StorageError(f"{error.filename}: {error.strerror}; look at {run.parent / DAMAGED}") from error
    finally:
        ledger.close()
    return _verified(run, heads, public_key, signers)


def _copy_record(run: Path, copy: Path) -> int:
    """Copy the database as of one moment, whoever writes it meanwhile; return its number of rows."""
    path = run / DATABASE_FILE
    if not path.is_file():
        raise RecordError(f"{path}: there is no record; give the folder of a run")
    target = copy / DATABASE_FILE
    with (
        storage_error(str(path)),
        closing(open_database(path, read_only=True)) as database,
        closing(sqlite3.connect(target)) as written,
    ):
        database.backup(written)
        written.execute("PRAGMA journal_mode = DELETE")  # one file, no log beside it
        return int(written.execute("SELECT COUNT(*) FROM rows").fetchone()[0])


def _copy_heads(path: Path, target: Path, rows: int) -> None:
    """Copy the heads that were signed over the rows of the copy: later ones belong to later rows."""
    if not path.is_file():
        raise RecordError(f"{path}: there are no signed heads; run `workcell verify`")
    lines = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    kept = [line for line in lines if Head.from_line(line.rstrip("\n")).count <= rows]
    target.write_text("".join(kept), encoding="utf-8")


def _verified(run: Path, heads: Path, public_key: Path, signers: Signers) -> VerifyReport:
    report = verify(run, heads, load_public_key(public_key), signer_keys=signers)
    if report.verdict != "intact":
        told = "; ".join([*(finding.message for finding in report.findings), *report.missing])
        raise RecordError(f"{run}: is {report.verdict}: {told}")
    return report


def _replace(new: Path, place: Path) -> None:
    old = place.with_name(f".{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        os.replace(place, old)
    os.replace(new, place)
    shutil.rmtree(old, ignore_errors=True)
