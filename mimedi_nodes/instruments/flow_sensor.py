# SPDX-License-Identifier: Apache-2.0
"""Liquid flow sensors (Sensirion SLF3x on an SCC1-RS485 cable): flow, temperature, air in the line.

Frames are built and checked by Sensirion's own SHDLC library. Source: Sensirion, SLF3S-1300F data sheet (scale, flags,
measurement command 3608h); Sensirion, SCC1-RS485 cable, RS485 command reference (commands 33h, 34h, 35h, 50h, 53h).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sensirion_shdlc_driver.errors import ShdlcResponseError
from sensirion_shdlc_driver.serial_frame_builder import ShdlcSerialMisoFrameBuilder, ShdlcSerialMosiFrameBuilder

from .wire.exchange import QUERY_RETRIES, exchange
from .wire.link import FrameEnd, GarbledReply, InstrumentRefused, Link

_FLAG = b"\x7e"
_SHORTEST = 5  # address, command, state, length, checksum
_WATER = 0x3608
_SENSOR_TYPE = 3
_INTERVAL_MS = 100
_TEMPERATURE_PER_K = 200.0
_ML_PER_MIN = 0x0845
_AIR, _HIGH = 0x0001, 0x0002
_START, _STOP, _LAST, _PRODUCT, _SCALE = 0x33, 0x34, 0x35, 0x50, 0x53
_ERRORS = {
    0x01: "data of the wrong size", 0x02: "unknown command", 0x03: "no access right", 0x04: "invalid parameter",
    0x28: "internal error of the cable", 0x29: "the sensor does not answer", 0x43: "not allowed in this state",
}  # fmt: skip


@dataclass(frozen=True)
class FlowReading:
    """One reading; the flow is positive towards the consumer."""

    flow_ul_min: float
    temperature_c: float
    air_in_line: bool
    high_flow: bool
    """Beyond the sensor's range: the flow is a lower limit."""


class FlowSensor:
    """One sensor cable on an RS-485 line.

    Args:
        address: SHDLC address, 0 to 254.
    """

    def __init__(self, link: Link, address: int, name: str) -> None:
        if not 0 <= address <= 254:
            raise ValueError(f"{name}: SHDLC address {address} refused; allowed: 0 to 254")
        self.name = name
        self._link = link
        self._address = address
        self._per_ml_min = 0.0

    async def identify(self) -> str:
        """Return product and serial number of the sensor."""
        text = (await self._ask(_PRODUCT, b"")).rstrip(b"\0").decode("ascii", "replace")
        if len(text) < 9 or any(character not in "0123456789ABCDEF" for character in text.upper()):
            raise GarbledReply(self.name, f"product {text!r}; expected hexadecimal product and serial number")
        return f"product {text[:8]}, serial number {text[8:]}"

    async def ensure_measuring(self) -> None:
        """Have it measure continuously with the calibration for water; harmless when it does."""
        scale, unit, _ = struct.unpack(">HHH", await self._ask(_SCALE, struct.pack(">H", _WATER), size=6))
        if unit != _ML_PER_MIN or scale == 0:
            raise InstrumentRefused(self.name, f"measures in unit {unit:04X}h, scale {scale}; expected mL/min")
        self._per_ml_min = float(scale)
        running = await self._ask(_START, b"")
        if not running:
            await self._ask(_START, struct.pack(">HH", _INTERVAL_MS, _WATER))

    async def stop(self) -> None:
        """Stop measuring; harmless when it does not measure."""
        await self._ask(_STOP, b"")

    async def reading(self) -> FlowReading:
        """Return the last measurement; starts measuring when the sensor lost that by a power cut.

        Raises InstrumentRefused: there is no measurement yet.
        """
        if not self._per_ml_min:
            await self.ensure_measuring()
        data = await self._ask(_LAST, bytes((_SENSOR_TYPE,)))
        if not data:
            await self.ensure_measuring()
            data = await self._ask(_LAST, bytes((_SENSOR_TYPE,)))
        if len(data) != 6:
            raise InstrumentRefused(self.name, "has no measurement yet; ask again after its interval of 0.1 s")
        flow, temperature, flags = struct.unpack(">hhH", data)
        return FlowReading(
            flow / self._per_ml_min * 1000.0, temperature / _TEMPERATURE_PER_K, bool(flags & _AIR), bool(flags & _HIGH)
        )

    async def _ask(self, command: int, data: bytes, *, size: int | None = None) -> bytes:
        """Send a command and return the answer's data; all of this driver are harmless to repeat."""
        return await exchange(
            self._link,
            ShdlcSerialMosiFrameBuilder(self._address, command, data).to_bytes(),
            self._frame_end(command),
            lambda reply: self._parse(reply, command, size),
            instrument=self.name,
            retries=QUERY_RETRIES,
        )

    def _parse(self, reply: bytes, command: int, size: int | None) -> bytes:
        for _, chunk in _chunks(reply):
            frame = _frame(chunk)
            if frame is None or frame[:2] != (self._address, command):
                continue
            error, data = frame[2] & 0x7F, frame[3]
            if error:
                words = _ERRORS.get(error, "see the command reference")
                raise InstrumentRefused(self.name, f"command {command:02X}h refused: {words} ({error:02X}h)")
            if size is not None and len(data) != size:
                raise GarbledReply(self.name, f"command {command:02X}h answered {len(data)} bytes; expected {size}")
            return data
        raise GarbledReply(self.name, f"no frame with a good checksum for command {command:02X}h")

    def _frame_end(self, command: int) -> FrameEnd:
        def end(data: bytes) -> int | None:
            broken: int | None = None
            for at, chunk in _chunks(data):
                frame = _frame(chunk)
                if frame is not None and frame[:2] == (self._address, command):
                    return at
                if frame is None and data[at - len(chunk) - 2 : at - len(chunk) - 1] == _FLAG:
                    broken = at
            return broken

        return end


def _chunks(data: bytes) -> list[tuple[int, bytes]]:
    """Return (end, bytes) of what is between two flags and long enough for a frame."""
    found, start = [], data.find(_FLAG)
    while start >= 0 and (stop := data.find(_FLAG, start + 1)) >= 0:
        if stop - start > _SHORTEST:
            found.append((stop + 1, data[start + 1 : stop]))
        start = stop
    return found


def _frame(chunk: bytes) -> tuple[int, int, int, bytes] | None:
    """Return (address, command, state, data) of a frame, None when its length or checksum is wrong."""
    builder = ShdlcSerialMisoFrameBuilder()
    try:
        builder.add_data(_FLAG + chunk + _FLAG)
        address, command, state, data = builder.interpret_data()
    except ShdlcResponseError:
        return None
    return address, command, state, bytes(data)
