# SPDX-License-Identifier: Apache-2.0
"""The instruments of the contamination watch, and its memory of the kit in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...instruments.photon_counter import PhotonCounter
from ...instruments.wire.link import Link
from ..site import Site
from .assay import Background
from .memory import WatchMemory
from .organisms import Finding

LINE = "photon_counter"


@dataclass
class WatchInstruments:
    """The photon counter, and the memory of the last calibration and of the last screening of each batch."""

    link: Link
    counter: PhotonCounter
    memory: WatchMemory = field(default_factory=WatchMemory)

    @property
    def background(self) -> Background | None:
        """The last calibration; None while the kit in use has not been calibrated here."""
        return self.memory.background

    @property
    def findings(self) -> Mapping[str, Finding]:
        """The last screening of each batch."""
        return self.memory.findings

    def remember(self, batch_id: str, finding: Finding) -> None:
        """Keep the last screening of a batch."""
        self.memory.keep_finding(batch_id, finding)

    async def connect(self) -> None:
        """Open the line, identify the counter, read what was calibrated."""
        await self.link.open()
        await self.counter.identify()
        self.memory.load()

    async def disconnect(self) -> None:
        """Close the line."""
        await self.link.close()

    async def telemetry(self) -> Mapping[str, tuple[float, str]]:
        """Read the detector."""
        state = await self.counter.state()
        return {
            "detector_temperature_c": (state.temperature_c, "degC"),
            "detector_bias_v": (state.bias_v, "V"),
            "counting": (float(state.counting), "1"),
        }


def build(site: Site, links: Mapping[str, Link], extras: Mapping[str, Any]) -> WatchInstruments:
    """Make the driver from the site file; `watch_file` returns where the memory lies."""
    return WatchInstruments(links[LINE], PhotonCounter(links[LINE], LINE), WatchMemory(extras.get("watch_file")))
