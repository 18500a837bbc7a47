# SPDX-License-Identifier: Apache-2.0
"""A curve of bounded size for display."""

from __future__ import annotations

import math
from collections.abc import Sequence


class Series:
    """Points in order of process time, at most `limit`; when full, every second one is dropped and so are later ones.

    A culture of twelve days and one of an hour both keep their shape.
    """

    def __init__(self, limit: int = 2000) -> None:
        self._limit = limit
        self._spacing_s = 0.0
        self._preceding = 0
        self._last: tuple[float, float] = (math.nan, math.nan)
        self.times_s: list[float] = []
        self.values: list[float] = []

    def add(self, time_s: float, value: float) -> bool:
        """Take a point; returns whether the curve has changed. A time before the last one begins a new curve."""
        if not math.isfinite(time_s) or time_s == self._last[0]:
            return False
        if time_s < self._last[0]:
            self.times_s, self.values, self._spacing_s, self._preceding = [], [], 0.0, 0
        self._last = (time_s, value)
        if self.times_s and time_s - self.times_s[-1] < self._spacing_s:
            return True
        self.times_s.append(time_s)
        self.values.append(value)
        if len(self.times_s) >= self._limit:
            self.times_s, self.values = self.times_s[::2], self.values[::2]
            self._spacing_s = 2.0 * (self.times_s[-1] - self.times_s[0]) / self._limit
        return True

    def precede(self, points: Sequence[tuple[float, float]], until_s: float) -> bool:
        """Put what a record has measured before what was heard; return whether the curve has changed.

        Args:
            points: (process time [s], value), in order of time.
            until_s: the present: a batch that is played back has a record of later times too.
        """
        known = [point for point in points if not point[0] > until_s]
        if not known or len(known) <= self._preceding:
            return False
        if self._preceding and self.times_s[0] <= known[0][0] and self._last[0] >= known[-1][0]:
            return False  # what has been added was heard: to lay a culture of days out again takes 50 ms
        heard = [p for p in zip(self.times_s, self.values, strict=True) if p[0] > known[-1][0]]
        self.times_s, self.values, self._spacing_s, self._last = [], [], 0.0, (math.nan, math.nan)
        for time_s, value in (*known, *heard):
            self.add(time_s, value)
        self._preceding = len(known)
        return True

    def latest(self) -> float:
        """Return the last value taken; NaN when there is none."""
        return self._last[1]
