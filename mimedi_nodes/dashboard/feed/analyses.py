# SPDX-License-Identifier: Apache-2.0
"""Curves and clouds that a module has put on record (event kind `analysis`): impedance sweeps, gated events."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..views import AnalysisView

SWEEP, CYTOMETRY = "impedance_sweep", "cytometry"
_NEEDED = {
    SWEEP: (("frequency_hz", "conductance_s", "fit_s"), ("channel_resonance_hz", "channel_resonance_sd_hz")),
    CYTOMETRY: (("cd3", "car"), ("cd3_cut", "car_cut", "cd3_fraction", "car_fraction")),
}
"""Columns and values that a board cannot do without."""
MOST_POINTS = 5000


def analysis_view(module: str, name: str, time_s: float, data: Mapping[str, Any]) -> AnalysisView | None:
    """Return an analysis that the boards know how to draw; None for another one.

    Raises:
        ValueError: one of theirs that lacks a column or value, or whose columns differ in length or hold what is no
            number.
    """
    needed = _NEEDED.get(name)
    if needed is None:
        return None
    columns, values = data.get("columns"), data.get("values")
    if not isinstance(columns, Mapping) or not isinstance(values, Mapping):
        raise ValueError(f"analysis {name} of {module}: columns and values are wanted, there are {sorted(data)}")
    missing = [key for keys, found in zip(needed, (columns, values), strict=True) for key in keys if key not in found]
    if missing:
        raise ValueError(f"analysis {name} of {module} lacks {', '.join(missing)}")
    taken = {key: tuple(_number(name, key, value) for value in columns[key]) for key in needed[0]}
    lengths = {len(column) for column in taken.values()}
    if len(lengths) != 1 or not 0 < max(lengths) <= MOST_POINTS:
        told = f"columns of {sorted(lengths)} points; allowed: equal ones of 1 to {MOST_POINTS}"
        raise ValueError(f"analysis {name} of {module}: {told}")
    return AnalysisView(module, name, time_s, taken, {key: _number(name, key, value) for key, value in values.items()})


def _number(name: str, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"analysis {name}: {key} holds {value!r}, which is no number")
    return float(value)
