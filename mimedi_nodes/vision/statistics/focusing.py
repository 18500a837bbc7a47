# SPDX-License-Identifier: Apache-2.0
"""How tightly sound has focused the cells of the sorter: where they flow across the channel, flash by flash.

Between two exposures the liquid moves by many pictures: every cell is seen once and nothing is linked. A flash shows
slow cells more often than fast ones, so each cell counts with the speed of the liquid where it is: what is reported is
the share of the cells that *flow* into the centre outlet, which is what recovery means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.camera.frame import CameraHealth, check_image
from mimedi_nodes.vision.camera.settings import VisionInputError, VisionSettings
from mimedi_nodes.vision.detection.background import Background
from mimedi_nodes.vision.detection.detector import CellDetector
from mimedi_nodes.vision.statistics.intervals import Interval, wilson_interval

FloatArray = NDArray[np.float64]

MIN_SORTER_ROWS = 600
"""At least this many rows: the channel of 375 um at 0.65 um/px is 577."""
MIN_CELLS = 5
_STILL_PX = 2.0
_STILL_SHARE = 0.5
_SERIES_TERMS = 15


@dataclass(frozen=True)
class Focusing:
    """Where cells flow across the channel; positions from the channel's middle, um, positive downwards.

    Args:
        cells: seen. centre_cells: of them in the centre band. spread_um: standard deviation of the position.
        offset_um: mean position.
        centre_fraction: share of the cells that flow inside the centre band, with its confidence interval.
        histogram_edges_um, histogram_counts: positions of the cells seen, (31,) and (30,).
    """

    cells: int
    centre_cells: int
    spread_um: float
    offset_um: float
    centre_fraction: Interval
    histogram_edges_um: FloatArray
    histogram_counts: NDArray[np.int64]


def speed_across(position_um: FloatArray, width_um: float, depth_um: float) -> FloatArray:
    """Return the speed, averaged over the depth, at positions (N,) from the middle of a rectangular channel.

    In units that cancel in a ratio. Source: Bruus, Theoretical Microfluidics (2008), eq. 3.48, its sine averaged over
    the depth.
    """
    n = np.arange(1, 2 * _SERIES_TERMS, 2, dtype=float)[:, None]
    scale = n * math.pi / depth_um
    half = width_um / 2.0
    inside = np.minimum(np.abs(position_um), half)[None, :]
    # cosh(a)/cosh(b) by exponentials of negative numbers: a wide channel does not overflow.
    even = (1.0 + np.exp(-2.0 * scale * inside)) / (1.0 + np.exp(-2.0 * scale * half))
    ratio = np.exp(scale * (inside - half)) * even
    return np.asarray(((1.0 - ratio) / n**4).sum(axis=0))


def focusing(y_px: FloatArray, settings: VisionSettings, centre_band_um: float, confidence: float = 0.95) -> Focusing:
    """Focusing from the rows of distinct cells.

    Args:
        y_px: one row position per cell, px, (N,).
        settings: walls and scale of the sorter camera.
        centre_band_um: width of the stream that the centre outlet takes, um, symmetric about the middle.
        confidence: of the interval.

    Raises:
        VisionInputError: a band wider than the channel, or a position that is not finite.
    """
    y = np.asarray(y_px, float)
    if not np.isfinite(y).all():
        raise VisionInputError("y_px", "not finite", "finite rows in px")
    width = settings.channel_width_um
    if not 0.0 < centre_band_um <= width:
        raise VisionInputError(
            "centre_band_um", centre_band_um, f"0 < centre_band_um <= channel width ({width:.1f} um)"
        )
    edges = np.linspace(-width / 2.0, width / 2.0, 31)
    position = (y - 0.5 * (settings.wall_top_px + settings.wall_bottom_px)) * settings.um_per_px
    counts = np.histogram(position, edges)[0].astype(np.int64)
    weight = speed_across(position, width, settings.channel_depth_um)
    central = np.abs(position) <= centre_band_um / 2.0
    inside = int(central.sum())
    if len(y) < MIN_CELLS or weight.sum() <= 0.0:
        unknown = Interval(math.nan, math.nan, math.nan)
        return Focusing(len(y), inside, math.nan, math.nan, unknown, edges, counts)
    share = float(weight[central].sum() / weight.sum())
    # Kish's effective number: cells that count for little tell little.
    effective = float(weight.sum() ** 2 / (weight**2).sum())
    bounds = wilson_interval(round(share * effective), max(1, round(effective)), confidence)
    centre = Interval(share, min(share, bounds.low), max(share, bounds.high))
    mean = float((weight * position).sum() / weight.sum())
    spread = math.sqrt(float((weight * (position - mean) ** 2).sum() / weight.sum()))
    return Focusing(len(y), inside, spread, mean, centre, edges, counts)


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
    """Collects the rows of the cells in flashes of a sorter camera.

    Args:
        settings: geometry and timing of the camera.
        centre_band_um: width of the stream that the centre outlet takes, um.
    """

    def __init__(self, settings: VisionSettings, centre_band_um: float) -> None:
        self.settings = settings
        self.centre_band_um = centre_band_um
        self.health = CameraHealth()
        self.frames = 0
        self.still_frames = 0
        self._background = Background(settings.wall_top_px, settings.wall_bottom_px)
        self._detector = CellDetector(settings)
        self._rows: list[FloatArray] = []
        self._widths: list[FloatArray] = []
        self._last = np.empty((0, 2))

    @property
    def cells(self) -> int:
        """Cells collected so far."""
        return sum(len(rows) for rows in self._rows)

    @property
    def focused(self) -> int:
        """Cells of which `focus` is known so far."""
        return sum(len(widths) for widths in self._widths)

    @property
    def focus(self) -> float:
        """How many times as wide as its outline's rise from light to dark a cell is, as `FrameTracks.focus`.

        Median of the cells measured so far; NaN without any.
        """
        widths = np.concatenate(self._widths) if self._widths else np.empty(0)
        return float(np.median(widths)) if len(widths) else math.nan

    def prime(self, frames: Sequence[NDArray[Any]]) -> None:
        """Learn the empty channel from the first flashes (H, W), before they are measured.

        Raises:
            VisionInputError: a frame of wrong type, or in which the channel is not wholly in view.
        """
        images = [check_image("bright_field", frame, self.settings.image_shape) for frame in frames]
        for image in images:
            check_sorter_view(image.shape[0], self.settings)
        self._background.prime(images, settled=False)

    def add(self, frame: NDArray[Any]) -> FloatArray:
        """Take in one flash (H, W); returns the centres of its cells, px, (N, 2) as x, y.

        A flash that shows the cells of the one before in the same places counts as still: its cells were counted.

        Raises:
            VisionInputError: a frame of wrong type, or in which the channel is not wholly in view.
        """
        image = check_image("bright_field", frame, self.settings.image_shape)
        check_sorter_view(image.shape[0], self.settings)
        self.health.look_at(image)
        if not self.health.good:
            return np.empty((0, 2))
        found = self._detector.detect(self._background.absorbance(image), self._background.shift_px)
        self._background.follow(self._detector.empty_places())
        centres = np.column_stack([found["x"], found["y"]])
        self.frames += 1
        if self._is_still(centres):
            self.still_frames += 1
        else:
            self._rows.append(np.asarray(centres[:, 1]))
            large = found["diameter_px"] * self.settings.um_per_px >= self.settings.cell_diameter_min_um
            self._widths.append(np.asarray((found["diameter_px"] * found["sharpness"])[large]))
        self._last = centres
        return centres

    def _is_still(self, centres: FloatArray) -> bool:
        if len(centres) < MIN_CELLS or not len(self._last):
            return False
        distance = np.abs(centres[:, None, :] - self._last[None, :, :]).max(axis=2).min(axis=1)
        return float((distance < _STILL_PX).mean()) > _STILL_SHARE

    def result(self, confidence: float = 0.95) -> Focusing:
        """The focusing seen so far."""
        rows = np.concatenate(self._rows) if self._rows else np.empty(0)
        return focusing(rows, self.settings, self.centre_band_um, confidence)
