# SPDX-License-Identifier: Apache-2.0
"""What people bring at the terminal goes on record: through the recorder of a running workcell, or directly."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...nodes.recording import desk
from ...nodes.recording.record_keeper import RecordKeeper
from ...nodes.recording.signature_check import signature_check
from ...records.errors import RecordError
from ...records.events import RecordEvent
from ...records.summary import read_events
from .people import Place, roles_file

WAIT_S = 30.0
"""How long a running recorder may take to put something on record [s]."""
PRODUCER = "review"
"""The recorder's name when a command stands in for it: a running one has its own numbers."""


def keeper(place: Place, products: Path) -> RecordKeeper:
    """Return the records of a workcell, for a command.

    Raises:
        RecordError: a folder cannot be written, or the keys cannot be used.
    """
    check = signature_check(place.users, roles_file(), products)
    return RecordKeeper(place.runs, place.keys, place.state / "state", check, PRODUCER)


def put_on_record(
    place: Place, run: Path, products: Path, kind: str, who: str, what: str, why: str, data: Mapping[str, Any]
) -> RecordEvent:
    """Put an event on the record of a run and return it as it stands there.

    Raises:
        RecordError: it is not on record; what is on the desk is taken later.
    """
    event = desk.leave(place.runs, run.name, last_s(read_events(run)), kind, who, what, why, data)
    deadline_s = time.monotonic() + WAIT_S
    while (taken := _taken(run, event)) is None:
        if not _take_directly(place, products) and time.monotonic() > deadline_s:
            raise RecordError(
                f"the recorder that has {run.name} did not take it within {WAIT_S:.0f} s; "
                "it waits on disk and is taken when the recorder is well"
            )
        time.sleep(0.1)
    return taken


def last_s(events: Sequence[RecordEvent]) -> float:
    """Return the latest process time of a record [s], NaN when none is known."""
    known = [event.process_time_s for event in events if event.process_time_s == event.process_time_s]
    return max(known, default=float("nan"))


def is_held(error: RecordError) -> bool:
    """Return whether a record could not be opened because a running recorder has it."""
    return "another recorder" in str(error)


def _take_directly(place: Place, products: Path) -> bool:
    """Write what waits into the records; False when a running recorder has one of them and will do it."""
    records = keeper(place, products)
    try:
        records.take_desk()
    except RecordError as error:
        if not is_held(error):
            raise
        return False
    finally:
        records.close()
    return True


def _taken(run: Path, event: RecordEvent) -> RecordEvent | None:
    found = (e for e in read_events(run) if (e.producer, e.sequence) == (event.producer, event.sequence))
    return next(found, None)
