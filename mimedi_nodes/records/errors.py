# SPDX-License-Identifier: Apache-2.0
"""Errors of the record: each says what failed and what to do."""

from __future__ import annotations


class RecordError(Exception):
    """The record refused, or could not be written or read: says why and what to do."""


class StorageError(RecordError):
    """The disk or the database refused: full, locked, damaged or not to be written."""


class LostFileError(StorageError):
    """The file of an open database was cut short, removed or replaced: what was acknowledged may not be on disk."""


class BusyError(RecordError):
    """Another program writes this record: worth asking again later."""


class EventError(RecordError, ValueError):
    """An event was refused at the door: names the field, its value and what is allowed."""


class GapError(RecordError):
    """Events of a producer are missing before the ones handed in; nothing was taken.

    Args:
        producer: who wrote the events.
        expected: number of the event that should have come next.
        got: number of the event that came.
    """

    def __init__(self, producer: str, expected: int, got: int) -> None:
        super().__init__(
            f"{producer}: event {got} came, {expected} was due; "
            f"send {expected} to {got - 1} first (they wait in the producer's outbox)"
        )
        self.producer = producer
        self.expected = expected
        self.got = got
