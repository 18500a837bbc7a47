# SPDX-License-Identifier: Apache-2.0
"""Dead or alive from a dye that only dead cells take up: the threshold is found in the data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.detection.medians import median

# Nothing is stained that does not stand this many noise deviations above the background.
_STAINED = 8.0
# Two populations are two when their means lie this many of their own standard deviations apart.
_APART = 3.5
# So often a sample is cut: beads, living cells and dead cells are three kinds.
_CUTS = 3
# Of one population, what lies within so many standard deviations belongs to it.
_WITHIN = 4.0


def dye_threshold(intensity: NDArray[np.float64], noise: float, control_level: float) -> float:
    """Dye signal that separates dead from living cells, grey levels above background.

    Args:
        intensity: mean dye signal of each cell above the background, grey levels, (N,).
        noise: standard deviation of such a mean where there is no cell, grey levels, > 0.
        control_level: dye signal between a living and a dead cell of a control sample, grey levels.

    Works on asinh(intensity / 2 noise): even noise near 0, even relative spread above. Splits where the variance
    between the two parts is greatest (Otsu, IEEE Trans. SMC 9 (1979) 62) and puts the threshold between their
    means in proportion to their spreads. Where both parts lie on one side of the control level (free beads, which take
    up nothing, beside cells that glow a little) the part nearer to it is split again. With one population only, the
    control level decides which one it is: living cells may glow, and no data can tell all dead from all living.
    """
    noise = max(noise, 1e-3)
    default = max(control_level, _STAINED * noise)
    if len(intensity) == 0:
        return default
    scale = 2.0 * noise
    whole = np.sort(np.arcsinh(intensity / scale))
    u = whole
    for _ in range(_CUTS):
        if len(u) < 2:
            break
        low, high = parts = _split(u)
        centres, spreads = [median(part) for part in parts], [_spread(part) for part in parts]
        apart = (centres[1] - centres[0]) / (0.5 * (spreads[0] + spreads[1]))
        low_level, high_level = (float(np.sinh(centre)) * scale for centre in centres)
        # One on each side of the control level, else one broad population has been cut in two.
        if low_level < min(control_level, 0.5 * high_level) and high_level > default:
            if apart > _APART:
                level = (centres[0] * spreads[1] + centres[1] * spreads[0]) / (spreads[0] + spreads[1])
                return float(np.sinh(level) * scale)
            break
        u = high if high_level <= default else low
    # Spreads that a few of the other kind do not change.
    middle, reach = median(whole), _WITHIN * max(1.4826 * median(np.abs(whole - median(whole))), 0.15)
    if float(np.sinh(middle)) * scale > default:
        return float(min(default, np.sinh(middle - reach) * scale))
    return float(max(default, np.sinh(middle + reach) * scale))


def _split(u: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two parts of sorted values (N >= 2) between which the variance is greatest."""
    count = len(u)
    below = np.cumsum(u)[:-1]
    n = np.arange(1, count)
    cut = int((n * (count - n) * ((u.sum() - below) / (count - n) - below / n) ** 2).argmax()) + 1
    return u[:cut], u[cut:]


def _spread(part: NDArray[np.float64]) -> float:
    """Standard deviation of one population, not moved much by strangers in it."""
    return max(1.4826 * median(np.abs(part - median(part))), float(part.std()) / 2.0, 0.15)
