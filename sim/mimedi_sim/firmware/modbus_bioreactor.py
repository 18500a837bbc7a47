# SPDX-License-Identifier: Apache-2.0
"""A bioreactor controller on Modbus RTU, with the register map of docs/protocols.md.

Source: Modbus Application Protocol V1.1b3 (functions 03h, 04h, 06h, 10h and exceptions); Serial Line V1.02
(RTU).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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

from mimedi_nodes.instruments.bioreactor_map import (
    HOLDING_COUNT,
    IN_COUNT,
    IN_FAULTS,
    IN_MODEL,
    IN_VERSION,
    MAP_VERSION,
    MODEL,
    RANGES,
    READINGS,
    SET_POINTS,
    decode,
    encode,
)

_ILLEGAL_FUNCTION, _ILLEGAL_ADDRESS, _ILLEGAL_VALUE = 1, 2, 3
_LONGEST_FRAME = 256


@dataclass(frozen=True)
class BioreactorReadings:
    """What the controller's sensors say at one moment, noise included; NaN for a sensor that says nothing."""

    liquid_temperature_c: float
    air_temperature_c: float
    co2_fraction: float
    ph: float
    dissolved_oxygen_fraction: float
    stirring_rpm: float
    weight_g: float
    viable_cells_per_ml: float
    glucose_mm: float
    lactate_mm: float
    perfused_ul: float
    heater_fraction: float
    faults: int = 0


class ModbusBioreactor:
    """One controller on its line; the plant reads the set points and supplies the readings.

    Args:
        sensors: process time [s] to the readings.
        address: unit address.
        temperature_c, co2_fraction, stirring_rpm: stored set points of the life support, which act from
        power-up;
            the perfusion is off.
    """

    def __init__(
        self,
        sensors: Callable[[float], BioreactorReadings],
        *,
        address: int = 1,
        temperature_c: float = 37.0,
        co2_fraction: float = 0.05,
        stirring_rpm: float = 60.0,
    ) -> None:
        self._sensors = sensors
        self._address = address
        self.temperature_c = temperature_c
        self.co2_fraction = co2_fraction
        self.stirring_rpm = stirring_rpm
        self.perfusion_ul_min = 0.0
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
            self._carry_out(request, now_s)
            return b""
        if request.dev_id != self._address:
            return b""
        reply = self._carry_out(request, now_s)
        reply.dev_id = self._address
        answer: bytes = self._framer.buildFrame(reply)
        return answer

    def advance_to(self, time_s: float) -> None:
        """Nothing goes on by itself: the plant integrates what the set points do."""

    def next_event(self) -> float:
        """Return inf: set points change only by writing."""
        return math.inf

    def power_cycle(self) -> None:
        """Lose and regain power: life support resumes its stored set points, the perfusion stays off."""
        self.perfusion_ul_min = 0.0
        self._buffer = b""

    def _request(self, data: bytes) -> ModbusPDU | None:
        try:
            return self._framer.handleFrame(data, 0, 0)[1]
        except ModbusException:
            return None

    def _carry_out(self, request: ModbusPDU, now_s: float) -> ModbusPDU:
        if isinstance(request, ReadInputRegistersRequest):
            return self._read(request, self._input_registers(now_s), ReadInputRegistersResponse)
        if isinstance(request, ReadHoldingRegistersRequest):
            return self._read(request, self._holding_registers(), ReadHoldingRegistersResponse)
        if isinstance(request, WriteMultipleRegistersRequest):
            refused = self._write(request, list(request.registers))
            return refused or WriteMultipleRegistersResponse(address=request.address, count=len(request.registers))
        if isinstance(request, WriteSingleRegisterRequest):
            refused = self._write(request, list(request.registers))
            return refused or WriteSingleRegisterResponse(address=request.address, registers=request.registers)
        return ExceptionResponse(request.function_code, _ILLEGAL_FUNCTION)

    def _read(self, request: ModbusPDU, registers: Sequence[int], response: type[ModbusPDU]) -> ModbusPDU:
        block = registers[request.address : request.address + request.count]
        if len(block) != request.count:
            return ExceptionResponse(request.function_code, _ILLEGAL_ADDRESS)
        return response(registers=list(block))

    def _write(self, request: ModbusPDU, words: list[int]) -> ModbusPDU | None:
        """Take set points all or none; return the exception that refuses them."""
        registers = self._holding_registers()
        end = request.address + len(words)
        if end > HOLDING_COUNT:
            return ExceptionResponse(request.function_code, _ILLEGAL_ADDRESS)
        registers[request.address : end] = words
        values = decode(SET_POINTS, registers)
        if any(not RANGES[name][0] <= value <= RANGES[name][1] for name, value in values.items()):
            return ExceptionResponse(request.function_code, _ILLEGAL_VALUE)
        for name, value in values.items():
            setattr(self, name, value)
        return None

    def _holding_registers(self) -> list[int]:
        registers = [0] * HOLDING_COUNT
        for at, word in encode(SET_POINTS, {name: getattr(self, name) for name in SET_POINTS}):
            registers[at] = word
        return registers

    def _input_registers(self, now_s: float) -> list[int]:
        readings = dict(vars(self._sensors(now_s)))
        registers = [0] * IN_COUNT
        registers[IN_MODEL.address], registers[IN_VERSION.address] = MODEL, MAP_VERSION
        registers[IN_FAULTS] = int(readings.pop("faults")) & 0xFFFF
        for at, word in encode(READINGS, readings):
            registers[at] = word
        return registers
