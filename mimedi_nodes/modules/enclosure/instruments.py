# SPDX-License-Identifier: Apache-2.0
"""The instruments of the enclosure: four devices on one Modbus line."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from ...instruments.enclosure import EnclosureController, ParticleCounter, SafetyRelay, VhpGenerator
from ...instruments.wire.link import InstrumentError, Link
from ..site import Site
from .grades import ORDER, grade_of

LINE = "enclosure"


@dataclass
class EnclosureInstruments:
    """Particle counter, climate and doors, peroxide generator, emergency stop chain.

    `recovery` follows the air after an excursion, whether the phase is held or not; `lacking` tells what it waits for.
    """

    link: Link
    counter: ParticleCounter
    controller: EnclosureController
    vhp: VhpGenerator
    relay: SafetyRelay
    recovery: asyncio.Task[None] | None = None
    lacking: str = ""

    def follow(self, work: Coroutine[Any, Any, None]) -> None:
        """Follow a recovery from now on, instead of an earlier one."""
        if self.recovery is not None:
            self.recovery.cancel()
        self.recovery, self.lacking = asyncio.get_running_loop().create_task(self._followed(work)), ""

    async def _followed(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except InstrumentError as error:
            # The phase meets the same fault when it is restarted, and holds for it; the recovery is followed then.
            self.lacking = str(error)

    async def connect(self) -> None:
        """Open the line and identify every device."""
        await self.link.open()
        for device in (self.counter, self.controller, self.vhp, self.relay):
            await device.identify()

    async def disconnect(self) -> None:
        """Close the line; the air goes on."""
        if self.recovery is not None:
            self.recovery.cancel()
        await self.link.close()

    async def telemetry(self) -> Mapping[str, tuple[float, str]]:
        """Read particles and the live grade (1 is A … 4 is D, 5 none), pressures, climate and peroxide."""
        particles, climate = await self.counter.state(), await self.controller.state()
        small, large = particles.per_m3(particles.rolling_05), particles.per_m3(particles.rolling_5)
        return {
            "particles_05_per_m3": (small, "1/m3"),
            "particles_5_per_m3": (large, "1/m3"),
            "grade": (float(1 + ORDER.index(grade_of(small, large))), "1"),
            "chamber_pressure_pa": (climate.chamber_pressure_pa, "Pa"),
            "hatch_pressure_pa": (climate.hatch_pressure_pa, "Pa"),
            "air_temperature_c": (climate.temperature_c, "degC"),
            "relative_humidity": (climate.relative_humidity, "1"),
            "doors_open": (float(climate.doors_open), "1"),
            "peroxide_ppm": ((await self.vhp.state()).peroxide_ppm, "ppm"),
        }


def build(site: Site, links: Mapping[str, Link], extras: Mapping[str, Any]) -> EnclosureInstruments:
    """Make the drivers from the site file."""
    return on_line(links[LINE], site.instruments[LINE].addresses)


def on_line(link: Link, addresses: Mapping[str, int]) -> EnclosureInstruments:
    """Make the drivers of the four devices on a line."""
    return EnclosureInstruments(
        link,
        ParticleCounter(link, addresses["particle_counter"], "particle_counter"),
        EnclosureController(link, addresses["controller"], "controller"),
        VhpGenerator(link, addresses["vhp_generator"], "vhp_generator"),
        SafetyRelay(link, addresses["safety_relay"], "safety_relay"),
    )
