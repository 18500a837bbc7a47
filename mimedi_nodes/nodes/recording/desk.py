# SPDX-License-Identifier: Apache-2.0
"""The desk: where people's signatures and late laboratory results wait, on disk, for who has the record.

A command at the terminal puts an event into the outbox of its batch, below `.workcell/desk` beside the runs. Who has
the record takes it: the recorder of a running workcell, or else the command itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...records.events import RecordEvent
from ...records.outbox import Outbox

FOLDER = "desk"
_SUFFIX = ".outbox.sqlite"


def folder_of(runs_dir: Path) -> Path:
    """Return the folder of the desk beside some runs."""
    return runs_dir.resolve().parent / ".workcell" / FOLDER


def producer_of(run_name: str) -> str:
    """Return the producer of what comes from the desk for a batch: each batch has its own numbers."""
    return f"{FOLDER}/{run_name}"


def stamps(runs_dir: Path) -> dict[Path, tuple[int, ...]]:
    """Return the files of all outboxes with what changes when something is put into one."""
    found = {}
    for path in sorted(folder_of(runs_dir).glob(f"*{_SUFFIX}")):
        sides = [side for side in (path, Path(f"{path}-wal")) if side.exists()]
        found[path] = tuple(number for side in sides for number in (side.stat().st_mtime_ns, side.stat().st_size))
    return found


def open_outbox(path: Path) -> Outbox:
    """Return the outbox in a file of `stamps`; raises RecordError when it cannot be opened."""
    return Outbox(path, producer_of(path.name.removesuffix(_SUFFIX)))


def leave(
    runs_dir: Path, batch_id: str, time_s: float, kind: str, who: str, what: str, why: str, data: Mapping[str, Any]
) -> RecordEvent:
    """Put an event on the desk; it is on disk on return.

    Raises:
        RecordError: the disk refuses, or a field is not allowed.
    """
    name = batch_id or ".journal"
    outbox = Outbox(folder_of(runs_dir) / f"{name}{_SUFFIX}", producer_of(name))
    try:
        return outbox.append(batch_id, time_s, kind, who, what, why, data)
    finally:
        outbox.close()
