# SPDX-License-Identifier: Apache-2.0
"""Names of quantities as people write them: `volume_moved_ul` is "volume moved" in µL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..facts import is_number
from ..review import number_text

DAY_S = 86400.0
MAX_RESULTS = 6
"""Results of a step that the table of steps prints; all of them are in the record."""

_HIDDEN = (
    "error_code", "error_msg", "duration_s", "duration_h", "diameter_edges_um", "diameter_counts", "frames",
    # Of an inspection: said by others of its results, or by the exceptions.
    "viable_per_ml", "diameter_sd_um", "ended_by",
)  # fmt: skip
_ENDS = frozenset({"low", "high"})
"""Words of a name that is one end of an interval."""
_SCALED = {"ul": (1000.0, 1000.0, "mL"), "hz": (1e5, 1e6, "MHz"), "s": (600.0, 60.0, "min")}
"""Unit of a field: from which value on, divided by what, and called how it is printed."""
_UNITS = {
    "per_ml": "/mL", "per_m3": "/m³", "per_s": "/s", "per_px": "µm/px", "pg_ml": "pg/mL", "eu_ml": "EU/mL",
    "ul_min": "µL/min", "pa_min": "Pa/min", "ul": "µL", "ml": "mL", "um": "µm", "mm": "mmol/L", "nm": "nmol/L",
    "ug": "µg", "c": "°C", "hz": "Hz", "s": "s", "h": "h", "d": "d", "pa": "Pa", "tu": "TU", "vpp": "V", "ppm": "ppm",
    "deg": "°", "px": "px",
}  # fmt: skip
"""Last words of a field's name that are its unit, the longer ones first."""
_WHOLE = {
    "particles_05": "particles ≥ 0.5 µm", "particles_5": "particles ≥ 5 µm", "um_per_px": "scale",
    "shift_mm": "shift", "dose_car_cells": "cells dosed by", "dose_viable_cells": "viable cells in the dose",
}  # fmt: skip
_LENGTHS_MM = frozenset({"shift_mm"})
"""Names that end in mm for millimetres; all others are concentrations, as in `glucose_mm`."""
_WORDS = {
    "ph": "pH", "moi": "MOI", "pzt": "piezo plate", "cfu": "CFU", "cd3": "CD3+", "car": "CAR+", "alp": "ALP",
    "kd": "KD", "q": "Q", "sd": "SD", "vcn": "VCN", "cusum": "CUSUM", "id": "no.",
}  # fmt: skip


def quantity(name: str) -> tuple[str, str]:
    """Return the words of a field's or measurement's name, and its unit, empty where the name has none."""
    if name in _LENGTHS_MM:
        return _WHOLE[name], "mm"
    stem, unit = name, ""
    for ending, text in _UNITS.items():
        if name.endswith(f"_{ending}") and name != ending:
            stem, unit = name[: -len(ending) - 1], text
            break
    whole = _WHOLE.get(name) or _WHOLE.get(stem)
    return whole or " ".join(_WORDS.get(word, word) for word in stem.split("_")), unit


def value_text(name: str, value: Any) -> str:
    """Return a field with its value and unit in a few words."""
    if name == "expires_s" and is_number(value):
        return f"expires on day {value / DAY_S:.2f}"
    words, unit = quantity(name)
    ending = name.rpartition("_")[2]
    if is_number(value) and ending in _SCALED and unit == _UNITS[ending] and abs(value) >= _SCALED[ending][0]:
        _, factor, unit = _SCALED[ending]
        return f"{words} {number_text(value / factor)} {unit}"
    return f"{words} {number_text(value)} {unit}".rstrip()


def results_text(result: Mapping[str, Any]) -> str:
    """Return the first results of a step, or its error; ends of intervals and what has its own place left out."""
    if result.get("error_msg"):
        return str(result["error_msg"])
    texts = []
    for name, value in result.items():
        if name in _HIDDEN or name.endswith("_sd_hz") or _ENDS & set(name.split("_")):
            continue
        if is_number(value) or (isinstance(value, str) and value):
            texts.append(value_text(name, value))
    return ", ".join(texts[:MAX_RESULTS])


def took_text(seconds: float) -> str:
    """Return a duration [s] in the unit that suits it."""
    if seconds < 90.0:
        return f"{seconds:.0f} s"
    if seconds < 5400.0:
        return f"{seconds / 60.0:.0f} min"
    return f"{seconds / 3600.0:.1f} h" if seconds < 2 * DAY_S else f"{seconds / DAY_S:.1f} d"


def days_text(time_s: Any) -> str:
    """Return a process time [s] as day of the batch."""
    return f"{time_s / DAY_S:.2f}" if is_number(time_s) else "–"
