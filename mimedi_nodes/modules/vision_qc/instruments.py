# SPDX-License-Identifier: Apache-2.0
"""The camera of the vision module, and where its pictures go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...instruments.link import Link
from ...vision.kernel import prepare as prepare_kernel
from ...vision.population import PopulationSummary
from ...vision.settings import VisionSettings
from ...vision.tracker import FrameTracks
from ..camera import Camera, Frame
from ..site import Site

STAINED_DIAMETER_MIN_UM = 3.3
"""Smallest dead cell [um]: resting lymphocytes shrink to 5.8 um (spread 18 %) when they die, below the 5 um that tell
living cells from 4.5 um beads."""

OnTracks = Callable[[Frame, FrameTracks, float], None]
"""Shows one tracked frame: frame, tracks, latency [ms]."""

OnSummary = Callable[[str, float, PopulationSummary, int], None]
"""Shows what the cells seen so far say: sample label, stamp of the last frame [s], summary, frames lost."""


@dataclass
class VisionInstruments:
    """A camera over the imaging channel."""

    camera: Camera
    settings: VisionSettings
    on_tracks: OnTracks
    on_summary: OnSummary

    async def connect(self) -> None:
        """Have the camera off; raises InstrumentError when it is not there."""
        # The first use on a machine compiles for seconds: not while cells flow.
        prepare_kernel()
        await self.camera.set_capture(False)

    async def disconnect(self) -> None:
        """Nothing to close: the camera is reached by topics."""

    async def telemetry(self) -> Mapping[str, tuple[float, str]]:
        """Return how many frames were lost."""
        return {"frames_dropped": (float(self.camera.dropped), "count")}


def build(site: Site, links: Mapping[str, Link], extras: Mapping[str, Any]) -> VisionInstruments:
    """Make the module's instruments; `extras` must hold the camera, and may hold `on_tracks` and `on_summary`."""
    microscope = site.microscope
    settings = VisionSettings(
        um_per_px=microscope.um_per_px,
        wall_top_px=microscope.wall_top_px,
        wall_bottom_px=microscope.wall_bottom_px,
        channel_depth_um=microscope.channel_depth_um,
        frame_rate_hz=microscope.frame_rate_hz,
        stained_diameter_min_um=STAINED_DIAMETER_MIN_UM,
    )
    return VisionInstruments(
        extras["camera"],
        settings,
        extras.get("on_tracks", lambda frame, tracks, latency_ms: None),
        extras.get("on_summary", lambda sample_id, stamp_s, summary, dropped: None),
    )
