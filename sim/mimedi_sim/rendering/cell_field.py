# SPDX-License-Identifier: Apache-2.0
"""Cells flowing through the imaging channel: where each one is at any time, the truth behind the images.

The sample is a Poisson field of uniform number density (so that the mean count in view is concentration × volume),
carried by the depth-averaged Poiseuille profile. Cell k of block b enters at a time, height, size and kind that are
pure functions of (seed, sample, b, k): any instant can be asked for in any order.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from mimedi_sim.models.fluidics import velocity_over_mean
from mimedi_sim.models.validation import require_not_negative, require_positive
from mimedi_sim.random_streams import RandomStream

FloatArray = npt.NDArray[np.float64]
_ENTRIES_PER_BLOCK = 96.0
_BLOCK_CAPACITY = 256
_BLOCKS_KEPT = 64
_PROFILE_POINTS = 257
DEAD_OVER_LIVE_DIAMETER = 2.9 / 3.65
"""Apoptotic over living diameter: PHYSICS §2's radii of dead and resting cells [calibration]."""
_DRAWN = ("entry", "height", "size", "kind", "dye", "keep")
"""Uniforms of each cell; those of a block lie in one stretch of one stream."""


@dataclass(frozen=True)
class ImagingChannel:
    """Geometry of the imaging channel in the picture; rows are pixel centres, (0, 0) the first pixel."""

    width_px: int = 512
    height_px: int = 128
    um_per_px: float = 0.65
    wall_top_px: float = 4.0
    wall_bottom_px: float = 123.0
    depth_um: float = 20.0

    def __post_init__(self) -> None:
        require_positive(width_px=self.width_px, height_px=self.height_px, um_per_px=self.um_per_px,
                         depth_um=self.depth_um)
        if not self.wall_top_px < self.wall_bottom_px:
            raise ValueError(f"wall_top_px {self.wall_top_px} must be above wall_bottom_px {self.wall_bottom_px}")

    @property
    def channel_width_um(self) -> float:
        """Distance between the walls in µm."""
        return (self.wall_bottom_px - self.wall_top_px) * self.um_per_px

    @property
    def view_volume_ml(self) -> float:
        """Volume between the walls that the picture shows, in mL."""
        return self.width_px * self.um_per_px * self.channel_width_um * self.depth_um * 1e-12


@dataclass(frozen=True)
class Population:
    """One kind of particle in a sample; diameter in µm (lognormal), concentration per mL."""

    name: str
    per_ml: float
    mean_diameter_um: float
    diameter_cv: float
    alive: bool

    def __post_init__(self) -> None:
        require_not_negative(per_ml=self.per_ml, diameter_cv=self.diameter_cv)
        require_positive(mean_diameter_um=self.mean_diameter_um)


def culture_populations(
    viable_per_ml: float, dead_per_ml: float, viable_diameter_um: float = 10.8, viable_cv: float = 0.15,
    dead_cv: float = 0.18, beads_per_ml: float = 0.0,
) -> tuple[Population, ...]:
    """Return the kinds of particles in a cell sample: live and dead cells, free beads.

    Sizes as PHYSICS §2: activated cells 10.8 µm (0.15), resting ones 7.3 µm (0.10); dead cells have shrunk to
    DEAD_OVER_LIVE_DIAMETER of the living.
    """
    return (
        Population("live", viable_per_ml, viable_diameter_um, viable_cv, True),
        Population("dead", dead_per_ml, DEAD_OVER_LIVE_DIAMETER * viable_diameter_um, dead_cv, False),
        Population("bead", beads_per_ml, 4.5, 0.02, True),
    )


