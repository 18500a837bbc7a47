# SPDX-License-Identifier: Apache-2.0
"""The sorter's camera: where the cells flow in one of the chip's channels, just before its outlets.

Cells enter with the sample in the layers at both walls and are carried to the middle as PHYSICS §2 says,
tan(k y) = tan(k y0) exp(t/t*), each by its own size and contrast: the picture and the recovery of the same run come
from the same equation, one cell by cell, the other as an integral.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mimedi_nodes.modules.site import ChannelCamera
from mimedi_sim.models import species as kinds
from mimedi_sim.models.acoustics import lateral_positions_m
from mimedi_sim.models.beads import bead_count_distribution
from mimedi_sim.models.species import PBS_VISCOSITY_PA_S, Species
from mimedi_sim.plant.camera_station import CameraFrame, CameraStation
from mimedi_sim.plant.chip import ChannelStreams, Chip, ChipRun, poisson_mean_of_carriers
from mimedi_sim.plant.ledger import INDEX, VOLUME
from mimedi_sim.rendering.cell_field import CellField, Cells, FloatArray, ImagingChannel, Population

STROBE_S = 2e-7
"""Length of the flash [s; a pulsed laser diode: a cell at 60 mm/s moves 0.02 px]."""
BEAD_CLASSES = 8
"""Cells with more beads than this look and move like the last class (under 1 % of them)."""

_LOOKS = ("live", "live", "live", "dead", "live", "bead", *("live",) * BEAD_CLASSES, *("dead",) * BEAD_CLASSES)


class SorterStation(CameraStation):
    """Camera over one channel of the chip."""

    def __init__(self, seed: int, settings: ChannelCamera, chip: Chip) -> None:
        super().__init__(seed, "sorter_camera", settings, _LOOKS)
        self.chip = chip
        self._run: ChipRun | None = None
        self._stopped_s = math.inf
        self._field: SorterField | None = None
        self._field_key: tuple[float, ...] = ()

    def adopt(self, time_s: float, run: ChipRun | None) -> None:
        """Take what flows from time_s on; None when nothing does: what is in the channel then stands still."""
        if run is not None:
            self._run, self._stopped_s = run, math.inf
        else:
            self._stopped_s = min(self._stopped_s, time_s)

    def frame(self, time_s: float) -> CameraFrame:
        """Return the frame of the grid at time_s."""
        return self.expose(time_s, self.cells)

    def cells(self, time_s: float) -> Cells:
        """Return the cells in or just outside the picture at time_s."""
        field = self.field(time_s)
        if field is None:
            return _NO_CELLS
        self.camera.set_motion_blur(field.mean_speed_um_s if time_s <= self._stopped_s else 0.0, STROBE_S)
        return field.at(min(time_s, self._stopped_s))

    def field(self, time_s: float) -> SorterField | None:
        """Return the cells of the present run; None while the channel never carried a sample."""
        run = self._run
        if run is None or run.sample_ul_s <= 0.0 or run.sample[VOLUME] <= 0.0:
            return None
        streams = self.chip.streams(
            run.sample, run.sample_ul_s, run.buffer_ul_s, min(time_s, self._stopped_s)
        )
        per_ml = run.sample / (float(run.sample[VOLUME]) * 1e-3)
        # From the rounded working point: the field is the same whoever came to it first.
        key = (
            round(streams.energy_j_m3, 2), round(streams.channel_ul_s, 4), round(streams.sample_ul_s, 4),
            round(streams.residence_s, 4), round(streams.mobility_factor, 3),
            *(float(f"{value:.3g}") for value in per_ml),
        )
        if self._field is None or key != self._field_key:
            self._field_key = key
            self._field = SorterField(self._seed, populations(per_ml), self.channel, streams)
        return self._field


class SorterField(CellField):
    """Cells that the sound moves across the channel while the liquid carries them."""

    def __init__(
        self, seed: int, particles: tuple[tuple[Population, Species], ...], channel: ImagingChannel,
        streams: ChannelStreams,
    ) -> None:
        self._streams = streams
        self._contrast = np.array([species.contrast() for _, species in particles])
        section_mm2 = streams.geometry.width_m * streams.geometry.height_m * 1e6
        super().__init__(
            seed, "sorter", [population for population, _ in particles], channel,
            mean_speed_um_s=streams.channel_ul_s / section_mm2 * 1e3,
        )

    def _arrival_rate_per_s(self) -> float:
        return self.total_per_ml * self._streams.sample_ul_s * 1e-3

    def _rows(
        self, kind: npt.NDArray[np.int64], radius_px: FloatArray, height: FloatArray, keep: FloatArray
    ) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Both halves of the channel alike: the first half of the uniform is the upper sample layer."""
        streams, chip = self._streams, self._streams.geometry
        upper = height < 0.5
        share = 2.0 * np.where(upper, height, height - 0.5)
        start_m = chip.lamella_start_m + share * (chip.lamella_end_m - chip.lamella_start_m)
        radius_m = radius_px * self.channel.um_per_px * 1e-6
        k = math.pi / chip.width_m
        exponent = (
            4.0 * self._contrast[kind] * streams.mobility_factor * (k * radius_m) ** 2
            * streams.energy_j_m3 * streams.residence_s / (3.0 * PBS_VISCOSITY_PA_S)
        )
        from_wall_px = lateral_positions_m(start_m, exponent, chip.width_m) * 1e6 / self.channel.um_per_px
        y = np.where(upper, self.channel.wall_top_px + from_wall_px, self.channel.wall_bottom_px - from_wall_px)
        return y, np.ones(len(y), dtype=bool)


def populations(per_ml: FloatArray) -> tuple[tuple[Population, Species], ...]:
    """Return what the camera sees of a sample (amounts per mL), in the order of the looks, as population and species.

    Cells with beads come in classes of 1, 2 … BEAD_CLASSES beads: each has a speed of its own in the sound.
    """

    def amount(*names: str) -> float:
        return float(sum(per_ml[INDEX[name]] for name in names))

    carriers = amount("t_bead", "dead_bead")
    mean_beads = poisson_mean_of_carriers(amount("bead_bound") / carriers) if carriers > 0.0 else 0.0
    shares = list(bead_count_distribution(mean_beads, 1.0)[1:]) if carriers > 0.0 else [0.0] * BEAD_CLASSES
    shares = [*shares[: BEAD_CLASSES - 1], sum(shares[BEAD_CLASSES - 1 :])]
    resting, dead = kinds.RESTING_LYMPHOCYTE, kinds.DEAD_CELL
    plain = (
        (amount("t_free", "lymphocyte"), resting, True),
        (amount("t_act_neg", "t_act_pos"), kinds.ACTIVATED_T_CELL, True),
        (amount("monocyte"), kinds.MONOCYTE, True),
        (amount("dead"), dead, False),
        (amount("rbc"), kinds.RED_BLOOD_CELL, True),
        (amount("bead_free"), kinds.BEAD, True),
    )
    beaded = [
        (amount(name) * share, cell.with_beads(count), alive)
        for name, cell, alive in (("t_bead", resting, True), ("dead_bead", dead, False))
        for count, share in enumerate(shares, start=1)
    ]
    return tuple(
        (Population(species.name, number, 2e6 * species.mean_radius_m, species.radius_cv, alive), species)
        for number, species, alive in (*plain, *beaded)
    )


_NONE = np.empty(0)
_NO_CELLS = Cells(
    np.empty(0, np.int64), _NONE, _NONE, _NONE, np.empty(0, np.int64), np.empty(0, bool), _NONE, _NONE
)
