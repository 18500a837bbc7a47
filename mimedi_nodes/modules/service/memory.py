# SPDX-License-Identifier: Apache-2.0
"""What a module has on disk: its goals and what it has told the record. Both, or neither."""

from __future__ import annotations

from pathlib import Path

from ...records.errors import StorageError
from ...records.outbox import Outbox
from .goal_store import GoalStore


def open_memory(folder: Path, name: str) -> tuple[GoalStore, Outbox]:
    """Open or make a module's memory of its goals and its outbox in the state folder.

    Raises:
        RecordError: one of them cannot be opened, or is gone while the other is there: a goal that was carried out
            would be taken for one that was never heard of, and carried out again.
    """
    goals, outbox = folder / f"{name}.goals.sqlite", folder / f"{name}.outbox.sqlite"
    before = outbox.exists()
    if before and not goals.exists():  # it is made first
        raise _half(goals, outbox)
    store = GoalStore(goals)
    if not before and not store.is_empty:
        store.close()
        raise _half(outbox, goals)
    try:
        return store, Outbox(outbox, name)
    except BaseException:
        store.close()
        raise


def _half(missing: Path, there: Path) -> StorageError:
    return StorageError(
        f"{missing} is gone, {there.name} is there: what became of a goal would not be known; put back a copy of it "
        f"({missing.name}.saved, where there is one); when no batch is under way, take both away"
    )
