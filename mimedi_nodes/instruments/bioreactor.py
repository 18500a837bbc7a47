# SPDX-License-Identifier: Apache-2.0
"""Bioreactor controller (temperature, gas, stirring, perfusion, in-line probes) over Modbus RTU.

The controller holds its set points by itself: when this program dies, the culture stays warm.
"""

from __future__ import annotations

from dataclasses import dataclass

from .bioreactor_map import BIOREACTOR, BioreactorFault
from .wire.link import Link
from .wire.mapped_device import MappedDevice


@dataclass(frozen=True)
class BioreactorState:
    """What the controller measures; NaN is "not known". One block read, so all of one moment."""

    liquid_temperature_c: float
    air_temperature_c: float
    co2_fraction: float
    """CO2 in the dry gas [fraction]."""
    ph: float
    dissolved_oxygen_fraction: float
    """Dissolved oxygen [fraction of air saturation]."""
    stirring_rpm: float
    volume_ul: float
    """Weight of the content over its density [uL]."""
    viable_cells_per_ml: float
    """From the in-line capacitance probe, which sees only cells with an intact membrane."""
    glucose_mm: float
    lactate_mm: float
    perfused_ul: float
    """Medium pumped in since power-up [uL], as much taken out free of cells."""
    heater_fraction: float
    faults: BioreactorFault


@dataclass(frozen=True)
class BioreactorSetPoints:
    """What the controller holds by itself."""

    temperature_c: float
    co2_fraction: float
    stirring_rpm: float
    perfusion_ul_min: float


class BioreactorController(MappedDevice):
    """One controller with its vessel.

    Args:
        density_g_ml: density of the content [g/mL], to turn its weight into a volume.
    """

    def __init__(self, link: Link, address: int, name: str, density_g_ml: float = 1.005) -> None:
        super().__init__(link, address, name, BIOREACTOR)
        self._density_g_ml = density_g_ml

    async def state(self) -> BioreactorState:
        """Return all measured values."""
        values = await self.readings()
        faults = BioreactorFault(self.bits(values, "faults"))
        values["volume_ul"] = values.pop("weight_g") / self._density_g_ml * 1000.0
        del values["faults"]
        return BioreactorState(faults=faults, **values)

    async def set_points(self) -> BioreactorSetPoints:
        """Return what the controller is holding."""
        return BioreactorSetPoints(**await self.held())

    async def ensure_temperature(self, temperature_c: float) -> None:
        """Have the liquid held at `temperature_c` [degC]; read back. Repeating is harmless."""
        await self.ensure("temperature_c", temperature_c)

    async def ensure_gas(self, co2_fraction: float) -> None:
        """Have the gas held at `co2_fraction` of CO2 (dry); read back. Repeating is harmless."""
        await self.ensure("co2_fraction", co2_fraction)

    async def ensure_stirring(self, stirring_rpm: float) -> None:
        """Have the vessel stirred at `stirring_rpm` [1/min], 0 for not at all; read back."""
        await self.ensure("stirring_rpm", stirring_rpm)

    async def ensure_perfusion(self, flow_ul_min: float) -> None:
        """Have medium exchanged at `flow_ul_min` [uL/min], 0 for not at all; read back."""
        await self.ensure("perfusion_ul_min", flow_ul_min)

    async def perfusion_is_off(self) -> bool:
        """Tell whether the perfusion pumps are off."""
        return (await self.set_points()).perfusion_ul_min == 0.0

    async def stop(self) -> None:
        """Stop what is not life support: the perfusion pumps. Heat, gas and stirring go on."""
        await self.ensure_perfusion(0.0)

    async def is_off(self) -> bool:
        """Tell whether everything that is not life support is off."""
        return await self.perfusion_is_off()
