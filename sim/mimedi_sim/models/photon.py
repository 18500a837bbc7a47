# SPDX-License-Identifier: Apache-2.0
"""Photon counting: bioluminescence of bacterial ATP on a single-photon detector with dead time and after-pulses.

Rates in counts/s, times in s, ATP in mol, volumes in mL. Source: PHYSICS §8; Knoll 2010 (dead time); Currie 1968,
Anal. Chem. 40:586 (detection limit).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mimedi_sim.models.validation import require_fraction, require_not_negative, require_positive
from mimedi_sim.random_streams import stream

AVOGADRO_PER_MOL = 6.02214076e23
ATP_PER_CFU_MOL = 2.0e-18
ATP_PER_T_CELL_MOL = 1.0e-15
LUCIFERASE_RATE_PER_S = 2.0e-4
LUCIFERIN_QUANTUM_YIELD = 0.41
"""Ando et al. 2008, Nat. Photonics 2:44 [M]."""
COLLECTION, DETECTION = 0.1, 0.25
DARK_DOUBLING_K = 8.0
REAGENT_DECAY_PER_DAY = 0.02
CONSTANT_LIMIT_COUNTS, SLOPE_LIMIT_COUNTS = 2.71, 4.65
"""Currie's working formula for paired blanks at 5 % risks: L_D = 2.71 + 4.65 sqrt(B)."""


def dead_time_rate_per_s(true_per_s: float, dead_time_s: float) -> float:
    """Return the rate n/(1 + n tau) that a non-paralysable detector registers."""
    require_not_negative(true_per_s=true_per_s, dead_time_s=dead_time_s)
    return true_per_s / (1.0 + true_per_s * dead_time_s)


def corrected_rate_per_s(counted_per_s: float, dead_time_s: float) -> float:
    """Return the true rate m/(1 - m tau) behind a registered one; inf where the detector is saturated."""
    require_not_negative(counted_per_s=counted_per_s, dead_time_s=dead_time_s)
    busy = counted_per_s * dead_time_s
    return math.inf if busy >= 1.0 else counted_per_s / (1.0 - busy)


def counts_per_s_per_cfu(
    atp_mol: float = ATP_PER_CFU_MOL, luciferase_per_s: float = LUCIFERASE_RATE_PER_S,
    quantum_yield: float = LUCIFERIN_QUANTUM_YIELD, collection: float = COLLECTION, detection: float = DETECTION,
) -> float:
    """Return the signal of one colony-forming unit [counts/s]: ATP N_A k QY geometry PDE (about 2.5)."""
    require_not_negative(atp_mol=atp_mol, luciferase_per_s=luciferase_per_s)
    require_fraction(quantum_yield=quantum_yield, collection=collection, detection=detection)
    return atp_mol * AVOGADRO_PER_MOL * luciferase_per_s * quantum_yield * collection * detection


def somatic_cfu_equivalents(
    cells: float, removal_logs: float, atp_per_cell_mol: float = ATP_PER_T_CELL_MOL,
    atp_per_cfu_mol: float = ATP_PER_CFU_MOL,
) -> float:
    """Return how many CFU the ATP left of so many T cells looks like (500 a cell before removal)."""
    require_not_negative(cells=cells, removal_logs=removal_logs, atp_per_cell_mol=atp_per_cell_mol)
    require_positive(atp_per_cfu_mol=atp_per_cfu_mol)
    return cells * atp_per_cell_mol / atp_per_cfu_mol * 10.0**-removal_logs


def dark_rate_per_s(rate_at_20_c: float, temperature_c: float, doubling_k: float = DARK_DOUBLING_K) -> float:
    """Return the dark count rate, which doubles every doubling_k."""
    require_not_negative(rate_at_20_c=rate_at_20_c)
    require_positive(doubling_k=doubling_k)
    return rate_at_20_c * 2.0 ** ((temperature_c - 20.0) / doubling_k)


def currie_detection_limit(background_counts: float) -> float:
    """Return L_D = 2.71 + 4.65 sqrt(B), the net counts that are found with 95 % against a paired blank."""
    require_not_negative(background_counts=background_counts)
    return CONSTANT_LIMIT_COUNTS + SLOPE_LIMIT_COUNTS * math.sqrt(background_counts)


@dataclass(frozen=True)
class Detector:
    """A single-photon detector: dead time, after-pulse probability, dark rate at 20 °C, faults.

    light_leak_per_s is added light (an open cover: 1e4/s or more); with dead=True it counts nothing.
    """

    dead_time_s: float = 28.5e-9
    afterpulse: float = 0.02
    dark_at_20_c_per_s: float = 200.0
    light_leak_per_s: float = 0.0
    dead: bool = False

    def __post_init__(self) -> None:
        require_not_negative(dead_time_s=self.dead_time_s, dark_at_20_c_per_s=self.dark_at_20_c_per_s,
                             light_leak_per_s=self.light_leak_per_s)
        require_fraction(afterpulse=self.afterpulse)

    def rate_per_s(self, light_per_s: float, temperature_c: float = 20.0) -> float:
        """Return the mean registered rate under so much detected light (signal and reagent blank)."""
        require_not_negative(light_per_s=light_per_s)
        if self.dead:
            return 0.0
        dark = dark_rate_per_s(self.dark_at_20_c_per_s, temperature_c)
        incident = (light_per_s + self.light_leak_per_s + dark) * (1.0 + self.afterpulse)
        return dead_time_rate_per_s(incident, self.dead_time_s)

    def variance_factor(self, counted_per_s: float) -> float:
        """Return variance over mean of a window's counts: (1 - m tau)² (1 + 2 p)."""
        return (1.0 - counted_per_s * self.dead_time_s) ** 2 * (1.0 + 2.0 * self.afterpulse)


@dataclass(frozen=True)
class PhotonCounter:
    """Counts of consecutive windows, a pure function of (seed, device, window number).

    reagent_blank_per_s is the light of the reagent without cells; it varies between kits by blank_cv.
    """

    seed: int
    device: str = "photon_counter"
    detector: Detector = Detector()
    window_s: float = 100.0
    reagent_blank_per_s: float = 200.0
    blank_cv: float = 0.05
    kit: int = 0

    def __post_init__(self) -> None:
        require_positive(window_s=self.window_s)
        require_not_negative(reagent_blank_per_s=self.reagent_blank_per_s, blank_cv=self.blank_cv)

    def light_per_s(self, cfu_equivalents: float, reagent_age_days: float = 0.0) -> float:
        """Return the detected light of a sample with fresh or aged reagent (2 %/day lost)."""
        activity = math.exp(-REAGENT_DECAY_PER_DAY * reagent_age_days)
        kits = stream(self.seed, self.device, "kit")
        blank = kits.lognormal(self.kit, self.reagent_blank_per_s, self.blank_cv) if self.reagent_blank_per_s else 0.0
        return activity * (counts_per_s_per_cfu() * cfu_equivalents + blank)

    def counts(self, window: int, light_per_s: float, temperature_c: float = 20.0) -> int:
        """Return the counts of a window: mean m T, variance as the detector's."""
        mean = self.detector.rate_per_s(light_per_s, temperature_c) * self.window_s
        factor = self.detector.variance_factor(mean / self.window_s)
        # F Poisson(mean/F) has the mean and F times the variance of a Poisson count; the fraction is rounded
        # at random so that the mean stays.
        drawn = factor * stream(self.seed, self.device, "counts").poisson(window, mean / factor)
        return math.floor(drawn + stream(self.seed, self.device, "rounding").uniform(window))
