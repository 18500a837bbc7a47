# SPDX-License-Identifier: Apache-2.0
"""Gantry with gripper behind a GRBL 1.1 motion controller.

All positions are machine coordinates in mm: 0 at the home switches, -travel at the other end of each axis. Moves are
absolute, confirmed where they end, and bounded by soft limits; whatever states a condition is said again.
Source: gnea/grbl v1.1, doc/markdown/commands.md, settings.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from .wire.exchange import QUERY_RETRIES, check_range
from .wire.grbl_line import GantryState, GrblLine, Position
from .wire.link import GarbledReply, InstrumentError, Link, ReplyTimeout
from .wire.pacing import Pace, settle

ARRIVED_MM = 0.02
"""A move has arrived within this distance: two micro-steps of the coarsest axis."""
FEED_MM_MIN = (10.0, 30_000.0)
WRIST_DEG = (-95.0, 95.0)
_WRIST_DEG_S = 86.0
_LOOK_S, _WAY_PATIENCE_S = 0.05, 30.0
_SETTLE_S = 0.25
"""Pause of GRBL at each limit switch ($26)."""
_SETTING = re.compile(rb"\$(\d+)=(-?\d+(?:\.\d+)?)\r\n")
_VERSION = re.compile(rb"\[VER:([^\]\r\n]*)\]\r\n")
_NEEDED = {24, 25, 27, 30, 31, *range(110, 113), *range(120, 123), *range(130, 133)}
"""Settings that this driver reckons with: homing speeds and pull-off, servo range, speeds, accelerations, travels."""
_BUSY = ("Run", "Jog", "Home")


class Gantry:
    """One gantry on its own line."""

    def __init__(self, link: Link, name: str) -> None:
        self.name = name
        self._grbl = GrblLine(link, name)
        self._settings: dict[int, float] = {}
        self.homing = False
        """Whether `home` is under way: GRBL answers nothing then."""

    async def identify(self) -> str:
        """Return the controller's version ($I)."""
        found = _VERSION.search(await self._grbl.say("$I"))
        if found is None:
            raise GarbledReply(self.name, "$I gave no version")
        return found[1].decode("ascii", "replace")

    async def settings(self) -> dict[int, float]:
        """Return the controller's settings by number ($$), read once.

        Raises GarbledReply when travel, speed or acceleration of an axis is missing.
        """
        if not self._settings:
            found = {int(n): float(v) for n, v in _SETTING.findall(await self._grbl.say("$$"))}
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
        return await self._grbl.status(b"?")

    async def is_busy(self) -> bool:
        """Tell whether it moves. Raises InstrumentRefused in an alarm."""
        state = await self.state()
        if state.state == "Alarm":
            raise self._grbl.in_alarm()
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
        await self._grbl.begin("$H")
        self._grbl.last_alarm = None
        deadline_s = pace.now_s() + 2.0 * _homing_s(values)
        await pace.sleep(_homing_s(values))
        while True:
            try:
                state = await self._grbl.status_now()
            except ReplyTimeout:  # GRBL is silent while it homes
                if pace.now_s() > deadline_s:
                    raise
            else:
                if state.state != "Home":
                    break
            await pace.sleep(2.0)
        if state.state == "Alarm":
            raise self._grbl.in_alarm()
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
        await self._grbl.say(f"G90G21G94G53G1X{x:.3f}Y{y:.3f}Z{z:.3f}F{feed_mm_min:.1f}")

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
                raise self._grbl.in_alarm()
            if state.state not in ("Idle", "Run"):
                raise InstrumentError(self.name, f"is {state.state} at {state.position_mm} mm on its path")
            if state.free_blocks > 0:
                return state.free_blocks
            if pace.now_s() > deadline_s:
                raise InstrumentError(self.name, f"takes no further move for {_WAY_PATIENCE_S:g} s")
            await pace.sleep(_LOOK_S)

    async def hold(self) -> None:
        """Come to rest on the way (!): the position is kept, `resume` goes on. Harmless at rest."""
        await self._grbl.hold()

    async def resume(self) -> None:
        """Go on after a hold (~); harmless when there was none."""
        for _ in range(QUERY_RETRIES + 1):
            state = await self._grbl.status(b"~?")
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
        if (await self._grbl.status(b"\x18?")).state == "Hold":
            raise InstrumentError(self.name, "is still holding after a reset; switch it off and on")

    async def unlock(self) -> None:
        """Clear an alarm without homing ($X): the position is what the controller believes."""
        await self._grbl.say("$X")

    async def open_gripper(self) -> None:
        """Open the gripper once the gantry has come to rest; whatever it holds is released. Harmless when open."""
        await self._grbl.say("M8")

    async def close_gripper(self) -> None:
        """Close the gripper once the gantry has come to rest; harmless when closed.

        Nothing is said to a gripper that holds: one wrong bit makes M8 of M9, and that opens it.
        """
        state = await self.state()
        if state.gripped and state.state == "Idle":
            return
        await self._grbl.say("M9")

    async def turn_wrist(self, angle_deg: float, pace: Pace) -> None:
        """Turn the wrist's servo (on the spindle output, M3 S) to an angle and give it its time; repeating is harmless.

        The servo reports nothing: what it holds must be looked at. Raises OutOfRange.
        """
        check_range(self.name, "angle_deg", angle_deg, *WRIST_DEG, "deg")
        low, high = WRIST_DEG
        values = await self.settings()
        await self._grbl.say(f"M3S{values[31] + (angle_deg - low) / (high - low) * (values[30] - values[31]):.2f}")
        await pace.sleep((high - low) / _WRIST_DEG_S)


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
