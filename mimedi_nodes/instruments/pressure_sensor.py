# SPDX-License-Identifier: Apache-2.0
"""Pressure transducers of the liquid lines (Honeywell PPT command set) over RS-485.

Source: Honeywell, Precision Pressure Transducer PPT user's manual (and its successors PPT2, HPA, HPB): requests
`*`ID command CR, answers `?`ID name`=`value CR LF; commands P1, T1, DU=, S=, RS.
"""

from __future__ import annotations

import math
import re

from .wire.exchange import QUERY_RETRIES, exchange
from .wire.link import GarbledReply, InstrumentRefused, Link

_ANSWER = re.compile(r"[?#](\d\d)([A-Z0-9]+)=\s*(\S.*?)\s*$")
_PASCALS = {"PSI": 6894.757, "KPA": 1000.0, "MBAR": 100.0, "BAR": 1.0e5, "MPA": 1.0e6}
"""Pascals in the display units that this driver takes."""
_FAULTS = {
    0x0001: "EEPROM checksum", 0x0002: "RAM", 0x0100: "temperature out of range", 0x1000: "pressure out of range",
}  # fmt: skip


class PressureSensor:
    """One gauge transducer on its line.

    Args:
        address: identification number, 1 to 89.
    """

    def __init__(self, link: Link, address: int, name: str) -> None:
        if not 1 <= address <= 89:
            raise ValueError(f"{name}: transducer ID {address} refused; allowed: 1 to 89")
        self.name = name
        self._link = link
        self._id = f"{address:02d}"
        self._pascals = math.nan

    async def identify(self) -> str:
        """Return the serial number (S=)."""
        return f"serial number {await self._ask('S=', 'S')}"

    async def pressure_pa(self) -> float:
        """Return the gauge pressure at this moment [Pa].

        Raises:
            InstrumentRefused: out of range, a fault, or a display unit that is not known here.
        """
        if math.isnan(self._pascals):
            unit = (await self._ask("DU=", "DU")).upper()
            if unit not in _PASCALS:
                raise InstrumentRefused(self.name, f"shows {unit!r}; set DU= to one of {', '.join(_PASCALS)}")
            self._pascals = _PASCALS[unit]
        return await self._number("P1", "CP") * self._pascals

    async def temperature_c(self) -> float:
        """Return the transducer's temperature [degC]."""
        return await self._number("T1", "CT")

    async def check(self) -> None:
        """Ask for faults (RS). Raises InstrumentRefused naming them."""
        text = await self._ask("RS", "RS")
        try:
            status = int(text, 16)
        except ValueError as error:
            raise GarbledReply(self.name, f"RS answered {text!r}") from error
        if status:
            found = [words for bit, words in _FAULTS.items() if status & bit] or ["see the manual"]
            raise InstrumentRefused(self.name, f"reports {', '.join(found)} ({status:04X}h)")

    async def _number(self, command: str, label: str) -> float:
        text = ""
        for _ in range(QUERY_RETRIES + 1):
            text = await self._ask(command, label)
            if set(text) == {"."}:
                raise InstrumentRefused(self.name, f"{command} gives no value: out of range")
            if re.fullmatch(r"[+-]?\d+(\.\d+)?", text):
                return float(text)
        raise GarbledReply(self.name, f"{command} answered {text!r}; expected a number")

    async def _ask(self, command: str, label: str) -> str:
        return await exchange(
            self._link,
            f"*{self._id}{command}\r".encode("ascii"),
            _line_end,
            lambda data: self._parse(data, command, label),
            instrument=self.name,
            retries=QUERY_RETRIES,
        )

    def _parse(self, data: bytes, command: str, label: str) -> str:
        text = data.rstrip(b"\r\n").decode("ascii", "replace")
        found = _ANSWER.search(text)
        if found is None or found[1] != self._id or found[2] != label:
            raise GarbledReply(self.name, f"{command} answered {text[:40]!r}")
        return found[3]


def _line_end(data: bytes) -> int | None:
    at = data.find(b"\r\n")
    return None if at < 0 else at + 2
