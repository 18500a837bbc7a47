# SPDX-License-Identifier: Apache-2.0
"""The instruments of the contamination watch, and what it remembers of the kit in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...instruments.link import Link
from ...instruments.photon_counter import PhotonCounter
from ..site import Site
from .assay import Background
from .organisms import Finding

LINE = "photon_counter"


@dataclass
class WatchInstruments:
    """The photon counter.

    `background` is the last calibration, `findings` the last screening of each batch. Both live in memory only: after a
    restart a screening takes the kit's certificate, which is less certain, and no organism can be hinted at.
    """

    link: Link
    counter: PhotonCounter
    background: Background | None = None
    findings: dict[str, Finding] = field(default_factory=dict)

    async def connect(self) -> None:
        """Open the line and identify the counter."""
        await self.link.open()
        await self.counter.identify()

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
    """Make the driver from the site file."""
    return WatchInstruments(links[LINE], PhotonCounter(links[LINE], LINE))
