# SPDX-License-Identifier: Apache-2.0
"""The controls beside every measurement: something known, measured the same way, tells whether it measures right.

A tip with dirt on it, a worn chip, standards of a wrong lot or a forgotten stain measure as smoothly as ever; only what
is known beforehand shows them. A control that fails holds the phase: the sample is still there, and is measured anew.
Source: ICH M10 2022, 3.3.2 (ligand-binding assays: quality controls within 20 % of nominal); Perfetto et al. 2006,
Nat. Protoc. 1:1522 (capture beads with every stain of the panel); limits of gel and surface [calibration].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...instruments.droplet_reader import DropletCounts
from ...process.errors import PhaseHold
from .gating import CUTS
from .immunoassay import Curve
from .stiffness import CANTILEVER_RELATIVE_SD, GEL_RELATIVE_SD

Array = NDArray[np.float64]
ALARM = "analytics.control_failed"
RECOVERY = (0.80, 1.20)
"""Of a control's certified concentration, immunoassay and surface plasmon resonance."""
HIGHEST_BLANK = 0.15
"""Absorbance of wells without analyte."""
_GEL_SD = math.hypot(CANTILEVER_RELATIVE_SD, GEL_RELATIVE_SD)
GEL_RATIO = (math.exp(-4.0 * _GEL_SD), math.exp(4.0 * _GEL_SD))
"""Of the reference gel's certified modulus: four standard deviations of what cantilever and gel may be off by."""
GEL_CHANGE = 0.10
"""Between the gel before and after the cells: more, and the tip has changed on the way. Three curves each: ± 2 %."""
REMAINDER = 0.10
"""Share of what the control bound that may be left after the regeneration."""
LARGEST_JUMP_RU, VALVE_S = 2.0, 2.0
"""Of the reference channel from one second to the next, this long [s] after a valve has turned: noise makes 0.3."""
MOST_WITHOUT_TEMPLATE = 3
"""Positive droplets of a well without template [calibration: 0.25 of either gene come by themselves]."""
LEAST_STAINED = 0.90
"""Share of the control beads that a stain must lift above its gate."""


def check_gel(before: float, after: float) -> None:
    """Hold when the reference gel is not what its certificate says.

    Args: before, after: measured over certified modulus, before and after the cells.
    """
    if not GEL_RATIO[0] <= before <= GEL_RATIO[1]:
        raise PhaseHold(
            ALARM, f"force microscope: the reference gel reads {before:.2f} of its certificate, allowed "
            f"{GEL_RATIO[0]:.2f} to {GEL_RATIO[1]:.2f}; clean or change the cantilever, calibrate it, then restart",
        )
    if not abs(after / before - 1.0) <= GEL_CHANGE:
        raise PhaseHold(
            ALARM, f"force microscope: the reference gel reads {after / before:.2f} of what it did before the cells, "
            f"allowed 1 ± {GEL_CHANGE:g}: the tip has picked something up; clean it, then restart",
        )


def check_surface(bound_ru: float, expected_ru: float, left_ru: float) -> float:
    """Return the activity of the chip's surface, 1 when fresh; hold when it is worn or not regenerated.

    Args: bound_ru, expected_ru: of the control solution; left_ru: of it after the regeneration.
    """
    activity = bound_ru / expected_ru
    if not RECOVERY[0] <= activity <= RECOVERY[1]:
        raise PhaseHold(
            ALARM, f"SPR: the control binds {bound_ru:.1f} RU, {expected_ru:.1f} RU are expected of a fresh surface "
            f"(allowed {RECOVERY[0]:g} to {RECOVERY[1]:g} of it); exchange the chip, then restart",
        )
    if not left_ru <= REMAINDER * bound_ru:
        raise PhaseHold(
            ALARM, f"SPR: {left_ru:.1f} of {bound_ru:.1f} RU are left after the regeneration, allowed {REMAINDER:.0%}; "
            "look at the regeneration solution and its line, exchange the chip, then restart",
        )
    return activity


def check_reference(seconds: Array, reference_ru: Array, turned_s: Sequence[float]) -> None:
    """Hold when the reference channel jumps though no valve has turned: air in the flow cell.

    What binds does not show in that channel, so only drift and noise may.

    Args: seconds, reference_ru: shape (N,); turned_s: when valves turned.
    """
    jumps = np.abs(np.diff(reference_ru))
    for turn_s in turned_s:
        jumps[np.abs(seconds[1:] - turn_s) <= VALVE_S] = 0.0
    if len(jumps) and not float(jumps.max()) <= LARGEST_JUMP_RU:
        at = int(jumps.argmax())
        raise PhaseHold(
            ALARM, f"SPR: the reference channel jumps by {jumps[at]:.1f} RU at {seconds[at + 1] - seconds[0]:.0f} s, "
            f"allowed {LARGEST_JUMP_RU:g} RU while no valve turns: air in the flow cell; degas, rinse, then restart",
        )


def check_plate(curve: Curve, control: Array, certified_pg_ml: float, blank: float) -> float:
    """Return the control's recovery, 1 when right; hold when standards and control, or blanks, do not agree.

    Args: control: its absorbances, shape (wells,).
    """
    recovery = float(np.median([curve.concentration(well) for well in control])) / certified_pg_ml
    if not RECOVERY[0] <= recovery <= RECOVERY[1]:
        raise PhaseHold(
            ALARM, f"immunoassay: the control reads {recovery:.2f} of its {certified_pg_ml:g} pg/mL, allowed "
            f"{RECOVERY[0]:g} to {RECOVERY[1]:g}; look at lots, dilution, age of standards and control, then restart",
        )
    if not blank <= HIGHEST_BLANK:
        raise PhaseHold(
            ALARM, f"immunoassay: wells without analyte absorb {blank:.2f}, allowed up to {HIGHEST_BLANK:g}; wash the "
            "plate, look at the substrate, then restart",
        )
    return recovery


def check_no_template(counts: DropletCounts) -> None:
    """Hold when a well without DNA shows some: reagents or bench carry copies of an earlier PCR (dMIQE 2020)."""
    for gene, positive in (("transgene", counts.transgene), ("reference gene", counts.reference)):
        if positive > MOST_WITHOUT_TEMPLATE:
            raise PhaseHold(
                ALARM, f"digital PCR: {positive} droplets with the {gene} in the well without template, at most "
                f"{MOST_WITHOUT_TEMPLATE} are expected; exchange the reagents, clean the bench, then restart",
            )


def check_stains(channels: Mapping[str, Array]) -> None:
    """Hold when a stain of the panel is missing or weak on the control beads; channels of shape (events,) each."""
    for name, (low, high) in CUTS.items():
        stained = float(np.mean(channels[name] > math.sqrt(low * high)))
        if not stained >= LEAST_STAINED:
            raise PhaseHold(
                ALARM, f"cytometer: {name} is above its gate on {stained:.0%} of the control beads, at least "
                f"{LEAST_STAINED:.0%} are expected: the stain was forgotten or is spent; stain anew, then restart",
            )
