# SPDX-License-Identifier: Apache-2.0
"""SCPI over a line: commands that are confirmed, queries whose answers are checked.

Source: SCPI 1999.0 volume 1 (syntax) and volume 2 section 21.8 (SYSTem:ERRor?); IEEE 488.2 (*IDN?, *OPC?,
*CLS).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from .exchange import QUERY_RETRIES, REPLY_TIMEOUT_S, Reply, exchange
from .link import GarbledReply, InstrumentRefused, Link

_MEASURING = 16
_ERROR = re.compile(r'([+-]?\d+),"([^"]*)"')


class ScpiInstrument:
    """An instrument with SCPI on its own line; lines end with LF both ways."""

    def __init__(self, link: Link, name: str) -> None:
        self.name = name
        self._link = link

    async def identify(self) -> str:
        """Return manufacturer, model, serial number and firmware (*IDN?)."""
        text = await self.query("*IDN?")
        if text.count(",") != 3:
            raise GarbledReply(self.name, f"*IDN? answered {text!r}; expected four fields")
        return text

    async def clear(self) -> None:
        """Empty the instrument's error queue (*CLS)."""
        await self.command("*CLS")

    async def command(self, text: str, timeout_s: float = REPLY_TIMEOUT_S) -> None:
        """Send a setting and confirm it by the error queue; settings are values, so repeating is harmless.

        Raises:
            InstrumentRefused: the instrument reports an error, in its words.
        """
        code, words = await self._ask(f"{text};:SYST:ERR?", self._parse_error, timeout_s)
        if code != 0:  # may be an older entry, or a command garbled on the line: clear the queue and say it again
            await self._ask("*CLS;:SYST:ERR?", self._parse_error, timeout_s)
            code, words = await self._ask(f"{text};:SYST:ERR?", self._parse_error, timeout_s)
        if code != 0:
            raise InstrumentRefused(self.name, f"{text} refused: {words} ({code})")

    async def query(self, text: str, timeout_s: float = REPLY_TIMEOUT_S) -> str:
        """Send a query and return the answer's text without its end."""
        return await self._ask(text, self._text, timeout_s)

    async def _ask(self, text: str, parse: Callable[[bytes], Reply], timeout_s: float) -> Reply:
        return await exchange(
            self._link,
            text.encode("ascii") + b"\n",
            _line_end,
            parse,
            instrument=self.name,
            timeout_s=timeout_s,
            retries=QUERY_RETRIES,
        )

    def _parse_error(self, data: bytes) -> tuple[int, str]:
        answer = self._text(data)
        found = _ERROR.fullmatch(answer)
        if found is None or (int(found[1]) == 0) != (found[2] == "No error"):
            raise GarbledReply(self.name, f"SYST:ERR? answered {answer!r}")
        return int(found[1]), found[2]

    async def query_number(self, text: str) -> float:
        """Send a query and return its finite number; asked again when it is none (SCPI has no checksum).

        Raises:
            GarbledReply: no finite number in all attempts.
        """
        answer = ""
        for _ in range(QUERY_RETRIES + 1):
            answer = await self.query(text)
            try:
                value = float(answer)
            except ValueError:
                continue
            if math.isfinite(value) and abs(value) < 9.9e37:  # 9.9E37 and 9.91E37 are SCPI's infinity and not-a-number
                return value
        raise GarbledReply(self.name, f"{text} answered {answer!r}; expected a number")

    async def query_numbers(self, text: str, count: int, timeout_s: float = REPLY_TIMEOUT_S) -> list[float]:
        """Send a query and return its `count` finite numbers; asked again when they are not.

        Raises:
            GarbledReply: other than `count` finite numbers in all attempts.
        """
        found = 0
        for _ in range(QUERY_RETRIES + 1):
            answer = await self.query(text, timeout_s)
            try:
                values = [float(part) for part in answer.split(",")]
            except ValueError:
                continue
            found = len(values)
            if found == count and all(math.isfinite(value) for value in values):
                return values
        raise GarbledReply(self.name, f"{text} gave {found} numbers; expected {count}")

    async def query_block(self, text: str, timeout_s: float) -> bytes:
        """Send a query and return its definite length block (IEEE 488.2 section 8.7.9)."""
        return await exchange(
            self._link, text.encode("ascii") + b"\n", _block_end, self._block, instrument=self.name,
            timeout_s=timeout_s, retries=QUERY_RETRIES,
        )

    async def is_measuring(self) -> bool:
        """Tell whether a measurement is going on (bit 4 of the operation status)."""
        return bool(int(await self.query_number("STAT:OPER:COND?")) & _MEASURING)

    def _block(self, data: bytes) -> bytes:
        span = _block_span(data)
        if span is None:
            raise GarbledReply(self.name, "answered no block of definite length")
        return data[span[0] : span[1]]

    def _text(self, data: bytes) -> str:
        line = data.rstrip(b"\r\n")
        text = line.decode("ascii", "replace")  # the stand-in for what is no ASCII is not ASCII either
        if not (text.isascii() and text.isprintable()):
            raise GarbledReply(self.name, f"answer with characters that are not text: {line[:40]!r}")
        return text


def _line_end(data: bytes) -> int | None:
    at = data.find(b"\n")
    return None if at < 0 else at + 1


_BLOCK = re.compile(rb"#([1-9])(\d+)")


def _block_span(data: bytes) -> tuple[int, int] | None:
    """Return start and end of a block's content, noise before it left out; None when its head is not complete."""
    found = _BLOCK.search(data)
    if found is None or len(found[2]) < int(found[1]):
        return None
    start = found.start(2) + int(found[1])
    return start, start + int(data[found.start(2) : start])


def _block_end(data: bytes) -> int | None:
    """Return where a block and its end of line end. What is no whole block has no end: the rest of it must first have
    passed, or it would be taken for the next answer.
    """
    span = _block_span(data)
    whole = span is not None and data[span[1] : span[1] + 1] == b"\n"
    return span[1] + 1 if span is not None and whole else None
