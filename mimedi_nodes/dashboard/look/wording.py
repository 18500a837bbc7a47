# SPDX-License-Identifier: Apache-2.0
"""Numbers as an operator reads them; an unknown value is a dash, never a zero."""

from __future__ import annotations

import math
import re

from . import french_names
from .language import named, tr

UNKNOWN = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def powers(value: float, digits: int = 2) -> str:
    """Return a number as `2.31 × 10⁹`; a dash when it is unknown."""
    if not math.isfinite(value):
        return UNKNOWN
    if value == 0.0:
        return "0"
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def percent(value: float) -> str:
    """Return a share [1] in per cent; a dash when it is unknown."""
    return f"{100.0 * value:.0f} %" if math.isfinite(value) else UNKNOWN


def number(value: float, digits: int) -> str:
    """Return a number with a fixed count of decimals; a dash when it is unknown."""
    if not math.isfinite(value):
        return UNKNOWN
    # Groups of three by a narrow space that does not break, from five figures on (ISO 80000-1, 7.3.1).
    return f"{value:,.{digits}f}".replace(",", "\u202f") if abs(value) >= 1e4 else f"{value:.{digits}f}"


def hours(value_h: float) -> str:
    """Return a duration [h] in its two largest units, rounded once; a dash when it is unknown."""
    if not math.isfinite(value_h):
        return UNKNOWN
    minutes = max(0, round(value_h * 60.0))
    if minutes >= 24 * 60:
        whole_h = round(minutes / 60)
        return f"{whole_h // 24} d {whole_h % 24} h"
    return f"{minutes // 60} h {minutes % 60:02d}" if minutes >= 60 else f"{minutes} min"


def seconds(value_s: float) -> str:
    """Return how long ago something was [s]."""
    if value_s < 100.0:
        return f"{value_s:.0f} s"
    return hours(value_s / 3600.0)


def unit(name: str) -> str:
    """Return a unit of a message as people write it: `degC` → `°C`, `uL` → `µL`; a plain share or count has none."""
    if name in ("1", "count"):
        return ""
    written = {"degC": "°C", "1/m3": "1/m³"}.get(name, re.sub(r"\bu(?=[LmgM]\b)", "µ", name))
    return named(french_names.UNITS, written, written)


def interval(low: str, high: str) -> str:
    """Return the two ends of a 95 % interval, or nothing when one of them is unknown."""
    return "" if UNKNOWN in (low, high) else tr("{low} to {high}", low=low, high=high)


def phases(joined: str) -> str:
    """Return phases, joined by commas, with what their names have in common said once.

    `a.b.sort,a.b.mix` → `a.b: sort, mix`.
    """
    names = [name.strip() for name in joined.split(",") if name.strip()]
    if len(names) < 2:
        return "".join(names)
    paths = [name.split(".") for name in names]
    common = 0
    while all(len(path) > common + 1 and path[common] == paths[0][common] for path in paths):
        common += 1
    rest = ", ".join(".".join(path[common:]) for path in paths)
    return f"{'.'.join(paths[0][:common])}: {rest}" if common else rest


def shortened(text: str, letters: int) -> str:
    """Return a text of at most so many letters, cut between words and ended by … when it is longer."""
    if len(text) <= letters:
        return text
    kept = text[: letters - 1]
    return f"{kept.rsplit(' ', 1)[0] if ' ' in kept else kept}…"


def connecting() -> str:
    """Return what stands where nothing can be said yet: the window has only just begun to look for the workcell."""
    return tr("CONNECTING …")


def no_coordinator(awaited: bool = False) -> str:
    """Return why nothing can be asked of the batch while its coordinator is gone, or has not been found yet."""
    if awaited:
        return tr("Looking for the coordinator …")
    return tr("The coordinator does not answer: no command and no answer is possible")


def no_supervisor(awaited: bool = False) -> str:
    """Return why nothing can be done about alarms while the supervisor is gone, or has not been found yet."""
    if awaited:
        return tr("Looking for the supervisor …")
    return tr("The supervisor does not answer: no alarm can be acted on")


def module_name(module: str) -> str:
    """Return a module's name in the windows' language."""
    return named(french_names.MODULES, module, humane(module))


def humane(identifier: str) -> str:
    """Return an identifier as words: `acoustic_sorter` → `Acoustic sorter`, `QC` and the like kept."""
    words = identifier.replace("_", " ").strip()
    return (words[:1].upper() + words[1:]).replace(" qc", " QC")
