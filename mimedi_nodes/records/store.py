# SPDX-License-Identifier: Apache-2.0
"""All records of a workcell: puts each producer's events into the records of their batches."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from .batch_record import BatchRecord
from .chain import DATABASE_FILE, folder_name
from .errors import GapError, LostFileError, RecordError, StorageError
from .events import RecordEvent, check_batch_id
from .heads import Signer
from .sqlite import open_database, storage_error

CURSORS_FILE = "cursors.json"


class RecordStore:
    """The records below a runs folder: one per batch, and one for the workcell's journal (empty batch_id).

    A producer numbers its events over all batches, so that only the store can tell that none is missing. A
    producer that was never heard of may start at any number; one that starts at 1 again has a new outbox and is
    followed from there, as far as the batch's record has none of its numbers yet.

    Args:
        runs_folder: folder of the run folders.
        signer: signs the heads.
        heads_folder: folder of the ledgers; `<runs_folder>/.heads` when None.

    Raises:
        RecordError: the folder cannot be written, or a record in it cannot be read.
    """

    def __init__(self, runs_folder: Path, signer: Signer, heads_folder: Path | None = None) -> None:
        self.runs_folder = runs_folder
        self.heads_folder = heads_folder if heads_folder is not None else runs_folder / ".heads"
        self._signer = signer
        self._records: dict[str, BatchRecord] = {}
        try:
            self.heads_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.heads_folder}: {error.strerror}; give a writable folder") from error
        self._last = self._read_cursors()

    def has(self, batch_id: str) -> bool:
        """Return whether there is a record of a batch."""
        return batch_id in self._records or (self.runs_folder / folder_name(batch_id) / DATABASE_FILE).is_file()

    def record(self, batch_id: str) -> BatchRecord:
        """Return the record of a batch, opened or made.

        Raises:
            RecordError: see `BatchRecord`.
        """
        if batch_id not in self._records:
            if batch_id:
                check_batch_id(batch_id)
            folder = self.runs_folder / folder_name(batch_id)
            self._records[batch_id] = BatchRecord(folder, self._signer, self.heads_folder, batch_id)
        return self._records[batch_id]

    def append(self, events: Sequence[RecordEvent]) -> dict[str, int]:
        """Take events of any batches and return, per producer, the number up to which all of its events are on disk.

        Raises:
            GapError: events of a producer are missing before these; nothing was taken.
            RecordError: see `BatchRecord.append`; what other batches took stays, and is passed over next time.
        """
        contiguous: dict[str, int] = {}
        by_batch: dict[str, list[RecordEvent]] = {}
        for event in events:
            last = contiguous.get(event.producer, self._last.get(event.producer))
            if last is not None and event.sequence > last + 1:
                # Somebody else may have written into this record while it was closed here.
                last = max(last, self.record(event.batch_id).last_sequences.get(event.producer, 0))
            if last is not None and event.sequence > last + 1:
                raise GapError(event.producer, last + 1, event.sequence)
            starts_over = event.sequence == 1
            contiguous[event.producer] = 1 if starts_over else max(event.sequence, last or 0)
            by_batch.setdefault(event.batch_id, []).append(event)
        for batch_id, batch_events in by_batch.items():
            try:
                self.record(batch_id).append(batch_events, contiguous)
            except LostFileError:
                # The next event opens it anew, and looks at the whole chain and all heads before it goes on.
                self.close_batch(batch_id)
                raise
        if contiguous and any(self._last.get(name) != last for name, last in contiguous.items()):
            self._last.update(contiguous)
            self._write_cursors()
        return contiguous

    def close_batch(self, batch_id: str) -> None:
        """Close the record of a batch; the next event of the batch opens it again."""
        record = self._records.pop(batch_id, None)
        if record is not None:
            record.close()

    def close(self) -> None:
        """Close all records."""
        for batch_id in list(self._records):
            self.close_batch(batch_id)

    def _read_cursors(self) -> dict[str, int]:
        """Highest number of each producer by the records; by the cursors file where runs were moved away since."""
        last: dict[str, int] = {}
        path = self.heads_folder / CURSORS_FILE
        if path.exists():
            try:
                for name, number in json.loads(path.read_text(encoding="utf-8")).items():
                    last[str(name)] = int(number)
            except (OSError, ValueError, AttributeError, TypeError):
                # Only a hint: the records below tell all that they hold.
                last = {}
        for database_file in sorted(self.runs_folder.glob(f"*/{DATABASE_FILE}")):
            try:
                name = str(database_file)
                with closing(open_database(database_file, read_only=True)) as database, storage_error(name):
                    rows = database.execute("SELECT producer, MAX(sequence) FROM rows GROUP BY producer").fetchall()
                for name, number in rows:
                    last[str(name)] = max(int(number), last.get(str(name), 0))
            except (RecordError, ValueError, TypeError):
                # A damaged old record must not stop today's batch: opening or verifying that record tells.
                continue
        return last

    def _write_cursors(self) -> None:
        path = self.heads_folder / CURSORS_FILE
        draft = path.with_suffix(".draft")
        try:
            draft.write_text(json.dumps(self._last, sort_keys=True), encoding="utf-8")
            os.replace(draft, path)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}; free space, then continue") from error
