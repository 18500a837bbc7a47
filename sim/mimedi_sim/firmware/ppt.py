# SPDX-License-Identifier: Apache-2.0
"""Pressure transducers with the Honeywell PPT command set on an RS-485 line.

There are the commands ID, P1, T1, S=, V, RS, DU= and WE; binary and continuous outputs are not.
Source: Honeywell, Precision Pressure Transducer PPT user's manual: `*`ID command CR, `?`ID name`=`value CR LF; a write
needs WE in the request before it; full dots stand for a value out of range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

ALL, NOBODY = "99", "00"
PASCALS = {"PSI": 6894.757, "KPA": 1000.0, "MBAR": 100.0}
_DIGITS = {"PSI": 4, "KPA": 3, "MBAR": 2}
_LONGEST_LINE = 80


class PressureTransducer:
    """One gauge transducer.

    Args:
        measure_pa: process time [s] to the pressure with noise [Pa]; NaN when it cannot measure.
        range_pa: full scale; overload is shown from 1.1 times of it.
    """

    def __init__(
        self, measure_pa: Callable[[float], float], *, range_pa: float = 1.0e6, serial_number: int = 1
    ) -> None:
        self._measure_pa = measure_pa
        self._range_pa = range_pa
        self._serial_number = serial_number
        self._unit = "KPA"
        self._writable = False

    def answer(self, command: str, now_s: float) -> str | None:
        """Return the answer's name and value, None for what it does not answer."""
        writable, self._writable = self._writable, command == "WE"
        if command == "P1":
            return f"CP={self._shown(self._measure_pa(now_s))}"
        if command == "T1":
            return "CT=22.0"
        if command == "S=":
            return f"S={self._serial_number:08d}"
        if command == "V=":
            return "V=A1.6G0010G"
        if command == "RS":
            pressure_pa = self._measure_pa(now_s)
            return f"RS={0x0100 * math.isnan(pressure_pa) | 0x1000 * self._beyond(pressure_pa):04X}"
        if command == "DU=":
            return f"DU={self._unit}"
        if command.startswith("DU=") and command[3:] in PASCALS and writable:
            self._unit = command[3:]
        return None

    def _beyond(self, pressure_pa: float) -> bool:
        return abs(pressure_pa) > 1.1 * self._range_pa

    def _shown(self, pressure_pa: float) -> str:
        if math.isnan(pressure_pa) or self._beyond(pressure_pa):
            return "......"
        digits = _DIGITS[self._unit]
        return f"{pressure_pa / PASCALS[self._unit] + 0.0:.{digits}f}"


class PptLine:
    """All transducers of one line; `transducers` maps identification numbers (1 to 89) to them."""

    def __init__(self, transducers: Mapping[int, PressureTransducer]) -> None:
        self.transducers = dict(transducers)
        self._buffer = b""

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes from the line, answer every complete request for somebody who exists."""
        self._buffer += data
        answers = b""
        while (end := self._buffer.find(b"\r")) >= 0:
            line, self._buffer = self._buffer[:end], self._buffer[end + 1 :].lstrip(b"\n")
            start = line.rfind(b"*")
            if start >= 0:
                answers += self._answer(line[start + 1 :].decode("ascii", "replace"), now_s)
        self._buffer = self._buffer[-_LONGEST_LINE:]
        return answers

    def advance_to(self, time_s: float) -> None:
        """Nothing goes on by itself."""

    def next_event(self) -> float:
        """Return inf: transducers only answer."""
        return math.inf

    def _answer(self, text: str, now_s: float) -> bytes:
        number, command = text[:2], text[2:].upper()
        if number == ALL:
            if command == "ID":
                return b"".join(f"?{n:02d}ID={n:02d}\r\n".encode("ascii") for n in sorted(self.transducers))
            for transducer in self.transducers.values():
                transducer.answer(command, now_s)
            return b""
        if not number.isdecimal() or int(number) not in self.transducers:
            return b""
        found = self.transducers[int(number)].answer(command, now_s)
        return b"" if found is None else f"?{number}{found}\r\n".encode("ascii")
