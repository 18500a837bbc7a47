# SPDX-License-Identifier: Apache-2.0
"""Bacterial growth from single cells: pure birth while few, logistic when many; aliquots and time to detection.

Numbers in CFU, times in h, volumes in mL. Source: Yule 1925 (pure birth); PHYSICS §8; doubling times [M].
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.special import digamma, polygamma

from mimedi_sim.models.validation import require_not_negative, require_positive
from mimedi_sim.random_streams import RandomStream, stream

DOUBLING_TIME_H = {
    "escherichia_coli": 0.5, "staphylococcus_epidermidis": 1.25, "cutibacterium_acnes": 6.5, "candida_albicans": 2.0,
}
"""Doubling times of named organisms in rich medium at 37 °C [M]."""
CAPACITY_PER_ML = 1.0e9
DEFAULT_LAG_H = 2.0
STOCHASTIC_LIMIT = 10_000
"""Above this number growth is deterministic: single divisions no longer matter (1 %)."""


def growth_rate_per_h(doubling_time_h: float) -> float:
    """Return the specific growth rate ln 2 / doubling time."""
    require_positive(doubling_time_h=doubling_time_h)
    return math.log(2.0) / doubling_time_h


def _checked(target: float, start: float) -> tuple[float, float]:
    for name, value in (("target", target), ("start", start)):
        if value < 1 or value != int(value):
            raise ValueError(f"{name} is {value}; allowed: whole numbers >= 1")
    return float(target), float(min(start, target))


def mean_time_to_number_h(target: float, growth_per_h: float, start: float = 1) -> float:
    """Return the mean time in h of a pure birth process from `start` to `target` cells: sum of 1/(mu k)."""
    require_positive(growth_per_h=growth_per_h)
    target, start = _checked(target, start)
    return float(digamma(target) - digamma(start)) / growth_per_h


def sd_time_to_number_h(target: float, growth_per_h: float, start: float = 1) -> float:
    """Return the standard deviation of that time in h: sqrt of the sum of 1/(mu k)²."""
    require_positive(growth_per_h=growth_per_h)
    target, start = _checked(target, start)
    return math.sqrt(max(0.0, float(polygamma(1, start) - polygamma(1, target)))) / growth_per_h


def aliquot_cells(source: RandomStream, index: int, cells: float, volume_ml: float, aliquot_ml: float) -> int:
    """Return how many cells an aliquot holds: Poisson(N v/V), which limits early detection."""
    require_positive(volume_ml=volume_ml)
    require_not_negative(cells=cells, aliquot_ml=aliquot_ml)
    return source.poisson(index, cells * min(1.0, aliquot_ml / volume_ml))


def detection_time_h(
    start: float, volume_ml: float, aliquot_ml: float, counts_per_s_per_cfu: float, window_s: float,
    net_counts_needed: float, doubling_time_h: float, lag_h: float = DEFAULT_LAG_H,
) -> float:
    """Return when the mean net signal of an aliquot reaches a number of counts: lag + ln(N*/N0)/mu [h].

    0 if the inoculum is bright enough at once.
    """
    require_positive(start=start, volume_ml=volume_ml, aliquot_ml=aliquot_ml, window_s=window_s,
                     counts_per_s_per_cfu=counts_per_s_per_cfu, net_counts_needed=net_counts_needed)
    require_not_negative(lag_h=lag_h)
    needed = net_counts_needed * volume_ml / (counts_per_s_per_cfu * window_s * aliquot_ml)
    if needed <= start:
        return 0.0
    return lag_h + math.log(needed / start) / growth_rate_per_h(doubling_time_h)


@dataclass
class Colony:
    """The cells of one organism in a vessel, from an inoculum on.

    Every division of the first ten thousand cells has its own exponential waiting time, drawn by its number and
    measured in generations of growth (integral of mu dt): the number of cells is the same whatever was polled and
    however the rate changed meanwhile. Beyond, growth is logistic up to capacity_per_ml.

    Args: seed and name key the random stream; inoculum in CFU at time_h; growth_per_h at 37 °C; lag_h.
    """

    seed: int
    name: str
    inoculum: int
    volume_ml: float
    growth_per_h: float
    lag_h: float = DEFAULT_LAG_H
    time_h: float = 0.0
    capacity_per_ml: float = CAPACITY_PER_ML
    grown: float = field(default=0.0, init=False)
    """Integral of the growth rate since the inoculum."""
    _births: npt.NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.inoculum < 0 or self.inoculum != int(self.inoculum):
            raise ValueError(f"inoculum is {self.inoculum}; allowed: whole numbers >= 0")
        require_positive(volume_ml=self.volume_ml, capacity_per_ml=self.capacity_per_ml)
        require_not_negative(growth_per_h=self.growth_per_h, lag_h=self.lag_h)
        self._lag_end_h = self.time_h + self.lag_h
        divisions = max(0, STOCHASTIC_LIMIT - self.inoculum) if self.inoculum else 0
        waits = -np.log(stream(self.seed, self.name, "divisions").uniforms(0, divisions))
        self._births = np.cumsum(waits / np.arange(self.inoculum, self.inoculum + divisions))

    def _grown_at(self, time_h: float) -> float:
        if time_h < self.time_h:
            raise ValueError(f"time_h is {time_h}; allowed: >= {self.time_h}")
        return self.grown + self.growth_per_h * max(0.0, time_h - max(self.time_h, self._lag_end_h))

    def cells_at(self, time_h: float) -> float:
        """Return the number of cells at a time not before the last change; a whole number up to ten thousand."""
        return self._cells(self._grown_at(time_h))

    def _cells(self, grown: float) -> float:
        if self.inoculum == 0:
            return 0.0
        capacity = max(self.capacity_per_ml * self.volume_ml, float(self.inoculum))
        born = int(np.searchsorted(self._births, grown, side="right"))
        if born < self._births.size:
            return min(float(self.inoculum + born), capacity)
        many = float(self.inoculum + born)
        beyond = grown - (float(self._births[-1]) if self._births.size else 0.0)
        if many >= capacity:
            return capacity
        return capacity / (1.0 + (capacity / many - 1.0) * math.exp(-beyond))

    def change(self, time_h: float, growth_per_h: float) -> None:
        """Let the cells grow at another rate from time_h on: temperature, antibiotic (0)."""
        require_not_negative(growth_per_h=growth_per_h)
        self.grown, self.time_h = self._grown_at(time_h), time_h
        self.growth_per_h = growth_per_h

    def next_event(self) -> float:
        """Return the time in h of the next division, inf when there is none or too many to tell."""
        born = int(np.searchsorted(self._births, self.grown, side="right"))
        if born >= self._births.size or self.growth_per_h == 0.0:
            return math.inf
        return max(self.time_h, self._lag_end_h) + (float(self._births[born]) - self.grown) / self.growth_per_h
