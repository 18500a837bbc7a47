# SPDX-License-Identifier: Apache-2.0
"""Faults of a line, put in front of any firmware: silence, lost and broken frames, noise, flipped bits."""

from __future__ import annotations

import enum
from collections import deque

from ..random_streams import RandomStream
from .base import Firmware


class LineFault(enum.Enum):
    """What happens to one request and its answer."""

    LOST_REQUEST = "the instrument never hears it"
    FLIPPED_REQUEST_BIT = "one bit of the request is wrong"
    LOST_ANSWER = "the instrument does it, but its answer is lost"
    BROKEN_ANSWER = "the answer ends in its midst"
    GARBAGE_ANSWER = "noise comes instead of the answer"
    NOISE_BEFORE = "noise comes before the answer"
    FLIPPED_BIT = "one bit of the answer is wrong"
    LATE_ANSWER = "the answer comes together with the next one"


_FINE = 1_000_000_000
_NOISE = bytes((0x00, 0x9C, 0xE7, 0x0F, 0x80, 0xF3))


class FaultyLine:
    """A firmware behind a bad line; itself a firmware.

    Args:
        firmware: what is on the line.
        seed, name: key of the line's random stream.
        bit_error_rate: share of the bits that flip, of requests and answers alike.
    """

    def __init__(self, firmware: Firmware, *, seed: int = 0, name: str = "line", bit_error_rate: float = 0.0) -> None:
        self.firmware = firmware
        self.silent = False
        """While True nothing passes in either direction."""
        self.bit_error_rate = bit_error_rate
        """Share of the bits that flip, of requests and answers alike."""
        self.garbage_share = 0.0
        """Share of the answers in whose place noise comes."""
        self.requests = 0
        self._faults: deque[LineFault | None] = deque()
        self._late = b""
        self._stream = RandomStream(seed, name, "line")
        self._draws = 0

    def inject(self, *faults: LineFault | None) -> None:
        """Have the next requests suffer `faults`, one each in this order; None leaves one alone."""
        self._faults.extend(faults)

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Pass bytes on and the answer back, less what the line does to them."""
        if self.silent:
            return b""
        self.requests += 1
        if not (self._faults or self._late or self.bit_error_rate or self.garbage_share):
            return self.firmware.receive(data, now_s)
        fault = self._faults.popleft() if self._faults else None
        if fault is LineFault.LOST_REQUEST:
            return b""
        if fault is LineFault.FLIPPED_REQUEST_BIT:
            data, fault = _flip(data, self._draw(8 * len(data))), None
        if self.bit_error_rate > 0.0:
            data = self._flip_at_random(data)
        answer = self._spoil(fault, self.firmware.receive(data, now_s))
        if self.garbage_share > 0.0 and answer and self._draw(_FINE) < _FINE * self.garbage_share:
            answer = _NOISE * (1 + len(answer) // len(_NOISE)) + b"\r\n"
        return self._flip_at_random(answer) if self.bit_error_rate > 0.0 else answer

    def advance_to(self, time_s: float) -> None:
        """Carry the firmware on to `time_s`."""
        self.firmware.advance_to(time_s)

    def next_event(self) -> float:
        """Return the firmware's next event [s]."""
        return self.firmware.next_event()

    def _spoil(self, fault: LineFault | None, answer: bytes) -> bytes:
        late, self._late = self._late, b""
        match fault:
            case None:
                return late + answer
            case LineFault.BROKEN_ANSWER:
                return answer[: len(answer) // 2]
            case LineFault.GARBAGE_ANSWER:
                return _NOISE * (1 + len(answer) // len(_NOISE)) + b"\r\n"
            case LineFault.NOISE_BEFORE:
                return _NOISE + answer
            case LineFault.FLIPPED_BIT:
                return _flip(answer, self._draw(8 * len(answer))) if answer else answer
            case LineFault.LATE_ANSWER:
                self._late = answer
        return b""

    def _flip_at_random(self, data: bytes) -> bytes:
        draws = self._stream.uniforms(self._draws + 1, 8 * len(data))
        self._draws += len(draws)
        for bit in (draws < self.bit_error_rate).nonzero()[0].tolist():
            data = _flip(data, bit)
        return data

    def _draw(self, below: int) -> int:
        self._draws += 1
        return int(self._stream.uniform(self._draws) * below)


def _flip(data: bytes, bit: int) -> bytes:
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)
