# SPDX-License-Identifier: Apache-2.0
"""What people type to `workcell sim`, as values, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

EXIT_DONE, EXIT_REFUSED, EXIT_NOBODY = 0, 1, 2
_UNITS_S = {"": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


class Wrong(ValueError):
    """An argument that cannot be; says what is allowed."""


def duration_s(text: str) -> float:
    """Return a time like 90, 90s, 30min, 2h or 1.5d in seconds; raises Wrong."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|min|h|d)?", text.strip())
    if found is None:
        raise Wrong(f"time is {text!r}; allowed: a number with s, min, h or d, for example 90s, 2h or 1.5d")
    return float(found[1]) * _UNITS_S[found[2] or ""]


def speed_of(text: str) -> float:
    """Return a speed: inf for max, else a factor above 0; raises Wrong."""
    from mimedi_sim.clock import parse_speed

    try:
        return parse_speed(text)
    except ValueError as error:
        raise Wrong(str(error)) from None


def parameters_of(words: Sequence[str]) -> dict[str, float | str]:
    """Return a fault's parameters from NAME=VALUE words; what is no number stays text. Raises Wrong."""
    values: dict[str, float | str] = {}
    for word in words:
        name, sign, text = word.partition("=")
        if not sign or not name or not text:
            raise Wrong(f"parameter is {word!r}; allowed: NAME=VALUE, for example volume_ul=5000")
        try:
            values[name] = float(text)
        except ValueError:
            values[name] = text
    return values


def clock_text(time_s: float) -> str:
    """Return a process time for people: day, hours and seconds."""
    return f"day {time_s / 86_400.0:.3f} ({time_s / 3600.0:.2f} h, {time_s:.1f} s)"


def fault_text(fault: Mapping[str, Any]) -> str:
    """Return a fault with target and parameters on one line."""
    values = " ".join(f"{key}={value}" for key, value in fault.items() if key not in ("fault", "target"))
    return f"{fault['fault']} {fault['target']} {values}".rstrip()
