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

Answer = str | bytes | None
Handler = Callable[[str, float], Answer]
"""Takes the parameter text and the process time [s]; returns an answer for a query. Raises ScpiError."""

OPERATION_COMPLETE, QUERY_ERROR, DEVICE_ERROR, EXECUTION_ERROR, COMMAND_ERROR, POWER_ON = 1, 4, 8, 16, 32, 128
"""Bits of the standard event status register (IEEE 488.2 section 11.5.1)."""
MEASURING = 16
"""Bit of the operation status register (SCPI 1999.0 volume 1, section 9.3)."""
_QUEUE_BIT, _EVENT_BIT, _OPERATION_BIT = 4, 32, 128
_LONGEST_LINE = 4096
_QUEUE_LENGTH = 20
_OVERFLOW = (-350, "Queue overflow")


class ScpiError(Exception):
    """An entry for the error queue."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class ScpiFirmware:
    """Takes lines apart and calls handlers; subclasses register them with `on`.

    Headers are written as in manuals: `SOURce[1]:FREQuency` matches SOUR:FREQ, SOURCE1:FREQ, …; a node in
    brackets may be left out. The mandatory commands of IEEE 488.2 and SCPI's SYSTem:ERRor and STATus are there.
    """

    IDENTITY = ""

    def __init__(self) -> None:
        self._handlers: list[tuple[re.Pattern[str], Handler]] = []
        self._known: dict[str, Handler] = {}
        self._errors: deque[tuple[int, str]] = deque()
        self._buffer = b""
        self._events, self._event_enable, self._service_enable = POWER_ON, 0, 0
        self.on("*IDN?", _alone(lambda _: self.IDENTITY))
        self.on("*OPC?", _alone(lambda _: "1"))
        self.on("*OPC", _alone(lambda _: self._set_event(OPERATION_COMPLETE)))
        self.on("*WAI", _alone(lambda _: None))
        self.on("*CLS", _alone(lambda _: self._clear()))
        self.on("*RST", _alone(lambda _: self.reset()))
        self.on("*TST?", _alone(lambda _: "0"))
        self.on("*ESR?", _alone(lambda _: self._take_events()))
        self.on("*ESE", self._set_event_enable)
        self.on("*ESE?", _alone(lambda _: str(self._event_enable)))
        self.on("*SRE", self._set_service_enable)
        self.on("*SRE?", _alone(lambda _: str(self._service_enable)))
        self.on("*STB?", _alone(lambda now_s: str(self._status_byte(now_s))))
        self.on("SYSTem:ERRor[:NEXT]?", _alone(lambda _: self._next_error()))
        self.on("SYSTem:ERRor:COUNt?", _alone(lambda _: str(len(self._errors))))
        self.on("SYSTem:VERSion?", _alone(lambda _: "1999.0"))
        self.on("STATus:OPERation:CONDition?", _alone(lambda now_s: str(self.operation_condition(now_s))))
        self.on("STATus:QUEStionable:CONDition?", _alone(lambda _: "0"))
        self.on("STATus:PRESet", _alone(lambda _: None))

    def on(self, header: str, handler: Handler) -> None:
        """Register a handler for a header pattern."""
        self._handlers.append((_pattern(header), handler))

    def reset(self) -> None:
        """Go back to the settings of *RST; subclasses say which."""

    def operation_condition(self, now_s: float) -> int:
        """Return the operation status: MEASURING while something is going on."""
        return 0

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes from the line, carry out every complete line, answer its queries in one line."""
        self._buffer += data
        answers = b""
        while (end := self._buffer.find(b"\n")) >= 0:
            line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
            found = self._line(line.decode("ascii", "replace").strip(), now_s)
            if found:
                answers += b";".join(found) + b"\n"
        self._buffer = self._buffer[-_LONGEST_LINE:]
        return answers

    def advance_to(self, time_s: float) -> None:
        """Nothing goes on by itself."""

    def next_event(self) -> float:
        """Return inf: these instruments only answer."""
        return math.inf

    def power_cycle(self, now_s: float) -> None:
        """Lose and regain power: settings of *RST, empty queue, the event bit that tells of it."""
        self.reset()
        self._errors.clear()
        self._buffer, self._events, self._event_enable, self._service_enable = b"", POWER_ON, 0, 0

    def _line(self, line: str, now_s: float) -> list[bytes]:
        answers: list[bytes] = []
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
                self._fail(error)
                continue
            if answer is not None:
                answers.append(answer if isinstance(answer, bytes) else answer.encode("ascii"))
        return answers

    def _handler(self, header: str) -> Handler:
        known = self._known.get(header)
        if known is None:
            known = next((handler for pattern, handler in self._handlers if pattern.fullmatch(header)), None)
            if known is None:
                raise ScpiError(-113, "Undefined header")
            self._known[header] = known
        return known

    def _fail(self, error: ScpiError) -> None:
        """Put an error in the queue (its last place tells of an overflow) and set its class in the event register."""
        if len(self._errors) < _QUEUE_LENGTH:
            self._errors.append((error.code, error.text))
        else:
            self._errors[-1] = _OVERFLOW
        classes = {1: COMMAND_ERROR, 2: EXECUTION_ERROR, 3: DEVICE_ERROR, 4: QUERY_ERROR}
        self._set_event(classes.get(-error.code // 100, DEVICE_ERROR))

    def _next_error(self) -> str:
        code, text = self._errors.popleft() if self._errors else (0, "No error")
        return f'{code:+d},"{text}"'

    def _set_event(self, bit: int) -> None:
        self._events |= bit

    def _take_events(self) -> str:
        events, self._events = self._events, 0
        return str(events)

    def _clear(self) -> None:
        self._errors.clear()
        self._events = 0

    def _set_event_enable(self, text: str, now_s: float) -> None:
        self._event_enable = int(number(text, 0, 255))

    def _set_service_enable(self, text: str, now_s: float) -> None:
        self._service_enable = int(number(text, 0, 255)) & ~64

    def _status_byte(self, now_s: float) -> int:
        byte = _QUEUE_BIT if self._errors else 0
        byte |= _EVENT_BIT if self._events & self._event_enable else 0
        byte |= _OPERATION_BIT if self.operation_condition(now_s) else 0
        return byte | (64 if byte & self._service_enable else 0)


def _alone(call: Callable[[float], Answer]) -> Handler:
    """Return a handler of a header that takes no parameter."""

    def handle(text: str, now_s: float) -> Answer:
        if text:
            raise ScpiError(-108, "Parameter not allowed")
        return call(now_s)

    return handle


_SUFFIXES = {
    "HZ": {"HZ": 1.0, "KHZ": 1e3, "MHZ": 1e6, "GHZ": 1e9},  # M is mega here, milli elsewhere (IEEE 488.2 table 7-1)
    "V": {"V": 1.0, "VPP": 1.0, "MV": 1e-3, "MVPP": 1e-3},
    "S": {"S": 1.0, "MS": 1e-3, "US": 1e-6},
}
_NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:E[+-]?\d+)?)\s*([A-Z]*)")


