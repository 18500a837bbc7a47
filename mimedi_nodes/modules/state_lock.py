# SPDX-License-Identifier: Apache-2.0
"""One workcell a state folder: a second one beside it would take the first one's lines, outboxes and batches."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO

from ..process.errors import WorkcellError

NAME = "lock"


class StateInUse(WorkcellError):
    """Another workcell works in the state folder."""


def lock_state(state_dir: Path) -> IO[str]:
    """Return the folder's lock; whoever holds the file open has the folder, and has it no longer when it dies.

    Raises:
        StateInUse: another process has it.
        OSError: the folder or the file cannot be made.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    handle = (state_dir / NAME).open("a", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.close()
        raise StateInUse(
            f"another workcell works in {state_dir}; end it first, or give this one a run_dir:= and a namespace:= of "
            "its own (demo: --runs)"
        ) from error
    return handle
