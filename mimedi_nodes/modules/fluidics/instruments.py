# SPDX-License-Identifier: Apache-2.0
"""The instruments of the fluidics module."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...instruments.balance import SicsBalance
from ...instruments.cavro import CavroPump, CavroValve
from ...instruments.wire.link import InstrumentRefused, Link
from ...instruments.wire.pacing import Pace, settle
from ...process.calibrations import CalibrationBook
from ...process.errors import PhaseError
from ..scales import Scales
from ..site import Site, SiteError
from .codes import FluidicsCode


@dataclass
class FluidicsInstruments:
    """One pump between two selector valves, and the scales of the vessels that it serves."""

    site: Site
    links: Mapping[str, Link]
    pump: CavroPump
    source_valve: CavroValve
    destination_valve: CavroValve
    scales: Scales
    calibrations: CalibrationBook
    make_pump: Callable[[float], CavroPump]
    """Makes the pump's driver for a factor of its stroke."""
    stroke_factor: float = 1.0

    async def connect(self) -> None:
        """Open the lines and identify every instrument."""
        for link in self.links.values():
            await link.open()
        for device in (self.pump, self.source_valve, self.destination_valve):
            await device.identify()
        await self.scales.identify()

    async def disconnect(self) -> None:
        """Close the lines."""
        for link in self.links.values():
            await link.close()

    def correct_pump(self, factor: float) -> None:
        """Take the stroke as `factor` times what it is by name from now on."""
        self.stroke_factor, self.pump = factor, self.make_pump(factor)

    async def telemetry(self) -> Mapping[str, tuple[float, str]]:
        """Read the weights and the plunger."""
        values = {f"{vessel}_ul": (volume_ul, "uL") for vessel, volume_ul in (await self.scales.volumes_ul()).items()}
        try:
            plunger_ul = await self.pump.plunger_ul()
        except InstrumentRefused:
            plunger_ul = math.nan  # not initialized yet: it has no position
        return {**values, "plunger_ul": (plunger_ul, "uL")}

    async def ready_pump(self, ctx: Pace) -> bool:
        """Initialize what needs it and wait until nothing moves; the pump is stopped when it still moves.

        Returns whether the pump was initialized: it had lost its power, and its syringe is empty now.
        """
        was_initialized = False
        for device in (self.pump, self.source_valve, self.destination_valve):
            started = await device.initialize()
            was_initialized |= started and device is self.pump
            moves = not started and await device.is_busy()
            if moves:
                await device.stop()
            if started or moves:
                await settle(device, ctx, patience_s=30.0)
        return was_initialized

    async def open_path(self, source: str, destination: str, ctx: Pace) -> None:
        """Turn both valves; raises PhaseError when a vessel is not on them."""
        try:
            from_port = self.site.port_of(source, "source_valve")
            to_port = self.site.port_of(destination, "destination_valve")
        except SiteError as error:
            raise PhaseError(FluidicsCode.NOT_REACHABLE, str(error)) from error
        await self.source_valve.ensure_port(from_port, ctx)
        await self.destination_valve.ensure_port(to_port, ctx)

    async def check_room(self, destination: str, volume_ul: float, ctx: Pace) -> float:
        """Return what a destination holds by weight [uL], NaN when it is not weighed here.

        Raises PhaseError when a weighed one cannot take `volume_ul` more.
        """
        held_ul = await self.scales.volume_ul(destination, ctx)
        room_ul = self.site.vessels[destination].capacity_ul - (0.0 if math.isnan(held_ul) else held_ul)
        if volume_ul > room_ul:
            raise PhaseError(
                FluidicsCode.NO_ROOM,
                f"{destination} has room for {room_ul:.0f} uL, not for {volume_ul:.0f} uL; empty or change it",
            )
        return held_ul


def build(site: Site, links: Mapping[str, Link], extras: Mapping[str, Any]) -> FluidicsInstruments:
    """Make the drivers from the site file."""
    line, link = site.instruments["fluidics_pumps"], links["fluidics_pumps"]
    calibrations: CalibrationBook = extras.get("calibrations") or CalibrationBook(None)
    factor = calibrations.factor("fluidics_pumps")

    def pump(factor: float) -> CavroPump:
        return CavroPump(link, line.addresses["pump"], line.syringe_ul["pump"] * factor, "pump")

    return FluidicsInstruments(
        site=site,
        links=links,
        pump=pump(factor),
        source_valve=CavroValve(link, line.addresses["source_valve"], "source_valve"),
        destination_valve=CavroValve(link, line.addresses["destination_valve"], "destination_valve"),
        scales=Scales({n: SicsBalance(k, n) for n, k in links.items() if n.startswith("scale_")}, site, calibrations),
        calibrations=calibrations,
        make_pump=pump,
        stroke_factor=factor,
    )
