# SPDX-License-Identifier: Apache-2.0
"""The instruments of the acoustic sorter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...instruments.balance import SicsBalance
from ...instruments.cavro import CavroPump, CavroValve
from ...instruments.generator import FunctionGenerator
from ...instruments.impedance import ImpedanceAnalyser
from ...instruments.pump_pair import PumpPair
from ...instruments.wire.link import Link
from ...instruments.wire.pacing import Pace, settle
from ...process.calibrations import CalibrationBook
from ...process.errors import PhaseError
from ..scales import Scales
from ..site import Site, SiteError
from .codes import SorterCode


@dataclass
class SorterInstruments:
    """Two pump pairs, three selector valves, generator and analyser of the chip, and the scales at its dock."""

    site: Site
    links: Mapping[str, Link]
    sample: PumpPair
    buffer: PumpPair
    sample_valve: CavroValve
    buffer_valve: CavroValve
    centre_valve: CavroValve
    generator: FunctionGenerator
    analyser: ImpedanceAnalyser
    scales: Scales
    calibrations: CalibrationBook

    async def connect(self) -> None:
        """Open the lines and identify every instrument."""
        for link in self.links.values():
            await link.open()
        for device in (*self.sample.pumps, *self.buffer.pumps, *self._valves):
            await device.identify()
        await self.generator.identify()
        await self.analyser.identify()
        await self.scales.identify()

    async def disconnect(self) -> None:
        """Close the lines."""
        for link in self.links.values():
            await link.close()

    async def telemetry(self) -> Mapping[str, tuple[float, str]]:
        """Read weights and drive."""
        values = {f"{vessel}_ul": (volume_ul, "uL") for vessel, volume_ul in (await self.scales.volumes_ul()).items()}
        on = not await self.generator.is_off()
        return {
            **values,
            "drive_frequency_hz": (await self.generator.frequency_hz() if on else 0.0, "Hz"),
            "drive_amplitude_vpp": (await self.generator.amplitude_vpp() if on else 0.0, "V"),
        }

    @property
    def _valves(self) -> tuple[CavroValve, CavroValve, CavroValve]:
        return self.sample_valve, self.buffer_valve, self.centre_valve

    async def open_paths(self, sample: str, buffer: str, centre: str, ctx: Pace) -> None:
        """Stop the pumps, initialize and turn the three valves; raises PhaseError when a vessel is not on them."""
        for pair in (self.sample, self.buffer):
            if not await pair.is_off():
                await pair.stop()
        wanted = ((self.sample_valve, sample), (self.buffer_valve, buffer), (self.centre_valve, centre))
        try:
            ports = [(valve, self.site.port_of(vessel, valve.name)) for valve, vessel in wanted]
        except SiteError as error:
            raise PhaseError(SorterCode.NOT_REACHABLE, str(error)) from error
        for valve, port in ports:
            await valve.initialize()
            await settle(valve, ctx, patience_s=30.0)
            await valve.ensure_port(port, ctx)


def build(site: Site, links: Mapping[str, Link], extras: Mapping[str, Any]) -> SorterInstruments:
    """Make the drivers from the site file."""
    line, link = site.instruments["sorter_pumps"], links["sorter_pumps"]
    calibrations: CalibrationBook = extras.get("calibrations") or CalibrationBook(None)

    def pump(name: str) -> CavroPump:
        return CavroPump(link, line.addresses[name], line.syringe_ul[name], name)

    def valve(name: str) -> CavroValve:
        return CavroValve(link, line.addresses[name], name)

    return SorterInstruments(
        site=site,
        links=links,
        sample=PumpPair(pump("sample_a"), pump("sample_b"), "sample"),
        buffer=PumpPair(pump("buffer_a"), pump("buffer_b"), "buffer"),
        sample_valve=valve("sample_valve"),
        buffer_valve=valve("buffer_valve"),
        centre_valve=valve("centre_valve"),
        generator=FunctionGenerator(links["sorter_generator"], "sorter_generator"),
        analyser=ImpedanceAnalyser(links["sorter_impedance"], "sorter_impedance"),
        scales=Scales({n: SicsBalance(k, n) for n, k in links.items() if n.startswith("scale_")}, site, calibrations),
        calibrations=calibrations,
    )
