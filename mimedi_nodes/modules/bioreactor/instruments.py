# SPDX-License-Identifier: Apache-2.0
"""A bioreactor controller as the only instrument of a module, and its actuators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ...instruments.bioreactor import BioreactorController
from ...instruments.wire.link import Link
from ...process.calibrations import CalibrationBook
from ..module import Actuator, Safe
from ..site import Site


@dataclass
class BioreactorInstruments:
    """One controller with its vessel."""

    controller: BioreactorController
    link: Link
    vessel: str
    module: str
    """Name of the module, for its alarms."""
    calibrations: CalibrationBook

    async def connect(self) -> None:
        """Open the line and identify the controller."""
        await self.link.open()
        await self.controller.identify()

    async def disconnect(self) -> None:
        """Close the line; the controller keeps its set points."""
        await self.link.close()

    async def telemetry(self) -> Mapping[str, tuple[float, str]]:
        """Read all measured values."""
        state = await self.controller.state()
        return {
            "liquid_temperature_c": (state.liquid_temperature_c, "degC"),
            "air_temperature_c": (state.air_temperature_c, "degC"),
            "co2_fraction": (state.co2_fraction, "1"),
            "ph": (state.ph, "1"),
            "dissolved_oxygen_fraction": (state.dissolved_oxygen_fraction, "1"),
            "stirring_rpm": (state.stirring_rpm, "rpm"),
            "volume_ul": (state.volume_ul, "uL"),
            "viable_cells": (state.viable_cells_per_ml * state.volume_ul / 1000.0, "cells"),
            "glucose_mm": (state.glucose_mm, "mmol/L"),
            "lactate_mm": (state.lactate_mm, "mmol/L"),
        }


def builder(
    module: str, line_name: str, vessel: str
) -> Callable[[Site, Mapping[str, Link], Mapping[str, Any]], BioreactorInstruments]:
    """Return the `build` of a module whose controller is on `line_name`."""

    def build(site: Site, links: Mapping[str, Link], extras: Mapping[str, Any]) -> BioreactorInstruments:
        line, link = site.instruments[line_name], links[line_name]
        density_g_ml = site.vessels[vessel].density_g_ml
        controller = BioreactorController(link, line.addresses["controller"], line_name, density_g_ml)
        calibrations = extras.get("calibrations") or CalibrationBook(None)
        return BioreactorInstruments(controller, link, vessel, module, calibrations)

    return build


async def _stop_perfusion(instruments: BioreactorInstruments) -> None:
    await instruments.controller.ensure_perfusion(0.0)


async def _perfusion_is_off(instruments: BioreactorInstruments) -> bool:
    return await instruments.controller.perfusion_is_off()


LIFE_SUPPORT = tuple(Actuator(name, Safe.KEEP, Safe.KEEP, Safe.KEEP) for name in ("heater", "gas", "stirrer"))
"""A culture without heat loses half of its cells in a day: heat, gas and stirring keep their set points."""

PERFUSION = Actuator("perfusion_pumps", Safe.OFF, Safe.OFF, Safe.OFF, _stop_perfusion, _perfusion_is_off)
