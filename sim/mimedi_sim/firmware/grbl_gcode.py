# SPDX-License-Identifier: Apache-2.0
"""G-code blocks of a GRBL 1.1 controller: words, modal groups, the parser's errors.

Left out against GRBL, all answered with error 20: arcs, planes but G17, G28, G30, probing, inverse time, tool length.
Source: gnea/grbl v1.1, doc/markdown/commands.md and doc/csv/error_codes_en_US.csv; NIST RS274/NGC version 3.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from mimedi_sim.firmware.grbl_motion import AXES, Vector

EXPECTED_LETTER, BAD_NUMBER, INVALID_STATEMENT, NEGATIVE, HOMING_OFF, NOT_IDLE, LOCKED = 1, 2, 3, 4, 5, 8, 9
NEEDS_HOMING, LINE_TOO_LONG, DOOR_OPEN, JOG_BEYOND, INVALID_JOG = 10, 11, 13, 15, 16
UNSUPPORTED, GROUP_VIOLATED, NO_FEED, NOT_INTEGER = 20, 21, 22, 23
TWO_AXIS_COMMANDS, REPEATED, NO_AXIS_WORDS = 24, 25, 26
MISSING_WORD, BAD_G53, UNUSED_AXES, INVALID_TARGET, UNUSED_WORDS = 28, 30, 31, 33, 36
INCH_MM = 25.4

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")
_GROUPS: dict[float, str] = {
    0: "motion", 1: "motion", 80: "motion", 17: "plane", 90: "distance", 91: "distance", 91.1: "arc", 94: "feed",
    20: "units", 21: "units", 40: "radius", 49: "length", 54: "system", 55: "system", 56: "system", 57: "system",
    58: "system", 59: "system", 61: "path", 4: "other", 10: "other", 53: "other", 92: "other", 92.1: "other",
}
_M_GROUPS: dict[float, str] = {
    0: "stop", 1: "stop", 2: "stop", 30: "stop", 3: "spindle", 4: "spindle", 5: "spindle", 7: "coolant", 8: "coolant",
    9: "coolant",
}
_USES_AXES = (0, 1, 10, 92)


class GcodeError(Exception):
    """A line cannot be carried out; `code` is GRBL's error number."""

    def __init__(self, code: int) -> None:
        super().__init__(f"GRBL error {code}")
        self.code = code


@dataclass
class Block:
    """One line taken apart."""

    g: dict[str, float] = field(default_factory=dict)
    """G command by modal group."""
    m: dict[str, float] = field(default_factory=dict)
    """M command by modal group."""
    words: dict[str, float] = field(default_factory=dict)
    """All other words."""

    @property
    def axes(self) -> dict[int, float]:
        """Axis words by axis number."""
        return {n: self.words[letter] for n, letter in enumerate(AXES) if letter in self.words}


def parse(line: str) -> Block:
    """Return a line's words. Raises GcodeError 1, 2, 20, 21, 24, 25, 26."""
    block = Block()
    at = 0
    while at < len(line):
        letter = line[at]
        if not "A" <= letter <= "Z":
            raise GcodeError(EXPECTED_LETTER)
        found = _NUMBER.match(line, at + 1)
        if found is None:
            raise GcodeError(BAD_NUMBER)
        value, at = float(found.group()), found.end()
        if letter in "GM":
            _command(block, letter, value)
        elif letter in "FIJKLNPRSTXYZ":
            if letter in block.words:
                raise GcodeError(REPEATED)
            block.words[letter] = value
        else:
            raise GcodeError(UNSUPPORTED)
    for letter in "FNPST":
        if block.words.get(letter, 0.0) < 0.0:
            raise GcodeError(NEGATIVE)
    return block


def _command(block: Block, letter: str, value: float) -> None:
    value = round(value, 1)
    groups, where = (_GROUPS, block.g) if letter == "G" else (_M_GROUPS, block.m)
    group = groups.get(value)
    if group is None:
        raise GcodeError(UNSUPPORTED if value == int(value) or letter == "G" else NOT_INTEGER)
    if letter == "G" and value in _USES_AXES and any(v in _USES_AXES for v in block.g.values()):
        raise GcodeError(GROUP_VIOLATED if block.g.get(group) is not None else TWO_AXIS_COMMANDS)
    if group in where:
        raise GcodeError(GROUP_VIOLATED)
    where[group] = value


@dataclass
class Modal:
    """What stays in force from line to line."""

    motion: float = 0
    system: int = 0
    absolute: bool = True
    inches: bool = False
    feed_mm_min: float = 0.0
    spindle: float = 5
    spindle_speed: float = 0.0
    flood: bool = False
    mist: bool = False
    tool: int = 0
    offsets: list[list[float]] = field(default_factory=lambda: [[0.0] * 3 for _ in range(6)])
    shift: list[float] = field(default_factory=lambda: [0.0] * 3)
    """G92 offset [mm]."""

    def work_offset(self) -> Vector:
        """Return the machine position of the work's zero [mm]."""
        x, y, z = (self.offsets[self.system][n] + self.shift[n] for n in range(3))
        return x, y, z

    def target(self, block: Block, position: Vector, *, absolute: bool, inches: bool, machine: bool) -> Vector:
        """Return the machine position [mm] that a block's axis words mean."""
        scale = INCH_MM if inches else 1.0
        offset = (0.0, 0.0, 0.0) if machine else self.work_offset()
        out = list(position)
        for axis, value in block.axes.items():
            out[axis] = (scale * value + offset[axis]) if absolute or machine else position[axis] + scale * value
        if not all(math.isfinite(value) for value in out):
            raise GcodeError(INVALID_TARGET)
        return out[0], out[1], out[2]

    def report(self) -> str:
        """Return the parser state as `$G` shows it."""
        motion = f"{self.motion:g}"
        coolant = "M9" if not (self.flood or self.mist) else " ".join(
            name for name, on in (("M7", self.mist), ("M8", self.flood)) if on
        )
        return (
            f"[GC:G{motion} G{54 + self.system} G17 G{20 if self.inches else 21} G{90 if self.absolute else 91} "
            f"G94 M{self.spindle:g} {coolant} T{self.tool} F{self.feed_mm_min:g} "
            f"S{self.spindle_speed:g}]"
        )
