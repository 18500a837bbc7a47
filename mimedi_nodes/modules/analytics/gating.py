# SPDX-License-Identifier: Apache-2.0
"""Gates of a flow cytometry measurement: cells, living, leukocytes, T cells, CAR+.

Each gate's cut lies at the emptiest place between two populations (Otsu 1979 on the logarithm), within a range that the
panel's qualification allows: without a second population the middle of that range counts. Interval: Wilson 1927.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
CUTS: Mapping[str, tuple[float, float]] = {
    "CD45-A": (600.0, 5000.0), "7-AAD-A": (1.2e3, 8e3), "CD3-A": (800.0, 5000.0), "CD14-A": (800.0, 4000.0),
    "CAR-A": (600.0, 3000.0),
}  # fmt: skip
"""Channel to the range of its cut, from the panel's controls."""
LEAST_CELLS = 200
SHOWN_CHANNELS = {"cd3": "CD3-A", "car": "CAR-A"}
SHOWN_EVENTS = 600
"""Events that are put on record for a picture of the gates."""


@dataclass(frozen=True)
class Share:
    """A fraction with its counts."""

    positive: int
    total: int

    @property
    def value(self) -> float:
        """The fraction; NaN of nothing."""
        return self.positive / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval."""
        if not self.total:
            return math.nan, math.nan
        z2, n, p = 1.96**2, self.total, self.value
        middle = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = 1.96 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Gated:
    """What the gates found."""

    events: int
    viability: Share
    cd3: Share
    car: Share
    cuts: Mapping[str, float]


def gate(channels: Mapping[str, Array]) -> Gated:
    """Gate events, each channel of shape (events,).

    Raises:
        KeyError: a channel of the panel is missing.
        ValueError: too few leukocytes.
    """
    cuts: dict[str, float] = {}

    def above(name: str, among: Mask) -> Mask:
        cuts[name] = cut(channels[name][among], *CUTS[name])
        return channels[name] > cuts[name]

    every = np.isfinite(channels["CD45-A"])
    leukocytes = every & above("CD45-A", every)
    if leukocytes.sum() < LEAST_CELLS:
        raise ValueError(f"{int(leukocytes.sum())} leukocytes among {len(every)} events; at least {LEAST_CELLS} needed")
    living = leukocytes & ~above("7-AAD-A", leukocytes)
    t_cells = living & above("CD3-A", living) & ~above("CD14-A", living)
    car = t_cells & above("CAR-A", t_cells)
    return Gated(
        int(leukocytes.sum()), Share(int(living.sum()), int(leukocytes.sum())),
        Share(int(t_cells.sum()), int(living.sum())), Share(int(car.sum()), int(t_cells.sum())), cuts,
    )


def gating_data(channels: Mapping[str, Array], gated: Gated) -> dict[str, Any]:
    """Return what goes on record of a gating: CD3 and CAR of the events that the last gates saw, and their cuts.

    Args:
        channels: each of shape (events,); at most SHOWN_EVENTS of them are taken, evenly.
        gated: what `gate` made of them.
    """
    cuts = gated.cuts
    seen = (channels["CD45-A"] > cuts["CD45-A"]) & (channels["7-AAD-A"] <= cuts["7-AAD-A"])
    seen &= channels["CD14-A"] <= cuts["CD14-A"]
    shown = np.flatnonzero(seen)[:: max(1, -(-int(seen.sum()) // SHOWN_EVENTS))]
    return {
        "columns": {name: np.rint(channels[channel][shown]).tolist() for name, channel in SHOWN_CHANNELS.items()},
        "values": {
            "cd3_cut": round(cuts["CD3-A"], 1), "car_cut": round(cuts["CAR-A"], 1), "cd3_fraction": gated.cd3.value,
            "car_fraction": gated.car.value, "viability": gated.viability.value,
        },
    }  # fmt: skip


def cut(values: Array, low: float, high: float) -> float:
    """Return the emptiest place of a channel between low and high, on a logarithmic axis."""
    edges = np.linspace(math.log(low), math.log(high), 41)
    counts, _ = np.histogram(np.log(np.clip(values, 1.0, None)), edges)
    smooth = np.convolve(counts, np.ones(5) / 5.0, mode="same")
    inner = smooth[2:-2]
    emptiest = np.flatnonzero(inner == inner.min()) + 2
    place = int(emptiest[len(emptiest) // 2])
    return math.exp(0.5 * float(edges[place] + edges[place + 1]))
