# SPDX-License-Identifier: Apache-2.0
"""What a module's service tells its shell, and the codes that all modules share."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from ...records.errors import LostFileError, RecordError
from .phase_run import EventSink, Measured

STORAGE_ERRORS = (RecordError, sqlite3.Error, OSError)
"""What a full, locked or broken disk raises."""


class ServiceCode(IntEnum):
    """Offsets from a module's `error_base` that are the same in all modules."""

    UNKNOWN = 0
    REFUSED = 1
    INSTRUMENT = 2
    INTERRUPTED = 3


@dataclass
class ServiceHooks:
    """What the service tells its shell; each is called in the loop of the phases."""

    events: EventSink
    changed: Callable[[], None] = lambda: None
    measured: Measured = lambda name, value, unit, low, high: None
    alarm: Callable[[str, str, bool], None] = lambda alarm_id, message, active: None


def storage_text(error: Exception) -> str:
    """Return what is wrong with the disk or the file and what to do."""
    if isinstance(error, LostFileError):
        return f"{error}; then unhold"
    return f"cannot be written to disk: {error}; free space or mend the disk, then unhold"
