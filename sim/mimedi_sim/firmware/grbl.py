# SPDX-License-Identifier: Apache-2.0
"""A motion controller that speaks GRBL 1.1: lines answered by ok or error, real-time bytes, alarms, pushed messages.

Simplified against GRBL: every block ends at rest (no cornering at speed), overrides act from the next block on, and
what grbl_gcode.py leaves out. Source: gnea/grbl v1.1, doc/markdown/interface.md, commands.md, settings.md and
doc/csv/alarm_codes_en_US.csv.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from mimedi_sim.firmware import grbl_gcode as gcode
from mimedi_sim.firmware.grbl_gcode import Block, GcodeError, Modal
from mimedi_sim.firmware.grbl_homing import HomingCycle
from mimedi_sim.firmware.grbl_motion import Mechanics, Move, Profile, Vector, along, braking, difference, limited
from mimedi_sim.firmware.grbl_report import StatusReport, coordinates
from mimedi_sim.firmware.grbl_settings import Settings

VERSION = "1.1h"
PLANNER_BLOCKS, RX_BYTES = 15, 128
_LONGEST_LINE = 79
HARD_LIMIT, SOFT_LIMIT, ABORTED, HOMING_RESET, HOMING_NO_SWITCH = 1, 2, 3, 6, 9
_RESET, _DOOR, _JOG_CANCEL, _FIRST_OVERRIDE, _LAST_OVERRIDE = 0x18, 0x84, 0x85, 0x90, 0xA1
_UNLOCK_HINT = "[MSG:'$H'|'$X' to unlock]"
_HELP = "[HLP:$$ $# $G $I $N $x=val $Nx=line $J=line $SLP $C $X $H ~ ! ? ctrl-x]"


class _NotYet(Exception):
    """The line has to wait: for room in the planner, or until everything before it is done."""


@dataclass(frozen=True)
class _Planned:
    target: Vector
    speed_mm_s: float
    rapid: bool


class GrblFirmware:
    """One controller with three axes, a gripper on its flood coolant output (on is open), and a wrist servo on its
    spindle output (M3 S; it stays where it is without M3).

    What it sends unasked (an ok that had to wait, an alarm) goes out with the next answer, or by `take_unasked`.
    """

    def __init__(self, mechanics: Mechanics, machine: Mapping[int, float] | None = None) -> None:
        self._mechanics = mechanics
        self.settings = Settings(machine)
        self.state = "Idle"
        self._now_s = 0.0
        self._report = StatusReport(self.settings)
        self._start_up()
        self._position: Vector = (0.0, 0.0, 0.0)
        self._planned: Vector = self._position
        if self.settings[22]:
            self.state = "Alarm"
        self._banner()

    def _start_up(self) -> None:
        self.modal = Modal()
        self._queue: deque[_Planned] = deque()
        self._move: Move | None = None
        self._limit_s = math.inf
        self._held_target: _Planned | None = None
        self._current: _Planned | None = None
        self._hold_complete = True
        self._homing: HomingCycle | None = None
        self._dwell_until_s = math.inf
        self._reset_needed = False
        self._status_owed = False
        self._lines: deque[str] = deque()
        self._partial = b""
        self._out = bytearray()
        self.overrides = [100, 100, 100]

    # -- the line ---------------------------------------------------------------------------------------

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes from the line; return everything that is to be sent."""
        self.advance_to(now_s)
        for byte in data:
            if byte in b"?!~" or byte in (_RESET, _DOOR, _JOG_CANCEL) or byte >= 0x80:
                self._real_time(byte)
            elif byte in b"\r\n":
                if self._partial or byte == 0x0A:
                    self._lines.append(self._partial.decode("ascii", "replace"))
                    self._partial = b""
                    self._carry_out_lines()
            elif self._waiting_bytes() < RX_BYTES:
                self._partial += bytes((byte,))
        return self.take_unasked(now_s)

    def take_unasked(self, now_s: float) -> bytes:
        """Return what has to be sent at a process time though nobody asked just now."""
        self.advance_to(now_s)
        out = bytes(self._out)
        self._out.clear()
        return out

    def _say(self, line: str) -> None:
        self._out += line.encode("ascii") + b"\r\n"

    def _banner(self) -> None:
        self._say("")
        self._say(f"Grbl {VERSION} ['$' for help]")
        if self.state == "Alarm":
            self._say(_UNLOCK_HINT)

    def _waiting_bytes(self) -> int:
        return len(self._partial) + sum(len(line) + 1 for line in self._lines)

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

    # -- what happens without the line --------------------------------------------------------------------

    def emergency_stop(self, now_s: float) -> None:
        """Lose the motors' power: everything stops at once, the position is no longer to be trusted."""
        self.advance_to(now_s)
        self._stop_here()
        self._reset(force_alarm=True)

    def power_cycle(self, now_s: float) -> None:
        """Lose and regain power: nothing is known of the position; settings stay."""
        self.advance_to(now_s)
        self._stop_here()
        self._mechanics.grip(False, self._now_s)
        self._start_up()
        self._position = self._planned = (0.0, 0.0, 0.0)
        self.state = "Alarm" if self.settings[22] else "Idle"
        self._banner()

    # -- real-time bytes ----------------------------------------------------------------------------------

    def _real_time(self, byte: int) -> None:
        if byte == ord("?"):
            if self._homing is not None:
                self._status_owed = True  # GRBL answers nothing while it homes
            else:
                self._say(self._status())
        elif byte == _RESET:
            self._reset()
        elif byte == ord("!"):
            self._feed_hold("Hold")
        elif byte == _DOOR:
            self._feed_hold("Door")
        elif byte == ord("~"):
            self._resume()
        elif byte == _JOG_CANCEL and self.state == "Jog":
            self._feed_hold("Hold")
        elif _FIRST_OVERRIDE <= byte <= _LAST_OVERRIDE:
            self._report.override(self.overrides, byte)

    def _status(self) -> str:
        state = self.state
        if state in ("Hold", "Door"):
            state += ":0" if self._hold_complete else (":1" if state == "Hold" else ":2")
        speed = self._move.speed_at(self._now_s) * 60.0 if self._move is not None else 0.0
        pins = self._mechanics.limits() + ("P" if self._mechanics.gripped() else "")
        free = PLANNER_BLOCKS - len(self._queue) - (self._move is not None)
        return self._report.line(
            state, self.position(self._now_s), self.modal, (free, RX_BYTES - self._waiting_bytes()), speed, pins,
            self.overrides,
        )

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

    def _reset(self, *, force_alarm: bool = False) -> None:
        homing, moving = self._homing is not None, self._move is not None
        self._stop_here()
        locked = self.state == "Alarm"
        self._mechanics.grip(False, self._now_s)
        offsets = self.modal.offsets
        said = bytes(self._out)
        self._start_up()
        self._out += said
        self.modal.offsets = offsets
        self._planned = self._position
        self.state = "Idle"
        if homing or moving or force_alarm:
            self._say(f"ALARM:{HOMING_RESET if homing else ABORTED}")
            locked = True
        if locked:
            self.state = "Alarm"
        self._banner()

    # -- lines --------------------------------------------------------------------------------------------

    def _carry_out_lines(self) -> None:
        while self._lines and not self._reset_needed and self._homing is None and self._dwell_until_s == math.inf:
            try:
                answer = self._line(self._lines[0])
            except _NotYet:
                return
            except GcodeError as error:
                answer = f"error:{error.code}"
            if self._lines:  # a reset in between has emptied them
                self._lines.popleft()
            if answer:
                self._say(answer)

    def _line(self, raw: str) -> str:
        if len(raw) > _LONGEST_LINE:
            raise GcodeError(gcode.LINE_TOO_LONG)
        text = _stripped(raw)
        if not text:
            return "ok"
        if text.startswith("$"):
            return self._system(text[1:])
        if self.state in ("Alarm", "Jog", "Sleep"):
            raise GcodeError(gcode.LOCKED)
        return self._execute(gcode.parse(text))

    def _system(self, text: str) -> str:
        if text == "":
            self._say(_HELP)
        elif text.startswith("J="):
            self._jog(gcode.parse(text[2:]))
        elif text == "G":
            self._say(self.modal.report())
        elif text == "X":
            if self.state == "Alarm":
                self._say("[MSG:Caution: Unlocked]")
                self.state = "Idle"
        elif text == "C":
            return self._check_mode()
        elif self.state not in ("Idle", "Alarm") or self._move is not None:
            raise GcodeError(gcode.NOT_IDLE)
        elif text == "$":
            for line in self.settings.lines():
                self._say(line)
        elif text == "H":
            return self._home()
        elif text == "SLP":
            self._say("[MSG:Sleeping]")
            self.state = "Sleep"
        else:
            self._inform(text)
        return "ok"

    def _inform(self, text: str) -> None:
        if text == "#":
            for n, offset in enumerate(self.modal.offsets):
                self._say(f"[G{54 + n}:{coordinates(offset)}]")
            self._say(f"[G92:{coordinates(self.modal.shift)}]")
            self._say("[TLO:0.000]")
        elif text == "I":
            self._say(f"[VER:{VERSION}.20190825:]")
            self._say(f"[OPT:V,{PLANNER_BLOCKS},{RX_BYTES}]")
        elif text in ("RST=$", "RST=*"):
            self.settings.restore()
            self._say("[MSG:Restoring defaults]")
        else:
            number, equals, value = text.partition("=")
            if not (equals and number.isdecimal()):
                raise GcodeError(gcode.INVALID_STATEMENT)
            try:
                wanted = float(value)
            except ValueError as error:
                raise GcodeError(gcode.BAD_NUMBER) from error
            if wanted < 0.0:
                raise GcodeError(gcode.NEGATIVE)
            if not math.isfinite(wanted) or not self.settings.set(int(number), wanted):
                raise GcodeError(gcode.INVALID_STATEMENT)

    def _check_mode(self) -> str:
        if self.state == "Check":
            self._say("[MSG:Disabled]")
            self.state = "Idle"
            self._reset()
        elif self.state == "Idle" and self._move is None:
            self._say("[MSG:Enabled]")
            self.state = "Check"
        else:
            raise GcodeError(gcode.NOT_IDLE)
        return "ok"

    # -- G-code -------------------------------------------------------------------------------------------

    def _execute(self, block: Block) -> str:
        waits = block.m or block.g.get("other") in (4, 10, 92, 92.1) or "system" in block.g
        if waits and (self._move is not None or self._queue):
            raise _NotYet
        other = block.g.get("other")
        motion = block.g.get("motion", self.modal.motion)
        moves = bool(block.axes) and other not in (10, 92)
        self._check_words(block, motion, other, moves=moves)
        inches = block.g.get("units", 21 if not self.modal.inches else 20) == 20
        absolute = block.g.get("distance", 90 if self.modal.absolute else 91) == 90
        feed = block.words["F"] * (gcode.INCH_MM if inches else 1.0) if "F" in block.words else self.modal.feed_mm_min
        target = self._planned
        if moves:
            if motion == 1 and feed == 0.0:
                raise GcodeError(gcode.NO_FEED)
            if len(self._queue) + (self._move is not None) >= PLANNER_BLOCKS:
                raise _NotYet
        self._set_modal(block, motion, feed, inches=inches, absolute=absolute)
        if moves:
            target = self.modal.target(
                block, self._planned, absolute=absolute, inches=inches, machine=other == 53
            )
            self._plan(target, math.inf if motion == 0 else feed / 60.0)
        elif other in (10, 92, 92.1):
            self._set_offsets(block, other, inches=inches)
        elif other == 4 and self.state != "Check":
            self._dwell_until_s = self._now_s + block.words["P"]
            return ""
        if block.m.get("stop") in (2, 30):
            self.modal.motion, self.modal.system, self.modal.absolute = 1, 0, True
            self._outputs(spindle=5, coolant=9)
            self._say("[MSG:Pgm End]")
        elif block.m.get("stop") == 0 and self.state != "Check":
            self._feed_hold("Hold")
        return "ok"

    @staticmethod
    def _check_words(block: Block, motion: float, other: float | None, *, moves: bool) -> None:
        if other in (4, 10) and "P" not in block.words:
            raise GcodeError(gcode.MISSING_WORD)
        if other == 10 and (block.words.get("L") not in (2, 20) or not 0 <= block.words["P"] <= 6):
            raise GcodeError(gcode.MISSING_WORD if "L" not in block.words else gcode.UNSUPPORTED)
        if other in (10, 92) and not block.axes:
            raise GcodeError(gcode.NO_AXIS_WORDS)
        if other == 53 and (motion not in (0, 1) or not moves):
            raise GcodeError(gcode.BAD_G53)
        if moves and motion == 80:
            raise GcodeError(gcode.UNUSED_AXES)
        used = set("FNSTXYZ") | ({"P"} if other in (4, 10) else set()) | ({"L"} if other == 10 else set())
        if set(block.words) - used:
            raise GcodeError(gcode.UNUSED_WORDS)

    def _set_modal(self, block: Block, motion: float, feed: float, *, inches: bool, absolute: bool) -> None:
        self.modal.motion, self.modal.feed_mm_min = motion, feed
        self.modal.inches, self.modal.absolute = inches, absolute
        if "system" in block.g:
            self.modal.system = int(block.g["system"]) - 54
        self.modal.spindle_speed = block.words.get("S", self.modal.spindle_speed)
        self.modal.tool = int(block.words.get("T", self.modal.tool))
        self._outputs(block.m.get("spindle"), block.m.get("coolant"))
        if self.modal.spindle == 3 and ("S" in block.words or "spindle" in block.m) and self.state != "Check":
            span = self.settings[30] - self.settings[31]
            duty = (self.modal.spindle_speed - self.settings[31]) / span if span > 0.0 else 0.0
            self._mechanics.turn(min(1.0, max(0.0, duty)), self._now_s)

    def _outputs(self, spindle: float | None, coolant: float | None) -> None:
        if spindle is not None:
            self.modal.spindle = spindle
        if coolant is not None:
            self.modal.flood = coolant == 8 or (self.modal.flood and coolant == 7)
            self.modal.mist = coolant == 7 or (self.modal.mist and coolant == 8)
            if self.state != "Check":
                self._mechanics.grip(self.modal.flood, self._now_s)

    def _set_offsets(self, block: Block, command: float, *, inches: bool) -> None:
        scale = gcode.INCH_MM if inches else 1.0
        if command == 92.1:
            self.modal.shift = [0.0] * 3
            return
        system = self.modal.system
        if command == 10 and block.words["P"] > 0:
            system = int(block.words["P"]) - 1
        for axis, value in block.axes.items():
            here = self._planned[axis]
            if command == 92:
                self.modal.shift[axis] = here - self.modal.offsets[system][axis] - scale * value
            elif block.words["L"] == 2:
                self.modal.offsets[system][axis] = scale * value
            else:
                self.modal.offsets[system][axis] = here - self.modal.shift[axis] - scale * value

    def _jog(self, block: Block) -> None:
        if self.state not in ("Idle", "Jog"):
            raise GcodeError(gcode.NOT_IDLE)
        allowed = {"units", "distance", "other"}
        if set(block.g) - allowed or block.m or block.g.get("other", 53) != 53 or not block.axes:
            raise GcodeError(gcode.INVALID_JOG)
        if "F" not in block.words:
            raise GcodeError(gcode.NO_FEED)
        if len(self._queue) + (self._move is not None) >= PLANNER_BLOCKS:
            raise _NotYet
        inches = block.g.get("units", 20 if self.modal.inches else 21) == 20
        absolute = block.g.get("distance", 90 if self.modal.absolute else 91) == 90
        target = self.modal.target(
            block, self._planned, absolute=absolute, inches=inches, machine=block.g.get("other") == 53
        )
        if not self._within(target):
            raise GcodeError(gcode.JOG_BEYOND)
        feed = block.words["F"] * (gcode.INCH_MM if inches else 1.0)
        self._plan(target, feed / 60.0, jog=True)

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
        if self._status_owed:
            self._status_owed = False
            self._say(self._status())


def _stripped(raw: str) -> str:
    """Return a line without comments, spaces and the sign %, in capitals."""
    text, depth = "", 0
    for character in raw.split(";")[0]:
        if character == "(":
            depth += 1
        elif character == ")":
            depth = 0
        elif depth == 0 and not character.isspace() and character != "%":
            text += character
    return text.upper()
