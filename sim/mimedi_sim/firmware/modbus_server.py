# SPDX-License-Identifier: Apache-2.0
"""Modbus RTU devices on a line: frames, checksums, functions and exceptions; what the registers mean is each unit's.

Source: Modbus Application Protocol V1.1b3 (functions 03h, 04h, 06h, 10h and exceptions); Serial Line V1.02 (RTU).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pymodbus.exceptions import ModbusException
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
    WriteMultipleRegistersRequest,
    WriteMultipleRegistersResponse,
    WriteSingleRegisterRequest,
    WriteSingleRegisterResponse,
)

from mimedi_nodes.instruments.wire.registers import MODEL_FIELD, VERSION_FIELD, RegisterMap, decode, encode

ACCEPTED, ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = 0, 1, 2, 3, 4
_LONGEST_FRAME = 256


class ModbusUnit:
    """One addressed device; subclasses supply readings and take set points.

    Args:
        registers: its register map.
    """

    def __init__(self, registers: RegisterMap) -> None:
        self._map = registers

    def readings(self, now_s: float) -> Mapping[str, float]:
        """Return the readings of the map by name; NaN for what is not known."""
        raise NotImplementedError

    def set_points(self, now_s: float) -> Mapping[str, float]:
        """Return the set points of the map by name; orders are 0."""
        raise NotImplementedError

    def accept(self, values: Mapping[str, float], now_s: float) -> int:
        """Take set points (only those written, all in range, all or none); return ACCEPTED or an exception code."""
        raise NotImplementedError

    def carry_out(self, request: ModbusPDU, now_s: float) -> ModbusPDU:
        """Return the answer to a request."""
        if isinstance(request, ReadInputRegistersRequest):
            return _read(request, self._input_registers(now_s), ReadInputRegistersResponse)
        if isinstance(request, ReadHoldingRegistersRequest):
            return _read(request, self._holding_registers(now_s), ReadHoldingRegistersResponse)
        if isinstance(request, WriteMultipleRegistersRequest):
            refused = self._write(request, list(request.registers), now_s)
            return refused or WriteMultipleRegistersResponse(address=request.address, count=len(request.registers))
        if isinstance(request, WriteSingleRegisterRequest):
            refused = self._write(request, list(request.registers), now_s)
            return refused or WriteSingleRegisterResponse(address=request.address, registers=request.registers)
        return ExceptionResponse(request.function_code, ILLEGAL_FUNCTION)

    def _write(self, request: ModbusPDU, words: list[int], now_s: float) -> ModbusPDU | None:
        """Take set points all or none; return the exception that refuses them."""
        start, end = request.address, request.address + len(words)
        if end > self._map.holding_count:
            return ExceptionResponse(request.function_code, ILLEGAL_ADDRESS)
        registers = self._holding_registers(now_s)
        registers[start:end] = words
        touched = {
            name for name, field in self._map.set_points.items()
            if field.address < end and start < field.address + field.words
        }
        values = {name: value for name, value in decode(self._map.set_points, registers).items() if name in touched}
        if not all(self._map.allows(name, value) for name, value in values.items()):
            return ExceptionResponse(request.function_code, ILLEGAL_VALUE)
        code = self.accept(values, now_s)
        return ExceptionResponse(request.function_code, code) if code else None

    def _holding_registers(self, now_s: float) -> list[int]:
        registers = [0] * self._map.holding_count
        for at, word in encode(self._map.set_points, self.set_points(now_s)):
            registers[at] = word
        return registers

    def _input_registers(self, now_s: float) -> list[int]:
        registers = [0] * self._map.input_count
        registers[MODEL_FIELD.address], registers[VERSION_FIELD.address] = self._map.model, self._map.version
        for at, word in encode(self._map.readings, self.readings(now_s)):
            registers[at] = word
        return registers


class ModbusLine:
    """All units of one RTU line; `units` maps unit addresses (1 to 247) to devices."""

    def __init__(self, units: Mapping[int, ModbusUnit]) -> None:
        self.units = dict(units)
        self._framer = FramerRTU(DecodePDU(True))
        self._buffer = b""

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes from the line; answer a complete request with a good checksum, stay silent otherwise."""
        request = self._request(data)
        # A frame begins after a silence: what an earlier, broken one left behind does not belong to this one.
        if request is None and self._buffer:
            request = self._request(self._buffer + data)
        self._buffer = b"" if request is not None else (self._buffer + data)[-_LONGEST_FRAME:]
        if request is None:
            return b""
        if request.dev_id == 0:
            for unit in self.units.values():
                unit.carry_out(request, now_s)
            return b""
        addressed = self.units.get(request.dev_id)
        if addressed is None:
            return b""
        reply = addressed.carry_out(request, now_s)
        reply.dev_id = request.dev_id
        answer: bytes = self._framer.buildFrame(reply)
        return answer

    def forget(self) -> None:
        """Drop what was heard of an incomplete frame, as after a power cut."""
        self._buffer = b""

    def advance_to(self, time_s: float) -> None:
        """Nothing goes on in the line itself: the plant carries what the units command."""

    def next_event(self) -> float:
        """Return inf: the line only answers."""
        return math.inf

    def _request(self, data: bytes) -> ModbusPDU | None:
        try:
            return self._framer.handleFrame(data, 0, 0)[1]
        except ModbusException:
            return None


def _read(request: ModbusPDU, registers: Sequence[int], response: type[ModbusPDU]) -> ModbusPDU:
    block = registers[request.address : request.address + request.count]
    if len(block) != request.count:
        return ExceptionResponse(request.function_code, ILLEGAL_ADDRESS)
    return response(registers=list(block))
