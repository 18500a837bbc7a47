# SPDX-License-Identifier: Apache-2.0
"""When an inspection has seen enough: a number of cells, or intervals as narrow as asked for.

Who stops as soon as an interval is narrow enough stops more often where chance made it narrow, and fewer than 95 of
100 then hold the truth (Anscombe, J. R. Stat. Soc. B 15 (1953) 1; Frey, Am. Stat. 64 (2010) 242). Against that no
interval is looked at before `cells_wanted` cells, nor before their number has grown by a tenth since the last look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...vision.statistics.population import PopulationSummary

CELLS, INTERVALS, TIME = "cells", "intervals", "time"
"""What ends an inspection, as `ended_by` of its result has it."""
GROWTH = 1.1
"""Cells at a look over those at the look before."""


class StoppingRule:
    """Tells after each frame whether an inspection may end.

    Args:
        cells_wanted: distinct cells after which it ends, or before which no interval is looked at.
        viability_halfwidth: of the 95 % interval [1], 0 when it is not asked for.
        concentration_relative_halfwidth: of the 95 % interval over the concentration [1], 0 when it is not asked for.
    """

    def __init__(
        self, cells_wanted: int, viability_halfwidth: float = 0.0, concentration_relative_halfwidth: float = 0.0
    ) -> None:
        self._wanted = cells_wanted
        self._asked = {"viability": viability_halfwidth, "concentration": concentration_relative_halfwidth}
        self._asked = {name: asked for name, asked in self._asked.items() if asked > 0.0}
        self._next_look: float = cells_wanted
        self._excess = float("inf")
        self._told = ""

    @classmethod
    def of(cls, goal: Any) -> StoppingRule:
        """The rule that a goal of InspectSample asks for."""
        return cls(goal.cells_wanted, goal.viability_halfwidth, goal.concentration_relative_halfwidth)

    @property
    def needs_dye(self) -> bool:
        """Whether it asks for what only the dead dye tells."""
        return "viability" in self._asked

    def reached(self, cells: int, summary: Callable[[], PopulationSummary], last: bool = False) -> str | None:
        """Return CELLS or INTERVALS when the inspection may end, else None.

        Args:
            cells: distinct cells so far.
            summary: gives what they say; asked for at a look only.
            last: the time is out: the intervals are looked at once more, however few cells came since.
        """
        if not self._asked:
            return CELLS if cells >= self._wanted else None
        if cells < self._wanted or (cells < self._next_look and not last):
            return None
        self._next_look = cells * GROWTH
        widths = halfwidths(summary())
        # A width that nobody knows is NaN, and never narrow enough.
        self._excess = max((widths[name] / asked if widths[name] > 0.0 else float("inf"))
                           for name, asked in self._asked.items())
        self._told = "".join(f", {name} +- {widths[name]:.3f} of {asked:g}" for name, asked in self._asked.items())
        return INTERVALS if self._excess <= 1.0 else None

    def progress(self, cells: int) -> tuple[float, str]:
        """Share of the cells that it will take, as far as is known, and what to tell people.

        An interval narrows as the root of the number of cells does.
        """
        if not self._asked or cells < self._wanted:
            more = " at least" if self._asked else ""
            return min(1.0, cells / self._wanted), f"{cells} of {self._wanted} cells{more}"
        return min(1.0, 1.0 / max(self._excess, 1e-9) ** 2), f"{cells} cells{self._told}"


def halfwidths(summary: PopulationSummary) -> dict[str, float]:
    """Half the width of the intervals that may be asked for: viability's, and the concentration's over its value.

    NaN where nothing is known.
    """
    per_ml = summary.concentration_per_ml
    wide = summary.concentration_high_per_ml - summary.concentration_low_per_ml
    return {
        "viability": (summary.viability_high - summary.viability_low) / 2.0,
        "concentration": wide / 2.0 / per_ml if per_ml > 0.0 else float("nan"),
    }
