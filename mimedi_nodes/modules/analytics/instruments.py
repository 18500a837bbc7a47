# SPDX-License-Identifier: Apache-2.0
"""The instruments of the analytics: five analysers, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...instruments.afm import AtomicForceMicroscope
from ...instruments.cytometer import FlowCytometer
from ...instruments.droplet_reader import DropletReader
from ...instruments.plate_reader import PlateReader
from ...instruments.spr_reader import SprReader
from ...instruments.wire.link import Link
from ..site import Site


@dataclass
class AnalyticsInstruments:
    """Force microscope, SPR reader, plate reader, droplet reader, cytometer."""

    links: Mapping[str, Link]
    microscope: AtomicForceMicroscope
    spr: SprReader
    plates: PlateReader
    droplets: DropletReader
    cytometer: FlowCytometer

    async def connect(self) -> None:
        """Open the lines and identify every analyser."""
        for link in self.links.values():
            await link.open()
        for device in (self.microscope, self.spr, self.plates, self.droplets, self.cytometer):
            await device.identify()

    async def disconnect(self) -> None:
        """Close the lines."""
        for link in self.links.values():
            await link.close()

    async def telemetry(self) -> Mapping[str, tuple[float, str]]:
        """Tell which analysers measure."""
        devices = (
            ("afm", self.microscope), ("plate_reader", self.plates), ("droplet_reader", self.droplets),
            ("cytometer", self.cytometer),
        )  # fmt: skip
        return {f"{name}_measuring": (float(not await device.is_off()), "1") for name, device in devices}


def build(site: Site, links: Mapping[str, Link], extras: Mapping[str, Any]) -> AnalyticsInstruments:
    """Make the drivers from the site file."""
    return AnalyticsInstruments(
        links,
        AtomicForceMicroscope(links["afm"], "afm"),
        SprReader(links["spr_reader"], "spr_reader"),
        PlateReader(links["plate_reader"], "plate_reader"),
        DropletReader(links["droplet_reader"], "droplet_reader"),
        FlowCytometer(links["cytometer"], "cytometer"),
    )
