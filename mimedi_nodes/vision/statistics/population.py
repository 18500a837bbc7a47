# SPDX-License-Identifier: Apache-2.0
"""What the tracked cells say about the sample: numbers with intervals that know how many cells were seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from mimedi_nodes.vision.camera.frame import FrameTracks
from mimedi_nodes.vision.camera.settings import VisionInputError, VisionSettings
from mimedi_nodes.vision.detection.viability import dye_threshold
from mimedi_nodes.vision.statistics.classes import class_share, classify
from mimedi_nodes.vision.statistics.coincidence import PairCounter
from mimedi_nodes.vision.statistics.intervals import (
    Interval,
    concentration_interval,
    doublet_interval,
    mean_interval,
    wilson_interval,
)
from mimedi_nodes.vision.tracking.tracker import CONFIRMED_FRAMES

_HISTOGRAM_BIN_UM = 0.5
# Two cells that go along together, no farther apart than their mean diameter and a little, are a doublet.
_DOUBLET_REACH = 1.15
_DOUBLET_SHARE = 0.6
_DOUBLET_FRAMES = 3
# Cells that hide each other or are cut off are misread now and then: of the variance of a fraction over rendered
# samples a tenth is not that of the sample.
_MISREAD = 0.1
# Below this share of cells, whatever is not stained is more likely a bead.
_MOSTLY_BEADS = 0.5


@dataclass(frozen=True)
class PopulationSummary:
    """Result of one inspection. Intervals hold the true value with probability `confidence`."""

    confidence: float
    frames_used: int
    frames_dropped: int
    cells_counted: int                      # distinct cells
    cells_per_frame: float                  # mean number with the centre inside the measured field
    concentration_per_ml: float             # cells / mL in the channel
    concentration_low_per_ml: float
    concentration_high_per_ml: float
    cells_with_dye: int                     # distinct cells whose dye was measured
    cells_dead: int
    viability: float                        # fraction, 0..1; NaN without a dye image
    viability_low: float
    viability_high: float
    diameter_mean_um: float
    diameter_sd_um: float
    diameter_edges_um: NDArray[np.float64]  # (N + 1,)
    diameter_counts: NDArray[np.int64]      # (N,)
    velocity_mean_mm_s: float               # mean over the cells
    flow_rate_ul_min: float                 # µL/min, profile's mean speed x channel section; NaN without flow
    doublet_fraction: float                 # share of cells that travel stuck to another, 0..1
    class_counts: tuple[int, int, int]      # none, 1, 2
    diameter_mean: Interval                 # µm
    doublets: Interval                      # the doublet fraction
    class_shares: tuple[Interval, Interval, Interval]
    transgene: Interval                     # viable cells of class 1 over those that are not of class 2; NaN unlit
    other: Interval                         # viable cells of class 2 over all viable cells; NaN unlit


@dataclass(slots=True)
class _Cell:
    first: int
    hits: int = 0
    last: int = 0
    diameter_um: float = math.nan
    dye: float = math.nan
    cell_class: int = 0
    lights: tuple[float, float] = (math.nan, math.nan)
    speed_px_s: float = 0.0
    confirmed: bool = False

    @property
    def stay(self) -> int:
        """Frames from the first to the last in which it was seen: where it was lost for good does not count."""
        return self.last - self.first + 1


class PopulationEstimator:
    """Adds up the frames of one inspection.

    The concentration is the mean number of cells in view over the volume in view. Its interval rests on the number
    of cells that would have told as much had every frame shown other ones: from the speed of each cell it is known
    how often the view shows it again. Frames from before the flow was known are left out (counted as dropped).

    Args:
        settings: geometry of the field.
        confidence: probability of the intervals, in (0, 1).
        margin_um: strip at both ends of the field that is not counted, because cells there are cut off, µm.
    """

    def __init__(self, settings: VisionSettings, confidence: float = 0.95, margin_um: float = 10.0) -> None:
        if not 0.0 < confidence < 1.0:
            raise VisionInputError("confidence", confidence, "0 < confidence < 1")
        self.settings = settings
        self.confidence = confidence
        self._margin_px = margin_um / settings.um_per_px
        self._cells: dict[int, _Cell] = {}
        self._pairs: dict[tuple[int, int], int] = {}
        self._used = 0
        self._dropped = 0
        self._volume_ml = 0.0
        self._flow_known = False
        self._flow_speed = math.nan
        self._dye_noise: list[float] = []
        self._stamp: float | None = None
        self._begun_s = math.nan
        self._near = PairCounter()
        self._field_px = 0.0

    def add(self, frame: FrameTracks) -> None:
        """Take in one frame; frames that could not be measured are counted as dropped."""
        if self._stamp is not None:
            gap = (frame.stamp_s - self._stamp) * self.settings.frame_rate_hz
            self._dropped += max(0, round(gap) - 1)
        self._stamp = frame.stamp_s
        if not frame.usable:
            self._dropped += 1
            return
        left, right = self._margin_px, frame.width_px - 1 - self._margin_px
        if right <= left:
            raise VisionInputError("margin_um", self._margin_px * self.settings.um_per_px,
                                   f"less than half the image width ({frame.width_px} px)")
        self._used += 1
        if self._used == 1:
            self._begun_s = frame.stamp_s
        self._field_px = right - left
        px = self.settings.um_per_px
        # µm³ to mL: 1e-12.
        self._volume_ml = (right - left) * px * self.settings.channel_width_um * self.settings.channel_depth_um * 1e-12
        if frame.flow_known and not self._flow_known:
            # Cells of the frames before could not be linked: what is linked from now on would count them twice.
            self._flow_known = True
            self._dropped += self._used - 1
            self._used = 1
            self._begun_s = frame.stamp_s
            self._cells.clear()
            self._pairs.clear()
            self._near.clear()
        if math.isfinite(frame.flow_speed_px_s):
            self._flow_speed = frame.flow_speed_px_s
        if math.isfinite(frame.dye_noise):
            self._dye_noise.append(frame.dye_noise)
        inside: list[tuple[int, float, float, float]] = []
        for seen in frame.tracks:
            if not (seen.measured and left <= seen.x_px <= right):
                continue
            cell = self._cells.get(seen.track_id)
            if cell is None:
                cell = self._cells[seen.track_id] = _Cell(self._used)
            cell.hits += 1
            cell.last = self._used
            cell.confirmed |= seen.confirmed
            cell.diameter_um, cell.dye, cell.cell_class = seen.diameter_um, seen.dye_intensity, seen.cell_class
            cell.lights = seen.lights
            cell.speed_px_s = math.hypot(seen.vx_px_s, seen.vy_px_s)
            inside.append((seen.track_id, seen.x_px, seen.y_px, seen.diameter_um))
        self._look_for_pairs(inside)

    def _look_for_pairs(self, inside: list[tuple[int, float, float, float]]) -> None:
        if not inside:
            return
        table = np.array(inside)
        distance = np.hypot(table[:, None, 1] - table[None, :, 1], table[:, None, 2] - table[None, :, 2])
        self._near.add(distance)
        typical = np.nanmedian(table[:, 3]) if np.isfinite(table[:, 3]).any() else math.nan
        if not math.isfinite(typical):
            return
        diameter = np.where(np.isfinite(table[:, 3]), table[:, 3], typical) / self.settings.um_per_px
        touching = distance < _DOUBLET_REACH * 0.5 * (diameter[:, None] + diameter[None, :])
        for i, j in zip(*np.nonzero(np.triu(touching, 1)), strict=True):
            key = (int(table[i, 0]), int(table[j, 0]))
            self._pairs[key] = self._pairs.get(key, 0) + 1

    def _counted(self) -> dict[int, _Cell]:
        """Tracks that are cells: confirmed, or too young at the end of the recording to have been confirmed.

        Without a known flow nothing can be linked, frames are independent, and every detection is a cell.
        """
        if not self._flow_known:
            return self._cells
        return {key: cell for key, cell in self._cells.items()
                if cell.confirmed or (cell.last == self._used and cell.hits == cell.stay and cell.stay <= 2
                                      and self._used >= CONFIRMED_FRAMES)}

    @property
    def cells_counted(self) -> int:
        """Distinct cells so far; cheaper than the whole summary."""
        return len(self._without_specks(list(self._counted().values()), self.settings.dye_dead_level))

    def _without_specks(self, found: list[_Cell], stained: float) -> list[_Cell]:
        """The cells: not smaller than one, or stained. Of those whose size is not known (never seen alone) some are
        cells too: beside many free beads, most are beads."""
        least, share = self.settings.cell_diameter_min_um, self._cell_share(found, stained)
        cells, unknown = [], 0.0
        for cell in found:
            if math.isnan(cell.diameter_um) and not cell.dye > stained:
                before, unknown = math.floor(unknown + 1e-9), unknown + share
                if math.floor(unknown + 1e-9) == before:
                    continue
            elif cell.diameter_um < least and not cell.dye > stained:
                continue
            cells.append(cell)
        return cells

    def _cell_share(self, found: list[_Cell], stained: float) -> float:
        """Of what is unstained and of unknown size, the share that are cells; 1 where no size is known.

        Its size is unknown because others are in its way: the odds of that grow with the square of how near their
        centres may come, (d + mean d)^2.
        """
        sizes = np.array([cell.diameter_um for cell in found
                          if not (math.isnan(cell.diameter_um) or cell.dye > stained)])
        if not len(sizes):
            return 1.0
        hidden = (sizes + sizes.mean()) ** 2
        return float(hidden[sizes >= self.settings.cell_diameter_min_um].sum() / hidden.sum())

    def _cells_and_dye_limit(self) -> tuple[list[_Cell], float]:
        """The cells among what was counted, and the dye signal above which they are dead: specks and beads are out."""
        found = list(self._counted().values())
        dye = np.array([cell.dye for cell in found if math.isfinite(cell.dye)])
        if not len(dye):
            return found, math.inf
        limit = dye_threshold(dye, float(np.median(self._dye_noise)), self.settings.dye_dead_level)
        return self._without_specks(found, limit), limit

    def _steps(self, cells: list[_Cell]) -> NDArray[np.float64] | None:
        """Way of each cell from frame to frame over the length of the field, (N,); None when nothing is linked."""
        if not self._flow_known or self._used < 2 or self._stamp is None:
            return None
        period_s = (self._stamp - self._begun_s) / (self._used - 1)
        return np.array([cell.speed_px_s for cell in cells]) * period_s / self._field_px

    def summary(self) -> PopulationSummary:
        """The result so far; may be asked for at any time."""
        cells, limit = self._cells_and_dye_limit()
        counts = np.array([cell.stay for cell in cells], float)
        steps = self._steps(cells)
        concentration = concentration_interval(
            counts, self._used, self._volume_ml, self.confidence,
            None if steps is None else repeated_sightings(steps, self._used))
        diameter = np.array([cell.diameter_um for cell in cells if math.isfinite(cell.diameter_um)])
        concentration = self._with_hidden_cells(concentration, cells)
        told = [cell for cell in cells if math.isfinite(cell.dye)]
        if self._cell_share(list(self._counted().values()), limit) < _MOSTLY_BEADS:
            # Beads hide the large living cells more often than the small dead ones: size and stain of the same cells.
            told = [cell for cell in told if math.isfinite(cell.diameter_um)]
        dye = np.array([cell.dye for cell in told])
        dead = int((dye > limit).sum())
        if len(dye):
            viability = wilson_interval(len(dye) - dead, len(dye), self.confidence,
                                        self._distinct_share(counts, steps) / (1.0 + _MISREAD))
        else:
            viability = Interval(math.nan, math.nan, math.nan)
        top = self.settings.cell_diameter_max_um
        edges = np.arange(0.0, top + _HISTOGRAM_BIN_UM, _HISTOGRAM_BIN_UM)
        histogram = np.histogram(np.minimum(diameter, edges[-1]), edges)[0].astype(np.int64)
        speed = np.array([cell.speed_px_s for cell in cells if cell.hits >= 2])
        px_mm = self.settings.um_per_px * 1e-3
        section_mm2 = self.settings.channel_width_um * self.settings.channel_depth_um * 1e-6
        classes = np.bincount([cell.cell_class for cell in cells], minlength=3)
        distinct = self._distinct_share(counts, steps) / (1.0 + _MISREAD) if cells else 1.0
        shares = [wilson_interval(int(count), len(cells), self.confidence, distinct) for count in classes]
        doublets = doublet_interval(*self._doublets(), self.confidence, distinct)
        return PopulationSummary(
            confidence=self.confidence, frames_used=self._used, frames_dropped=self._dropped,
            cells_counted=len(cells), cells_per_frame=float(counts.sum() / self._used) if self._used else math.nan,
            concentration_per_ml=concentration.value, concentration_low_per_ml=concentration.low,
            concentration_high_per_ml=concentration.high, cells_with_dye=len(dye), cells_dead=dead,
            viability=viability.value, viability_low=viability.low, viability_high=viability.high,
            diameter_mean_um=float(diameter.mean()) if len(diameter) else math.nan,
            diameter_sd_um=float(diameter.std(ddof=1)) if len(diameter) > 1 else math.nan,
            diameter_edges_um=edges, diameter_counts=histogram,
            velocity_mean_mm_s=float(speed.mean()) * px_mm if len(speed) and self._flow_known else math.nan,
            # mm/s x mm² = µL/s.
            flow_rate_ul_min=abs(self._flow_speed) * px_mm * section_mm2 * 60.0,
            doublet_fraction=doublets.value, class_counts=(int(classes[0]), int(classes[1]), int(classes[2])),
            diameter_mean=mean_interval(diameter, self.confidence, distinct), doublets=doublets,
            class_shares=(shares[0], shares[1], shares[2]),
            **self._viable_classes(cells, limit, distinct))

    def _viable_classes(self, cells: list[_Cell], dye_limit: float, distinct: float) -> dict[str, Interval]:
        """Of the cells whose dye tells that they live: class 1 among those without class 2, and class 2 among all."""
        lights = np.array([cell.lights for cell in cells if cell.dye <= dye_limit]).reshape(-1, 2)
        kinds = classify(lights[np.isfinite(lights).all(axis=1)], self.settings.fluorescence_lit_level)
        none, first, second = np.bincount(kinds, minlength=3).tolist()
        hidden = self._hidden(cells)
        return {"transgene": class_share(first, none + first, self.confidence, distinct, hidden),
                "other": class_share(second, none + first + second, self.confidence, distinct, hidden)}

    def _hidden(self, cells: list[_Cell]) -> tuple[float, float]:
        """Cells that others hid, per cell counted, and the standard deviation of that."""
        diameter_um = np.array([cell.diameter_um for cell in cells if math.isfinite(cell.diameter_um)])
        if not len(diameter_um):
            return 0.0, 0.0
        stays = sum(cell.stay for cell in cells)
        mean_px = float(diameter_um.mean()) / self.settings.um_per_px
        across_px = self.settings.wall_bottom_px - self.settings.wall_top_px - mean_px
        return self._near.missing(mean_px, self._field_px, max(across_px, 1.0), stays / len(cells),
                                  stays - sum(cell.hits for cell in cells))

    def _with_hidden_cells(self, seen: Interval, cells: list[_Cell]) -> Interval:
        """The concentration with the cells that others hid, and with what is uncertain about their number."""
        lost, deviation = self._hidden(cells)
        more = 1.0 + lost
        apart = NormalDist().inv_cdf(0.5 + self.confidence / 2.0) * deviation * seen.value
        return Interval(seen.value * more, seen.value * more - math.hypot((seen.value - seen.low) * more, apart),
                        seen.value * more + math.hypot((seen.high - seen.value) * more, apart))

    def _distinct_share(self, counts: NDArray[np.float64], steps: NDArray[np.float64] | None) -> float:
        """Cells that the flow can have carried through the field over tracks, at most 1: less when tracks broke."""
        if steps is None:
            return 1.0
        carried = counts * (1.0 + np.minimum(np.abs(steps), 1.0) * (self._used - 1)) / self._used
        return min(1.0, float(carried.sum()) / len(counts))

    def _doublets(self) -> tuple[int, int]:
        """Cells that travel stuck to another, and all cells counted."""
        counted = self._counted()
        stuck: set[int] = set()
        for (first, second), frames in self._pairs.items():
            if first not in counted or second not in counted:
                continue
            common = min(counted[first].stay, counted[second].stay)
            if frames >= _DOUBLET_FRAMES and frames >= _DOUBLET_SHARE * common:
                stuck |= {first, second}
        return len(stuck), len(counted)


def repeated_sightings(step: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """In how many of `frames` a cell is expected that is in view in one of them, itself included.

    A cell anywhere in view is still (or already) in view k frames on (or back) with probability 1 - k step; there
    are frames - k such pairs of frames in either direction.

    Args:
        step: way from frame to frame over the length of the view, >= 0, (N,).
        frames: length of the run, >= 1.
    """
    slowest = np.maximum(np.abs(step), 1e-9)
    last = np.minimum(np.floor(1.0 / slowest), frames - 1)
    # Sums over k = 1 .. last of (1 - k / frames)(1 - k step).
    first_power = last * (last + 1.0) / 2.0
    second_power = first_power * (2.0 * last + 1.0) / 3.0
    both = last - first_power * (slowest + 1.0 / frames) + second_power * slowest / frames
    return np.asarray(1.0 + 2.0 * both)
