# SPDX-License-Identifier: Apache-2.0
"""What all Cavro DT devices share: command strings with loops and delays, carried out one command after the
other.

Source: Cavro XLP 6000 Operating Manual 734237-C, sections 3.5 (commands) and 3.6 (status and errors).
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

OK, INITIALIZATION_FAILED, INVALID_COMMAND, INVALID_OPERAND, INVALID_SEQUENCE = 0, 1, 2, 3, 4
NOT_INITIALIZED, PLUNGER_OVERLOAD, VALVE_OVERLOAD, MOVE_NOT_ALLOWED, OVERFLOW = 7, 9, 10, 11, 15
_UNTIL_INITIALIZED = (NOT_INITIALIZED, PLUNGER_OVERLOAD, VALVE_OVERLOAD)

_TOKEN = re.compile(r"([A-Za-z])(\d*)")
_LOOPS_NESTED = 10
_INSTANT_OPS_LIMIT = 1000
"""More commands than this without time passing is a loop that would never end."""


class Op(NamedTuple):
    """One command of a string, with its operand or None."""

    name: str
    value: int | None


class CommandFailed(Exception):
    """A command of the string cannot be carried out; `code` is the DT error code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"DT error {code}")
        self.code = code


class CavroDevice:
    """Executor of command strings; subclasses say what a command does and how long it takes."""

    MOVES = ""
    """Commands that need an initialized device."""
    SETTINGS = ""
    """Commands that take no time."""

    def __init__(self, firmware_version: str) -> None:
        self.initialized = False
        self.error = NOT_INITIALIZED
        self.initializations = 0
        self._version = firmware_version
        self._program: list[Op] = []
        self._buffer: list[Op] = []
        self._last: list[Op] = []
        self._at = 0
        self._loops: list[tuple[int, int]] = []  # (first command of the loop, times left; 0 is endless)
        self._running: Op | None = None
        self._until = math.inf
        self.now_s = 0.0

    # what the bus and the plant use ---------------------------------------------------------------
    @property
    def busy(self) -> bool:
        """Tell whether a command string is being carried out."""
        return self._running is not None

    def next_event(self) -> float:
        """Return the time [s] at which the running command ends; inf when idle."""
        return self._until

    def advance_to(self, time_s: float) -> None:
        """Carry the command string on to `time_s`."""
        while self._until <= time_s:
            self._end_running(self._until)
        if time_s > self.now_s:
            self.now_s = time_s

    def command(self, text: str, now_s: float) -> tuple[int, str]:
        """Take one frame's commands; return the error code and the report for the answer block."""
        self.advance_to(now_s)
        if text in ("Q", "?29"):
            return self._take_error(), ""
        if text.startswith(("?", "&", "F")):
            return self._report_or_error({"&": "?23", "F": "?10"}.get(text, text))
        if text == "T":
            self._terminate()
            return OK, ""
        if text in ("X", "XR") and not self.busy:  # once more what was carried out last
            return self._start(self._last), ""
        return self._accept(text), ""

    def power_cycle(self) -> None:
        """Lose and regain power: nothing moves, the position stays, initialization is needed."""
        self._terminate()
        self.initialized, self.error = False, NOT_INITIALIZED
        self._buffer = []

    # for subclasses -------------------------------------------------------------------------------
    def begin(self, op: Op) -> float:
        """Begin a command; return how long it takes [s], 0 for nothing to wait for. Raises CommandFailed."""
        raise NotImplementedError

    def end(self, op: Op) -> None:
        """Make the result of a command that took time final."""
        raise NotImplementedError

    def halt(self) -> None:
        """Stop what the running command moves, where it is now."""
        raise NotImplementedError

    def report(self, query: str) -> str | None:
        """Return the answer to a report command (`?`, `?6`, …), None for one that does not exist."""
        raise NotImplementedError

    def fail(self, code: int) -> None:
        """Stop with an error, as after an overload; it stays until initialization when it is one of those."""
        self._terminate()
        self.error = code
        if code in _UNTIL_INITIALIZED:
            self.initialized = False

    # inside ---------------------------------------------------------------------------------------
    def _take_error(self) -> int:
        error = self.error
        if error not in _UNTIL_INITIALIZED:
            self.error = OK
        return error

    def _report_or_error(self, query: str) -> tuple[int, str]:
        common = {"?10": str(int(bool(self._buffer))), "?15": str(self.initializations), "?23": self._version}
        answer = common.get(query) or self.report(query)
        if answer is None:
            return INVALID_COMMAND, ""
        return (self.error if self.error in _UNTIL_INITIALIZED else OK), answer

    def _accept(self, text: str) -> int:
        run = text.endswith("R")
        body = text[:-1] if run else text
        ops = [Op(name, int(digits) if digits else None) for name, digits in _TOKEN.findall(body)]
        if "".join(f"{op.name}{'' if op.value is None else op.value}" for op in ops) != _without_zeros(body):
            return INVALID_COMMAND
        known = self.MOVES + self.SETTINGS + "ZgGM"
        if any(op.name not in known for op in ops):
            return INVALID_COMMAND
        if self.busy:
            return OVERFLOW
        if not run:
            self._buffer = ops
            return OK
        return self._start(ops or self._buffer)

    def _start(self, program: list[Op]) -> int:
        """Begin a command string; return the error code."""
        if not self.initialized:
            first = next((op.name for op in program if op.name in self.MOVES + "Z"), "Z")
            if first != "Z":
                return NOT_INITIALIZED
        self._program, self._last, self._buffer, self._at, self._loops = program, program, [], 0, []
        self._run_from(self.now_s)
        return OK

    def _end_running(self, time_s: float) -> None:
        self.now_s = time_s
        ended, self._running, self._until = self._running, None, math.inf
        if ended is not None and ended.name != "M":
            self.end(ended)
        self._run_from(time_s)

    def _run_from(self, time_s: float) -> None:
        """Carry out commands from `time_s` on until one takes time or the string ends."""
        instant = 0
        try:
            while self._at < len(self._program):
                op = self._program[self._at]
                self._at += 1
                duration_s = self._step(op)
                if duration_s > 0.0:
                    self._running, self._until = op, time_s + duration_s
                    return
                instant += 1
                if instant > _INSTANT_OPS_LIMIT:
                    raise CommandFailed(INVALID_SEQUENCE)
        except CommandFailed as failure:
            self.error = failure.code
        self._program = []

    def _step(self, op: Op) -> float:
        if op.name == "g":
            if len(self._loops) == _LOOPS_NESTED:
                raise CommandFailed(INVALID_SEQUENCE)
            self._loops.append((self._at, -1))
            return 0.0
        if op.name == "G":
            self._loop_end(op.value or 0)
            return 0.0
        if op.name == "M":
            if not 0 <= (op.value or 0) <= 30_000:
                raise CommandFailed(INVALID_OPERAND)
            return (op.value or 5) / 1000.0
        return self.begin(op)

    def _loop_end(self, times: int) -> None:
        start, left = self._loops.pop() if self._loops else (0, -1)
        if left == -1:  # first time here: this pass was one of `times`; 0 means for ever
            left = times - 1 if times else -2
        elif left > 0:
            left -= 1
        if left != 0:
            self._loops.append((start, left))
            self._at = start

    def _terminate(self) -> None:
        if self._running is None:
            return
        if self._running.name != "M" and not self.may_be_cut(self._running):
            self._program = []  # a turning valve ends its turn, then nothing follows
            return
        self.halt()
        self._program, self._running, self._until = [], None, math.inf

    def may_be_cut(self, op: Op) -> bool:
        """Tell whether T stops this command in its midst."""
        return True


def is_query(text: str) -> bool:
    """Tell whether the commands of a frame only ask: for the status or for a report."""
    return text == "Q" or text.startswith(("?", "&", "F"))


def _without_zeros(body: str) -> str:
    """Return the string with operands written without leading zeros, as the parser prints them."""
    return re.sub(r"\d+", lambda digits: str(int(digits.group())), body)
