# SPDX-License-Identifier: Apache-2.0
"""What moves in a GRBL controller: planner, holds, limits, homing, alarms; exact at any time.

Every block ends at rest (no cornering at speed); overrides act from the next block on.
Source: gnea/grbl v1.1, doc/markdown/interface.md (states), doc/csv/alarm_codes_en_US.csv.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from mimedi_sim.firmware import grbl_gcode as gcode
from mimedi_sim.firmware.grbl_gcode import GcodeError
from mimedi_sim.firmware.grbl_homing import HomingCycle
from mimedi_sim.firmware.grbl_motion import Mechanics, Move, Profile, Vector, along, braking, difference, limited
from mimedi_sim.firmware.grbl_settings import Settings

PLANNER_BLOCKS = 15
HARD_LIMIT, SOFT_LIMIT, ABORTED, HOMING_RESET, HOMING_NO_SWITCH = 1, 2, 3, 6, 9


@dataclass(frozen=True)
class _Planned:
    target: Vector
    speed_mm_s: float
    rapid: bool


class GrblMachine:
    """State, position and planner; what it has to say is put into `_out`."""

    def __init__(self, mechanics: Mechanics, machine: Mapping[int, float] | None = None) -> None:
        self._mechanics = mechanics
        self.settings = Settings(machine)
        self.state = "Idle"
        self._now_s = 0.0
        self._position: Vector = (0.0, 0.0, 0.0)
        self._planned: Vector = self._position
        self._come_to_rest()

    def _come_to_rest(self) -> None:
        self._queue: deque[_Planned] = deque()
        self._move: Move | None = None
        self._limit_s = math.inf
        self._held_target: _Planned | None = None
        self._current: _Planned | None = None
        self._hold_complete = True
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
            jogging = self.state == "Jog"
            if jogging:
                self._queue.clear()
                self._current = None
            self._held_target = self._current
            self.state = "Jog" if jogging else state
            self._hold_complete = False
            self._brake(speed)
        elif self.state == "Idle" or (self.state == "Hold" and state == "Door"):
            self.state, self._hold_complete = state, True

    def _brake(self, speed_mm_s: float) -> None:
        assert self._move is not None
        length = self._move.length_mm
        profile = braking(max(speed_mm_s, 1e-9), self._move.profile.acceleration_mm_s2)
        left = difference(along(self._move.start, self._move.delta, 1.0), self._move.position_at(self._now_s))
        share = min(1.0, profile.length_mm / max(math.hypot(*left), 1e-12)) if length else 0.0
        self._commit()
        delta = (left[0] * share, left[1] * share, left[2] * share)
        self._launch(Move(self._position, delta, profile, self._now_s))

    def _resume(self) -> None:
        if self.state not in ("Hold", "Door") or not self._hold_complete:
            return
        held, self._held_target = self._held_target, None
        if held is not None:
            self._queue.appendleft(held)
        self.state = "Idle"
        self._begin_next()
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
        self._planned = target
        self._queue.append(_Planned(target, speed_mm_s, speed_mm_s == math.inf))
        if self.state in ("Idle", "Run", "Jog"):
            self.state = "Jog" if jog else "Run"
            if self._move is None:
                self._begin_next()

    def _begin_next(self) -> None:
        """Start the next block; with none left the machine is idle."""
        while self._queue:
            self._current = self._queue.popleft()
            delta = difference(self._current.target, self._position)
            length = math.hypot(*delta)
            if length < 1e-9:
                continue
            override = self.overrides[1 if self._current.rapid else 0] / 100.0
            wanted = self._current.speed_mm_s * override
            if self._current.rapid:
                wanted = math.inf
            speed = limited(wanted, delta, self.settings.max_rate_mm_s) * (override if self._current.rapid else 1.0)
            acceleration = limited(math.inf, delta, self.settings.acceleration_mm_s2)
            if self.state == "Idle":
                self.state = "Run"
            self._launch(Move(self._position, delta, Profile(length, speed, acceleration), self._now_s))
            return
        self._current = None
        if self.state in ("Run", "Jog"):
            self.state = "Idle"

    def _launch(self, move: Move) -> None:
        self._move, self._limit_s = move, math.inf
        if self.settings[21]:
            share = self._mechanics.until_limit(move.delta)
            if share is not None:
                way = min(share * move.length_mm, move.profile.length_mm)
                self._limit_s = move.begun_s + move.profile.time_at(way)

    def _end_move(self) -> None:
        self._commit()
        if self.state in ("Hold", "Door"):
            self._hold_complete = True
            return
        if self.state == "Jog" and not self._hold_complete:  # a jog that was cancelled
            self._hold_complete = True
            self._planned = self._position
        self._begin_next()

    def _commit(self) -> None:
        """Make what the motors have done up to now final."""
        if self._move is None:
            return
        share = self._move.share_at(self._now_s)
        whole = self._move.end_s <= self._now_s and self._move.profile.braking_from_mm_s == 0.0
        share = 1.0 if whole or self._move.end_s <= self._now_s else share
        delta = self._move.delta
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
        self._current = self._held_target = None
        self._hold_complete = True
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
        self.state = "Home"
        self._homing = HomingCycle(self._mechanics, self.settings, self._now_s)
        return ""

    def _home_on(self) -> None:
        assert self._homing is not None
        self._homing.carry_out()
        if not self._homing.done:
            return
        found, self._homing = self._homing.found, None
        if found:
            pull = self.settings[27]
            self._position = self._planned = (-pull, -pull, -pull)
            self.state = "Idle"
            self._say("ok")
        else:
            self._alarm(HOMING_NO_SWITCH)
            self._say("ok")
        self._homed()
