# SPDX-License-Identifier: Apache-2.0
"""SCPI command trees for simulated instruments: long and short headers, compound lines, the error queue.

Source: SCPI 1999.0 volume 1, chapter 6 (program headers) and volume 2, chapter 21.8 (error queue); IEEE
488.2.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Callable

Handler = Callable[[str, float], str | None]
"""Takes the parameter text and the process time [s]; returns an answer for a query. Raises ScpiError."""

_LONGEST_LINE = 4096
_QUEUE_LENGTH = 20


class ScpiError(Exception):
    """An entry for the error queue."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class ScpiFirmware:
    """Takes lines apart and calls handlers; subclasses register them with `on`.

    Headers are written as in manuals: `SOURce[1]:FREQuency` matches SOUR:FREQ, SOURCE1:FREQ, …; a node in
    brackets may be left out.
    """

    IDENTITY = ""

    def __init__(self) -> None:
        self._handlers: list[tuple[re.Pattern[str], Handler]] = []
        self._known: dict[str, Handler] = {}
        self._errors: deque[tuple[int, str]] = deque(maxlen=_QUEUE_LENGTH)
        self._buffer = b""
        self.on("*IDN?", lambda _, __: self.IDENTITY)
        self.on("*OPC?", lambda _, __: "1")
        self.on("*CLS", lambda _, __: self._errors.clear())
        self.on("SYSTem:ERRor[:NEXT]?", lambda _, __: self._next_error())

    def on(self, header: str, handler: Handler) -> None:
        """Register a handler for a header pattern."""
        self._handlers.append((_pattern(header), handler))

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes from the line, carry out every complete line, answer its queries in one line."""
        self._buffer += data
        answers = b""
        while (end := self._buffer.find(b"\n")) >= 0:
            line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
            found = self._line(line.decode("ascii", "replace").strip(), now_s)
            if found:
                answers += ";".join(found).encode("ascii") + b"\n"
        self._buffer = self._buffer[-_LONGEST_LINE:]
        return answers

    def advance_to(self, time_s: float) -> None:
        """Nothing goes on by itself."""

    def next_event(self) -> float:
        """Return inf: these instruments only answer."""
        return math.inf

    def _line(self, line: str, now_s: float) -> list[str]:
        answers: list[str] = []
        path = ""
        for unit in line.split(";"):
            text = unit.strip()
            if not text:
                continue
            header, _, parameter = text.partition(" ")
            if header.startswith("*"):
                full = header
            else:
                full = header.removeprefix(":") if header.startswith(":") or not path else f"{path}:{header}"
                path = full.rstrip("?").rpartition(":")[0]
            try:
                answer = self._handler(full.upper())(parameter.strip(), now_s)
            except ScpiError as error:
                self._errors.append((error.code, error.text))
                continue
            if answer is not None:
                answers.append(answer)
        return answers

    def _handler(self, header: str) -> Handler:
        known = self._known.get(header)
        if known is None:
            known = next((handler for pattern, handler in self._handlers if pattern.fullmatch(header)), None)
            if known is None:
                raise ScpiError(-113, "Undefined header")
            self._known[header] = known
        return known

    def _next_error(self) -> str:
        code, text = self._errors.popleft() if self._errors else (0, "No error")
        return f'{code:+d},"{text}"'


def number(text: str, low: float, high: float) -> float:
    """Return a numeric parameter within [low, high]. Raises ScpiError -104 or -222."""
    try:
        value = float(text)
    except ValueError as error:
        raise ScpiError(-104, "Data type error") from error
    if not low <= value <= high:
        raise ScpiError(-222, "Data out of range")
    return value


def switch(text: str) -> bool:
    """Return a Boolean parameter (ON, OFF, 1, 0). Raises ScpiError -224."""
    if text.upper() in ("ON", "1"):
        return True
    if text.upper() in ("OFF", "0"):
        return False
    raise ScpiError(-224, "Illegal parameter value")


def _pattern(header: str) -> re.Pattern[str]:
    """Turn a manual's header into a pattern: capitals are the short form, brackets are optional."""
    out = ""
    for part in re.findall(r"[A-Z]+[a-z]*|\[|\]|[:*?]|\d", header):
        if part == "[":
            out += "(?:"
        elif part == "]":
            out += ")?"
        elif part.isalpha():
            short = "".join(c for c in part if c.isupper())
            rest = part[len(short) :].upper()
            out += short + (f"(?:{rest})?" if rest else "")
        else:
            out += re.escape(part)
    return re.compile(out)
