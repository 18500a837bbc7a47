# SPDX-License-Identifier: Apache-2.0
"""Modbus RTU requests over a byte link, framed and checked by pymodbus' own framer and PDUs.

Source: Modbus over Serial Line V1.02 section 2.5.1 (RTU frame, CRC); Modbus Application Protocol V1.1b3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from pymodbus.exceptions import ModbusException
from pymodbus.framer.rtu import FramerRTU
from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
)

from .exchange import QUERY_RETRIES, exchange
from .link import FrameEnd, GarbledReply, InstrumentRefused, Link

_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    6: "device busy",
}
_EXCEPTION_SIZE = 5
_WRITE_REPLY_SIZE = 8


class _Asked(NamedTuple):
    """A request as it goes out, where its reply ends, and what the reply says."""

    frame: bytes
    reply_end: FrameEnd
    parse: Callable[[bytes], ModbusPDU]


class ModbusDevice:
    """One addressed device on a Modbus RTU line.

    Args:
        address: unit address, 1 to 247.
    """

    def __init__(self, link: Link, address: int, name: str) -> None:
        if not 1 <= address <= 247:
            raise ValueError(f"{name}: Modbus address {address} refused; allowed: 1 to 247")
        self.name = name
        self.address = address
        self._link = link
        self._framer = FramerRTU(DecodePDU(False))
        self._reads: dict[tuple[type[ModbusPDU], int, int], _Asked] = {}

    async def read_input(self, address: int, count: int) -> list[int]:
        """Return `count` input registers from `address` on (function 04h)."""
        return await self._read(ReadInputRegistersRequest, address, count)

    async def read_holding(self, address: int, count: int) -> list[int]:
        """Return `count` holding registers from `address` on (function 03h)."""
        return await self._read(ReadHoldingRegistersRequest, address, count)

    async def write_holding(self, address: int, registers: Sequence[int]) -> None:
        """Write holding registers from `address` on (function 10h); values, so repeating is harmless."""
        request = WriteMultipleRegistersRequest(address=address, registers=list(registers), dev_id=self.address)
        reply = await self._exchange(self._asked(request, _WRITE_REPLY_SIZE))
        if reply.address != address or reply.count != len(registers):
            raise GarbledReply(
                self.name, f"confirmed registers {reply.address}+{reply.count} instead of {address}+{len(registers)}"
            )

    async def _read(self, kind: type[ModbusPDU], address: int, count: int) -> list[int]:
        asked = self._reads.get((kind, address, count))
        if asked is None:  # the same few blocks are read for as long as a culture grows
            asked = self._asked(kind(address=address, count=count, dev_id=self.address), 5 + 2 * count)
            self._reads[kind, address, count] = asked
        registers = list((await self._exchange(asked)).registers)
        if len(registers) != count:
            raise GarbledReply(self.name, f"{len(registers)} registers answered; expected {count}")
        return registers

    def _asked(self, request: ModbusPDU, reply_size: int) -> _Asked:
        function = request.function_code
        return _Asked(
            self._framer.buildFrame(request), _frame_end(self.address, function, reply_size),
            partial(self._parse, function=function),
        )  # fmt: skip

    async def _exchange(self, asked: _Asked) -> ModbusPDU:
        return await exchange(
            self._link, asked.frame, asked.reply_end, asked.parse, instrument=self.name, retries=QUERY_RETRIES
        )

    def _parse(self, data: bytes, function: int) -> ModbusPDU:
        try:
            _, pdu = self._framer.handleFrame(data, self.address, 0)
        except ModbusException as error:
            raise GarbledReply(self.name, f"frame not understood: {data.hex(' ')}") from error
        if pdu is None:
            raise GarbledReply(self.name, f"checksum or form wrong: {data.hex(' ')}")
        if isinstance(pdu, ExceptionResponse):
            words = _EXCEPTIONS.get(pdu.exception_code, "unknown exception")
            raise InstrumentRefused(self.name, f"Modbus exception {pdu.exception_code}: {words}")
        if pdu.function_code != function:
            raise GarbledReply(self.name, f"answered function {pdu.function_code} instead of {function}")
        return pdu


def _frame_end(address: int, function: int, reply_size: int) -> Callable[[bytes], int | None]:
    """Return how to find the end of the reply.

    What comes before `address function` is noise, left to the framer.
    """
    heads = ((bytes((address, function)), reply_size), (bytes((address, function | 0x80)), _EXCEPTION_SIZE))

    def end(data: bytes) -> int | None:
        for head, size in heads:
            at = data.find(head)
            if at >= 0:
                return at + size if len(data) >= at + size else None
        return None

    return end
