# SPDX-License-Identifier: Apache-2.0
"""Settings of a GRBL 1.1 controller by number. Source: gnea/grbl v1.1, doc/markdown/settings.md."""

from __future__ import annotations

from collections.abc import Mapping

from mimedi_sim.firmware.grbl_motion import Vector

DEFAULTS: dict[int, float] = {
    0: 10, 1: 255, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 10: 3, 11: 0.010, 12: 0.002, 13: 0,
    20: 1, 21: 1, 22: 1, 23: 0, 24: 100.0, 25: 3000.0, 26: 250, 27: 2.0, 30: 1000, 31: 0, 32: 0,
    100: 80.0, 101: 80.0, 102: 400.0, 110: 12_000.0, 111: 12_000.0, 112: 3000.0,
    120: 500.0, 121: 500.0, 122: 200.0, 130: 900.0, 131: 500.0, 132: 250.0,
}  # fmt: skip
"""A gantry of 900 x 500 x 250 mm with soft and hard limits and homing on."""
_WHOLE = (0, 1, 2, 3, 4, 5, 6, 10, 13, 20, 21, 22, 23, 26, 30, 31, 32)


class Settings:
    """The settings, kept over power cuts.

    Args: machine: what the builder of the machine set otherwise than DEFAULTS.
    """

    def __init__(self, machine: Mapping[int, float] | None = None) -> None:
        self._defaults = {**DEFAULTS, **(machine or {})}
        self._values = dict(self._defaults)

    def __getitem__(self, number: int) -> float:
        return self._values[number]

    def set(self, number: int, value: float) -> bool:
        """Set one; return False when there is no such setting."""
        if number not in self._values:
            return False
        self._values[number] = float(int(value)) if number in _WHOLE else value
        return True

    def restore(self) -> None:
        """Go back to the defaults."""
        self._values = dict(self._defaults)

    def lines(self) -> list[str]:
        """Return all settings as `$$` shows them."""
        return [f"${n}={int(v)}" if n in _WHOLE else f"${n}={v:.3f}" for n, v in sorted(self._values.items())]

    def _axes(self, first: int) -> Vector:
        return self._values[first], self._values[first + 1], self._values[first + 2]

    @property
    def max_rate_mm_s(self) -> Vector:
        """Top speed of each axis."""
        x, y, z = self._axes(110)
        return x / 60.0, y / 60.0, z / 60.0

    @property
    def acceleration_mm_s2(self) -> Vector:
        """Acceleration of each axis."""
        return self._axes(120)

    @property
    def travel_mm(self) -> Vector:
        """Travel of each axis: allowed machine positions are -travel to 0."""
        return self._axes(130)
