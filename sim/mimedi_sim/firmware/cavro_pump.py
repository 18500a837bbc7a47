# SPDX-License-Identifier: Apache-2.0
"""A Cavro XLP 6000 syringe pump and a selector valve as seen on the wire and by the plant.

Simplified against the device: plungers run at their top speed without ramps, and lose no steps on T.
Source: Cavro XLP 6000 Operating Manual 734237-C, chapter 3 (commands, ranges) and appendix B (valve turn ≤
250 ms).
"""

from __future__ import annotations

from .cavro_device import (
    INVALID_OPERAND,
    MOVE_NOT_ALLOWED,
    NOT_INITIALIZED,
    OK,
    CavroDevice,
    CommandFailed,
    Op,
)

STROKE_STEPS = 48_000
VALVE_TURN_S = 0.25
_HALF_STEP = 8
"""Micro-steps in one increment of the standard mode N0, and in one unit of speed of N0 and N1."""
_DEFAULT_SPEED_STEPS_S = 1400 * _HALF_STEP
_INITIALIZE_SPEED_STEPS_S = 12_000
_FIND_HOME_S = 0.5
_SPEED_CODES = (
    6000, 5600, 5000, 4400, 3800, 3200, 2600, 2200, 2000, 1800, 1600, 1400, 1200, 1000, 800, 600, 400, 200, 190, 180,
    170, 160, 150, 140, 130, 120, 110, 100, 90, 80, 70, 60, 50, 40, 30, 20, 18, 16, 14, 12, 10,
)  # fmt: skip
"""Top speed of S0 to S40 in half-steps/s (manual, table of speed codes)."""
_KEPT_RANGES = {"v": (50, 1000), "c": (50, 2700), "L": (1, 20), "K": (0, 31)}
_KEPT_DEFAULTS = {"v": 900, "c": 900, "L": 14, "K": 12}
"""Start and cut-off speed, slope and backlash: taken and reported, but plungers run without ramps here."""
_SHORTEST_MOVE_S = 0.001
_SPEED_UNITS = {0: (5, 6000, _HALF_STEP), 1: (5, 6000, _HALF_STEP), 2: (5, 48_000, 1)}


