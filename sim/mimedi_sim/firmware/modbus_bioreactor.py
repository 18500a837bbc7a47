# SPDX-License-Identifier: Apache-2.0
"""A bioreactor controller on Modbus RTU, with the register map of docs/protocols.md.

The plant integrates what the set points do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mimedi_nodes.instruments.bioreactor_map import BIOREACTOR, SET_POINTS
from mimedi_sim.firmware.modbus_server import ACCEPTED, ModbusLine, ModbusUnit


@dataclass(frozen=True)
class BioreactorReadings:
    """What the controller's sensors say at one moment, noise included; NaN for a sensor that says nothing."""

    liquid_temperature_c: float
    air_temperature_c: float
    co2_fraction: float
    ph: float
    dissolved_oxygen_fraction: float
    stirring_rpm: float
    weight_g: float
    viable_cells_per_ml: float
    glucose_mm: float
    lactate_mm: float
    perfused_ul: float
    heater_fraction: float
    faults: int = 0


class ModbusBioreactor(ModbusLine, ModbusUnit):
    """One controller on its line; the plant reads the set points and supplies the readings.

    Args:
        sensors: process time [s] to the readings.
        address: unit address.
        temperature_c, co2_fraction, stirring_rpm: stored set points of the life support, which act from
        power-up;
            the perfusion is off.
    """

    def __init__(
        self,
        sensors: Callable[[float], BioreactorReadings],
        *,
        address: int = 1,
        temperature_c: float = 37.0,
        co2_fraction: float = 0.05,
        stirring_rpm: float = 60.0,
    ) -> None:
        ModbusUnit.__init__(self, BIOREACTOR)
        ModbusLine.__init__(self, {address: self})
        self._sensors = sensors
        self.temperature_c = temperature_c
        self.co2_fraction = co2_fraction
        self.stirring_rpm = stirring_rpm
        self.perfusion_ul_min = 0.0

    def power_cycle(self) -> None:
        """Lose and regain power: life support resumes its stored set points, the perfusion stays off."""
        self.perfusion_ul_min = 0.0
        self.forget()

    def readings(self, now_s: float) -> Mapping[str, float]:
        """Return what the probes say."""
        return vars(self._sensors(now_s))

    def set_points(self, now_s: float) -> Mapping[str, float]:
        """Return what the controller holds."""
        return {name: getattr(self, name) for name in SET_POINTS}

    def accept(self, values: Mapping[str, float], now_s: float) -> int:
        """Hold other set points."""
        for name, value in values.items():
            setattr(self, name, value)
        return ACCEPTED
