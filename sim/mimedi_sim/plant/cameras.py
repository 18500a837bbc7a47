# SPDX-License-Identifier: Apache-2.0
"""The plant's cameras: the microscope, the one over a channel of the sorter, the one on the gantry's carriage."""

from __future__ import annotations

from collections.abc import Mapping

from mimedi_nodes.modules.site import Site
from mimedi_sim.plant.camera_station import CameraFrame, FrameGrid
from mimedi_sim.plant.chip import Chip
from mimedi_sim.plant.imaging import ImagingStation
from mimedi_sim.plant.label_camera import LabelStation
from mimedi_sim.plant.ledger import FloatArray
from mimedi_sim.plant.sorter_view import SorterStation
from mimedi_sim.plant.stations import Stations


class Cameras:
    """All cameras of a site, each with its own grid of exposures; `by_name` has them by the name of their topics."""

    def __init__(self, site: Site, seed: int, chip: Chip, stations: Stations) -> None:
        self.microscope = ImagingStation(seed, site.microscope)
        self.sorter = SorterStation(seed, site.sorter_camera, chip)
        self.labels = LabelStation(stations, seed, site.label_camera)
        cameras: tuple[FrameGrid, ...] = (self.microscope, self.sorter, self.labels)
        self.by_name: Mapping[str, FrameGrid] = {camera.name: camera for camera in cameras}

    def next_frame_s(self, camera: str | None = None) -> float:
        """Return when the next exposure is due [s], of one camera or of any; inf while none captures."""
        if camera is not None:
            return self.by_name[camera].next_frame_s()
        return min(station.next_frame_s() for station in self.by_name.values())

    def frame(self, camera: str, time_s: float, sample: FloatArray) -> CameraFrame:
        """Return a camera's exposure of the frame grid at time_s; `sample` (amounts) is in the imaging cell.

        Raises: KeyError on an unknown camera.
        """
        station = self.by_name[camera]
        if station is self.microscope:
            return self.microscope.frame(time_s, sample)
        if station is self.labels:
            return self.labels.frame(time_s)
        return self.sorter.frame(time_s)
