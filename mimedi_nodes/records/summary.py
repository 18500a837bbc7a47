# SPDX-License-Identifier: Apache-2.0
"""The summary of a batch, and the canonical rows by which two records are the same."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .canonical import canonical_json
from .chain import DATABASE_FILE, ROW_COLUMNS, row_event
from .disposition import disposition
from .errors import RecordError
from .events import RecordEvent
from .heads import Head
from .review import VERDICTS, Review
from .signatures import signatures
from .sqlite import open_database, storage_error

SUMMARY_FILE = "summary.json"

_UUID = re.compile(r"\b[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\b")
_HASH = re.compile(r"\b[0-9a-f]{64,128}\b")
_STAMP = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_WALL_KEYS = ("wall_time", "wall_s", "goal_id", "signature", "sha256", "key_id", "bytes")


def summarize(review: Review, head: Head | None) -> dict[str, Any]:
    """Return the content of `summary.json`: identity, verdict, release table, results by step, head of the record.

    Args:
        review: the reviewed batch.
        head: last signed head of the record; None for a run whose record is not kept.
    """
    facts = review.facts
    batch = facts.values["batch"]
    decided = disposition(facts.events)
    started = facts.of_kind("batch_started")
    ended = facts.of_kind("batch_ended")
    times = [event.process_time_s for event in facts.events if event.process_time_s == event.process_time_s]
    summary: dict[str, Any] = {
        "batch_id": batch.get("batch_id", facts.events[0].batch_id if facts.events else ""),
        "product": batch.get("product", review.specification.get("product", "")),
        "recipe": batch.get("recipe", ""),
        "specification": {name: review.specification.get(name, "") for name in ("product", "version", "status")},
        "verdict": review.verdict,
        "verdict_text": VERDICTS.get(review.verdict, review.verdict),
        "disposition": decided.state,
        "disposition_text": decided.text,
        "signatures": [{**vars(s.statement), "row": s.row} for s in signatures(facts.events)],
        "release": [asdict(row) for row in review.rows],
        "steps": _steps(review),
        "counts": facts.values["counts"],
        "duration_d": (max(times) - min(times)) / 86400.0 if times else None,
        "ended": dict(ended[-1].data) if ended else {},
        "rows": len(facts.events),
    }
    # Only what the record itself tells: a real batch has neither seed nor scenario.
    for name in ("seed", "scenario", "donor_profile", "simulated", "engineering_run"):
        if started and name in started[0].data:
            summary[name] = started[0].data[name]
    for name in ("patient_id", "donor_id", "patient_weight_kg", "run_kind"):
        summary[name] = batch.get(name)
    if head is not None:
        summary["head"] = {name: value for name, value in vars(head).items() if name != "batch_id"}
    return summary


def write_summary(folder: Path, summary: Mapping[str, Any]) -> Path:
    """Write `summary.json` into the run folder, whole or not at all, and return its path.

    Raises:
        RecordError: the disk is full or the folder cannot be written.
    """
    path = folder / SUMMARY_FILE
    draft = path.with_suffix(".draft")
    try:
        draft.write_text(canonical_json(summary) + "\n", encoding="utf-8")
        os.replace(draft, path)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}; free space, then ask for the summary again") from error
    return path


def read_events(folder: Path, after: int = 0) -> list[RecordEvent]:
    """Return the events of a run's record without taking it from its recorder.

    Args:
        after: number of the last row that is left out; 0 for all rows.

    Raises:
        RecordError: there is no record, or it cannot be read.
    """
    path = folder / DATABASE_FILE
    if not path.is_file():
        raise RecordError(f"{path}: there is no record; give the folder of a run, like runs/B2026-001")
    with closing(open_database(path, read_only=True)) as database, storage_error(str(path)):
        wanted = f"SELECT {', '.join(ROW_COLUMNS)} FROM rows WHERE number > ? ORDER BY number"
        rows = database.execute(wanted, (after,)).fetchall()
    return [row_event(row) for row in rows]


def canonical_rows(events: Iterable[RecordEvent]) -> list[str]:
    """Return what makes two records the same: rows by process time, source and sequence, as canonical JSON.

    Wall-clock stamps, UUIDs, hashes and signatures are taken out, wherever they stand; so is the batch's name, and
    sequences count from the producer's first event in this batch.
    """
    rows = []
    first: dict[str, int] = {}
    for event in events:
        first[event.producer] = min(event.sequence, first.get(event.producer, event.sequence))
        rows.append(event)
    rows.sort(key=_order)
    return [
        canonical_json(
            _without_stamps(
                {
                    "process_time_s": event.process_time_s,
                    "producer": event.producer,
                    "sequence": event.sequence - first[event.producer] + 1,
                    "kind": event.kind,
                    "who": event.who,
                    "what": event.what,
                    "why": event.why,
                    "data": event.data,
                },
                event.batch_id,
            )
        )
        for event in rows
    ]


def canonical_hash(events: Iterable[RecordEvent]) -> str:
    """Return the SHA-256 over the canonical rows: equal for two runs of one seed."""
    return hashlib.sha256("\n".join(canonical_rows(events)).encode()).hexdigest()


def main(argv: Sequence[str]) -> int:
    """Print the canonical rows of a run, or tell whether two runs have the same record (status 0 same, 1 not)."""
    parser = argparse.ArgumentParser(prog="python -m mimedi_nodes.records.summary", description=main.__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("other", type=Path, nargs="?")
    options = parser.parse_args(list(argv))
    try:
        rows = canonical_rows(read_events(options.run))
        if options.other is None:
            print("\n".join(rows))
            return 0
        others = canonical_rows(read_events(options.other))
    except RecordError as error:
        print(error, file=sys.stderr)
        return 2
    for number, (row, other) in enumerate(zip(rows, others, strict=False), start=1):
        if row != other:
            print(f"row {number} differs:\n< {row}\n> {other}")
            return 1
    if len(rows) != len(others):
        print(f"{len(rows)} rows, {len(others)} rows")
        return 1
    print(f"same record: {len(rows)} rows")
    return 0


def _order(event: RecordEvent) -> tuple[bool, float, str, int]:
    """Process time (unknown first), source, sequence."""
    known = event.process_time_s == event.process_time_s
    return (known, event.process_time_s if known else 0.0, event.producer, event.sequence)


def _steps(review: Review) -> list[dict[str, Any]]:
    steps = []
    for event in review.facts.of_kind("phase_ended"):
        data = event.data
        result = data.get("result")
        steps.append(
            {
                "phase_id": data.get("phase_id") or event.what,
                "module": data.get("module", ""),
                "action": data.get("action", ""),
                "status": data.get("status", ""),
                "started_s": data.get("started_s"),
                "ended_s": data.get("ended_s", event.process_time_s),
                "result": dict(result) if isinstance(result, Mapping) else {},
            }
        )
    return steps


def _without_stamps(value: Any, batch_id: str) -> Any:
    if isinstance(value, Mapping):
        return {
            name: _without_stamps(inner, batch_id) for name, inner in value.items() if name not in _WALL_KEYS
        }
    if isinstance(value, (list, tuple)):
        return [_without_stamps(inner, batch_id) for inner in value]
    if isinstance(value, str):
        text = value.replace(batch_id, "<batch>") if batch_id else value
        return _HASH.sub("<hash>", _UUID.sub("<uuid>", _STAMP.sub("<wall time>", text)))
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
