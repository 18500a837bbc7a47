# SPDX-License-Identifier: Apache-2.0
"""Frames of the photon counter: COBS between zero bytes, with a CRC-32; docs/protocols.md shows them for people.

Source: Cheshire & Baker 1999, IEEE/ACM Trans. Networking 7:159 (COBS); ITU-T V.42 (CRC-32); the commands are this
workcell's own.
"""

from __future__ import annotations

import enum
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from cobs import cobs

SHORTEST_FRAME = 8
"""Bytes between two zeros that may be a frame: sequence, command, status, CRC, one byte of COBS."""
MOST_GATES_A_REPLY = 40
GATE_US = (100, 100_000_000)
IDENTITY_SIZE = 64

STATUS_FORMAT = struct.Struct(">BBhHHBHI")
"""State (1 counting, 2 laser on), shutter, temperature [0.01 degC], dead time [0.1 ns], bias [0.01 V], faults, run,
complete gates."""
START_FORMAT = struct.Struct(">HIIB")
"""Run number, gate [us], gates (0: until stopped), shutter open."""
READ_FORMAT = struct.Struct(">HIB")
"""Run number, first gate wanted, most gates wanted."""
EXCITE_FORMAT = struct.Struct(">HB")
"""Laser power at the sample [0.01 mW], filter."""
MOST_EXCITATION_MW = 50.0
GATES_FORMAT = struct.Struct(">HIIB")
"""Run number, complete gates, first gate of this reply, gates in it; then each gate."""
GATE_FORMAT = struct.Struct(">IB")
"""Counts, flags."""


class Command(enum.IntEnum):
    """What is asked; the answer has bit 7 set too."""

    IDENTIFY = 1
    STATUS = 2
    START = 3
    STOP = 4
    READ = 5
    EXCITE = 6


ANSWER = 0x80


class Status(enum.IntEnum):
    """How a command went."""

    OK = 0
    UNKNOWN_COMMAND = 1
    WRONG_LENGTH = 2
    OUT_OF_RANGE = 3
    BUSY = 4
    NO_SUCH_RUN = 5
    DETECTOR_FAULT = 6


class Filter(enum.IntEnum):
    """What reaches the detector."""

    OPEN = 0
    """Everything: luminescence, with the laser off."""
    GREEN = 1
    """525 nm: the label of rare cells."""
    RED = 2
    """665 nm: the label of captured molecules."""


class GateFlag(enum.IntFlag):
    """What is to be known of a gate's counts."""

    SATURATED = 1
    """The rate was beyond the detector's range; the counts are a lower limit."""
    LOST = 2
    """The gate is no longer in the counter's memory; its counts are not known."""


class CounterFault(enum.IntFlag):
    """Faults of the counter."""

    BIAS = 1
    COOLER = 2
    COVER_OPEN = 4


class Frame(NamedTuple):
    """One frame's content without its checksum."""

    sequence: int
    command: int
    data: bytes


def build(sequence: int, command: int, data: bytes = b"") -> bytes:
    """Return a frame as it goes over the line, a zero byte before and after it."""
    body = bytes((sequence & 0xFF, command)) + data
    body += zlib.crc32(body).to_bytes(4, "big")
    return b"\0" + bytes(cobs.encode(body)) + b"\0"


def chunks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (end, bytes) of what stands between zeros and is not empty; the end counts its closing zero."""
    start = 0
    while (at := data.find(b"\0", start)) >= 0:
        if at > start:
            yield at + 1, data[start:at]
        start = at + 1


def parse(chunk: bytes) -> Frame | None:
    """Return the frame between two zeros, None when its form or checksum is wrong."""
    if len(chunk) < SHORTEST_FRAME - 1:
        return None
    try:
        body = bytes(cobs.decode(chunk))
    except cobs.DecodeError:
        return None
    if len(body) < 6 or zlib.crc32(body[:-4]) != int.from_bytes(body[-4:], "big"):
        return None
    return Frame(body[0], body[1], body[2:-4])
