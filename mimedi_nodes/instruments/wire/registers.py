# SPDX-License-Identifier: Apache-2.0
"""Values in Modbus registers: scaling, sign, the mark for "not known", and a device's whole map.

Source: Modbus Application Protocol V1.1b3 section 4.3 (registers are 16 bits, high byte first); 32-bit values are two
registers, high word first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Field:
    """One value: first register, registers, weight of its last digit, and sign."""

    address: int
    words: int
    scale: float
    signed: bool = False

    @cached_property
    def unknown(self) -> int:
        """Return the raw value that stands for "no valid reading"."""
        return (1 << (16 * self.words - 1)) - 1 if self.signed else (1 << (16 * self.words)) - 1

    @cached_property
    def _range(self) -> tuple[int, int]:
        return (-(1 << (16 * self.words - 1)) if self.signed else 0), self.unknown - 1

    def raw(self, value: float) -> list[int]:
        """Return the registers of `value`; NaN becomes the unknown mark, values beyond the range its ends."""
        bits = 16 * self.words
        if math.isnan(value):
            number = self.unknown
        else:
            low, high = self._range
            number = min(max(round(value / self.scale), low), high)
        number &= (1 << bits) - 1
        if self.words == 1:
            return [number]
        return [number >> (16 * (self.words - 1 - i)) & 0xFFFF for i in range(self.words)]

    def value(self, registers: Sequence[int]) -> float:
        """Return the value in a block that starts at register 0; NaN when the device does not know it."""
        number = registers[self.address]
        for word in registers[self.address + 1 : self.address + self.words]:
            number = number << 16 | word
        if number == self.unknown:
            return math.nan
        if self.signed and number >> (16 * self.words - 1):
            number -= 1 << (16 * self.words)
        return number * self.scale


def decode(fields: Mapping[str, Field], registers: Sequence[int]) -> dict[str, float]:
    """Return every value of a block by name; NaN for what the device does not know."""
    return {name: field.value(registers) for name, field in fields.items()}


def encode(fields: Mapping[str, Field], values: Mapping[str, float]) -> Iterable[tuple[int, int]]:
    """Yield (register, content) for every value."""
    for name, field_ in fields.items():
        for offset, word in enumerate(field_.raw(values[name])):
            yield field_.address + offset, word


MODEL_FIELD, VERSION_FIELD = Field(0, 1, 1.0), Field(1, 1, 1.0)
"""Every device of this workcell tells what it is in input registers 0 and 1."""


@dataclass(frozen=True)
class RegisterMap:
    """The registers of one kind of device.

    Args:
        model, version: content of input registers 0 and 1.
        readings: input registers by name (function 04h), from register 2 on.
        set_points: holding registers by name (functions 03h, 06h, 10h).
        ranges: set point to (lowest, highest, unit), refused outside by driver and device alike.
        commands: set points that are orders and always read 0.
    """

    model: int
    version: int
    readings: Mapping[str, Field]
    set_points: Mapping[str, Field]
    ranges: Mapping[str, tuple[float, float, str]]
    commands: frozenset[str] = field(default_factory=frozenset)

    @cached_property
    def input_count(self) -> int:
        """Number of input registers."""
        return max((f.address + f.words for f in self.readings.values()), default=2)

    @cached_property
    def holding_count(self) -> int:
        """Number of holding registers."""
        return max((f.address + f.words for f in self.set_points.values()), default=0)

    def allows(self, name: str, value: float) -> bool:
        """Tell whether a set point may be taken; an order may also be 0, "none"."""
        low, high, _ = self.ranges[name]
        return low <= value <= high or (name in self.commands and value == 0.0)
