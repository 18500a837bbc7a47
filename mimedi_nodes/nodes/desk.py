# SPDX-License-Identifier: Apache-2.0
"""The desk: where people's signatures and late laboratory results wait, on disk, for who has the record.

A command at the terminal puts an event into the outbox of its batch, below `.workcell/desk` beside the runs. Who has
the record takes it: the recorder of a running workcell, or else the command itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..records.events import RecordEvent
from ..records.outbox import Outbox

FOLDER = "desk"
_SUFFIX = ".outbox.sqlite"


def folder_of(runs_dir: Path) -> Path:
    """Return the folder of the desk beside some runs."""
    return runs_dir.resolve().parent / ".workcell" / FOLDER


def producer_of(run_name: str) -> str:
    """Return the producer of what comes from the desk for a batch: each batch has its own numbers."""
    return f"{FOLDER}/{run_name}"


def outboxes(runs_dir: Path) -> Iterator[Outbox]:
    """Yield the outbox of each batch that has one, open; the caller closes it.

    Raises:
        RecordError: one cannot be opened.
    """
    for path in sorted(folder_of(runs_dir).glob(f"*{_SUFFIX}")):
        yield Outbox(path, producer_of(path.name.removesuffix(_SUFFIX)))


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