class CavroPumpFirmware(CavroDevice):
    """One syringe pump. The plant reads `valve`, `rate_ul_s` and `plunger_ul`; constant rate up to
    `next_event()`.

    Args:
        syringe_ul: volume of the full stroke [uL].
    """

    MOVES = "APDIOB"
    SETTINGS = "VNvcSLK"

    def __init__(self, syringe_ul: float) -> None:
        super().__init__("P/N: 30018281 Rev C XLP6000")
        self.syringe_ul = syringe_ul
        self.valve = "O"
        self.plunger_moves = 0
        self._resolution = 0
        self._speed = float(_DEFAULT_SPEED_STEPS_S)
        self._kept = dict(_KEPT_DEFAULTS)
        self.valve_turns = 0
        self._target = 0.0
        self._moving = 0.0  # signed speed [micro-steps/s]; + draws into the syringe
        self._from, self._since_s = 0.0, 0.0

    @property
    def rate_ul_s(self) -> float:
        """Flow into the syringe [uL/s]; + draws, - delivers, through the port where `valve` stands."""
        return self._moving * self.syringe_ul / STROKE_STEPS

    @property
    def plunger_ul(self) -> float:
        """Volume in the syringe at the time last advanced to [uL]."""
        return self._position() * self.syringe_ul / STROKE_STEPS

    def power_cycle(self) -> None:
        """Lose and regain power: as all devices, and back to the standard resolution and speed."""
        super().power_cycle()
        self._resolution, self._speed = 0, float(_DEFAULT_SPEED_STEPS_S)
        self._kept = dict(_KEPT_DEFAULTS)

    def command(self, text: str, now_s: float) -> tuple[int, str]:
        """As all devices; a speed alone is also taken during a move, and acts on it."""
        if self.busy and text.startswith("V") and text.removesuffix("R")[1:].isdecimal():
            self.advance_to(now_s)
            return self._change_speed(int(text.removesuffix("R")[1:])), ""
        return super().command(text, now_s)

    def begin(self, op: Op) -> float:
        """Begin a command; return its duration [s]."""
        if op.name in "IOB":
            if op.value is not None:
                raise CommandFailed(INVALID_OPERAND)
            return 0.0 if op.name == self.valve else VALVE_TURN_S
        if op.name == "V":
            self._set_speed(op.value or 0)
            return 0.0
        if op.name == "S":
            if op.value is None or op.value >= len(_SPEED_CODES):
                raise CommandFailed(INVALID_OPERAND)
            self._speed = float(_SPEED_CODES[op.value] * _HALF_STEP)
            return 0.0
        if op.name in _KEPT_RANGES:
            low, high = _KEPT_RANGES[op.name]
            if op.value is None or not low <= op.value <= high:
                raise CommandFailed(INVALID_OPERAND)
            self._kept[op.name] = op.value
            return 0.0
        if op.name == "N":
            if op.value not in _SPEED_UNITS:
                raise CommandFailed(INVALID_OPERAND)
            self._resolution = op.value
            return 0.0
        if op.name == "Z":
            self.valve, self.error = "O", OK
            return _FIND_HOME_S + self._go(0.0, _INITIALIZE_SPEED_STEPS_S)
        return self._begin_move(op)

    def end(self, op: Op) -> None:
        """Make the command's result final."""
        if op.name in "IOB":
            self.valve = op.name
            self.valve_turns += 1
            return
        self._from, self._moving = self._target, 0.0
        if op.name == "Z":
            self.initialized, self.error = True, OK
            self.initializations += 1

    def halt(self) -> None:
        """Stop the plunger where it is."""
        self._from, self._moving = self._position(), 0.0

    def may_be_cut(self, op: Op) -> bool:
        """A turning valve ends its turn; a cut initialization leaves the pump uninitialized."""
        if op.name == "Z":
            self.initialized, self.error = False, NOT_INITIALIZED
        return op.name not in "IOB"

    def report(self, query: str) -> str | None:
        """Answer the report commands that this firmware has."""
        scale = _HALF_STEP if self._resolution == 0 else 1
        if query in ("?", "?4"):
            return str(round(self._position() / scale))
        if query == "?2":
            return str(round(self._speed / _SPEED_UNITS[self._resolution][2]))
        if query == "?6":
            return self.valve.lower()
        counted = {"?16": self.plunger_moves, "?17": self.valve_turns}
        kept = {"?1": "v", "?3": "c", "?12": "K", "?25": "L"}
        if query in counted:
            return str(counted[query])
        return str(self._kept[kept[query]]) if query in kept else None

    def _position(self) -> float:
        position = self._from + self._moving * (self.now_s - self._since_s)
        if self._moving > 0.0:
            return min(position, self._target)
        return max(position, self._target) if self._moving < 0.0 else self._from

    def _begin_move(self, op: Op) -> float:
        if op.value is None:
            raise CommandFailed(INVALID_OPERAND)
        steps = op.value * (_HALF_STEP if self._resolution == 0 else 1)
        here = self._position()
        target = {"A": float(steps), "P": here + steps, "D": here - steps}[op.name]
        if not 0.0 <= target <= STROKE_STEPS:
            raise CommandFailed(INVALID_OPERAND)
        if self.valve == "B":
            raise CommandFailed(MOVE_NOT_ALLOWED)
        self.plunger_moves += 1
        return max(_SHORTEST_MOVE_S, self._go(target, self._speed))

    def _go(self, target: float, speed: float) -> float:
        self._from, self._since_s = self._position(), self.now_s
        self._target = target
        distance = target - self._from
        if distance == 0.0:
            self._moving = 0.0
            return 0.0
        self._moving = speed if distance > 0.0 else -speed
        return abs(distance) / speed

    def _set_speed(self, value: int) -> None:
        low, high, unit = _SPEED_UNITS[self._resolution]
        if not low <= value <= high:
            raise CommandFailed(INVALID_OPERAND)
        self._speed = float(value * unit)

    def _change_speed(self, value: int) -> int:
        try:
            self._set_speed(value)
        except CommandFailed as failure:
            return failure.code
        if self._moving and self._running is not None and self._running.name in "APD":
            self._until = self.now_s + self._go(self._target, self._speed)
        return OK


class CavroValveFirmware(CavroDevice):
    """A selector valve; the plant reads `port`, which changes at the end of a turn."""

    MOVES = "IO"
    PORTS = 16

    def __init__(self) -> None:
        super().__init__("P/N: 30029101 Rev B SMARTVALVE")
        self.port = 1
        self.turns = 0

    def begin(self, op: Op) -> float:
        """Begin a turn; return its duration [s]."""
        if op.name == "Z":
            self.error = OK
            return VALVE_TURN_S
        if op.value is None or not 1 <= op.value <= self.PORTS:
            raise CommandFailed(INVALID_OPERAND)
        return 0.0 if op.value == self.port else VALVE_TURN_S

    def end(self, op: Op) -> None:
        """Open the port that was turned to."""
        if op.name == "Z":
            self.initialized, self.error = True, OK
            self.initializations += 1
            self.port = 1
        else:
            self.port = op.value or 1
            self.turns += 1

    def halt(self) -> None:
        """Nothing to stop: turns are never cut."""

    def may_be_cut(self, op: Op) -> bool:
        """A turn is never cut."""
        return False

    def report(self, query: str) -> str | None:
        """Answer the report commands that this firmware has."""
        return {"?6": str(self.port), "?17": str(self.turns)}.get(query)
