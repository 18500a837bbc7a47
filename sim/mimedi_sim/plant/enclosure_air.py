# SPDX-License-Identifier: Apache-2.0
"""The enclosure's particles over its recent history, and the counter that samples them.

A count is a Poisson number around the exact integral of the concentration over the sample, whatever happened in it and
whoever asked when. Source: PHYSICS §7; ISO 14644-1:2015 (sample volumes).
"""

from __future__ import annotations

import math
from bisect import bisect_right

from mimedi_sim.models.enclosure import AirBalance
from mimedi_sim.random_streams import stream

SMALL_UM, LARGE_UM = 0.5, 5.0
SAMPLE_FLOW_L_MIN = 28.3
SAMPLE_TIME_S = 60.0
MOST_ROLLING_SAMPLES = 120
_KEPT_S = (MOST_ROLLING_SAMPLES + 2) * SAMPLE_TIME_S


def integral_per_m3_s(balance: AirBalance, start_per_m3: float, time_s: float) -> float:
    """Return the integral of a concentration over time_s from its start value on [s/m³], exact."""
    rate, gain = balance.removal_per_s, balance.gain_per_m3_s
    if rate * time_s < 1e-9:
        return start_per_m3 * time_s + 0.5 * gain * time_s**2
    gone = -math.expm1(-rate * time_s) / rate
    return start_per_m3 * gone + gain / rate * (time_s - gone)


class AirHistory:
    """Concentrations by size [um] as pieces between changes; looks back as far as the longest rolling volume."""

    def __init__(self, start_s: float, balances: dict[float, AirBalance]) -> None:
        settled = {
            size: (balance, balance.gain_per_m3_s / max(balance.removal_per_s, 1e-12))
            for size, balance in balances.items()
        }
        self._starts = [start_s]
        self._pieces = [settled]

    def at(self, size_um: float, time_s: float) -> float:
        """Return a concentration [1/m³]."""
        piece = max(0, bisect_right(self._starts, time_s) - 1)
        balance, start = self._pieces[piece][size_um]
        return balance.concentration_after(start, max(0.0, time_s - self._starts[piece]))

    def change(self, time_s: float, balances: dict[float, AirBalance], added: dict[float, float] | None = None) -> None:
        """Let other balances hold from time_s on; `added` [1/m³] comes at once."""
        more = added or {}
        piece = {size: (balance, self.at(size, time_s) + more.get(size, 0.0)) for size, balance in balances.items()}
        while len(self._starts) > 1 and self._starts[1] < time_s - _KEPT_S:
            del self._starts[0], self._pieces[0]
        self._starts.append(time_s)
        self._pieces.append(piece)

    def mean(self, size_um: float, start_s: float, end_s: float) -> float:
        """Return the mean concentration between two times [1/m³]."""
        total = 0.0
        for k, begin in enumerate(self._starts):
            until = self._starts[k + 1] if k + 1 < len(self._starts) else math.inf
            low, high = max(begin, start_s), min(until, end_s)
            if high <= low:
                continue
            balance, start = self._pieces[k][size_um]
            total += integral_per_m3_s(balance, balance.concentration_after(start, low - begin), high - low)
        return total / (end_s - start_s)


class ParticleSampling:
    """The particle counter's samples of one minute; a pure function of seed, history and when it was switched on."""

    def __init__(self, seed: int, device: str, history: AirHistory) -> None:
        self._small, self._large = stream(seed, device, "small"), stream(seed, device, "large")
        self._history = history
        self.since_s: float | None = None
        """Process time [s] when sampling began; None while it is off."""
        self.rolling_samples = 36
        self._known: dict[int, tuple[int, int]] = {}

    def switch(self, now_s: float, on: bool) -> None:
        """Start (nothing counted so far) or stop; harmless when it is so already."""
        if on != (self.since_s is not None):
            self.since_s = now_s if on else None
            self._known.clear()

    def complete(self, now_s: float) -> int:
        """Return how many samples are complete."""
        return 0 if self.since_s is None else int((now_s - self.since_s) / SAMPLE_TIME_S + 1e-9)

    def counts(self, sample: int) -> tuple[int, int]:
        """Return (≥ 0.5 um, ≥ 5 um) of a complete sample, numbered from 0."""
        found = self._known.get(sample)
        if found is None:
            assert self.since_s is not None
            begin = self.since_s + sample * SAMPLE_TIME_S
            volume_m3 = SAMPLE_FLOW_L_MIN * 1e-3 * SAMPLE_TIME_S / 60.0
            end = begin + SAMPLE_TIME_S
            large_mean = self._history.mean(LARGE_UM, begin, end) * volume_m3
            small_mean = max(0.0, self._history.mean(SMALL_UM, begin, end) * volume_m3 - large_mean)
            index = int(end / SAMPLE_TIME_S)
            large = self._large.poisson(index, large_mean)
            found = (large + self._small.poisson(index, small_mean), large)
            self._known[sample] = found
            self._known.pop(sample - MOST_ROLLING_SAMPLES - 1, None)
        return found

    def rolling(self, now_s: float) -> tuple[int, int, int]:
        """Return (samples, ≥ 0.5 um, ≥ 5 um) of the rolling volume."""
        complete = self.complete(now_s)
        first = max(0, complete - self.rolling_samples)
        counted = [self.counts(k) for k in range(first, complete)]
        return len(counted), sum(small for small, _ in counted), sum(large for _, large in counted)
