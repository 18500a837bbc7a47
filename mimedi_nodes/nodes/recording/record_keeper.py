# SPDX-License-Identifier: Apache-2.0
"""The records as the recorder node keeps them: other producers' events, and the recorder's own."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...records.errors import EventError, GapError, RecordError
from ...records.events import RecordEvent
from ...records.heads import Head, Signer
from ...records.outbox import Outbox
from ...records.store import RecordStore
from ...records.summary import SUMMARY_FILE
from . import desk, run_files

PRODUCER = "recorder"
Refusal = Callable[[RecordEvent, Sequence[RecordEvent], str | None], str]
"""Says why a signature must not be taken, empty when it may: event, record so far, hash of the row it signs up to."""

_MILESTONES = {"batch_started": True, "batch_taken_up": True, "batch_ended": False}
"""Kinds after which a batch is in production, or not."""


class RecordKeeper:
    """The records of one workcell, used from any thread; the recorder is itself a producer with an outbox.

    Args:
        runs_dir: folder of the run folders.
        keys_dir: folder of the signing keys, outside of `runs_dir`.
        state_dir: folder of the recorder's own outbox.
        refusal: looks at every signature before it is taken; without it none is.
        producer: name of the recorder among the producers.

    Raises:
        RecordError: a folder cannot be written, the keys cannot be used, or lie among the runs.
    """

    def __init__(
        self, runs_dir: Path, keys_dir: Path, state_dir: Path, refusal: Refusal | None = None, producer: str = PRODUCER
    ) -> None:
        self.runs_dir = runs_dir
        self.producer = producer
        self._refusal = refusal
        inside = keys_dir.resolve().parts[len(runs_dir.resolve().parts) :]
        if keys_dir.resolve().is_relative_to(runs_dir.resolve()) and not "".join(inside[:1]).startswith("."):
            raise RecordError(f"keys_dir {keys_dir} lies in a run folder of {runs_dir}; keep them outside of the runs")
        self._lock = threading.RLock()
        self._desk_seen: dict[Path, tuple[int, ...]] = {}
        self._in_production: dict[str, bool] = {}
        self._times_s: dict[str, float] = {}
        self._outbox = Outbox(state_dir / f"{producer}.outbox.sqlite", producer)
        try:
            self._store = RecordStore(runs_dir, Signer.load_or_create(keys_dir))
        except BaseException:
            self._outbox.close()
            raise

    def take(self, events: Sequence[RecordEvent]) -> tuple[int, list[RecordEvent]]:
        """Put events of one producer on disk; return the highest number of them and those that were new.

        Raises:
            EventError: the events are of several producers or not in their order.
            GapError: events before these are missing; nothing was taken.
            RecordError: the record refused, or the disk did.
        """
        if not events:
            return 0, []
        numbers = [event.sequence for event in events]
        if len({event.producer for event in events}) > 1 or numbers != sorted(set(numbers)):
            raise EventError("events: are not those of one producer in rising order; send each producer's own")
        with self._lock:
            before = {batch_id: self._last(batch_id, events[0].producer) for batch_id in {e.batch_id for e in events}}
            if any(event.kind == "signature" for event in events):
                events = self._with_signatures_checked(events, before)
            self._store.append(events)
            fresh = [event for event in events if event.sequence > before[event.batch_id]]
            for event in fresh:
                self._follow(event)
            self._drain()
        return numbers[-1], fresh

    def take_desk(self) -> list[RecordEvent]:
        """Take what people have left at the desk of this host; return what was new.

        Raises:
            RecordError: it cannot be read or written now; it stays where it is.
        """
        taken: list[RecordEvent] = []
        for path, stamp in desk.stamps(self.runs_dir).items():
            if self._desk_seen.get(path) == stamp:
                continue  # nothing was put there since
            outbox = desk.open_outbox(path)
            try:
                while pending := outbox.pending():
                    acknowledged, fresh = self.take(pending)
                    outbox.acknowledge(acknowledged)
                    taken += fresh
            finally:
                outbox.close()
            # Stamped before it was read: what came meanwhile is seen at the next look.
            self._desk_seen[path] = stamp
        return taken

    def _with_signatures_checked(
        self, events: Sequence[RecordEvent], before: Mapping[str, int]
    ) -> Sequence[RecordEvent]:
        """The events, each signature looked at with all that came before it on record.

        One that is none goes on record as refused, under its own number: its producer must not be stuck with it.
        """
        checked: list[RecordEvent] = []
        for event in events:
            if event.kind == "signature":
                if event.sequence <= before[event.batch_id]:
                    continue  # decided when it first came
                self._store.append(checked)
                reason = self._reason_against(event)
                if reason:
                    told = {name: event.data.get(name) for name in ("meaning", "signer", "role")}
                    event = replace(event, kind="signature_refused", why=reason, data={**told, "reason": reason})
            checked.append(event)
        return checked

    def _reason_against(self, event: RecordEvent) -> str:
        if self._refusal is None:
            return "this recorder was not given the accounts, so that it takes no signatures"
        record = self._store.record(event.batch_id)
        count = event.data.get("count")
        hash_of_row = record.hash_of(count) if isinstance(count, int) else None
        return self._refusal(event, list(record.events()), hash_of_row)

    def note(
        self,
        batch_id: str,
        kind: str,
        what: str,
        why: str,
        data: Mapping[str, Any],
        process_time_s: float | None = None,
    ) -> RecordEvent:
        """Write an event of the recorder's own; it is in the record on return.

        Args:
            process_time_s: process time [s]; that of the batch's latest event when None.

        Raises:
            RecordError: it cannot be written now; once in the outbox it follows with the next events.
        """
        with self._lock:
            time_s = self.time_s(batch_id) if process_time_s is None else process_time_s
            event = self._outbox.append(batch_id, time_s, kind, self.producer, what, why, data)
            self._drain()
            return event

    def events(self, batch_id: str) -> tuple[list[RecordEvent], Head | None]:
        """Return all events of a batch and the head that was signed over them.

        Raises:
            RecordError: there is no such record, or it cannot be read.
        """
        with self._lock:
            self._must_have(batch_id)
            record = self._store.record(batch_id)
            rows, head = record.events(), record.head
        return list(rows), head

    def folder(self, batch_id: str) -> Path:
        """Return the run folder of a batch that has a record; raises RecordError when it has none."""
        with self._lock:
            self._must_have(batch_id)
        return self.runs_dir / batch_id

    def in_production(self, batch_id: str) -> bool:
        """Return whether the last milestone of a batch says that it is being made."""
        with self._lock:
            if batch_id not in self._in_production and self._store.has(batch_id):
                state = False
                for event in self.events(batch_id)[0]:
                    state = _MILESTONES.get(event.kind, state)
                self._in_production[batch_id] = state
            return self._in_production.get(batch_id, False)

    def unfinished(self) -> list[str]:
        """Return the batches in production; of those that were reviewed, only the ones whose events came since."""
        with self._lock:
            names = [path.parent.name for path in sorted(self.runs_dir.glob("*/record.sqlite"))]
            reviewed = {name for name in names if (self.runs_dir / name / SUMMARY_FILE).exists()}
            known = set(self._in_production)
            return [n for n in names if n[0] != "." and (n in known or n not in reviewed) and self.in_production(n)]

    def time_s(self, batch_id: str) -> float:
        """Return the latest process time [s] in a batch's record; NaN when there is none."""
        with self._lock:
            if batch_id not in self._times_s and self._store.has(batch_id):
                self._times_s[batch_id] = _latest_s(event.process_time_s for event in self.events(batch_id)[0])
            return self._times_s.get(batch_id, math.nan)

    def publish_file(self, batch_id: str, part: Path, name: str, process_time_s: float | None = None) -> Path:
        """Register a finished file as an attachment of the record, then give it its name; see `run_files`.

        Raises:
            RecordError: the file cannot be read or moved, or the record cannot be written.
        """
        folder = self.folder(batch_id)
        data = run_files.described(folder, part, name)
        self.note(batch_id, "attachment", name, "file of the run", data, process_time_s)
        return run_files.settle(folder, part, name)

    def close_others(self, batch_id: str) -> None:
        """Close the records of batches that are no longer in production, except this one's."""
        with self._lock:
            for other, open_now in list(self._in_production.items()):
                if other != batch_id and not open_now:
                    self._store.close_batch(other)
                    del self._in_production[other]
                    self._times_s.pop(other, None)

    def close(self) -> None:
        """Close records and outbox."""
        with self._lock:
            self._store.close()
            self._outbox.close()

    def _last(self, batch_id: str, producer: str) -> int:
        if not self._store.has(batch_id):
            return 0
        return self._store.record(batch_id).last_sequences.get(producer, 0)

    def _follow(self, event: RecordEvent) -> None:
        if event.kind in _MILESTONES:
            self._in_production[event.batch_id] = _MILESTONES[event.kind]
        # Where a record was there before, its times are read from it when they are asked for.
        if event.kind == "batch_started" or event.batch_id in self._times_s:
            known_s = self._times_s.get(event.batch_id, math.nan)
            self._times_s[event.batch_id] = _latest_s((known_s, event.process_time_s))

    def _drain(self) -> None:
        while pending := self._outbox.pending():
            try:
                self._store.append(pending)
            except GapError as error:
                # The recorder's own outbox is older than the record: nothing it writes could ever be taken.
                raise RecordError(f"{error}; the recorder's outbox in state_dir was replaced: restore it") from error
            self._outbox.acknowledge(pending[-1].sequence)

    def _must_have(self, batch_id: str) -> None:
        if not batch_id or not self._store.has(batch_id):
            runs = sorted(path.parent.name for path in self.runs_dir.glob("*/record.sqlite"))
            known = ", ".join(name for name in runs if not name.startswith(".")) or "none"
            raise RecordError(f"batch {batch_id!r} has no record in {self.runs_dir}; known: {known}")


def _latest_s(times_s: Iterable[float]) -> float:
    """The latest of some times [s], NaN when none is known."""
    return max((time_s for time_s in times_s if not math.isnan(time_s)), default=math.nan)
