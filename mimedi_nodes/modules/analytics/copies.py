# SPDX-License-Identifier: Apache-2.0
"""Vector copies per cell from droplet counts.

Source: Hindson et al. 2011, Anal. Chem. 83:8604 (Poisson partition); dMIQE 2020 (what to state). Integrations are taken
as Poisson among cells for the copies of a transduced cell: m/(1 - exp(-m)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...instruments.droplet_reader import DropletCounts

LEAST_DROPLETS = 5000
LEAST_REFERENCE = 100
REFERENCE_COPIES = 2.0


@dataclass(frozen=True)
class CopyNumber:
    """Copies with the ends of the 95 % interval, per cell."""

    copies: float
    low: float
    high: float

    def per_transduced_cell(self) -> CopyNumber:
        """Return the copies of a cell that has any."""
        return CopyNumber(*(_among_positive(value) for value in (self.copies, self.low, self.high)))


def copy_number(counts: DropletCounts) -> CopyNumber:
    """Return copies per cell: 2 λ(transgene)/λ(reference), λ = -ln(1 - positive share).

    The interval is that of the ratio's logarithm: Var(λ) = p/(n (1 - p)), the genes lie on different droplets
    independently.

    Raises:
        ValueError: too few droplets, or every droplet is positive.
    """
    n = counts.accepted
    if n < LEAST_DROPLETS or counts.reference < LEAST_REFERENCE:
        raise ValueError(
            f"{n} droplets, {counts.reference} with the reference gene; at least {LEAST_DROPLETS} and "
            f"{LEAST_REFERENCE} are needed"
        )
    if max(counts.transgene, counts.reference) >= n:
        raise ValueError("every droplet is positive: dilute the DNA")
    reference, transgene = (-math.log1p(-k / n) for k in (counts.reference, counts.transgene))
    if counts.transgene == 0:
        # The rule of three: none seen, 3/n not excluded.
        return CopyNumber(0.0, 0.0, REFERENCE_COPIES * -math.log1p(-3.0 / n) / reference)
    value = REFERENCE_COPIES * transgene / reference
    relative = math.sqrt(sum(
        (k / n) / (n * (1.0 - k / n)) / rate**2
        for k, rate in ((counts.transgene, transgene), (counts.reference, reference))
    ))  # fmt: skip
    return CopyNumber(value, value * math.exp(-1.96 * relative), value * math.exp(1.96 * relative))


def _among_positive(mean: float) -> float:
    return mean / -math.expm1(-mean) if mean > 0.0 else 1.0
