# SPDX-License-Identifier: Apache-2.0
"""GRBL's homing cycle: Z first, then X and Y together; seek, pull off, locate slowly, pull off.

Source: gnea/grbl v1.1, grbl/limits.c (order of the phases, 1.5 times the travel to search).
"""

from __future__ import annotations

import math

from mimedi_sim.firmware.grbl_motion import Mechanics, Vector
from mimedi_sim.firmware.grbl_settings import Settings

SEARCH = 1.5
_ORDER: tuple[tuple[int, ...], ...] = ((2,), (0, 1))
_PHASES = ("seek", "pull", "locate", "pull")


class HomingCycle:
    """One homing; phases end at exact times."""

    def __init__(self, mechanics: Mechanics, settings: Settings, now_s: float) -> None:
        self._mechanics, self._settings = mechanics, settings
        self.done, self.found = False, False
        self._steps = [(axes, phase) for axes in _ORDER for phase in _PHASES]
        self._at = 0
        self._begun_s = self._end_s = now_s
        self._ways: dict[int, float] = {}
        self._speed = 1.0
        self._begin(now_s)

    def next_event(self) -> float:
        """Return when the present phase ends [s]; inf when homing is over."""
        return math.inf if self.done else self._end_s

    def carry_out(self) -> None:
        """End the present phase at its time and begin the next."""
        now_s = self._end_s
        axes, phase = self._steps[self._at]
        self._move(1.0, now_s)
        if phase in ("seek", "locate") and any(self._mechanics.homed(axis) > 1e-6 for axis in axes):
            self.done = True
            return
        self._at += 1
        if self._at == len(self._steps):
            self.done = self.found = True
            return
        self._begin(now_s)

    def stop(self, now_s: float) -> None:
        """Stop in the midst of a phase."""
        length = self._end_s - self._begun_s
        self._move(min(1.0, (now_s - self._begun_s) / length) if length > 0.0 else 0.0, now_s)
        self.done = True

    def _begin(self, now_s: float) -> None:
        axes, phase = self._steps[self._at]
        settings = self._settings
        self._speed = (settings[24] if phase == "locate" else settings[25]) / 60.0
        self._ways = {}
        for axis in axes:
            if phase == "pull":
                self._ways[axis] = -settings[27]
            else:
                self._ways[axis] = min(self._mechanics.homed(axis), SEARCH * settings.travel_mm[axis])
        longest = max(abs(way) for way in self._ways.values())
        self._begun_s = now_s
        self._end_s = now_s + longest / self._speed + settings[26] / 1000.0

    def _move(self, share: float, now_s: float) -> None:
        delta = [0.0, 0.0, 0.0]
        for axis, way in self._ways.items():
            delta[axis] = way * share
        moved: Vector = (delta[0], delta[1], delta[2])
        self._mechanics.moved(moved, now_s)
