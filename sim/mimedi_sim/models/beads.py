# SPDX-License-Identifier: Apache-2.0
"""Activating beads: how many a T cell carries after labelling, and their magnetic removal before harvest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from mimedi_sim.models.validation import require_fraction, require_not_negative, require_positive

BOUND_FRACTION = 0.93
"""T cells that carry at least one bead after labelling (PHYSICS §12)."""
BEADS_PER_T_CELL = 3.0
MAX_BEADS_PER_CELL = 14
"""Class limit: a zero-truncated Poisson law of mean 3 has less than 1e-5 beyond it."""

DEPLETION_UNBINDING_TIME_S = 300.0
"""Time constant in s of bead–cell unbinding under mixing with release buffer [calibration]."""
DEPLETION_PASS_LOG10 = 1.9
"""Log10 removal of free beads by one pass over the magnet [calibration: two passes give >= 3.6 logs]."""
DEPLETION_PASS_CELL_LOSS = 0.02
"""Cells lost with each magnet pass [calibration]."""


@lru_cache(maxsize=64)
def bead_count_distribution(
    beads_per_cell: float = BEADS_PER_T_CELL, bound_fraction: float = BOUND_FRACTION
) -> tuple[float, ...]:
    """Return P(n beads) for n = 0 … MAX_BEADS_PER_CELL: bound cells carry a zero-truncated Poisson number.

    The last class holds the whole tail, so that the probabilities add up to 1.
    """
    require_not_negative(beads_per_cell=beads_per_cell)
    require_fraction(bound_fraction=bound_fraction)
    if beads_per_cell == 0.0:
        return (1.0,) + (0.0,) * MAX_BEADS_PER_CELL
    at_least_one = -math.expm1(-beads_per_cell)
    weights = [
        math.exp(n * math.log(beads_per_cell) - beads_per_cell - math.lgamma(n + 1.0)) / at_least_one
        for n in range(1, MAX_BEADS_PER_CELL)
    ]
    weights.append(1.0 - math.fsum(weights))
    return (1.0 - bound_fraction, *(bound_fraction * weight for weight in weights))


def bound_fraction_after(mixing_s: float, plateau: float = BOUND_FRACTION, time_constant_s: float = 420.0) -> float:
    """Return the share of T cells with a bead after mixing_s of mixing (0.93 after 30 min [calibration])."""
    require_not_negative(mixing_s=mixing_s)
    require_positive(time_constant_s=time_constant_s)
    full = -math.expm1(-1800.0 / time_constant_s)
    return min(1.0, plateau * -math.expm1(-mixing_s / time_constant_s) / full)


@dataclass(frozen=True)
class Depletion:
    """Outcome of a magnetic depletion: beads left, cells kept (numbers), log10 reduction achieved."""

    residual_beads: float
    kept_cells: float
    log10_reduction: float


def deplete(
    bead_count: float, cell_count: float, unbinding_s: float, magnet_passes: int = 2,
    bound_share: float = 1.0,
) -> Depletion:
    """Return what unbinding and magnet passes leave of beads and cells.

    Beads still bound to a cell leave with that cell; free beads are caught with DEPLETION_PASS_LOG10 per pass,
    and every pass costs DEPLETION_PASS_CELL_LOSS of the cells. After unbinding, a bead–cell pair that stays
    is drawn to the magnet like a bead: it costs the cell, not the purity.

    Args: bound_share is the share of beads still on a cell at the start, 0..1.
    Raises: ValueError on negative counts or passes.
    """
    require_not_negative(bead_count=bead_count, cell_count=cell_count, unbinding_s=unbinding_s)
    require_fraction(bound_share=bound_share)
    if magnet_passes < 0:
        raise ValueError(f"magnet_passes is {magnet_passes}; allowed: >= 0")
    if magnet_passes == 0:
        return Depletion(bead_count, cell_count, 0.0)
    still_bound = bead_count * bound_share * math.exp(-unbinding_s / DEPLETION_UNBINDING_TIME_S)
    logs = DEPLETION_PASS_LOG10 * magnet_passes
    residual = bead_count * 10.0**-logs
    # Bound beads pull their cell onto the magnet: at most one cell per bead still bound.
    kept = max(0.0, cell_count - min(still_bound, cell_count)) * (1.0 - DEPLETION_PASS_CELL_LOSS) ** magnet_passes
    return Depletion(residual, kept, logs if bead_count > 0.0 else 0.0)
