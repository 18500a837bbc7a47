# SPDX-License-Identifier: Apache-2.0
"""Register map of the bioreactor controllers: what stands where, in which unit.

The one table of this map; docs/protocols.md shows it for people. 16-bit registers, 32-bit values high word
first.
The controller reports a sensor without a valid reading by all ones (unsigned) or 7FFFh (signed).
Source: Modbus Application Protocol V1.1b3 (functions 03h, 04h, 10h); the map itself is this workcell's own.
"""

from __future__ import annotations

import enum

from .wire.registers import Field, RegisterMap

MODEL = 0x4D42
MAP_VERSION = 1

# Input registers (function 04h): what the controller measures.
READINGS: dict[str, Field] = {
    "liquid_temperature_c": Field(2, 1, 0.01, signed=True),
    "air_temperature_c": Field(3, 1, 0.01, signed=True),
    "co2_fraction": Field(4, 1, 1e-4),
    "ph": Field(5, 1, 0.001),
    "dissolved_oxygen_fraction": Field(6, 1, 1e-4),
    "stirring_rpm": Field(7, 1, 0.1),
    "weight_g": Field(8, 2, 0.01, signed=True),
    "viable_cells_per_ml": Field(10, 2, 1.0),
    "glucose_mm": Field(12, 1, 0.001),
    "lactate_mm": Field(13, 1, 0.001),
    "perfused_ul": Field(14, 2, 1.0),
    "heater_fraction": Field(16, 1, 1e-4),
    "faults": Field(17, 1, 1.0),
}

# Holding registers (functions 03h, 10h): set points, kept by the controller itself over a power cut.
SET_POINTS: dict[str, Field] = {
    "temperature_c": Field(0, 1, 0.01),
    "co2_fraction": Field(1, 1, 1e-4),
    "stirring_rpm": Field(2, 1, 0.1),
    "perfusion_ul_min": Field(3, 2, 0.1),
}

RANGES: dict[str, tuple[float, float, str]] = {
    "temperature_c": (20.0, 42.0, "degC"),
    "co2_fraction": (0.0, 0.2, ""),
    "stirring_rpm": (0.0, 500.0, "rpm"),
    "perfusion_ul_min": (0.0, 20_000.0, "uL/min"),
}
"""Allowed set points, refused by driver and controller (exception 03h) alike."""


class BioreactorFault(enum.IntFlag):
    """Fault bits of input register 17."""

    TEMPERATURE_SENSOR = 1
    HEATER = 2
    GAS_SUPPLY = 4
    PH_PROBE = 8
    STIRRER = 16
    PERFUSION_BLOCKED = 32
    OVERFILLED = 64
    BIOMASS_PROBE = 128


BIOREACTOR = RegisterMap(MODEL, MAP_VERSION, READINGS, SET_POINTS, RANGES)
IN_COUNT, HOLDING_COUNT = BIOREACTOR.input_count, BIOREACTOR.holding_count
