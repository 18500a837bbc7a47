# SPDX-License-Identifier: Apache-2.0
"""A balance that speaks MT-SICS level 0 (SIR, a continuous output, is not there).

Source: Mettler Toledo, Reference Manual MT-SICS (11780711), section 3.2 and commands @, I0 to I5, S, SI, Z, ZI.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_LONGEST_LINE = 80
_COMMANDS = ("@", "I0", "I1", "I2", "I3", "I4", "I5", "S", "SI", "Z", "ZI")
_SOFTWARE = "2.30 10.28.0.493.142"
_ZERO_RANGE = 0.3
"""Share of the capacity up to which a load may be taken as zero: beyond it Z answers + or -."""

REST_S = 1.0
"""A value is stable once the load has been at rest so long [s] [calibration; observation times of weighing terminals
are 0.5 to 2 s]."""

_ROUNDING_S = 1e-6
"""Rounding of process time, so that a second's wait is a second."""


class SicsBalance:
    """One balance on its own line.

    Args:
        read_mass_g: process time [s] to the mass on the load cell [g], noise included; NaN when it cannot
        weigh.
        moved_s: process time [s] to when the load last changed [s]: that same time while it still changes, -inf when it
            never has; None for a load that never does.
        capacity_g, resolution_g: largest load and last digit [g].
    """

    def __init__(
        self,
        read_mass_g: Callable[[float], float],
        *,
        moved_s: Callable[[float], float] | None = None,
        capacity_g: float = 20_000.0,
        resolution_g: float = 0.01,
        serial_number: str = "B000000000",
    ) -> None:
        self._read_mass_g = read_mass_g
        self._moved_s = moved_s
        self._capacity_g = capacity_g
        self._resolution_g = resolution_g
        self._digits = max(0, round(-math.log10(resolution_g)))
        self._serial_number = serial_number
        self._zero_g = 0.0
        self._buffer = b""

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes from the line, answer every complete line."""
        self._buffer += data
        answers = b""
        while (end := self._buffer.find(b"\n")) >= 0:
            line, self._buffer = self._buffer[:end].rstrip(b"\r"), self._buffer[end + 1 :]
            answers += self._answer(line.decode("ascii", "replace"), now_s).encode("ascii") + b"\r\n"
        self._buffer = self._buffer[-_LONGEST_LINE:]
        return answers

    def advance_to(self, time_s: float) -> None:
        """Nothing goes on by itself."""

    def next_event(self) -> float:
        """Return inf: a balance only answers."""
        return math.inf

    def _answer(self, command: str, now_s: float) -> str:
        if command in ("@", "I4"):
            return f'I4 A "{self._serial_number}"'
        if command == "I0":
            return "\r\n".join(f'I0 {"A" if name == _COMMANDS[-1] else "B"} 0 "{name}"' for name in _COMMANDS)
        if command == "I1":
            return 'I1 A "0" "2.30" "" "" ""'
        if command in ("I3", "I5"):
            return f'{command} A "{_SOFTWARE}"'
        if command == "I2":
            return f'I2 A "WKC {self._capacity_g:.{self._digits}f} g"'
        if command in ("S", "SI"):
            return self._weigh(command, now_s)
        if command in ("Z", "ZI"):
            mass_g = self._read_mass_g(now_s)
            stable = self._stable(now_s)
            if math.isnan(mass_g) or not (stable or command == "ZI"):
                return f"{command} I"
            if abs(mass_g) > _ZERO_RANGE * self._capacity_g:
                return f"{command} {'+' if mass_g > 0.0 else '-'}"
            self._zero_g = mass_g
            return "Z A" if command == "Z" else f"ZI {'S' if stable else 'D'}"
        return "ES"

    def _weigh(self, command: str, now_s: float) -> str:
        mass_g = self._read_mass_g(now_s) - self._zero_g
        stable = self._stable(now_s)
        # A real balance waits for rest before it answers S and gives up after some seconds; here it
        # gives up at once.
        if math.isnan(mass_g) or (command == "S" and not stable):
            return "S I"
        if mass_g > self._capacity_g:
            return "S +"
        if mass_g < -0.02 * self._capacity_g:
            return "S -"
        shown = round(mass_g / self._resolution_g) * self._resolution_g + 0.0
        return f"S {'S' if stable else 'D'} {shown:10.{self._digits}f} g"

    def _stable(self, now_s: float) -> bool:
        return self._moved_s is None or now_s - self._moved_s(now_s) >= REST_S - _ROUNDING_S
