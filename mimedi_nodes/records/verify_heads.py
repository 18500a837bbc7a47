# SPDX-License-Identifier: Apache-2.0
"""Finds what was done to the signed heads of a record, and to the rows that they were signed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .errors import RecordError
from .heads import Head
from .verify_report import MAX_ROWS_NAMED, VerifyReport


def read_heads(path: Path, name: str, report: VerifyReport) -> list[Head] | None:
    """Return the heads of a file; None when there is no such file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        report.find("head_altered", f"{name}: {path} cannot be read: {error}")
        return []
    heads = []
    *lines, torn = text.split("\n")
    for index, line in enumerate(lines, start=1):
        try:
            heads.append(Head.from_line(line))
        except RecordError as error:
            report.find("head_altered", f"{name}, line {index}: {error}")
    if torn:
        report.notes.append(f"{name}: the last line was torn by a crash; the recorder mends it at its next start")
    return heads


def check_heads(
    batch_id: str,
    name: str,
    heads: Sequence[Head],
    hashes: Sequence[str],
    keys: Mapping[str, Ed25519PublicKey],
    report: VerifyReport,
) -> None:
    """Signatures, numbering, and that the rows are still those that each head was signed over."""
    due = 1
    left = len(hashes) - 1
    replaced = cut = False
    unsigned = []
    for head in heads:
        key = keys.get(head.key_id)
        if key is None or not head.signed_by(key):
            unsigned.append(head.number)
            continue
        if head.batch_id != batch_id:
            report.find("other_batch", f"{name}: head {head.number} is of batch {head.batch_id!r}, not {batch_id!r}")
            continue
        if head.number != due:
            report.find("heads_removed", f"{name}: head {head.number} stands where head {due} should")
        due = head.number + 1
        if head.count > left:
            cut = True
        elif hashes[head.count] != head.hash and not replaced:
            replaced = True
            message = f"{name}: the rows up to {head.count} are not those that head {head.number} was signed over"
            report.find("rows_replaced", message, head.count)
    if cut:
        signed = max(head.count for head in heads)
        report.find("tail_cut", f"{name}: {signed} rows were signed, {left} are left", left + 1)
    if unsigned:
        named = ", ".join(str(number) for number in unsigned[:MAX_ROWS_NAMED])
        report.find("bad_signature", f"{name}: not signed by the recorder's key: head {named}")


def compare_heads(
    stored: Sequence[Head],
    ledger: Sequence[Head] | None,
    copy: Sequence[Head] | None,
    rows: int,
    folder: Path,
    heads_folder: Path,
    report: VerifyReport,
) -> None:
    report.heads = len(stored)
    signed = stored[-1].count if stored else 0
    if rows > signed:
        report.find("unsigned_rows", f"rows {signed + 1} to {rows} were never signed", signed + 1)
    if stored:
        report.head_wall_time, report.key_id = stored[-1].wall_time, stored[-1].key_id
    if ledger is None:
        report.missing.append(
            f"{heads_folder / (folder.name + '.jsonl')}: the heads outside the run are missing; without them a cut "
            "tail cannot be excluded: give their folder"
        )
    for name, heads in (("ledger", ledger), ("heads.jsonl", copy)):
        if heads is None:
            if name == "heads.jsonl" and len(stored) > 1:  # one: cut off before the copy was ever written
                report.find("heads_removed", f"{name}: the copy that travels with the run is gone")
            continue
        behind = len(stored) - len(heads)
        if behind == 1:
            report.notes.append(f"{name}: the last head is not there yet: the recorder is writing, or was cut off")
        elif behind > 1:
            report.find("heads_removed", f"{name}: has {len(heads)} heads, the record {len(stored)}")
        pairs = zip(stored, heads, strict=False)
        differing = next((ours.number for ours, theirs in pairs if ours != theirs), None)
        if differing is not None:
            report.find("heads_disagree", f"{name}: head {differing} is not the one in the record")
