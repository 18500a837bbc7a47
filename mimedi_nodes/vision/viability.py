# SPDX-License-Identifier: Apache-2.0
"""Dead or alive from a dye that only dead cells take up: the threshold is found in the data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.medians import median, percentile

# Nothing is stained that does not stand this many noise deviations above the background.
_STAINED = 8.0
# Two populations are two when their means lie this many of their own standard deviations apart.
_APART = 3.5


def dye_threshold(intensity: NDArray[np.float64], noise: float, control_level: float) -> float:
    """Dye signal that separates dead from living cells, grey levels above background.

    Args:
        intensity: mean dye signal of each cell above the background, grey levels, (N,).
        noise: standard deviation of such a mean where there is no cell, grey levels, > 0.
        control_level: dye signal between a living and a dead cell of a control sample, grey levels.

    Works on asinh(intensity / 2 noise): even noise near 0, even relative spread above. Splits where the variance
    between the two parts is greatest (Otsu, IEEE Trans. SMC 9 (1979) 62) and puts the threshold between their
    means in proportion to their spreads. With one population only, the control level decides which one it is:
    living cells may glow a little, and no data can tell all dead from all living.
    """
    noise = max(noise, 1e-3)
    default = max(control_level, _STAINED * noise)
    if len(intensity) == 0:
        return default
    scale = 2.0 * noise
    u = np.sort(np.arcsinh(intensity / scale))
    count = len(u)
    stained = median(intensity) > default
    if count >= 2:
        below = np.cumsum(u)[:-1]
        n = np.arange(1, count)
        low, high = below / n, (u.sum() - below) / (count - n)
        cut = int((n * (count - n) * (high - low) ** 2).argmax()) + 1
        parts = u[:cut], u[cut:]
        spreads = [max(1.4826 * median(np.abs(p - median(p))), float(p.std()) / 2.0, 0.15) for p in parts]
        centres = [median(p) for p in parts]
        apart = (centres[1] - centres[0]) / (0.5 * (spreads[0] + spreads[1]))
        # One on each side of the control level, else one broad population has been cut in two.
        low_level, high_level = (float(np.sinh(centre)) * scale for centre in centres)
        around_control = low_level < min(control_level, 0.5 * high_level) and high_level > default
        if apart > _APART and around_control:
            level = (centres[0] * spreads[1] + centres[1] * spreads[0]) / (spreads[0] + spreads[1])
            return float(np.sinh(level) * scale)
    if stained:
        return float(min(default, percentile(intensity, 1.0) - noise))
    return float(max(default, percentile(intensity, 99.0) + noise))
