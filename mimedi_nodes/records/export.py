# SPDX-License-Identifier: Apache-2.0
"""Exports of a record: JSON, CSV long and wide, Parquet, XML after B2MML, and the files that measurements made.

Each names the head that it was made from."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .analysis_files import files
from .errors import RecordError
from .events import RecordEvent
from .heads import Head
from .tables import LONG_COLUMNS, csv_text, long_rows, wide_rows

MANIFEST = "manifest.json"

Write = Callable[[Path, Sequence[RecordEvent], Head | None], None]


def export(folder: Path, events: Sequence[RecordEvent], head: Head | None, formats: Sequence[str]) -> list[Path]:
    """Write a record in some formats, each file whole or not at all, with a manifest of their hashes.

    Args:
        folder: where to, made when missing.
        formats: keys of `FORMATS`.

    Raises:
        RecordError: an unknown format, or the folder cannot be written.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise RecordError(f"format {', '.join(unknown)}: allowed are {', '.join(FORMATS)}")
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in dict.fromkeys(formats):
            file, write = FORMATS[name]
            path = folder / file
            draft = path.with_name(f".{file}.draft")
            write(draft, events, head)
            os.replace(draft, path)
            written.append(path)
        for name, (_, content) in files(events).items():
            path = folder / re.sub(r"[^A-Za-z0-9._-]", "_", name)
            draft = path.with_name(f".{path.name}.draft")
            draft.write_bytes(content)
            os.replace(draft, path)
            written.append(path)
        _manifest(folder, written, events, head)
    except OSError as error:
        raise RecordError(f"{folder}: {error.strerror}; give a writable folder with space") from error
    return written


def _json(path: Path, events: Sequence[RecordEvent], head: Head | None) -> None:
    rows = [{"row": row, **_fields(event)} for row, event in enumerate(events, start=1)]
    content = {"batch_id": events[0].batch_id if events else "", "head": vars(head) if head else None, "rows": rows}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _fields(event: RecordEvent) -> dict[str, Any]:
    fields = event.as_fields()
    fields["data"] = event.data
    del fields["data_json"]
    if fields["process_time_s"] != fields["process_time_s"]:
        fields["process_time_s"] = None
    return fields


def _csv_long(path: Path, events: Sequence[RecordEvent], head: Head | None) -> None:
    path.write_text(csv_text(LONG_COLUMNS, long_rows(events)), encoding="utf-8", newline="")


def _csv_wide(path: Path, events: Sequence[RecordEvent], head: Head | None) -> None:
    path.write_text(csv_text(*wide_rows(events)), encoding="utf-8", newline="")


def _parquet(path: Path, events: Sequence[RecordEvent], head: Head | None) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    text, number = pa.string(), pa.float64()
    types = {"process_time_s": number, "value": number, "low": number, "high": number}
    schema = pa.schema(
        [pa.field(name, types.get(name, text)) for name in LONG_COLUMNS],
        metadata={"mimedi_head": json.dumps(vars(head)) if head else ""},
    )
    parquet.write_table(pa.Table.from_pylist(long_rows(events), schema=schema), path, compression="zstd")


def _parquet_rows(path: Path, events: Sequence[RecordEvent], head: Head | None) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    types: dict[str, Any] = {"process_time_s": pa.float64(), "sequence": pa.int64(), "row": pa.int64()}
    rows = [{"row": row, **_fields(event), "data_json": event.data_json} for row, event in enumerate(events, start=1)]
    names = ["row", "producer", "sequence", "batch_id", "process_time_s", "wall_time", "kind", "who", "what", "why"]
    schema = pa.schema(
        [pa.field(name, types.get(name, pa.string())) for name in [*names, "data_json"]],
        metadata={"mimedi_head": json.dumps(vars(head)) if head else ""},
    )
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")


def _b2mml(path: Path, events: Sequence[RecordEvent], head: Head | None) -> None:
    from .b2mml import b2mml

    path.write_text(b2mml(events, head), encoding="utf-8")


def _manifest(folder: Path, written: Sequence[Path], events: Sequence[RecordEvent], head: Head | None) -> None:
    """Tell hash and head of each file; what earlier exports wrote, and is still there, stays with its own."""
    path = folder / MANIFEST
    try:
        before = json.loads(path.read_text(encoding="utf-8"))["files"]
        files = {name: before[name] for name in sorted(before) if (folder / name).is_file()}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        files = {}  # the first export, or a manifest that is none: it is made anew
    of = {"rows": len(events), "head": head.hash if head else ""}
    for file in written:
        files[file.name] = {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), **of}
    content = {"rows": len(events), "head": vars(head) if head else None, "files": files}
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path)


FORMATS: dict[str, tuple[str, Write]] = {
    "json": ("record.json", _json),
    "csv-long": ("values_long.csv", _csv_long),
    "csv-wide": ("measurements_wide.csv", _csv_wide),
    "parquet": ("values.parquet", _parquet),
    "parquet-rows": ("record.parquet", _parquet_rows),
    "b2mml": ("batch_production_record.xml", _b2mml),
}
"""Format → name of its file and what writes it."""
