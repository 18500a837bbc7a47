# SPDX-License-Identifier: Apache-2.0
"""The assay: what light is expected of an aliquot without microbes, how sure that is, and what one CFU adds.

Rates in counts/s. Source: PHYSICS §8 (ATP bioluminescence; somatic cells dominate and are removed by filtration and
apyrase; the kit's blank, not photon noise, sets the limit).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PER_CFU_PER_S = 2.469
"""Light of one CFU: 2 amol ATP, luciferase 2e-4 /s, quantum yield 0.41, geometry 0.1, detection 0.25."""
SOMATIC_CFU_PER_CELL = 500.0 * 1e-6
"""A T cell's 1 fmol of ATP is that of 500 CFU; six logs of it are removed (validated with the kit)."""
SOMATIC_RELATIVE_SD = 0.03
"""Of the cells in the aliquot: that of a count of about a thousand."""
KIT_BLANK_PER_S, KIT_RELATIVE_SD = 200.0, 0.05
"""What a kit's certificate says while its blank has not been measured here."""
BLANK_DRIFT_RELATIVE_SD = 0.01
"""Reagent after the calibration: it loses 2 % a day and is renewed each day."""
CARRIER_RELATIVE_SD = 0.3
"""Of the delivery bacteria that a recipe says are there: plate counts, and growth or killing since."""
AFTERPULSE = 0.02
"""Of the detector: raises the mean by this, and the variance over the mean by twice this."""
MOST_BLANK_PER_S, MOST_DARK_PER_S, LEAST_DARK_PER_S = 1000.0, 600.0, 20.0
"""A blank or dark rate beyond these is none: a dead detector counts nothing, a leak of light much."""


@dataclass(frozen=True)
class Rate:
    """A mean rate with its standard uncertainty [counts/s]."""

    per_s: float
    sd_per_s: float


@dataclass(frozen=True)
class Background:
    """What a calibration found: the blank's light without the dark counts, and the dark counts."""

    blank: Rate
    dark: Rate


def kit_background(dark: Rate) -> Background:
    """Return the background of a kit that has not been measured here: its certificate's."""
    return Background(Rate(KIT_BLANK_PER_S * (1.0 + AFTERPULSE), KIT_RELATIVE_SD * KIT_BLANK_PER_S), dark)


def null_rate(background: Background, cells: float, carriers_cfu: float = 0.0) -> Rate:
    """Return the rate of an aliquot with so many somatic cells, delivery bacteria, and no other microbes.

    The uncertainty is the systematic one, which counting longer does not take away: of the blank, of its drift, and
    of the light that the cells' own ATP leaves.
    """
    for name, value in (("cells", cells), ("carriers_cfu", carriers_cfu)):
        if not (math.isfinite(value) and value >= 0.0):
            raise ValueError(f"{name} = {value}: allowed are numbers from 0 on")
    carriers = PER_CFU_PER_S * carriers_cfu * (1.0 + AFTERPULSE)
    somatic = PER_CFU_PER_S * SOMATIC_CFU_PER_CELL * cells * (1.0 + AFTERPULSE)
    sd = math.sqrt(
        background.blank.sd_per_s**2
        + (BLANK_DRIFT_RELATIVE_SD * background.blank.per_s) ** 2
        + (SOMATIC_RELATIVE_SD * somatic) ** 2
        + (CARRIER_RELATIVE_SD * carriers) ** 2
        + background.dark.sd_per_s**2
    )
    return Rate(background.blank.per_s + background.dark.per_s + somatic + carriers, sd)


def cfu_of(rate_per_s: float) -> float:
    """Return the CFU that so much light above the background means."""
    return rate_per_s / (PER_CFU_PER_S * (1.0 + AFTERPULSE))
