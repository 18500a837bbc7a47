# SPDX-License-Identifier: Apache-2.0
"""The microscope over the imaging channel: which cells the sample in the imaging cell shows, frame by frame.

The channel is fed from the imaging cell while the camera captures; the diluent of the imaging cell lyses red
cells. Frames lie on the grid of the frame rate, so that a frame is the same whoever asks for it and when.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mimedi_nodes.modules.site import ChannelCamera
from mimedi_sim.models import species as kinds
from mimedi_sim.plant import syringe
from mimedi_sim.plant.camera_station import CameraFrame, CameraStation
from mimedi_sim.plant.ledger import INDEX, VOLUME, FloatArray
from mimedi_sim.rendering.cell_field import DEAD_OVER_LIVE_DIAMETER, CellField, Cells, Population

FEED_SPEED_UM_S = 9000.0
"""Mean speed in the imaging channel [calibration: 180 um, 0.54 of the view, between frames at 50 Hz. A cell is seen
once or twice, often enough to know the speed and which one it is; slower feeding shows the same cells again, so that
as many times more frames tell as much, and faster feeding leaves nothing to link]."""

_LOOKS = ("live", "live", "live", "live", "dead", "dead", "bead")


class ImagingStation(CameraStation):
    """The microscope over the imaging channel, and the cell field of the sample in it."""

    def __init__(self, seed: int, settings: ChannelCamera) -> None:
        super().__init__(seed, "microscope", settings, _LOOKS)
        self._field: CellField | None = None
        self._field_key: tuple[float, ...] = ()
        self._sample = 0

    def frame(self, time_s: float, content: FloatArray) -> CameraFrame:
        """Return the frame of the grid at time_s for what is in the imaging cell (amounts)."""
        return self.expose(time_s, self.field(content).at, lambda cells: stains(cells, content))

    def truth(self, time_s: float, content: FloatArray) -> Cells:
        """Return the cells in view at time_s."""
        return self.field(content).truth_in_view(time_s)

    def field(self, content: FloatArray) -> CellField:
        """Return the cell field of the sample in the imaging cell; another content is another sample."""
        key = tuple(content.tolist())
        if self._field is None or key != self._field_key:
            self._sample += self._field is not None
            self._field_key = key
            self._field = CellField(
                self._seed, f"imaging {self._sample}", populations(content), self.channel, FEED_SPEED_UM_S
            )
        return self._field


def populations(content: FloatArray) -> tuple[Population, ...]:
    """Return what the microscope sees in an account, in the order of the looks; no liquid, no cells."""
    millilitres = float(content[VOLUME]) * 1e-3

    def per_ml(*names: str) -> float:
        return sum(float(content[INDEX[name]]) for name in names) / millilitres if millilitres > 0.0 else 0.0

    carriers = per_ml("t_bead", "dead_bead")
    beads = round(per_ml("bead_bound") / carriers) if carriers > 0.0 else 1
    beaded = kinds.RESTING_LYMPHOCYTE.with_beads(min(max(beads, 1), 6))
    dead = _dead_cell(per_ml("t_free", "lymphocyte", "t_bead"), per_ml("t_act_neg", "t_act_pos"), per_ml("monocyte"))
    beaded_dead = dead.with_beads(min(max(beads, 1), 6))

    def population(name: str, density: float, kind: kinds.Species, alive: bool) -> Population:
        return Population(name, density, 2e6 * kind.mean_radius_m, kind.radius_cv, alive)

    return (
        population("resting", per_ml("t_free", "lymphocyte"), kinds.RESTING_LYMPHOCYTE, True),
        population("resting with beads", per_ml("t_bead"), beaded, True),
        population("activated", per_ml("t_act_neg", "t_act_pos"), kinds.ACTIVATED_T_CELL, True),
        population("monocyte", per_ml("monocyte"), kinds.MONOCYTE, True),
        population("dead", per_ml("dead"), dead, False),
        population("dead with beads", per_ml("dead_bead"), beaded_dead, False),
        population("bead", per_ml("bead_free"), kinds.BEAD, True),
    )


def stains(cells: Cells, content: FloatArray) -> npt.NDArray[np.int64]:
    """Return what each cell of a frame is to the two antibodies (camera_fluorescence), shape (N,)."""
    from mimedi_sim.rendering.fluorescence import stained_kinds  # seldom asked for

    def share(part: float, whole: float) -> float:
        return min(1.0, part / whole) if whole > 0.0 else 0.0

    def amount(name: str) -> float:
        return float(content[INDEX[name]])

    activated = amount("t_act_neg") + amount("t_act_pos")
    shown = amount("car_expressed") + syringe.seen_fraction(content) * activated
    shares = {
        0: (0.0, share(amount("lymphocyte"), amount("t_free") + amount("lymphocyte"))),
        2: (share(shown, activated), 0.0),
        3: (0.0, 1.0),
    }
    return stained_kinds(cells, shares, [look != "dead" for look in _LOOKS])


def _dead_cell(resting: float, activated: float, monocytes: float) -> kinds.Species:
    """Return the dead cells of a sample: shrunk from the size that its living cells have on average.

    Args: amounts of the living kinds, in any common unit; without any, resting lymphocytes have died.
    """
    living = ((resting, kinds.RESTING_LYMPHOCYTE), (activated, kinds.ACTIVATED_T_CELL), (monocytes, kinds.MONOCYTE))
    total = resting + activated + monocytes
    if total <= 0.0:
        return kinds.DEAD_CELL
    radius_m = sum(amount * kind.mean_radius_m for amount, kind in living) / total
    return replace(kinds.DEAD_CELL, mean_radius_m=DEAD_OVER_LIVE_DIAMETER * radius_m)
