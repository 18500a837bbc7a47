# SPDX-License-Identifier: Apache-2.0
"""Lines and status reports of a GRBL 1.1 motion controller, and what it says when something is wrong.

GRBL has no checksum. What stands for one is its echo (REPORT_ECHO_LINE_RECEIVED, to be set when it is built): each line
comes back as it was understood, before it is carried out. A move that comes back otherwise is held at once.
Source: gnea/grbl v1.1, doc/markdown/interface.md; doc/csv (errors, alarms); grbl/config.h.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .exchange import QUERY_RETRIES, REPLY_TIMEOUT_S
from .link import GarbledReply, InstrumentError, InstrumentRefused, Link, Overhears, ReplyTimeout

Position = tuple[float, float, float]

_QUICK_S = 0.3
_STATUS = re.compile(rb"<([A-Z][a-z]+)(?::(\d))?\|([^<>\r\n]*)>\r\n")
_ALARM = re.compile(rb"ALARM:(\d+)\r\n")
_DONE = re.compile(rb"(?:^|\n)(ok|error:\d+)\r\n")
_ECHO = re.compile(rb"\[echo: ([^\r\n]*)\]\r\n")
_FIELD = re.compile(r"-?\d+\.\d{3},-?\d+\.\d{3},-?\d+\.\d{3}")
_PAIR = re.compile(r"\d+(,\d+)?")
_MOVE = "G53G1"
_MAYBE_GARBLED = (1, 2, 3, 4, 11, 20, 21, 23, 24, 25, 26, 28, 31, 36)
"""Errors that one wrong character of a good line can cause: it is said once more."""

_ERRORS = {
    1: "expected a command letter", 2: "bad number", 3: "unknown $ command", 4: "negative value",
    5: "homing is not enabled", 8: "not idle", 9: "locked by an alarm or a jog; home it", 10: "soft limits need homing",
    11: "line too long", 13: "the safety door is open", 15: "target beyond the travel", 16: "invalid jog",
    20: "unsupported command", 21: "two commands of one group", 22: "no feed rate", 24: "two axis commands",
    25: "repeated word", 26: "no axis words", 28: "missing value", 30: "G53 without a move",
    31: "axis words without use", 33: "invalid target", 36: "words without use",
}  # fmt: skip
_ALARMS = {
    1: "a limit switch closed: position lost", 2: "target beyond the travel", 3: "stopped while moving: position lost",
    4: "probe in the wrong state", 5: "probe found nothing", 6: "stopped while homing", 7: "door opened while homing",
    8: "limit switch stays closed after homing", 9: "no limit switch found while homing; is an axis blocked?",
}  # fmt: skip


@dataclass(frozen=True)
class GantryState:
    """What the controller says of itself."""

    state: str
    """Idle, Run, Hold, Jog, Alarm, Door, Check, Home, Sleep."""
    substate: int | None
    """Of Hold and Door: 0 when it has come to rest."""
    position_mm: Position
    feed_mm_min: float
    limits: str
    """Letters of the axes whose limit switch is closed."""
    gripped: bool
    """The gripper feels a cassette."""
    free_blocks: int
    """Moves that the planner can still take."""


class GrblLine:
    """The controller's end of a line: lines in, answers and status reports out.

    Args:
        link: carries the bytes.
        name: name of the instrument in errors.
    """

    def __init__(self, link: Link, name: str) -> None:
        self.name = name
        self._link = link
        self.last_alarm: int | None = None
        """Number of the last alarm that was heard; GRBL tells it once."""

    async def status_now(self, request: bytes = b"?") -> GantryState:
        """Return the status after real-time bytes, asked for once.

        Raises:
            ReplyTimeout: it is silent, as it is while it homes.
            GarbledReply: what came is no status.
        """
        return self._parsed(await self._link.transact(request, _status_end, _QUICK_S))

    async def status(self, request: bytes) -> GantryState:
        """Return the status after real-time bytes, which are harmless to repeat.

        Raises:
            ReplyTimeout, GarbledReply: no status came, however often it was asked for.
        """
        for attempt in range(QUERY_RETRIES + 1):
            try:
                return await self.status_now(request)
            except (ReplyTimeout, GarbledReply) as error:
                if attempt == QUERY_RETRIES:
                    raise type(error)(
                        self.name, f"no status on line {self._link.name} ({attempt + 1} times); check power and cable"
                    ) from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def begin(self, text: str) -> None:
        """Send a line whose ok comes only when all is done; return when it was not refused at once.

        Raises:
            InstrumentRefused: GRBL's own error.
        """
        try:
            answer = await self._link.transact(text.encode("ascii") + b"\n", _done_end, _QUICK_S)
        except ReplyTimeout:
            return  # as it should be
        if (found := _DONE.search(answer)) is not None and found[1] != b"ok":
            raise self._refused(text, int(found[1].split(b":")[1]))

    async def hold(self) -> None:
        """Come to rest on the way (!): the position is kept. Harmless at rest."""
        for _ in range(QUERY_RETRIES + 1):
            if (await self.status(b"!?")).state != "Run":
                return
        raise InstrumentError(self.name, "goes on after a feed hold; press the emergency stop")

    async def say(self, text: str) -> bytes:
        """Send one line and return everything up to its ok; it must be harmless to repeat.

        Raises:
            InstrumentRefused: GRBL's own error.
            GarbledReply: what it understood is not what was said; a move is held where it is by then.
        """
        said_again, heard = False, b""
        for attempt in range(QUERY_RETRIES + 1):
            try:
                answer = await self._link.transact(text.encode("ascii") + b"\n", _done_end, REPLY_TIMEOUT_S)
            except ReplyTimeout as error:
                if attempt == QUERY_RETRIES:
                    raise ReplyTimeout(
                        self.name,
                        f"no answer to {text} within {REPLY_TIMEOUT_S:g} s ({attempt + 1} times) on line "
                        f"{self._link.name}; check power and cable",
                    ) from error
                await self._resynchronise()
                continue
            self._note_alarm(answer)
            found = _DONE.search(answer)
            if found is None or found[1] == b"ok":
                # An answer that came late may stand before this one.
                heard = echoes[-1] if (echoes := _ECHO.findall(answer)) else b""
                if heard == text.encode("ascii"):
                    return answer
                if _MOVE in text:
                    await self.hold()
                    break
                continue
            code = int(found[1].split(b":")[1])
            if code not in _MAYBE_GARBLED or said_again:
                raise self._refused(text, code)
            said_again = True
        understood = f"understood as {heard.decode('ascii', 'replace')}" if heard else "not echoed"
        raise GarbledReply(
            self.name,
            f"{text} was {understood}; look at the line's shield, and whether GRBL was built with "
            "REPORT_ECHO_LINE_RECEIVED",
        )

    async def _resynchronise(self) -> None:
        """End a line that may have arrived without its end."""
        try:
            await self._link.transact(b"\n", _done_end, _QUICK_S)
        except ReplyTimeout:
            return  # the line is silent still: the next attempt tells

    def _parsed(self, data: bytes) -> GantryState:
        self._note_alarm(data)
        found = _STATUS.search(data)
        if found is None:
            raise GarbledReply(self.name, f"status {data[:80]!r}")
        fields: dict[str, str] = {}
        for part in found[3].decode("ascii", "replace").split("|"):
            label, _, content = part.partition(":")
            fields[label] = content
        position, speeds, pins = fields.get("MPos", ""), fields.get("FS", fields.get("F", "")), fields.get("Pn", "")
        free = fields.get("Bf", "")
        if not (_FIELD.fullmatch(position) and _PAIR.fullmatch(speeds) and _PAIR.fullmatch(free)):
            raise GarbledReply(self.name, f"status {data[:80]!r}; is $10 = 3 (machine position and buffer)?")
        x, y, z = (float(value) for value in position.split(","))
        substate = int(found[2]) if found[2] is not None else None
        return GantryState(
            found[1].decode("ascii"),
            substate,
            (x, y, z),
            float(speeds.split(",")[0]),
            "".join(letter for letter in pins if letter in "XYZ"),
            "P" in pins,
            int(free.split(",")[0]),
        )

    def _note_alarm(self, data: bytes) -> None:
        pushed = self._link.take_unasked() if isinstance(self._link, Overhears) else b""
        for code in _ALARM.findall(pushed + data):
            self.last_alarm = int(code)

    def in_alarm(self) -> InstrumentRefused:
        """Return the error that tells the last alarm, and what to do."""
        words = _ALARMS.get(self.last_alarm or 0, "no code was heard")
        code = "" if self.last_alarm is None else f" {self.last_alarm}"
        return InstrumentRefused(self.name, f"alarm{code}: {words}; find out why, then home it")

    def _refused(self, text: str, code: int) -> InstrumentRefused:
        words = _ERRORS.get(code, "see the GRBL manual")
        return InstrumentRefused(self.name, f"{text} refused: {words} (error {code})")


def _status_end(data: bytes) -> int | None:
    found = _STATUS.search(data)
    return found.end() if found is not None else None


def _done_end(data: bytes) -> int | None:
    found = _DONE.search(data)
    return found.end() if found is not None else None
