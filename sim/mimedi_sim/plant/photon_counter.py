# SPDX-License-Identifier: Apache-2.0
"""The screening station: an aliquot with reagent in front of the single-photon detector.

The light is known as pieces between changes (a new aliquot, a fault), so a gate's counts are the same whoever asks for
them and when. Source: PHYSICS §8.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import replace

from mimedi_nodes.instruments.wire.photon_frames import CounterFault, Filter
from mimedi_sim.models.photon import Detector, PhotonCounter, somatic_cfu_equivalents
from mimedi_sim.random_streams import stream

SOMATIC_REMOVAL_LOGS = 6.0
"""Filtration and apyrase take the cells' own ATP away by this much (PHYSICS §8: at least six logs)."""
SATURATED_PER_S = 1.0e7
"""Registered rate above which the counter flags a gate: a fourth of the photons is lost there [C]."""
TEMPERATURE_C, BIAS_V = 20.0, 26.5
CELL_PER_S_MW, CELL_CV = 0.5, 0.6
"""Counts of a labelled cell in a milliwatt, and how labels differ between cells [calibration]."""
PICOGRAM_PER_S_MW = 0.2
"""Counts of a captured and labelled picogram [calibration]."""
AUTOFLUORESCENCE_PER_S_MW = 5.0e-5
"""Counts of a cell without label, green; a third of it red [calibration]."""
FREE_LABEL_PER_S_MW, FREE_LABEL_CV = 20.0, 0.05
"""Counts of label that nothing has bound, and how washes differ [calibration]."""
_PIECES_KEPT = 1000


