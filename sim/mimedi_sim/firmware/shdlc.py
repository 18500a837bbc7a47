# SPDX-License-Identifier: Apache-2.0
"""Flow sensors on SCC1 cables: SHDLC frames on RS-485, written from the description and not with the driver's library.

Not there against the cable: totaliser, buffer of old measurements, raw access to the sensor; error 02h answers them.
Source: Sensirion, SHDLC (start and stop 7Eh, stuffing of 7Eh, 7Dh, 11h, 13h by 7Dh and XOR 20h, checksum: inverted
sum); Sensirion, SCC1-RS485 cable, RS485 command reference.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

PER_ML_MIN, RANGE_ML_MIN, SATURATION_ML_MIN = 500.0, 40.0, 65.0
"""SLF3S-1300F with water: scale, full scale, where the output ends."""
TEMPERATURE_PER_K = 200.0
WATER, ISOPROPANOL = 0x3608, 0x3615
AIR_IN_LINE, HIGH_FLOW, SMOOTHING = 1, 2, 0x20
DATA_SIZE, UNKNOWN_COMMAND, INVALID_PARAMETER, NOT_NOW = 0x01, 0x02, 0x04, 0x43
_FLAG, _ESCAPE, _XOR = 0x7E, 0x7D, 0x20
_STUFFED = (0x7E, 0x7D, 0x11, 0x13)
_LONGEST = 600
_ML_PER_MIN = 0x0845
_PRODUCT, _ARTICLE = "SCC1-RS485", "1-101094-01"


@dataclass(frozen=True)
class FlowSample:
    """What a sensor measures at one moment, noise included."""

    flow_ul_min: float
    temperature_c: float
    air_in_line: bool = False


Measure = Callable[[float], FlowSample]
"""Process time [s] to a measurement."""


class _Refused(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"SHDLC error {code:02X}h")
        self.code = code


class FlowCable:
    """One cable with its sensor; measures while it was told to."""

    def __init__(self, measure: Measure, serial_number: int) -> None:
        self._measure = measure
        self._serial_number = serial_number
        self._interval_ms: int | None = None
        self._last_error = 0

    def carry_out(self, command: int, data: bytes, now_s: float) -> bytes:
        """Return a command's answer. Raises _Refused."""
        try:
            return self._answer(command, data, now_s)
        except _Refused as refused:
            self._last_error = refused.code
            raise

    def _answer(self, command: int, data: bytes, now_s: float) -> bytes:
        if command == 0xD0:
            names = {1: _PRODUCT, 2: _ARTICLE, 3: f"{self._serial_number:08X}"}
            if len(data) != 1:
                raise _Refused(DATA_SIZE)
            if data[0] not in names:
                raise _Refused(INVALID_PARAMETER)
            return names[data[0]].encode("ascii") + b"\0"
        if command == 0xD1:
            return bytes((1, 7, 0, 2, 0, 1, 0))
        if command == 0xD2:
            error, self._last_error = self._last_error, 0
            return struct.pack(">IB", 0, error)
        if command == 0x24:
            return b"\x03"
        if command == 0x50:
            return f"00070302{self._serial_number:010X}".encode("ascii") + b"\0"
        if command == 0x53:
            return self._scale(data)
        if command == 0x33:
            return self._start(data)
        if command == 0x34:
            self._interval_ms = None
            return b""
        if command == 0x35:
            return self._last(data, now_s)
        raise _Refused(UNKNOWN_COMMAND)

    @staticmethod
    def _scale(data: bytes) -> bytes:
        if len(data) != 2:
            raise _Refused(DATA_SIZE)
        if struct.unpack(">H", data)[0] not in (WATER, ISOPROPANOL):
            raise _Refused(INVALID_PARAMETER)
        return struct.pack(">HHH", int(PER_ML_MIN), _ML_PER_MIN, 0)

    def _start(self, data: bytes) -> bytes:
        if not data:
            return b"" if self._interval_ms is None else struct.pack(">H", self._interval_ms)
        if len(data) != 4:
            raise _Refused(DATA_SIZE)
        if self._interval_ms is not None:
            raise _Refused(NOT_NOW)
        interval_ms, liquid = struct.unpack(">HH", data)
        if liquid not in (WATER, ISOPROPANOL):
            raise _Refused(INVALID_PARAMETER)
        self._interval_ms = interval_ms
        return b""

    def _last(self, data: bytes, now_s: float) -> bytes:
        if data != b"\x03":
            raise _Refused(INVALID_PARAMETER if data else DATA_SIZE)
        if self._interval_ms is None:
            return b""
        sample = self._measure(now_s)
        flow_ml_min = sample.flow_ul_min * 1e-3
        shown = min(SATURATION_ML_MIN, max(-SATURATION_ML_MIN, flow_ml_min))
        flags = AIR_IN_LINE * sample.air_in_line | HIGH_FLOW * (abs(flow_ml_min) > RANGE_ML_MIN)
        return struct.pack(">hhH", round(shown * PER_ML_MIN), round(sample.temperature_c * TEMPERATURE_PER_K), flags)

    def power_cycle(self) -> None:
        """Lose and regain power: measuring has stopped."""
        self._interval_ms, self._last_error = None, 0


class ShdlcLine:
    """All cables of one RS-485 line; `cables` maps SHDLC addresses (0 to 254) to cables."""

    def __init__(self, cables: Mapping[int, FlowCable]) -> None:
        self.cables = dict(cables)
        self._buffer = b""

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes from the line; answer every frame with a good checksum for a cable that exists."""
        self._buffer = (self._buffer + data)[-_LONGEST:]
        answers = b""
        while (start := self._buffer.find(_FLAG)) >= 0:
            stop = self._buffer.find(_FLAG, start + 1)
            if stop < 0:
                break
            frame = _unstuffed(self._buffer[start + 1 : stop])
            good = len(frame) >= 4 and frame[2] == len(frame) - 4 and frame[-1] == ~sum(frame[:-1]) & 0xFF
            # A flag that ends no good frame may begin one.
            self._buffer = self._buffer[stop + 1 if good else stop :]
            if good:
                answers += self._carry_out(frame[0], frame[1], frame[3:-1], now_s)
        return answers

    def advance_to(self, time_s: float) -> None:
        """Nothing goes on in the line itself."""

    def next_event(self) -> float:
        """Return inf: sensors only answer."""
        return math.inf

    def power_cycle(self, now_s: float) -> None:
        """Lose and regain power."""
        self._buffer = b""
        for cable in self.cables.values():
            cable.power_cycle()

    def _carry_out(self, address: int, command: int, data: bytes, now_s: float) -> bytes:
        cable = self.cables.get(address)
        if cable is None:
            return b""
        try:
            state, answer = 0, cable.carry_out(command, data, now_s)
        except _Refused as refused:
            state, answer = refused.code, b""
        body = bytes((address, command, state, len(answer))) + answer
        return bytes((_FLAG,)) + _stuffed(body + bytes((~sum(body) & 0xFF,))) + bytes((_FLAG,))


def _stuffed(data: bytes) -> bytes:
    out = bytearray()
    for byte in data:
        out += bytes((_ESCAPE, byte ^ _XOR)) if byte in _STUFFED else bytes((byte,))
    return bytes(out)


def _unstuffed(data: bytes) -> bytes:
    out, escaped = bytearray(), False
    for byte in data:
        if byte == _ESCAPE and not escaped:
            escaped = True
            continue
        out.append(byte ^ _XOR if escaped else byte)
        escaped = False
    return bytes(out)
