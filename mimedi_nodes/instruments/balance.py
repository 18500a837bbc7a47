# SPDX-License-Identifier: Apache-2.0
"""Balances and load cells that speak MT-SICS.

Source: Mettler Toledo, Reference Manual MT-SICS (11780711), level 0: I4, S, SI, Z; section 3.2, response
formats.
"""

from __future__ import annotations

import math
import re

from .wire.exchange import QUERY_RETRIES, REPLY_TIMEOUT_S, exchange
from .wire.link import GarbledReply, InstrumentRefused, Link

_WEIGHT = re.compile(r"S ([SD]) +(-?\d+(?:\.\d+)?) (\w+)")
_SERIAL = re.compile(r'I4 A "([^"]*)"')
_GRAMS = {"g": 1.0, "kg": 1000.0, "mg": 0.001}
_REFUSALS = {
    "I": "cannot weigh now (busy, or no stable value in time); wait until the vessel is at rest",
    "+": "overload: the vessel is too heavy for the load cell",
    "-": "underload: the vessel or its hanger is not on the load cell",
}
_LINE_ERRORS = {"ES": "syntax error", "ET": "transmission error", "EL": "logical error"}


class NotStable(InstrumentRefused):
    """The balance found no stable value; worth asking again later."""


class SicsBalance:
    """One balance on its own line."""

    def __init__(self, link: Link, name: str) -> None:
        self.name = name
        self._link = link

    async def identify(self) -> str:
        """Return the serial number (I4)."""
        text = await self._ask("I4")
        found = _SERIAL.fullmatch(text)
        if found is None:
            raise GarbledReply(self.name, f"I4 answered {text!r}")
        return found[1]

    async def mass_g(self) -> float:
        """Return the mass at this moment [g], stable or not (SI).

        Raises:
            InstrumentRefused: overload, underload or not able to weigh.
        """
        return (await self._weigh("SI"))[0]

    async def stable_mass_g(self) -> float:
        """Return a mass that has come to rest [g] (S).

        Raises:
            NotStable: no stable value in the balance's own time limit.
            InstrumentRefused: overload or underload.
        """
        mass_g, stable = await self._weigh("S")
        if not stable:
            raise GarbledReply(self.name, "answered S with an unstable value")
        return mass_g

    async def zero(self) -> None:
        """Take the present load as zero (Z); only with the empty load cell, never during a batch."""
        text = await self._ask("Z")
        if text == "Z A":
            return
        if text in ("Z I", "Z +", "Z -"):
            raise InstrumentRefused(self.name, f"zero refused: {_REFUSALS[text[-1]]}")
        raise GarbledReply(self.name, f"Z answered {text!r}")

    async def _weigh(self, command: str) -> tuple[float, bool]:
        return await exchange(
            self._link,
            command.encode("ascii") + b"\r\n",
            _line_end,
            self._parse_weight,
            instrument=self.name,
            timeout_s=10.0 if command == "S" else REPLY_TIMEOUT_S,  # S waits for rest before it answers
            retries=QUERY_RETRIES,
        )

    async def _ask(self, command: str) -> str:
        return await exchange(
            self._link,
            command.encode("ascii") + b"\r\n",
            _line_end,
            self._parse_line,
            instrument=self.name,
            retries=QUERY_RETRIES,
        )

    def _parse_line(self, data: bytes) -> str:
        text = data.removesuffix(b"\r\n").decode("ascii", "replace")
        if text in _LINE_ERRORS:  # the balance saw our command garbled: for us the same as a garbled answer
            raise GarbledReply(self.name, f"reports {_LINE_ERRORS[text]} ({text})")
        return text

    def _parse_weight(self, data: bytes) -> tuple[float, bool]:
        text = self._parse_line(data)
        found = _WEIGHT.fullmatch(text)
        if found is not None and found[3] in _GRAMS:
            mass_g = float(found[2]) * _GRAMS[found[3]]
            if math.isfinite(mass_g):
                return mass_g, found[1] == "S"
        if text == "S I":
            raise NotStable(self.name, _REFUSALS["I"])
        if text in ("S +", "S -"):
            raise InstrumentRefused(self.name, _REFUSALS[text[-1]])
        raise GarbledReply(self.name, f"weight answered {text!r}")


def _line_end(data: bytes) -> int | None:
    at = data.find(b"\r\n")
    return None if at < 0 else at + 2
