# SPDX-License-Identifier: Apache-2.0
"""What moves in a GRBL controller: planner, holds, limits, homing, alarms; exact at any time.

Overrides act on the blocks that are planned after them, which GRBL does at once.
Source: gnea/grbl v1.1, doc/markdown/interface.md (states), doc/csv/alarm_codes_en_US.csv, grbl/planner.c (look-ahead).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from mimedi_sim.firmware import grbl_gcode as gcode
from mimedi_sim.firmware.grbl_gcode import GcodeError
from mimedi_sim.firmware.grbl_homing import HomingCycle
from mimedi_sim.firmware.grbl_motion import (
    Mechanics,
    Move,
    Profile,
    Vector,
    along,
    difference,
    junction_speed_mm_s,
    limited,
)
from mimedi_sim.firmware.grbl_settings import Settings

PLANNER_BLOCKS = 15
HARD_LIMIT, SOFT_LIMIT, ABORTED, HOMING_RESET, HOMING_DOOR, HOMING_PULL_OFF, HOMING_NO_SWITCH = 1, 2, 3, 6, 7, 8, 9


@dataclass
class _Block:
    """One straight way of the plan."""

    target: Vector
    unit: Vector
    length_mm: float
    speed_mm_s: float
    acceleration_mm_s2: float
    entry_limit_mm_s: float
    entry_mm_s: float = 0.0

    def reachable_mm_s(self, speed_mm_s: float) -> float:
        """Return the speed at the other end when one end has speed_mm_s and everything is given."""
        return math.sqrt(speed_mm_s**2 + 2.0 * self.acceleration_mm_s2 * self.length_mm)


class GrblMachine:
    """State, position and planner; what it has to say is put into `_out`."""

    def __init__(self, mechanics: Mechanics, machine: Mapping[int, float] | None = None) -> None:
        self._mechanics = mechanics
        self.settings = Settings(machine)
        self.state = "Idle"
        self._now_s = 0.0
        self._position: Vector = (0.0, 0.0, 0.0)
        self._planned: Vector = self._position
        self._door_ajar = False
        self._come_to_rest()

    def _come_to_rest(self) -> None:
        self._queue: deque[_Block] = deque()
        self._move: Move | None = None
        self._limit_s = math.inf
        self._current: _Block | None = None
        self._hold_complete = True
        self._cancelling = False
        self._homing: HomingCycle | None = None
        self._dwell_until_s = math.inf
        self._reset_needed = False
        self._out = bytearray()
        self.overrides = [100, 100, 100]

    def _say(self, line: str) -> None:
        self._out += line.encode("ascii") + b"\r\n"

    def _carry_out_lines(self) -> None:
        """Go on with lines that had to wait."""

    def _homed(self) -> None:
        """Homing is over."""

    @property
    def _has_room(self) -> bool:
        return len(self._queue) + (self._move is not None) < PLANNER_BLOCKS

    # -- time -------------------------------------------------------------------------------------------

    def next_event(self) -> float:
        """Return when a move, a homing step or a dwell ends, or a limit switch closes [s]; inf at rest."""
        times = [self._dwell_until_s, self._limit_s]
        if self._move is not None:
            times.append(self._move.end_s)
        if self._homing is not None:
            times.append(self._homing.next_event())
        return min(times)

    def advance_to(self, time_s: float) -> None:
        """Carry moves, homing and dwells on."""
        while (event := self.next_event()) <= time_s:
            self._now_s = max(self._now_s, event)
            self._event(event)
            self._carry_out_lines()
        self._now_s = max(self._now_s, time_s)

    def _event(self, time_s: float) -> None:
        if self._dwell_until_s <= time_s:
            self._dwell_until_s = math.inf
            self._say("ok")
        elif self._homing is not None:
            self._home_on()
        elif self._limit_s <= time_s:
            self._stop_here()
            self._alarm(HARD_LIMIT)
        elif self._move is not None:
            self._end_move()

    def position(self, now_s: float) -> Vector:
        """Return where the motors are [mm], machine coordinates."""
        return self._position if self._move is None else self._move.position_at(now_s)

    @property
    def moving(self) -> bool:
        """Whether a motor turns."""
        return self._move is not None or self._homing is not None

    # -- holds ---------------------------------------------------------------------------------------------

    def _feed_hold(self, state: str) -> None:
        if self.state in ("Run", "Jog") and self._move is not None:
            speed = self._move.speed_at(self._now_s)
            self._cancelling = self.state == "Jog"
            self.state = "Jog" if self._cancelling else state
            self._hold_complete = False
            self._commit()
            self._slow_down(speed)
        elif self.state == "Idle" or (self.state == "Hold" and state == "Door"):
            self.state, self._hold_complete = state, True

    def _slow_down(self, speed_mm_s: float) -> None:
        """Brake along the present block, and into the next ones when it is too short."""
        block = self._current
        assert block is not None
        delta = difference(block.target, self._position)
        left = math.hypot(*delta)
        acceleration = block.acceleration_mm_s2
        needed = speed_mm_s**2 / (2.0 * acceleration)
        if needed > left and self._queue:
            out = math.sqrt(speed_mm_s**2 - 2.0 * acceleration * left)
            profile = Profile(left, speed_mm_s, acceleration, speed_mm_s, out)
        else:
            share = min(1.0, needed / left) if left > 0.0 else 0.0
            delta = (delta[0] * share, delta[1] * share, delta[2] * share)
            profile = Profile(min(needed, left), speed_mm_s, acceleration, speed_mm_s, 0.0)
        self._launch(Move(self._position, delta, profile, self._now_s))

    def _held(self) -> None:
        """Everything has come to rest after a hold or a jog's cancellation."""
        block, self._current = self._current, None
        self._hold_complete = True
        if self._cancelling:
            self._cancelling = False
            self._queue.clear()
            self._planned = self._position
            self.state = "Idle"
        elif block is not None and math.dist(block.target, self._position) > 1e-9:
            self._queue.appendleft(block)

    def _resume(self) -> None:
        if self.state not in ("Hold", "Door") or not self._hold_complete or self._door_ajar:
            return
        self.state = "Idle"
        self._begin_next(0.0)
        self._carry_out_lines()

    # -- motion -------------------------------------------------------------------------------------------

    def _within(self, target: Vector) -> bool:
        if not self.settings[20]:
            return True
        return all(
            -travel - 1e-6 <= place <= 1e-6 for place, travel in zip(target, self.settings.travel_mm, strict=True)
        )

    def _plan(self, target: Vector, speed_mm_s: float, *, jog: bool = False) -> None:
        if not self._within(target):
            self._stop_here()
            self._alarm(SOFT_LIMIT)
            return
        if self.state == "Check" or target == self._planned:
            return
        before = self._queue[-1] if self._queue else self._current
        self._queue.append(self._block(target, speed_mm_s, before))
        self._planned = target
        if self.state in ("Idle", "Run", "Jog"):
            self.state = "Jog" if jog else "Run"
            if self._move is None:
                self._begin_next(0.0)
            else:
                self._plan_again()

    def _block(self, target: Vector, speed_mm_s: float, before: _Block | None) -> _Block:
        """Return a block from the end of the plan to a target (inf: a rapid), after another one or from rest."""
        delta = difference(target, self._planned)
        length = math.hypot(*delta)
        rapid = speed_mm_s == math.inf
        override = self.overrides[1 if rapid else 0] / 100.0
        fastest = limited(math.inf, delta, self.settings.max_rate_mm_s)
        speed = fastest * override if rapid else min(speed_mm_s * override, fastest)
        acceleration = limited(math.inf, delta, self.settings.acceleration_mm_s2)
        unit = (delta[0] / length, delta[1] / length, delta[2] / length)
        entry = 0.0
        if before is not None:
            slower = min(acceleration, before.acceleration_mm_s2)
            corner = junction_speed_mm_s(before.unit, unit, slower, self.settings[11])
            entry = min(corner, speed, before.speed_mm_s)
        return _Block(target, unit, length, speed, acceleration, entry)

    def _look_ahead(self, first_mm_s: float) -> float:
        """Plan the speeds between the waiting blocks; the first may begin with first_mm_s at most. Return its speed."""
        after = 0.0
        for block in reversed(self._queue):
            block.entry_mm_s = after = min(block.entry_limit_mm_s, block.reachable_mm_s(after))
        before = first_mm_s
        for block in self._queue:
            block.entry_mm_s = min(block.entry_mm_s, before)
            before = block.reachable_mm_s(block.entry_mm_s)
        return self._queue[0].entry_mm_s if self._queue else 0.0

    def _begin_next(self, speed_mm_s: float) -> None:
        """Start the next block at the speed that there is; with none left the machine is idle."""
        while self._queue:
            block = self._current = self._queue.popleft()
            delta = difference(block.target, self._position)
            block.length_mm = math.hypot(*delta)
            if block.length_mm < 1e-9:
                continue
            if self.state == "Idle":
                self.state = "Run"
            self._run(block, delta, speed_mm_s)
            return
        self._current = None
        if self.state in ("Run", "Jog"):
            self.state = "Idle"

    def _run(self, block: _Block, delta: Vector, speed_mm_s: float) -> None:
        length, acceleration = math.hypot(*delta), block.acceleration_mm_s2
        braked = math.sqrt(max(0.0, speed_mm_s**2 - 2.0 * acceleration * length))
        out = max(braked, self._look_ahead(math.sqrt(speed_mm_s**2 + 2.0 * acceleration * length)))
        profile = Profile(length, block.speed_mm_s, acceleration, speed_mm_s, out)
        self._launch(Move(self._position, delta, profile, self._now_s))

    def _plan_again(self) -> None:
        """Let the running block end faster when what follows allows it."""
        move, block = self._move, self._current
        assert move is not None
        assert block is not None
        speed = move.speed_at(self._now_s)
        left = move.profile.length_mm - move.profile.at(self._now_s - move.begun_s)[0]
        reachable = math.sqrt(speed**2 + 2.0 * block.acceleration_mm_s2 * max(0.0, left))
        if left > 1e-9 and self._look_ahead(reachable) > move.profile.exit_mm_s + 1e-9:
            self._commit()
            self._run(block, difference(block.target, self._position), speed)

    def _launch(self, move: Move) -> None:
        self._move, self._limit_s = move, math.inf
        if self.settings[21]:
            share = self._mechanics.until_limit(move.delta)
            if share is not None:
                way = min(share * move.length_mm, move.profile.length_mm)
                self._limit_s = move.begun_s + move.profile.time_at(way)

    def _end_move(self) -> None:
        assert self._move is not None
        speed = self._move.profile.exit_mm_s
        self._commit()
        if self._hold_complete:
            self._begin_next(speed)
        elif speed > 1e-9 and self._queue:
            self._current = self._queue.popleft()
            self._slow_down(speed)
        else:
            self._held()

    def _commit(self) -> None:
        """Make what the motors have done up to now final."""
        if self._move is None:
            return
        delta = self._move.delta
        share = 1.0 if self._move.end_s <= self._now_s else self._move.share_at(self._now_s)
        self._mechanics.moved((delta[0] * share, delta[1] * share, delta[2] * share), self._now_s)
        self._position = along(self._move.start, delta, share)
        self._move, self._limit_s = None, math.inf

    def _stop_here(self) -> None:
        """Stop the motors at once and forget what was to come."""
        if self._homing is not None:
            self._homing.stop(self._now_s)
            self._homing = None
        self._commit()
        self._queue.clear()
        self._current = None
        self._hold_complete, self._cancelling = True, False
        self._dwell_until_s = math.inf
        self._planned = self._position

    def _alarm(self, code: int) -> None:
        self.state = "Alarm"
        self._say(f"ALARM:{code}")
        if code in (HARD_LIMIT, SOFT_LIMIT):
            self._reset_needed = True
            self._say("[MSG:Reset to continue]")

    # -- homing -------------------------------------------------------------------------------------------

    def _home(self) -> str:
        if not self.settings[22]:
            raise GcodeError(gcode.HOMING_OFF)
        if self._door_ajar:
            raise GcodeError(gcode.DOOR_OPEN)
        self.state = "Home"
        self._homing = HomingCycle(self._mechanics, self.settings, self._now_s)
        return ""

    def _home_on(self) -> None:
        assert self._homing is not None
        self._homing.carry_out()
        if not self._homing.done:
            return
        found, self._homing = self._homing.found, None
        if found and self._mechanics.limits():
            self._alarm(HOMING_PULL_OFF)
            self._say("ok")
        elif found:
            pull = self.settings[27]
            self._position = self._planned = (-pull, -pull, -pull)
            self.state = "Idle"
            self._say("ok")
        else:
            self._alarm(HOMING_NO_SWITCH)
            self._say("ok")
        self._homed()
