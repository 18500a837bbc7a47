# SPDX-License-Identifier: Apache-2.0
"""G-code blocks and jogs carried out on the machine. Source: gnea/grbl v1.1, doc/markdown/commands.md, jogging.md."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mimedi_sim.firmware import grbl_gcode as gcode
from mimedi_sim.firmware.grbl_gcode import Block, GcodeError, Modal
from mimedi_sim.firmware.grbl_machine import GrblMachine
from mimedi_sim.firmware.grbl_motion import Mechanics


class NotYet(Exception):
    """The line has to wait: for room in the planner, or until everything before it is done."""


class GrblProgram(GrblMachine):
    """A machine with a G-code parser's state."""

    def __init__(self, mechanics: Mechanics, machine: Mapping[int, float] | None = None) -> None:
        super().__init__(mechanics, machine)
        self.modal = Modal()

    def _execute(self, block: Block) -> str:
        waits = block.m or block.g.get("other") in (4, 10, 92, 92.1) or "system" in block.g
        if waits and (self._move is not None or self._queue):
            raise NotYet
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
            if not self._has_room:
                raise NotYet
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
        if not self._has_room:
            raise NotYet
        inches = block.g.get("units", 20 if self.modal.inches else 21) == 20
        absolute = block.g.get("distance", 90 if self.modal.absolute else 91) == 90
        target = self.modal.target(
            block, self._planned, absolute=absolute, inches=inches, machine=block.g.get("other") == 53
        )
        if not self._within(target):
            raise GcodeError(gcode.JOG_BEYOND)
        feed = block.words["F"] * (gcode.INCH_MM if inches else 1.0)
        self._plan(target, feed / 60.0, jog=True)