class ScreeningStation:
    """Detector, reagent and aliquot.

    Args:
        seed: of every count; device: name of the counter's random streams; start_s: process time [s] of the start.
    """

    def __init__(self, seed: int, start_s: float, device: str = "photon_counter") -> None:
        self._seed, self._device = seed, device
        self._model = PhotonCounter(seed, device)
        self._aliquot = stream(seed, device, "aliquot")
        self._label = stream(seed, device, "label")
        self._luminescence, self._fluorescence = self._model.light_per_s(0.0), {Filter.GREEN: 0.0, Filter.RED: 0.0}
        self._power_mw, self._filter = 0.0, Filter.OPEN
        self._start_s = start_s
        self._starts = [start_s]
        self._pieces = [(self._model.light_per_s(0.0), self._model.detector)]
        self.faults = CounterFault(0)
        self._gate: tuple[float, bool, Detector, PhotonCounter] | None = None
        """Length of the last gate, whether the shutter was open, the detector, and what counted so."""

    def load(
        self, now_s: float, cfu: float, viable_cells: float, reagent_age_days: float = 0.0, *,
        rare_cells: float = 0.0, molecule_pg: float = 0.0,
    ) -> None:
        """Put another aliquot in front of the detector: expected CFU and viable cells in it, with fresh reagent.

        The numbers of CFU and of rare cells that really are in it are Poisson around the expected ones.
        """
        index = int((now_s - self._start_s) * 10.0 + 1e-6)
        found = self._aliquot.poisson(index, max(0.0, cfu))
        equivalents = found + somatic_cfu_equivalents(max(0.0, viable_cells), SOMATIC_REMOVAL_LOGS)
        self._luminescence = self._model.light_per_s(equivalents, reagent_age_days)
        rare = self._label.poisson(3 * index, max(0.0, rare_cells))
        labels = max(0.0, rare + CELL_CV * math.sqrt(rare) * self._label.normal(3 * index + 1))
        free = FREE_LABEL_PER_S_MW * max(0.0, 1.0 + FREE_LABEL_CV * self._label.normal(3 * index + 2))
        own = AUTOFLUORESCENCE_PER_S_MW * max(0.0, viable_cells)
        self._fluorescence = {
            Filter.GREEN: free + own + CELL_PER_S_MW * labels,
            Filter.RED: free + own / 3.0 + PICOGRAM_PER_S_MW * max(0.0, molecule_pg),
        }
        self._change(now_s, self._light(), self._pieces[-1][1])

    def excite(self, now_s: float, power_mw: float, seen_through: Filter) -> None:
        """Let the laser shine (0 mW: off), with a filter before the detector."""
        if (power_mw, seen_through) != (self._power_mw, self._filter):
            self._power_mw, self._filter = power_mw, seen_through
            self._change(now_s, self._light(), self._pieces[-1][1])

    def _light(self) -> float:
        """Return the light that reaches the detector [counts/s]; the filters keep the reagent's luminescence away."""
        if self._filter is Filter.OPEN:
            return self._luminescence
        return self._power_mw * self._fluorescence[self._filter]

    def light_leak(self, now_s: float, per_s: float) -> None:
        """Let light in through a cover that is open, or close it (0)."""
        self.faults = CounterFault.COVER_OPEN if per_s > 0.0 else CounterFault(0)
        self._change(now_s, self._pieces[-1][0], replace(self._pieces[-1][1], light_leak_per_s=per_s))

    def detector_dead(self, now_s: float, dead: bool) -> None:
        """Let the detector fail without a word (it counts nothing), or work again."""
        self._change(now_s, self._pieces[-1][0], replace(self._pieces[-1][1], dead=dead))

    def dark_counts(self, now_s: float, at_20_c_per_s: float) -> None:
        """Let the detector's dark rate become another."""
        self._change(now_s, self._pieces[-1][0], replace(self._pieces[-1][1], dark_at_20_c_per_s=at_20_c_per_s))

    def light_per_s(self) -> float:
        """Return the true light of the present aliquot [counts/s]."""
        return self._pieces[-1][0]

    def counts(self, start_s: float, gate_s: float, *, shutter_open: bool) -> tuple[int, bool]:
        """Return the counts of a gate and whether the detector was saturated."""
        light, detector = self._mean(start_s, start_s + gate_s)
        if not shutter_open:
            light = 0.0
        if self._gate is None or self._gate[:3] != (gate_s, shutter_open, detector):
            seen = detector if shutter_open else replace(detector, light_leak_per_s=0.0)
            device = f"{self._device} {round(gate_s * 1e6)} us"
            counter = replace(self._model, device=device, detector=seen, window_s=gate_s)
            self._gate = gate_s, shutter_open, detector, counter  # the next gates are alike, as a rule
        counter = self._gate[3]
        index = int((start_s - self._start_s) / gate_s + 1e-6)
        return counter.counts(index, light, TEMPERATURE_C), (
            counter.detector.rate_per_s(light, TEMPERATURE_C) > SATURATED_PER_S
        )

    def health(self, now_s: float) -> tuple[float, float, float, CounterFault]:
        """Return temperature [degC], dead time [s], bias [V], faults."""
        return TEMPERATURE_C, self._model.detector.dead_time_s, BIAS_V, self.faults

    def _mean(self, start_s: float, end_s: float) -> tuple[float, Detector]:
        """Return the gate's light and light leak, averaged over its pieces, and the detector at its end."""
        first = max(0, bisect_right(self._starts, start_s) - 1)
        last = max(0, bisect_right(self._starts, end_s - 1e-9) - 1)
        if first == last:
            return self._pieces[first]
        light = leak = 0.0
        for k in range(first, last + 1):
            until = self._starts[k + 1] if k < last else end_s
            share = (until - max(self._starts[k], start_s)) / (end_s - start_s)
            light += share * self._pieces[k][0]
            leak += share * self._pieces[k][1].light_leak_per_s
        return light, replace(self._pieces[last][1], light_leak_per_s=leak)

    def _change(self, now_s: float, light_per_s: float, detector: Detector) -> None:
        self._starts.append(now_s)
        self._pieces.append((light_per_s, detector))
        if len(self._starts) > _PIECES_KEPT:
            del self._starts[0], self._pieces[0]
