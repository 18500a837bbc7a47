# SPDX-License-Identifier: Apache-2.0
"""A Modbus device with a register map: identity, readings, set points that are read back, orders."""

from __future__ import annotations

import math

from .exchange import QUERY_RETRIES, check_range
from .link import GarbledReply, InstrumentError, InstrumentRefused, Link
from .modbus_rtu import ModbusDevice
from .registers import MODEL_FIELD, VERSION_FIELD, RegisterMap, decode


class MappedDevice:
    """One addressed device whose registers are known.

    Args:
        address: unit address, 1 to 247.
        registers: its register map.
    """

    def __init__(self, link: Link, address: int, name: str, registers: RegisterMap) -> None:
        self.name = name
        self._map = registers
        self._device = ModbusDevice(link, address, name)

    async def identify(self) -> str:
        """Return model and version of the register map.

        Raises InstrumentRefused for a device of another kind.
        """
        found = await self._device.read_input(0, 2)
        model, version = found[MODEL_FIELD.address], found[VERSION_FIELD.address]
        if model != self._map.model or version != self._map.version:
            raise InstrumentRefused(
                self.name,
                f"is model {model:04X}h, register map {version}; expected {self._map.model:04X}h, "
                f"{self._map.version}: wrong port or address?",
            )
        return f"model {model:04X}h, register map {version}"

    async def readings(self) -> dict[str, float]:
        """Return all readings by name, of one moment; NaN is "not known"."""
        return decode(self._map.readings, await self._device.read_input(0, self._map.input_count))

    async def held(self) -> dict[str, float]:
        """Return all set points by name as the device holds them."""
        return decode(self._map.set_points, await self._device.read_holding(0, self._map.holding_count))

    async def ensure(self, name: str, value: float) -> None:
        """Have a set point held; read back. Repeating is harmless.

        Raises:
            OutOfRange: not possible; nothing was sent.
            InstrumentRefused: the device refuses the value.
            InstrumentError: what is read back differs from what was written.
        """
        low, high, unit = self._map.ranges[name]
        check_range(self.name, name, value, low, high, unit)
        field = self._map.set_points[name]
        wanted = field.raw(value)
        for _ in range(QUERY_RETRIES + 1):
            if await self._device.read_holding(field.address, field.words) == wanted:
                return
            await self._device.write_holding(field.address, wanted)
        found = await self._device.read_holding(field.address, field.words)
        if found != wanted:
            raise InstrumentError(
                self.name, f"{name} reads {found} (raw) after {value:g} {unit} was written; is the device locked?"
            )

    async def order(self, name: str, value: float) -> None:
        """Send an order; orders state what is wanted, so repeating is harmless.

        Raises:
            OutOfRange: not possible; nothing was sent.
            InstrumentRefused: the device does not do it now.
        """
        low, high, unit = self._map.ranges[name]
        check_range(self.name, name, value, low, high, unit)
        field = self._map.set_points[name]
        await self._device.write_holding(field.address, field.raw(value))

    def bits(self, values: dict[str, float], name: str) -> int:
        """Return a word of bits from readings. Raises GarbledReply when the device does not know it."""
        if math.isnan(values[name]):
            raise GarbledReply(self.name, f"{name} is not known to the device")
        return int(values[name])
