# SPDX-License-Identifier: Apache-2.0
"""A camera of the plant: exposures on the grid of its frame rate, whoever asks for them and when."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mimedi_nodes.modules.site import ChannelCamera
from mimedi_sim.plant.fault_effects import CameraFaults
from mimedi_sim.random_streams import stream
from mimedi_sim.rendering.camera import ChipMarks, MicroscopeCamera
from mimedi_sim.rendering.cell_field import Cells, ImagingChannel

if TYPE_CHECKING:
    from mimedi_sim.rendering.fluorescence import FluorescenceImages

Image = npt.NDArray[np.uint8]

_DARK_SHARE = 0.02  # stray light of the room, of the lamp's


@dataclass(frozen=True)
class CameraFrame:
    """One exposure: process time [s], its channels (height, width) uint8, index on the frame grid.

    fluorescence: both colours while their lamps are on, otherwise None.
    """

    stamp_s: float
    bright_field: Image
    dye: Image
    index: int
    fluorescence: tuple[Image, Image] | None = None


class FrameGrid:
    """What every camera of the plant has: exposures on the grid of its frame rate, and the faults of its cable."""

    def __init__(self, seed: int, name: str, frame_rate_hz: float) -> None:
        self.name = name
        self._frame_rate_hz = frame_rate_hz
        self.capturing = False
        self.fluorescing = False
        """Whether the lamps of the two colours are on: without them nothing is rendered and sent."""
        self._next_index = 0
        self._faults = CameraFaults()
        self._frozen: CameraFrame | None = None
        self._losses, self._flicker = stream(seed, name, "lost frames"), stream(seed, name, "flicker")

    def set_capture(self, on: bool, now_s: float) -> None:
        """Start or stop capturing; the first frame is the first of the grid after now_s."""
        if on and not self.capturing:
            self._next_index = math.floor(now_s * self._frame_rate_hz + 1e-6) + 1
        self.capturing = on

    def set_faults(self, faults: CameraFaults, now_s: float) -> None:
        """Behave as the faults say from now_s on."""
        if faults == self._faults:
            return
        if not faults.frozen:
            self._frozen = None  # the next exposure after a freeze is the one that stays
        self._faults = faults
        first = math.floor(now_s * self._frame_rate_hz + 1e-6) + 1
        self._next_index = max(self._next_index, first)

    def next_frame_s(self) -> float:
        """Return when the next exposure that arrives is due; inf while the camera does not capture or sends nothing."""
        share = self._faults.lost_share
        if not self.capturing or share >= 1.0:
            return math.inf
        while share > 0.0 and self._losses.uniform(self._next_index) < share:  # lost or not: a function of the index
            self._next_index += 1
        return self._next_index / self._frame_rate_hz

    def _stamp(self, time_s: float) -> tuple[int, float]:
        """Return index and exact stamp of the exposure at time_s; the next one is a later one."""
        index = round(time_s * self._frame_rate_hz)
        self._next_index = max(self._next_index, index + 1)
        return index, index / self._frame_rate_hz


class CameraStation(FrameGrid):
    """One camera over one channel; it renders nothing while nobody captures.

    Args: name seeds the camera's own patterns and noise. looks: appearance by the index of the population.
    """

    def __init__(self, seed: int, name: str, settings: ChannelCamera, looks: Sequence[str]) -> None:
        super().__init__(seed, name, settings.frame_rate_hz)
        self.settings = settings
        self.channel = ImagingChannel(
            settings.width_px, settings.height_px, settings.um_per_px, settings.wall_top_px, settings.wall_bottom_px,
            settings.channel_depth_um,
        )
        self._seed, self._looks = seed, tuple(looks)
        self._camera: MicroscopeCamera | None = None

    @property
    def camera(self) -> MicroscopeCamera:
        """The camera itself, made when it is first needed."""
        if self._camera is None:
            s = self.settings
            self._camera = MicroscopeCamera(
                self._seed, s.width_px, s.height_px, s.um_per_px, channel=self.channel, kinds=self._looks,
                name=self.name, marks=_marks(s),
            )
        return self._camera

    @cached_property
    def _fluorescence(self) -> FluorescenceImages:
        from mimedi_sim.rendering.fluorescence import FluorescenceImages  # seldom asked for

        return FluorescenceImages(self.camera)

    def expose(
        self, time_s: float, cells_at: Callable[[float], Cells],
        stains_of: Callable[[Cells], npt.NDArray[np.int64]] | None = None,
    ) -> CameraFrame:
        """Return the frame of the grid at time_s; cells_at gives the cells at its exact stamp.

        stains_of: what each cell is to the two antibodies (camera_fluorescence); without it there are no colours.
        """
        index, stamp_s = self._stamp(time_s)
        faults = self._faults
        if faults.frozen and self._frozen is not None:
            return replace(self._frozen, stamp_s=stamp_s, index=index)
        if self.camera.optics.defocus_um != faults.defocus_um:
            self.camera.set_focus(faults.defocus_um)
        cells = cells_at(stamp_s)
        bright, dye = self.camera.render(index, cells)
        colours = None
        if self.fluorescing and stains_of is not None:
            colours = self._fluorescence.render(index, cells, stains_of(cells))
        frame = CameraFrame(stamp_s, self._lit(index, bright), dye, index, colours)
        self._frozen = frame if faults.frozen else None
        return frame

    def _lit(self, index: int, bright: Image) -> Image:
        """Return the bright field under the light that there is; the dye is excited by another lamp."""
        if self._faults.dark:
            return np.asarray(bright * _DARK_SHARE, dtype=np.uint8)
        if self._faults.flicker > 0.0:
            light = max(0.0, self._flicker.normal(index, 1.0, self._faults.flicker))
            return np.asarray(np.clip(np.rint(bright * light), 0.0, 255.0), dtype=np.uint8)
        return bright


def _marks(settings: ChannelCamera) -> ChipMarks | None:
    """Return where the chip's marks are in the picture: its first column is x = 0, its walls are where they are."""
    chip = settings.fiducials
    if chip is None:
        return None
    scale = settings.um_per_px
    top_um = chip.walls_um[0] - settings.wall_top_px * scale
    return ChipMarks([(x / scale, (y - top_um) / scale) for x, y in chip.places_um], chip.diameter_um / scale)
