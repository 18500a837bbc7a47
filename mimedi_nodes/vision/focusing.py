# SPDX-License-Identifier: Apache-2.0
"""How tightly sound has focused the cells of the sorter: their spread across the channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.frame import FrameTracks
from mimedi_nodes.vision.population import Interval, wilson_interval
from mimedi_nodes.vision.settings import VisionInputError, VisionSettings

# At least this many rows must lie between the walls of a sorter image (375 µm at 0.65 µm/px is 577).
MIN_SORTER_ROWS = 600
_MIN_CELLS = 5


@dataclass(frozen=True)
class Focusing:
    """Spread of cells across the channel; positions from the channel's middle, µm, positive downwards."""

    cells: int
    width_um: float            # between the 5 % and 95 % quantiles of the position
    offset_um: float           # median position
    centre_fraction: Interval  # share of cells inside the centre band, with its confidence interval
    histogram_edges_um: NDArray[np.float64]
    histogram_counts: NDArray[np.int64]


def focusing(y_px: NDArray[np.float64], settings: VisionSettings, centre_band_um: float = 120.0,
             confidence: float = 0.95) -> Focusing:
    """Focus width and centre fraction from the rows of distinct cells.

    Args:
        y_px: one row position per cell, px, (N,).
        settings: walls and scale of the sorter camera.
        centre_band_um: width of the stream that the centre outlet takes, µm, symmetric about the middle.
        confidence: of the interval.

    Raises:
        VisionInputError: a band wider than the channel, or a position that is not finite.
    """
    y = np.asarray(y_px, float)
    if not np.isfinite(y).all():
        raise VisionInputError("y_px", "not finite", "finite rows in px")
    if not 0.0 < centre_band_um <= settings.channel_width_um:
        raise VisionInputError("centre_band_um", centre_band_um,
                               f"0 < centre_band_um <= channel width ({settings.channel_width_um:.1f} µm)")
    half = settings.channel_width_um / 2.0
    edges = np.linspace(-half, half, 31)
    position = (y - 0.5 * (settings.wall_top_px + settings.wall_bottom_px)) * settings.um_per_px
    counts = np.histogram(position, edges)[0].astype(np.int64)
    centre = wilson_interval(int((np.abs(position) <= centre_band_um / 2.0).sum()), len(position), confidence)
    if len(position) < _MIN_CELLS:
        return Focusing(len(position), float("nan"), float("nan"), centre, edges, counts)
    low, high = np.percentile(position, (5.0, 95.0))
    return Focusing(len(position), float(high - low), float(np.median(position)), centre, edges, counts)


def check_sorter_view(height_px: int, settings: VisionSettings) -> None:
    """Refuse an image in which the sorter's channel is cut off.

    Raises:
        VisionInputError: fewer than 600 rows, or a wall outside the image.
    """
    if height_px < MIN_SORTER_ROWS:
        raise VisionInputError("sorter image height", height_px, f">= {MIN_SORTER_ROWS} px",
                               "The whole channel must be in view; use the sorter camera's full height.")
    if settings.wall_top_px < 0 or settings.wall_bottom_px > height_px - 1:
        raise VisionInputError("walls", (settings.wall_top_px, settings.wall_bottom_px),
                               f"inside rows 0..{height_px - 1}", "Calibrate the sorter camera again.")


class FocusingEstimator:
    """Collects the mean row of each distinct cell over the frames of a sorter camera."""

    def __init__(self, settings: VisionSettings) -> None:
        self.settings = settings
        self._rows: dict[int, tuple[float, int]] = {}

    def add(self, frame: FrameTracks) -> None:
        """Take in one frame of the sorter camera.

        Raises:
            VisionInputError: the channel is not wholly in view.
        """
        check_sorter_view(frame.height_px, self.settings)
        for cell in frame.tracks:
            if cell.measured and (cell.confirmed or not frame.flow_known):
                total, count = self._rows.get(cell.track_id, (0.0, 0))
                self._rows[cell.track_id] = total + cell.y_px, count + 1

    def result(self, centre_band_um: float = 120.0, confidence: float = 0.95) -> Focusing:
        """The focusing seen so far."""
        rows = np.array([total / count for total, count in self._rows.values()])
        return focusing(rows, self.settings, centre_band_um, confidence)
