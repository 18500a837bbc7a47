# SPDX-License-Identifier: Apache-2.0
"""Writes topics as they came over the wire into an MCAP file, and mends a file that was cut off.

Source: https://mcap.dev/spec: profile `ros2`, schema encoding `ros2msg`, message encoding `cdr`. Messages are gathered
in chunks; a chunk that was flushed is readable whatever happens to the rest of the file.
"""

from __future__ import annotations

import importlib.util
import os
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcap.exceptions import McapError
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import CRCValidationError, StreamReader
from mcap.writer import MCAP0_MAGIC, CompressionType, Writer

CHUNK_BYTES = 1 << 20
"""A chunk is written when it holds this much [bytes]: the bound on what is kept in memory, one message aside."""
LONGEST_FLUSH_S = 60.0
FLUSH_SHARE = 0.01
"""The pause between flushes grows to this share of the recording's age, up to LONGEST_FLUSH_S: the index of chunks is
kept in memory until the end, and weeks of small chunks would fill it."""

COULD_NOT_READ = (McapError, CRCValidationError, ValueError, KeyError, RuntimeError, EOFError, struct.error)
"""What readers and decompressors raise on a file that ends in the middle of a record."""


def best_compression() -> CompressionType:
    """Return zstd or lz4 when its library is there, else none."""
    if importlib.util.find_spec("zstandard") is not None:
        return CompressionType.ZSTD
    if importlib.util.find_spec("lz4") is not None:
        return CompressionType.LZ4
    return CompressionType.NONE


class McapRecording:
    """One MCAP file being written; used from any thread.

    Args:
        path: the file; must not exist.
        schema_of: returns the `ros2msg` schema of a message type.
        flush_s: shortest pause between two flushes [s].

    Raises:
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, schema_of: Callable[[str], str], flush_s: float = 2.0) -> None:
        self.path = path
        self.messages = 0
        self._schema_of = schema_of
        self._flush_s = flush_s
        self._lock = threading.Lock()
        self._file = path.open("xb")
        self._writer: Writer | None = Writer(self._file, chunk_size=CHUNK_BYTES, compression=best_compression())
        self._schemas: dict[str, int] = {}
        self._channels: dict[tuple[str, str], int] = {}
        self._started_s = self._flushed_s = time.monotonic()
        self._writer.start(profile="ros2")

    def add_topic(self, topic: str, type_name: str, profile: str = "") -> int:
        """Return the channel of a topic; raises SchemaError when the type's definition is not there.

        Args:
            profile: name of the QoS profile with which it is heard, kept for playing it back.
        """
        key = (topic, type_name)
        with self._lock:
            if key not in self._channels:
                writer = self._open_writer()
                if type_name not in self._schemas:
                    schema = self._schema_of(type_name).encode()
                    self._schemas[type_name] = writer.register_schema(type_name, "ros2msg", schema)
                self._channels[key] = writer.register_channel(
                    topic, "cdr", self._schemas[type_name], {"qos": profile} if profile else {}
                )
            return self._channels[key]

    def write(self, channel: int, data: bytes, received_ns: int, published_ns: int) -> None:
        """Add one serialized message; times are of the wall clock [ns]. Nothing after `finish` is taken.

        Raises:
            OSError: the disk is full or refuses.
        """
        with self._lock:
            if self._writer is not None:
                self._writer.add_message(channel, received_ns, data, published_ns, self.messages)
                self.messages += 1

    def flush_when_due(self) -> bool:
        """Put what was written on disk when the pause is over; return whether it was. Raises OSError."""
        now_s = time.monotonic()
        pause_s = min(max(self._flush_s, FLUSH_SHARE * (now_s - self._started_s)), LONGEST_FLUSH_S)
        if now_s - self._flushed_s < pause_s:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """End the chunk and put everything on disk; raises OSError."""
        with self._lock:
            if self._writer is None:
                return
            self._writer.flush()
            self._flushed_s = time.monotonic()
            os.fsync(self._file.fileno())

    def finish(self) -> None:
        """Write index and footer, on disk on return; raises OSError. Twice is harmless."""
        with self._lock:
            if self._writer is None:
                return
            writer, self._writer = self._writer, None
            try:
                writer.finish()
                self._file.flush()
                os.fsync(self._file.fileno())
            finally:
                self._file.close()

    def abandon(self) -> None:
        """Close the file as it is, without footer; `mend` makes it whole later."""
        with self._lock:
            self._writer = None
            try:
                self._file.close()
            except OSError:
                # Its buffer cannot be written: that is why it is abandoned. The descriptor is closed all the same.
                return

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise ValueError(f"{self.path}: is finished; begin another recording")
        return self._writer


def is_whole(path: Path) -> bool:
    """Return whether an MCAP file has its closing magic, so was finished."""
    with path.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) < 2 * len(MCAP0_MAGIC):
            return False
        stream.seek(-len(MCAP0_MAGIC), os.SEEK_END)
        return stream.read() == MCAP0_MAGIC


def mend(path: Path) -> int:
    """Make a torn MCAP file whole: keep every message that can be read, in order; return how many there are.

    Raises:
        OSError: the disk is full or refuses; the torn file stays.
    """
    draft = path.with_name(f".{path.name}.mended")
    count = 0
    try:
        with path.open("rb") as torn, draft.open("wb") as stream:
            copy = _Copy(Writer(stream, chunk_size=CHUNK_BYTES, compression=best_compression()))
            try:
                for record in StreamReader(torn, validate_crcs=True, record_size_limit=1 << 30).records:
                    count += copy.take(record)
            except COULD_NOT_READ:
                pass  # here it was torn: what comes after cannot be told
            copy.writer.finish()
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    return count


class _Copy:
    """Takes records of one file into another, with numbers of its own for schemas and channels."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self._schemas: dict[int, int] = {0: 0}
        self._channels: dict[int, int] = {}
        writer.start(profile="ros2")

    def take(self, record: Any) -> int:
        """Copy one record; return the number of messages that it was."""
        if isinstance(record, Schema) and record.id not in self._schemas:
            self._schemas[record.id] = self.writer.register_schema(record.name, record.encoding, record.data)
        elif isinstance(record, Channel) and record.id not in self._channels:
            self._channels[record.id] = self.writer.register_channel(
                record.topic, record.message_encoding, self._schemas[record.schema_id], record.metadata
            )
        elif isinstance(record, Message):
            channel = self._channels[record.channel_id]
            self.writer.add_message(channel, record.log_time, record.data, record.publish_time, record.sequence)
            return 1
        return 0
