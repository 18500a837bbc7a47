# SPDX-License-Identifier: Apache-2.0
"""Finds a process clock that was set: it is compared with steady time, which nobody can set."""

from __future__ import annotations

import math


class ClockWatch:
    """Compares process time with steady time from look to look.

    Args:
        tolerance_s: difference that is no jump [s]: slewing by NTP (500 ppm) and the time between two readings.
    """

    def __init__(self, tolerance_s: float = 1.0) -> None:
        self._tolerance_s = tolerance_s
        self._offset_s = math.nan

    def look(self, process_s: float, steady_s: float) -> float:
        """Return by how much process time has jumped since the last look [s], 0 when it has not.

        Args:
            process_s: process time [s]; while it is unknown (NaN) nothing can be said.
            steady_s: steady time at the same moment [s].
        """
        offset_s = process_s - steady_s
        before_s, self._offset_s = self._offset_s, offset_s
        if math.isnan(offset_s) or math.isnan(before_s):
            return 0.0
        jump_s = offset_s - before_s
        return jump_s if abs(jump_s) > self._tolerance_s else 0.0
