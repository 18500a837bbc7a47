# SPDX-License-Identifier: Apache-2.0
"""What a culture weighs while nobody moves liquid: it may evaporate, and nothing else."""

from __future__ import annotations

import math

WINDOW_S = 6.0 * 3600.0
"""A leak is looked for over this time: slow ones show, evaporation stays far below the limit."""
EVAPORATION_PER_DAY = 0.001
"""Share of the volume that a humidified chamber takes a day (PHYSICS §6: 0.1 to 1 %)."""
GAP_LIMIT_UL = 2500.0
"""Largest unexplained loss or gain [uL]: half of the 5 mL that must be found, eight times the weight's noise, and more
than the samples that another module may take meanwhile."""

CONFIRM_LOOKS, CONFIRM_EVERY_S = 8, 15.0
"""A gap is told from the mean of this many more looks: one outlier alarms nobody, and its size is known to 0.1 mL."""

REST_UL, REST_BLOCKS = 300.0, 15
"""The weight is at rest when two means in a row differ by less; after this many means the hold comes anyway."""


def gap_ul(history: list[tuple[float, float]], now_s: float, volume_ul: float) -> float:
    """Return by how much a volume [uL] differs from the mean of the window before, evaporation allowed for.

    Adds (now_s, volume_ul) to the history and forgets what is older. NaN when the volume is not known, 0 at first.
    """
    if math.isnan(volume_ul):
        return math.nan
    while history and history[0][0] < now_s - WINDOW_S:
        del history[0]
    expected_ul = [then_ul * (1.0 - EVAPORATION_PER_DAY * (now_s - then_s) / 86_400.0) for then_s, then_ul in history]
    history.append((now_s, volume_ul))
    return volume_ul - sum(expected_ul) / len(expected_ul) if expected_ul else 0.0
