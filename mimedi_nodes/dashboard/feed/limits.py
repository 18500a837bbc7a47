# SPDX-License-Identifier: Apache-2.0
"""Limits of a product's specification, for the quantities that are drawn over time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_SOURCE = re.compile(r"(?:lab|measured|extremes)\.([a-z0-9_]+?)(?:\.(?:min|max))?\Z")
_DRAWN_AS = {"temperature_mean_c": "liquid_temperature_c", "final_viability": "viability"}
"""Facts of a record whose course is another quantity: a mean over a step, the last of several."""


def limits_of(specification: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Return quantity → lower and upper limit, NaN for none, of the tests whose source is one measured quantity.

    Args:
        specification: content of a product file, see `records/specification.py`.
    """
    found: dict[str, tuple[float, float]] = {}
    for test in specification.get("tests", ()):
        source = _SOURCE.match(str(test.get("source", "")))
        criterion = test.get("criterion", {})
        if source is None or not isinstance(criterion, Mapping):
            continue
        name = _DRAWN_AS.get(source[1], source[1])
        low, high = found.get(name, (math.nan, math.nan))
        for key, value in criterion.items():
            if key in ("min", "above"):
                low = float(value)
            elif key in ("max", "below"):
                high = float(value)
            elif key == "between":
                low, high = float(value[0]), float(value[1])
        if not (math.isnan(low) and math.isnan(high)):
            found[name] = (low, high)
    return found
