# SPDX-License-Identifier: Apache-2.0
"""The cameras of the vision module, and where their pictures go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...instruments.wire.link import Link
from ...process.calibrations import CalibrationBook
from ...process.errors import PhaseError
from ...vision.camera.calibration import CalibrationError, CameraCalibration, read_calibration
from ...vision.camera.lens import LensModel
from ...vision.camera.settings import VisionSettings
from ...vision.kernels.kernel import prepare as prepare_kernel
from ...vision.statistics.population import PopulationSummary
from ...vision.tracking.tracker import FrameTracks
from ..camera import Camera, Frame
from ..site import ChannelCamera, Site
from .codes import VisionCode

STAINED_DIAMETER_MIN_UM = 3.3
"""Smallest dead cell [um]: resting lymphocytes shrink to 5.8 um (spread 18 %) when they die, below the 5 um that tell
living cells from 4.5 um beads."""

OnTracks = Callable[[Frame, FrameTracks], None]
"""Shows one tracked frame."""

OnSummary = Callable[[str, float, PopulationSummary, int], None]
"""Shows what the cells seen so far say: sample label, stamp of the last frame [s], summary, frames lost."""


@dataclass(frozen=True)
class ChipDrawing:
    """What of the imaging chip a calibration may look for: marks (x, y) and walls (y), um in the chip's frame."""

    marks_um: tuple[tuple[float, float], ...]
    mark_diameter_um: float
    walls_um: tuple[float, float]


@dataclass
class VisionInstruments:
    """A microscope over the imaging channel and a strobed camera over a channel of the sorter."""

    camera: Camera
    settings: VisionSettings
    sorter_camera: Camera
    sorter_settings: VisionSettings
    centre_band_um: float
    on_tracks: OnTracks
    on_summary: OnSummary
    chip: ChipDrawing
    lens: LensModel | None = None
    calibration: CameraCalibration | None = None
    unreadable: str = ""
    """Why the calibration that was kept cannot be read; empty when it can, or when there is none."""
    calibration_file: Path | None = None
    calibrations: CalibrationBook = field(default_factory=lambda: CalibrationBook(None))
    prepare: Callable[[VisionSettings], object] = lambda settings: prepare_kernel()
    """Does what takes seconds, or a camera's queue, when it is done for the first time."""

    def keep(self, calibration: CameraCalibration) -> None:
        """Measure with this calibration from now on, and after a restart."""
        if self.calibration_file is not None:
            calibration.save(self.calibration_file)
        self.calibration, self.unreadable = calibration, ""

    def calibrated_settings(self, now_s: float) -> VisionSettings:
        """The microscope's settings as calibrated; the site file's as long as it was never calibrated here.

        Raises:
            PhaseError: the calibration has expired, does not fit, or cannot be read.
        """
        if self.unreadable:
            raise PhaseError(VisionCode.CALIBRATION, self.unreadable)
        if self.calibration is None:
            return self.settings
        try:
            made = self.calibration.require(now_s, self.camera.name)
        except CalibrationError as error:
            raise PhaseError(VisionCode.CALIBRATION, str(error)) from error
        return replace(self.settings, um_per_px=made.um_per_px, wall_top_px=made.wall_top_px,
                       wall_bottom_px=made.wall_bottom_px)

    async def connect(self) -> None:
        """Have the cameras off; raises InstrumentError when one is not there."""
        # The first use on a machine compiles for seconds: not while cells flow.
        self.prepare(self.settings)
        await self.camera.set_capture(False)
        await self.sorter_camera.set_capture(False)

    async def disconnect(self) -> None:
        """Nothing to close: the cameras are reached by topics."""

    async def telemetry(self) -> Mapping[str, tuple[float, str]]:
        """Return how many frames were lost, and by which calibration the microscope measures once it has one."""
        values = {
            "frames_dropped": (float(self.camera.dropped), "count"),
            "sorter_frames_dropped": (float(self.sorter_camera.dropped), "count"),
        }
        if (made := self.calibration) is not None:
            values |= {
                "um_per_px": (made.um_per_px, "um/px"),
                "calibration_residual_px": (made.residual_px, "px"),
                "calibration_focus": (made.focus, "1"),
                "calibration_light": (made.light, "1"),
                "calibration_expires_s": (made.calibrated_at_s + made.valid_for_s, "s"),
            }
        return values


def build(site: Site, links: Mapping[str, Link], extras: Mapping[str, Any]) -> VisionInstruments:
    """Make the module's instruments.

    `extras` must hold both cameras by name; it may hold `on_tracks`, `on_summary`, `microscope_lens` (LensModel),
    `calibration_file` (returns the path where the microscope's calibration is kept) and `prepare`.
    """
    file: Path | None = extras["calibration_file"]() if "calibration_file" in extras else None
    kept, unreadable = None, ""
    if file is not None and file.exists():
        try:
            kept = read_calibration(file)
        except CalibrationError as error:
            unreadable = str(error)  # told when somebody measures: a module that does not come up cannot calibrate
    return VisionInstruments(
        extras["microscope"],
        _settings(site.microscope, STAINED_DIAMETER_MIN_UM),
        extras["sorter_camera"],
        _settings(site.sorter_camera),
        site.sorter_camera.centre_band_um,
        extras.get("on_tracks", lambda frame, tracks: None),
        extras.get("on_summary", lambda sample_id, stamp_s, summary, dropped: None),
        _drawing(site.microscope),
        extras.get("microscope_lens"),
        kept,
        unreadable,
        file,
        extras.get("calibrations") or CalibrationBook(None),
        **({"prepare": extras["prepare"]} if "prepare" in extras else {}),
    )


def _drawing(camera: ChannelCamera) -> ChipDrawing:
    marks = camera.fiducials
    if marks is None:
        return ChipDrawing((), 0.0, (0.0, (camera.wall_bottom_px - camera.wall_top_px) * camera.um_per_px))
    return ChipDrawing(tuple(marks.places_um), marks.diameter_um, marks.walls_um)


def _settings(camera: ChannelCamera, stained_diameter_min_um: float = 0.0) -> VisionSettings:
    return VisionSettings(
        um_per_px=camera.um_per_px,
        wall_top_px=camera.wall_top_px,
        wall_bottom_px=camera.wall_bottom_px,
        channel_depth_um=camera.channel_depth_um,
        frame_rate_hz=camera.frame_rate_hz,
        stained_diameter_min_um=stained_diameter_min_um,
        width_px=camera.width_px,
        height_px=camera.height_px,
    )