class Cells(NamedTuple):
    """Cells in view at one instant, arrays of equal length: the ground truth of a frame.

    id int64; x, y px (pixel-centre convention); radius px; kind: index of the population; alive bool; speed
    px/s along x; dye: rank 0..1 of the cell's dye brightness within its kind.
    """

    id: npt.NDArray[np.int64]
    x_px: FloatArray
    y_px: FloatArray
    radius_px: FloatArray
    kind: npt.NDArray[np.int64]
    alive: npt.NDArray[np.bool_]
    speed_px_s: FloatArray
    dye: FloatArray

    def select(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Cells:
        """Return the chosen cells (mask or indices)."""
        return Cells(self.id[which], self.x_px[which], self.y_px[which], self.radius_px[which], self.kind[which],
                     self.alive[which], self.speed_px_s[which], self.dye[which])

    def occluded(self) -> npt.NDArray[np.bool_]:
        """Return which cells overlap another one in the picture, shape (N,)."""
        if len(self.id) < 2:
            return np.zeros(len(self.id), dtype=bool)
        distance = np.hypot(self.x_px[:, None] - self.x_px, self.y_px[:, None] - self.y_px)
        touching = distance < self.radius_px[:, None] + self.radius_px
        np.fill_diagonal(touching, False)
        return np.asarray(touching.any(axis=1))


@lru_cache(maxsize=16)
def _speed_over_mean(channel: ImagingChannel) -> FloatArray:
    """Return the speed averaged over the channel's depth over the mean speed, at the profile's heights."""
    c = channel
    top, bottom = c.wall_top_px, c.wall_bottom_px
    across = (np.linspace(top, bottom, _PROFILE_POINTS) - 0.5 * (top + bottom)) * c.um_per_px
    nodes, weights = np.polynomial.legendre.leggauss(12)
    shape = np.zeros_like(across)
    for node, weight in zip(nodes, weights, strict=True):
        z = np.full_like(across, 0.5 * c.depth_um * (1.0 + node))
        shape += 0.5 * weight * velocity_over_mean(across, z, c.channel_width_um, c.depth_um)
    return np.maximum(shape, 0.0)


class CellField:
    """The cells of one sample that flows at constant mean speed; see the module's text.

    Args: mean_speed_um_s is the flow rate over the cross-section, > 0. sample_id names the sample: another
    sample of the same culture shows other cells.
    """

    def __init__(
        self, seed: int, sample_id: str, populations: Sequence[Population],
        channel: ImagingChannel | None = None, mean_speed_um_s: float = 250.0,
    ) -> None:
        require_positive(mean_speed_um_s=mean_speed_um_s)
        self.channel = channel or ImagingChannel()
        self.populations = tuple(populations)
        self.mean_speed_um_s = mean_speed_um_s
        self._counts = RandomStream(seed, f"sample {sample_id}", "count")
        self._draws = RandomStream(seed, f"sample {sample_id}", "cells")
        per_ml = np.array([p.per_ml for p in self.populations])
        self.total_per_ml = float(per_ml.sum())
        self._kind_edges = np.cumsum(per_ml)[:-1] / self.total_per_ml if self.total_per_ml > 0.0 else per_ml[:0]
        diameters = np.array([p.mean_diameter_um for p in self.populations])
        cvs = np.array([p.diameter_cv for p in self.populations])
        self._sigma = np.sqrt(np.log1p(cvs**2))
        self._median_radius_px = 0.5 * diameters * np.exp(-0.5 * self._sigma**2) / self.channel.um_per_px
        self._alive = np.array([p.alive for p in self.populations], dtype=bool)
        largest = self._median_radius_px * np.exp(3.0 * self._sigma)
        self._margin_px = 2.0 * float(largest.max(initial=1.0))
        self._build_profile()
        self._blocks: OrderedDict[int, tuple[FloatArray, Cells]] = OrderedDict()

    # -- flow -------------------------------------------------------------------------------------------

    def _build_profile(self) -> None:
        """Tabulate speed (px/s) over height, its flux-weighted inverse distribution, and the arrival rate."""
        c = self.channel
        top, bottom = c.wall_top_px, c.wall_bottom_px
        self._heights = np.linspace(top, bottom, _PROFILE_POINTS)
        self._speeds = _speed_over_mean(c) * self.mean_speed_um_s / c.um_per_px
        steps = 0.5 * (self._speeds[1:] + self._speeds[:-1]) * (self._heights[1] - self._heights[0])
        self._flux_px2_s = float(steps.sum())
        self._cumulative = np.concatenate([[0.0], np.cumsum(steps)]) / self._flux_px2_s
        self._fastest_px_s = float(self._speeds.max())
        self._arrivals_per_s = self._arrival_rate_per_s()
        self._block_s = _ENTRIES_PER_BLOCK / self._arrivals_per_s if self._arrivals_per_s > 0.0 else math.inf
        smallest = float((self._median_radius_px * np.exp(-4.0 * self._sigma)).min(initial=math.inf))
        gap = min(smallest, 0.25 * (bottom - top))
        self._slowest_px_s = float(np.interp(top + gap, self._heights, self._speeds))

    def speed_px_s(self, y_px: FloatArray) -> FloatArray:
        """Return the speed along x in px/s of cells at rows y_px."""
        return np.interp(y_px, self._heights, self._speeds)

    # -- cells ------------------------------------------------------------------------------------------

    def _arrival_rate_per_s(self) -> float:
        """Return how many candidates enter the picture per second: as if every size moved at top speed."""
        c = self.channel
        return self.total_per_ml * c.view_volume_ml / c.width_px * self._fastest_px_s

    def _rows(
        self, kind: npt.NDArray[np.int64], radius_px: FloatArray, height: FloatArray, keep: FloatArray
    ) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Return (rows y in px, which candidates there are) of cells from two uniforms each, arrays (N,).

        A cell's centre keeps its radius off the walls: flux-weighted height inside its own band, and arrivals in
        proportion to that band's mean speed, so that every size has its concentration in view.
        """
        c = self.channel
        reach = np.minimum(radius_px, 0.49 * (c.wall_bottom_px - c.wall_top_px))
        low = np.interp(c.wall_top_px + reach, self._heights, self._cumulative)
        high = np.interp(c.wall_bottom_px - reach, self._heights, self._cumulative)
        band_px = c.wall_bottom_px - c.wall_top_px - 2.0 * reach
        band_speed = (high - low) * self._flux_px2_s / band_px
        y = np.interp(low + (high - low) * height, self._cumulative, self._heights)
        return y, keep * self._fastest_px_s < band_speed

    def _block(self, block: int) -> tuple[FloatArray, Cells]:
        """Return (entry times s, cells with x = entry point) of one block of arrivals."""
        found = self._blocks.get(block)
        if found is not None:
            return found
        # Blocks before the start of the recording are needed too: map … -1, 0, 1 … to 0, 1, 2 …
        unsigned = 2 * block if block >= 0 else -2 * block - 1
        count = min(self._counts.poisson(unsigned, _ENTRIES_PER_BLOCK), _BLOCK_CAPACITY)
        start, each = unsigned * _BLOCK_CAPACITY, len(_DRAWN)
        drawn = self._draws.uniforms(each * start, each * _BLOCK_CAPACITY).reshape(each, _BLOCK_CAPACITY)
        draw = dict(zip(_DRAWN, drawn[:, :count], strict=True))
        times = (block + draw["entry"]) * self._block_s
        kind = np.searchsorted(self._kind_edges, draw["kind"], side="right").astype(np.int64)
        radius = self._median_radius_px[kind] * np.exp(self._sigma[kind] * ndtri(draw["size"]))
        y, kept = self._rows(kind, radius, draw["height"], draw["keep"])
        ids = start + np.arange(count, dtype=np.int64)
        every = Cells(ids, np.full(count, -self._margin_px), y, radius, kind, self._alive[kind],
                      self.speed_px_s(y), draw["dye"])
        times, cells = times[kept], every.select(kept)
        self._blocks[block] = (times, cells)
        if len(self._blocks) > _BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return times, cells

    def at(self, time_s: float) -> Cells:
        """Return the cells in or just outside the picture at a time in s (any order of asking)."""
        if math.isinf(self._block_s):
            empty = np.empty(0)
            return Cells(np.empty(0, np.int64), empty, empty, empty, np.empty(0, np.int64), np.empty(0, bool),
                         empty, empty)
        length = self.channel.width_px + 2.0 * self._margin_px
        oldest = time_s - length / self._slowest_px_s
        first, last = math.floor(oldest / self._block_s), math.floor(time_s / self._block_s)
        parts = []
        for block in range(first, last + 1):
            times, cells = self._block(block)
            x = cells.x_px + cells.speed_px_s * (time_s - times)
            inside = np.flatnonzero((time_s >= times) & (x < self.channel.width_px + self._margin_px))
            parts.append(cells._replace(x_px=x).select(inside))
        join = np.concatenate
        return Cells(
            join([p.id for p in parts]), join([p.x_px for p in parts]), join([p.y_px for p in parts]),
            join([p.radius_px for p in parts]), join([p.kind for p in parts]), join([p.alive for p in parts]),
            join([p.speed_px_s for p in parts]), join([p.dye for p in parts]),
        )

    def truth_in_view(self, time_s: float) -> Cells:
        """Return the cells whose centre lies inside the picture at a time in s."""
        cells = self.at(time_s)
        inside = (cells.x_px >= -0.5) & (cells.x_px < self.channel.width_px - 0.5)
        return cells.select(inside)