def number(text: str, low: float, high: float, unit: str = "") -> float:
    """Return a numeric parameter within [low, high]; MIN, MAX and suffixes of `unit` are understood.

    Raises ScpiError -109, -104, -131 or -222.
    """
    said = text.upper()
    if not said:
        raise ScpiError(-109, "Missing parameter")
    if said in ("MIN", "MINIMUM"):
        return low
    if said in ("MAX", "MAXIMUM"):
        return high
    found = _NUMBER.fullmatch(said)
    if found is None:
        raise ScpiError(-104, "Data type error")
    factor = _SUFFIXES.get(unit, {}).get(found[2]) if found[2] else 1.0
    if factor is None:
        raise ScpiError(-131, "Invalid suffix")
    value = float(found[1]) * factor
    if not low <= value <= high:
        raise ScpiError(-222, "Data out of range")
    return value


def choice(text: str, *allowed: str) -> str:
    """Return the one of `allowed` that is meant, written as in manuals (`SINusoid`). Raises ScpiError -109 or -224."""
    if not text:
        raise ScpiError(-109, "Missing parameter")
    for word in allowed:
        if text.upper() in (word.upper(), "".join(c for c in word if not c.islower())):
            return word
    raise ScpiError(-224, "Illegal parameter value")


def block(data: bytes) -> bytes:
    """Return data as a definite length block (IEEE 488.2 section 8.7.9)."""
    length = str(len(data))
    return f"#{len(length)}{length}".encode("ascii") + data


def switch(text: str) -> bool:
    """Return a Boolean parameter (ON, OFF, 1, 0). Raises ScpiError -109 or -224."""
    if not text:
        raise ScpiError(-109, "Missing parameter")
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
