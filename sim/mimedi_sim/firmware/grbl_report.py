# SPDX-License-Identifier: Apache-2.0
"""GRBL's status report and its override bytes. Source: gnea/grbl v1.1, doc/markdown/interface.md and commands.md."""

from __future__ import annotations

from collections.abc import Sequence

from mimedi_sim.firmware.grbl_gcode import Modal
from mimedi_sim.firmware.grbl_motion import Vector
from mimedi_sim.firmware.grbl_settings import Settings

_REFRESH = 10
"""The work offset and the overrides come with every tenth report."""
_FEED, _RAPID, _SPINDLE = 0, 1, 2
_STEPS = {
    0x91: (_FEED, 10), 0x92: (_FEED, -10), 0x93: (_FEED, 1), 0x94: (_FEED, -1),
    0x9A: (_SPINDLE, 10), 0x9B: (_SPINDLE, -10), 0x9C: (_SPINDLE, 1), 0x9D: (_SPINDLE, -1),
}  # fmt: skip
_VALUES = {0x90: (_FEED, 100), 0x95: (_RAPID, 100), 0x96: (_RAPID, 50), 0x97: (_RAPID, 25), 0x99: (_SPINDLE, 100)}


def coordinates(values: Sequence[float]) -> str:
    """Return coordinates as GRBL writes them."""
    return ",".join(f"{value + 0.0:.3f}" for value in values)


class StatusReport:
    """Writes status reports; counts them for the fields that come now and then."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reports = 0

    @staticmethod
    def override(overrides: list[int], byte: int) -> None:
        """Change feed, rapid or spindle override [%] as a real-time byte says; feed and spindle stay within 10..200."""
        if byte in _VALUES:
            which, value = _VALUES[byte]
            overrides[which] = value
        elif byte in _STEPS:
            which, step = _STEPS[byte]
            overrides[which] = min(200, max(10, overrides[which] + step))

    def line(
        self, state: str, position: Vector, modal: Modal, free: tuple[int, int], speed_mm_min: float, pins: str,
        overrides: Sequence[int],
    ) -> str:
        """Return one report."""
        mask = int(self._settings[10])
        offset = modal.work_offset()
        fields = [state]
        if mask & 1:
            fields.append(f"MPos:{coordinates(position)}")
        else:
            fields.append(f"WPos:{coordinates([p - o for p, o in zip(position, offset, strict=True)])}")
        if mask & 2:
            fields.append(f"Bf:{free[0]},{free[1]}")
        fields.append(f"FS:{speed_mm_min:.0f},{modal.spindle_speed if modal.spindle != 5 else 0:.0f}")
        if pins:
            fields.append(f"Pn:{pins}")
        if self._reports % _REFRESH == 0:
            fields.append(f"WCO:{coordinates(offset)}")
        elif self._reports % _REFRESH == 1:
            fields.append("Ov:" + ",".join(map(str, overrides)))
            outputs = ("S" if modal.spindle == 3 else "C" if modal.spindle == 4 else "") + ("F" if modal.flood else "")
            outputs += "M" if modal.mist else ""
            if outputs:
                fields.append(f"A:{outputs}")
        self._reports += 1
        return "<" + "|".join(fields) + ">"
