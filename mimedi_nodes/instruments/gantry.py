# SPDX-License-Identifier: Apache-2.0
"""Gantry with gripper behind a GRBL 1.1 motion controller.

All positions are machine coordinates in mm: 0 at the home switches, -travel at the other end of each axis. GRBL has no
checksum. What stands for one is its echo (REPORT_ECHO_LINE_RECEIVED, to be set when it is built): each line comes back
as it was understood, before it is carried out. A move that comes back otherwise is held at once; whatever states a
condition is said again. Moves are absolute, confirmed where they end, and bounded by soft limits.
Source: gnea/grbl v1.1, doc/markdown/interface.md, commands.md, settings.md; doc/csv (errors, alarms); grbl/config.h.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .exchange import QUERY_RETRIES, REPLY_TIMEOUT_S, check_range
from .link import GarbledReply, InstrumentError, InstrumentRefused, Link, Overhears, ReplyTimeout
from .pacing import Pace, settle

Position = tuple[float, float, float]

ARRIVED_MM = 0.02
"""A move has arrived within this distance: two micro-steps of the coarsest axis."""
FEED_MM_MIN = (10.0, 30_000.0)
WRIST_DEG = (-95.0, 95.0)
_WRIST_DEG_S = 86.0
_QUICK_S = 0.3
_LOOK_S, _WAY_PATIENCE_S = 0.05, 30.0
_SETTLE_S = 0.25
"""Pause of GRBL at each limit switch ($26)."""
_STATUS = re.compile(rb"<([A-Z][a-z]+)(?::(\d))?\|([^<>\r\n]*)>\r\n")
_ALARM = re.compile(rb"ALARM:(\d+)\r\n")
_DONE = re.compile(rb"(?:^|\n)(ok|error:\d+)\r\n")
_ECHO = re.compile(rb"\[echo: ([^\r\n]*)\]\r\n")
_SETTING = re.compile(rb"\$(\d+)=(-?\d+(?:\.\d+)?)\r\n")
_VERSION = re.compile(rb"\[VER:([^\]\r\n]*)\]\r\n")
_FIELD = re.compile(r"-?\d+\.\d{3},-?\d+\.\d{3},-?\d+\.\d{3}")
_NEEDED = {24, 25, 27, 30, 31, *range(110, 113), *range(120, 123), *range(130, 133)}
"""Settings that this driver reckons with: homing speeds and pull-off, servo range, speeds, accelerations, travels."""
_PAIR = re.compile(r"\d+(,\d+)?")
_MOVE = "G53G1"
_BUSY = ("Run", "Jog", "Home")
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


class Gantry:
    """One gantry on its own line."""

    def __init__(self, link: Link, name: str) -> None:
        self.name = name
        self._link = link
        self._settings: dict[int, float] = {}
        self.last_alarm: int | None = None
        """Number of the last alarm that was heard; GRBL tells it once."""
        self.homing = False
        """Whether `home` is under way: GRBL answers nothing then."""

    async def identify(self) -> str:
        """Return the controller's version ($I)."""
        found = _VERSION.search(await self._line("$I"))
        if found is None:
            raise GarbledReply(self.name, "$I gave no version")
        return found[1].decode("ascii", "replace")

    async def settings(self) -> dict[int, float]:
        """Return the controller's settings by number ($$), read once.

        Raises GarbledReply when travel, speed or acceleration of an axis is missing.
        """
        if not self._settings:
            found = {int(n): float(v) for n, v in _SETTING.findall(await self._line("$$"))}
            missing = sorted(_NEEDED - set(found))
            if missing:
                raise GarbledReply(self.name, f"settings {missing} are missing in the answer to $$")
            self._settings = found
        return self._settings

    async def travel_mm(self) -> Position:
        """Return the travel of X, Y, Z; allowed positions are -travel to 0."""
        found = await self.settings()
        return found[130], found[131], found[132]

    async def state(self) -> GantryState:
        """Return state and position (?).

        Raises ReplyTimeout while the gantry homes: GRBL is silent then.
        """
        return await self._status(b"?")

    async def _status(self, request: bytes) -> GantryState:
        """Return the status after real-time bytes, which are harmless to repeat."""
        for attempt in range(QUERY_RETRIES + 1):
            try:
                return self._parsed(await self._link.transact(request, _status_end, _QUICK_S))
            except (ReplyTimeout, GarbledReply) as error:
                if attempt == QUERY_RETRIES:
                    raise type(error)(
                        self.name, f"no status on line {self._link.name} ({attempt + 1} times); check power and cable"
                    ) from error
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def is_busy(self) -> bool:
        """Tell whether it moves. Raises InstrumentRefused in an alarm."""
        state = await self.state()
        if state.state == "Alarm":
            raise self._in_alarm()
        # Hold:1 still brakes, Door:2 too; Door:3 goes on by itself; Door:1 stands, its door is open.
        return state.state in _BUSY or (state.state, state.substate) in (("Hold", 1), ("Door", 2), ("Door", 3))

    async def is_off(self) -> bool:
        """Tell whether it stands still."""
        state = await self.state()
        return state.state not in _BUSY and state.feed_mm_min == 0.0

    async def home(self, pace: Pace) -> None:
        """Find the reference: all axes to their home switches. Clears an alarm that homing may clear.

        Raises:
            InstrumentRefused: a switch was not found, or the controller refuses.
            InstrumentError: it ended elsewhere than at the switches.
        """
        if (await self.state()).state == "Alarm":
            await self.reset()
        values = await self.settings()
        self.homing = True
        try:
            await self._home(values, pace)
        finally:
            self.homing = False

    async def _home(self, values: Mapping[int, float], pace: Pace) -> None:
        try:
            answer = await self._link.transact(b"$H\n", _done_end, _QUICK_S)
        except ReplyTimeout:
            answer = b""  # as it should be: the ok comes when it is done
        if (found := _DONE.search(answer)) is not None and found[1] != b"ok":
            raise self._refused("$H", int(found[1].split(b":")[1]))
        self.last_alarm = None
        deadline_s = pace.now_s() + 2.0 * _homing_s(values)
        await pace.sleep(_homing_s(values))
        while True:
            try:
                state = self._parsed(await self._link.transact(b"?", _status_end, _QUICK_S))
            except ReplyTimeout:  # GRBL is silent while it homes
                if pace.now_s() > deadline_s:
                    raise
            else:
                if state.state != "Home":
                    break
            await pace.sleep(2.0)
        if state.state == "Alarm":
            raise self._in_alarm()
        pulled = -values[27]
        if state.state != "Idle" or any(abs(place - pulled) > ARRIVED_MM for place in state.position_mm):
            raise InstrumentError(self.name, f"is {state.state} at {state.position_mm} mm after homing; home it again")

    async def start_move(self, target: Position, feed_mm_min: float) -> float:
        """Begin a straight move to a machine position; return how long it will take [s].

        Raises:
            OutOfRange: beyond the travel or the permitted speeds; nothing was sent.
            InstrumentRefused: locked by an alarm.
        """
        values = await self.settings()
        self._check_way(target, feed_mm_min, await self.travel_mm())
        start = (await self.state()).position_mm
        await self._go(target, feed_mm_min)
        return _duration_s(start, target, feed_mm_min, values)

    async def move_to(self, target: Position, feed_mm_min: float, pace: Pace) -> None:
        """Move to a machine position, wait and confirm; repeating is harmless.

        Raises:
            InstrumentRefused: an alarm came (limit switch, emergency stop).
            InstrumentError: it is not where it should be, or was held on the way.
        """
        expected_s = await self.start_move(target, feed_mm_min)
        await settle(self, pace, expected_s=expected_s)
        await self._arrived(target)

    def _check_way(self, target: Position, feed_mm_min: float, travel: Position) -> None:
        for axis, place, most in zip("xyz", target, travel, strict=True):
            check_range(self.name, f"{axis}_mm", place, -most, 0.0, "mm")
        check_range(self.name, "feed_mm_min", feed_mm_min, *FEED_MM_MIN, "mm/min")

    async def _go(self, target: Position, feed_mm_min: float) -> None:
        x, y, z = target
        await self._line(f"G90G21G94G53G1X{x:.3f}Y{y:.3f}Z{z:.3f}F{feed_mm_min:.1f}")

    async def _arrived(self, target: Position) -> None:
        state = await self.state()
        if state.state != "Idle" or math.dist(state.position_mm, target) > ARRIVED_MM:
            raise InstrumentError(
                self.name, f"is {state.state} at {state.position_mm} mm after being sent to {target} mm"
            )

    async def follow(self, path: Sequence[tuple[Position, float]], pace: Pace) -> None:
        """Run along straight ways (end, feed [mm/min]) without stopping between them, wait and confirm the end.

        The planner is kept full, so that it brakes only where it must. The controller rounds no corner: it takes it as
        fast as its junction deviation allows.

        Raises:
            OutOfRange: a place or feed is not possible; nothing was sent.
            InstrumentRefused, InstrumentError: as `move_to`.
        """
        if not path:
            return
        travel = await self.travel_mm()
        for place, feed_mm_min in path:
            self._check_way(place, feed_mm_min, travel)
        state = await self.state()
        free, start, begun_s, expected_s = state.free_blocks, state.position_mm, pace.now_s(), 0.0
        for place, feed_mm_min in path:
            if free == 0:
                free = await self._room(pace)
            await self._go(place, feed_mm_min)
            free -= 1
            expected_s += math.dist(start, place) / feed_mm_min * 60.0
            start = place
        left_s = max(0.0, begun_s + expected_s - pace.now_s())
        await settle(self, pace, expected_s=left_s, patience_s=expected_s + _WAY_PATIENCE_S)
        await self._arrived(path[-1][0])

    async def _room(self, pace: Pace) -> int:
        """Wait until the planner takes a move; return how many it takes."""
        deadline_s = pace.now_s() + _WAY_PATIENCE_S
        while True:
            state = await self.state()
            if state.state == "Alarm":
                raise self._in_alarm()
            if state.state not in ("Idle", "Run"):
                raise InstrumentError(self.name, f"is {state.state} at {state.position_mm} mm on its path")
            if state.free_blocks > 0:
                return state.free_blocks
            if pace.now_s() > deadline_s:
                raise InstrumentError(self.name, f"takes no further move for {_WAY_PATIENCE_S:g} s")
            await pace.sleep(_LOOK_S)

    async def hold(self) -> None:
        """Come to rest on the way (!): the position is kept, `resume` goes on. Harmless at rest."""
        for _ in range(QUERY_RETRIES + 1):
            if (await self._status(b"!?")).state != "Run":
                return
        raise InstrumentError(self.name, "goes on after a feed hold; press the emergency stop")

    async def resume(self) -> None:
        """Go on after a hold (~); harmless when there was none."""
        for _ in range(QUERY_RETRIES + 1):
            state = await self._status(b"~?")
            if state.state not in ("Hold", "Door") or state.substate != 0:
                return
        raise InstrumentError(self.name, "is still holding after a resume; is the door open?")

    async def stop(self, pace: Pace) -> None:
        """Come to rest and forget the rest of the way; the position is kept. Harmless at rest."""
        await self.hold()
        deadline_s = pace.now_s() + 30.0
        while (state := await self.state()).state in _BUSY or (state.state == "Hold" and state.substate != 0):
            if pace.now_s() > deadline_s:
                raise InstrumentError(self.name, f"still {state.state} 30 s after a hold; press the emergency stop")
            await pace.sleep(0.1)
        await self.reset()

    async def reset(self) -> None:
        """Reset the controller (Ctrl-X): whatever moves stops at once and loses its position."""
        if (await self._status(b"\x18?")).state == "Hold":
            raise InstrumentError(self.name, "is still holding after a reset; switch it off and on")

    async def unlock(self) -> None:
        """Clear an alarm without homing ($X): the position is what the controller believes."""
        await self._line("$X")

    async def open_gripper(self) -> None:
        """Open the gripper once the gantry has come to rest; whatever it holds is released. Harmless when open."""
        await self._line("M8")

    async def close_gripper(self) -> None:
        """Close the gripper once the gantry has come to rest; harmless when closed.

        Nothing is said to a gripper that holds: one wrong bit makes M8 of M9, and that opens it.
        """
        state = await self.state()
        if state.gripped and state.state == "Idle":
            return
        await self._line("M9")

    async def turn_wrist(self, angle_deg: float, pace: Pace) -> None:
        """Turn the wrist's servo (on the spindle output, M3 S) to an angle and give it its time; repeating is harmless.

        The servo reports nothing: what it holds must be looked at. Raises OutOfRange.
        """
        check_range(self.name, "angle_deg", angle_deg, *WRIST_DEG, "deg")
        low, high = WRIST_DEG
        values = await self.settings()
        await self._line(f"M3S{values[31] + (angle_deg - low) / (high - low) * (values[30] - values[31]):.2f}")
        await pace.sleep((high - low) / _WRIST_DEG_S)

    # -- the line ---------------------------------------------------------------------------------------

    async def _line(self, text: str) -> bytes:
        """Send one line and return everything up to its ok; all lines of this driver are harmless to repeat.

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
            self.name, f"{text} was {understood}; look at the line's shield, and whether GRBL was built with "
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
            found[1].decode("ascii"), substate, (x, y, z), float(speeds.split(",")[0]),
            "".join(letter for letter in pins if letter in "XYZ"), "P" in pins, int(free.split(",")[0]),
        )

    def _note_alarm(self, data: bytes) -> None:
        pushed = self._link.take_unasked() if isinstance(self._link, Overhears) else b""
        for code in _ALARM.findall(pushed + data):
            self.last_alarm = int(code)

    def _in_alarm(self) -> InstrumentRefused:
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


def _homing_s(values: Mapping[int, float]) -> float:
    """Return how long homing takes from the far ends: Z, then X and Y, each sought, pulled off and located."""
    seek_s = 60.0 * (values[132] + max(values[130], values[131])) / values[25]
    return seek_s + 2.0 * (2.0 * values[27] * 60.0 / values[25] + values[27] * 60.0 / values[24] + 4.0 * _SETTLE_S)


def _duration_s(start: Position, end: Position, feed_mm_min: float, values: dict[int, float]) -> float:
    """Return the time of a move from rest to rest: trapezoid with each axis' own limits."""
    ways = [abs(b - a) for a, b in zip(start, end, strict=True)]
    length = math.hypot(*ways)
    if length == 0.0:
        return 0.0
    speed, acceleration = feed_mm_min / 60.0, math.inf
    for axis, way in enumerate(ways):
        if way > 0.0:
            speed = min(speed, values[110 + axis] / 60.0 * length / way)
            acceleration = min(acceleration, values[120 + axis] * length / way)
    top = min(speed, math.sqrt(length * acceleration))
    return length / top + top / acceleration
