# SPDX-License-Identifier: Apache-2.0
"""A motion controller that speaks GRBL 1.1: lines answered by ok or error, real-time bytes, alarms, pushed messages.

Simplified against GRBL: what grbl_machine.py and grbl_gcode.py say.
Source: gnea/grbl v1.1, doc/markdown/interface.md, commands.md, settings.md.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

from mimedi_sim.firmware import grbl_gcode as gcode
from mimedi_sim.firmware.grbl_gcode import GcodeError, Modal
from mimedi_sim.firmware.grbl_machine import ABORTED, HARD_LIMIT, HOMING_DOOR, HOMING_RESET, PLANNER_BLOCKS
from mimedi_sim.firmware.grbl_motion import Mechanics
from mimedi_sim.firmware.grbl_program import GrblProgram, NotYet
from mimedi_sim.firmware.grbl_report import StatusReport, coordinates

VERSION = "1.1h"
RX_BYTES = 128
_LONGEST_LINE = 79
_RESET, _DOOR, _JOG_CANCEL, _FIRST_OVERRIDE, _LAST_OVERRIDE = 0x18, 0x84, 0x85, 0x90, 0xA1
_UNLOCK_HINT = "[MSG:'$H'|'$X' to unlock]"
_HELP = "[HLP:$$ $# $G $I $N $x=val $Nx=line $J=line $SLP $C $X $H ~ ! ? ctrl-x]"


class GrblFirmware(GrblProgram):
    """One controller with three axes, a gripper on its flood coolant output (on is open), and a wrist servo on its
    spindle output (M3 S; it stays where it is without M3).

    What it sends unasked (an ok that had to wait, an alarm) goes out with the next answer, or by `take_unasked`.

    Args:
        echo: built with REPORT_ECHO_LINE_RECEIVED: each line comes back as it was understood, before it is carried out.
    """

    def __init__(self, mechanics: Mechanics, machine: Mapping[int, float] | None = None, *, echo: bool = True) -> None:
        super().__init__(mechanics, machine)
        self._echo = echo
        self._report = StatusReport(self.settings)
        self._start_up()
        if self.settings[22]:
            self.state = "Alarm"
        self._banner()

    def _start_up(self) -> None:
        self._come_to_rest()
        self.modal = Modal()
        self._status_owed = False
        self._lines: deque[str] = deque()
        self._partial = b""
        self._echoed = False

    # -- the line ---------------------------------------------------------------------------------------

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes from the line; return everything that is to be sent."""
        self.advance_to(now_s)
        for byte in data:
            if 0x20 < byte < 0x7E and byte not in b"?!" and len(self._partial) <= _LONGEST_LINE and not self._lines:
                self._partial += bytes((byte,))  # what most of a line is, with room for it in any case
            elif byte in b"?!~" or byte in (_RESET, _DOOR, _JOG_CANCEL) or byte >= 0x80:
                self._real_time(byte)
            elif byte in b"\r\n":
                self._lines.append(self._partial.decode("ascii", "replace"))  # an empty one is answered too
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

    def _banner(self) -> None:
        self._say("")
        self._say(f"Grbl {VERSION} ['$' for help]")
        if self.state == "Alarm":
            self._say(_UNLOCK_HINT)

    def _waiting_bytes(self) -> int:
        return len(self._partial) + sum(len(line) + 1 for line in self._lines)

    # -- what happens without the line --------------------------------------------------------------------

    def emergency_stop(self, now_s: float) -> None:
        """Lose the motors' power: everything stops at once, the position is no longer to be trusted."""
        self.advance_to(now_s)
        self._stop_here()
        self._reset(force_alarm=True)

    def limit_switch_closed(self, now_s: float) -> None:
        """A limit switch was closed from outside: whatever moves stops at once, its position lost ($21)."""
        self.advance_to(now_s)
        if self.settings[21] and self._move is not None and self._homing is None:
            self._stop_here()
            self._alarm(HARD_LIMIT)

    def power_cycle(self, now_s: float) -> None:
        """Lose and regain power: nothing is known of the position; settings stay."""
        self.advance_to(now_s)
        self._stop_here()
        self._mechanics.grip(False, self._now_s)
        self._start_up()
        self._position = self._planned = (0.0, 0.0, 0.0)
        self.state = "Alarm" if self.settings[22] else "Idle"
        self._banner()

    def safety_door(self, now_s: float, is_open: bool) -> None:
        """Open or close the contact of the safety door: open, motion is held; closed, a cycle start goes on."""
        self.advance_to(now_s)
        self._door_ajar = is_open
        if is_open and self._homing is not None:
            self._stop_here()
            self._alarm(HOMING_DOOR)
        elif is_open:
            self._feed_hold("Door")

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
            at_rest = "1" if state == "Door" and self._door_ajar else "0"
            state += ":" + (at_rest if self._hold_complete else ("1" if state == "Hold" else "2"))
        speed = self._move.speed_at(self._now_s) * 60.0 if self._move is not None else 0.0
        pins = self._mechanics.limits() + ("P" if self._mechanics.gripped() else "")
        free = PLANNER_BLOCKS - len(self._queue) - (self._move is not None)
        return self._report.line(
            state, self.position(self._now_s), self.modal, (free, RX_BYTES - self._waiting_bytes()), speed, pins,
            self.overrides,
        )

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
        if self._door_ajar:
            self.state, self._hold_complete = "Door", True
        if homing or moving or force_alarm:
            self._say(f"ALARM:{HOMING_RESET if homing else ABORTED}")
            locked = True
        if locked:
            self.state = "Alarm"
        self._banner()

    def _homed(self) -> None:
        if self._status_owed:
            self._status_owed = False
            self._say(self._status())

    # -- lines --------------------------------------------------------------------------------------------

    def _carry_out_lines(self) -> None:
        while self._lines and not self._reset_needed and self._homing is None and self._dwell_until_s == math.inf:
            if self._echo and not self._echoed and len(self._lines[0]) <= _LONGEST_LINE:
                self._say(f"[echo: {_stripped(self._lines[0])}]")
            self._echoed = True  # once, though its ok may have to wait
            try:
                answer = self._line(self._lines[0])
            except NotYet:
                return
            except GcodeError as error:
                answer = f"error:{error.code}"
            self._echoed = False
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
