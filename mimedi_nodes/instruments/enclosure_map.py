# SPDX-License-Identifier: Apache-2.0
"""Register maps of the enclosure's four devices on one Modbus RTU line; docs/protocols.md shows them for people.

Particle counter, climate and door controller, hydrogen peroxide generator, safety relay. The maps are this workcell's
own; their form is that of `registers.py`.
"""

from __future__ import annotations

import enum

from .wire.registers import Field, RegisterMap


class CounterFault(enum.IntFlag):
    """Fault bits of the particle counter."""

    FLOW = 1
    LASER = 2


PARTICLE_COUNTER = RegisterMap(
    model=0x5043,
    version=1,
    readings={
        "sampling": Field(2, 1, 1.0),
        "sample_flow_l_min": Field(3, 1, 0.01),
        "sample_time_s": Field(4, 1, 1.0),
        "samples": Field(5, 2, 1.0),
        "last_05": Field(7, 2, 1.0),
        "last_5": Field(9, 2, 1.0),
        "rolling_samples": Field(11, 1, 1.0),
        "rolling_05": Field(12, 2, 1.0),
        "rolling_5": Field(14, 2, 1.0),
        "rolling_volume_l": Field(16, 2, 0.001),
        "faults": Field(18, 1, 1.0),
    },
    set_points={"sampling": Field(0, 1, 1.0), "rolling_samples": Field(1, 1, 1.0)},
    ranges={"sampling": (0.0, 1.0, ""), "rolling_samples": (1.0, 120.0, "samples")},
)


class Door(enum.IntFlag):
    """Doors of the enclosure, as bits."""

    MAIN = 1
    HATCH_INNER = 2
    HATCH_OUTER = 4


class EnclosureFault(enum.IntFlag):
    """Fault bits of the climate and door controller."""

    FAN = 1
    FILTER_BLOCKED = 2
    PRESSURE_SENSOR = 4
    HUMIDITY_SENSOR = 8


class Refusal(enum.IntEnum):
    """Why a device did not do what it was told last."""

    NONE = 0
    DOOR_OPEN = 1
    DOOR_UNLOCKED = 2
    VAPOUR = 3
    EMERGENCY_STOP = 4
    RUNNING = 5
    RESERVOIR_EMPTY = 6
    BUTTON_PRESSED = 7
    NOT_RUNNING = 8


class LeakTestPhase(enum.IntEnum):
    """What the pressure decay test is doing."""

    OFF = 0
    PRESSURISE = 1
    DECAY = 2


ENCLOSURE_CONTROLLER = RegisterMap(
    model=0x4543,
    version=1,
    readings={
        "chamber_pressure_pa": Field(2, 1, 0.1, signed=True),
        "hatch_pressure_pa": Field(3, 1, 0.1, signed=True),
        "filter_pressure_pa": Field(4, 1, 0.1),
        "temperature_c": Field(5, 1, 0.01, signed=True),
        "relative_humidity": Field(6, 1, 1e-4),
        "air_speed_m_s": Field(7, 1, 0.001),
        "doors_open": Field(8, 1, 1.0),
        "doors_unlocked": Field(9, 1, 1.0),
        "faults": Field(10, 1, 1.0),
        "last_refusal": Field(11, 1, 1.0),
        "leak_phase": Field(12, 1, 1.0),
        "leak_elapsed_s": Field(13, 2, 0.1),
    },
    set_points={
        "air_speed_m_s": Field(0, 1, 0.001),
        "fresh_air_m3_h": Field(1, 1, 0.1),
        "unlock": Field(2, 1, 1.0),
        "leak_test_pa": Field(3, 1, 0.1),
    },
    ranges={
        "air_speed_m_s": (0.0, 0.6, "m/s"),
        "fresh_air_m3_h": (0.0, 100.0, "m3/h"),
        "unlock": (0.0, 7.0, ""),
        "leak_test_pa": (0.0, 1000.0, "Pa"),
    },
)


class VhpPhase(enum.IntEnum):
    """Phases of a decontamination."""

    IDLE = 0
    DEHUMIDIFY = 1
    CONDITION = 2
    HOLD = 3
    AERATE = 4
    COMPLETE = 5
    ABORTED = 6


class VhpFault(enum.IntFlag):
    """Fault bits of the hydrogen peroxide generator."""

    LOW_CONCENTRATION = 1
    RESERVOIR_EMPTY = 2
    INTERLOCK = 4


class VhpOrder(enum.IntEnum):
    """Orders to the generator."""

    START = 1
    STOP = 2


VHP_GENERATOR = RegisterMap(
    model=0x5648,
    version=1,
    readings={
        "phase": Field(2, 1, 1.0),
        "phase_elapsed_s": Field(3, 2, 0.1),
        "peroxide_ppm": Field(5, 2, 0.01),
        "relative_humidity": Field(7, 1, 1e-4),
        "reservoir_g": Field(8, 1, 0.1),
        "faults": Field(9, 1, 1.0),
        "last_refusal": Field(10, 1, 1.0),
    },
    set_points={
        "target_ppm": Field(0, 1, 1.0),
        "hold_s": Field(1, 1, 1.0),
        "dry_to_humidity": Field(2, 1, 1e-4),
        "residue_ppm": Field(3, 1, 0.01),
        "order": Field(4, 1, 1.0),
    },
    ranges={
        "target_ppm": (50.0, 2000.0, "ppm"),
        "hold_s": (1.0, 28_800.0, "s"),
        "dry_to_humidity": (0.15, 0.60, ""),
        "residue_ppm": (0.05, 1.0, "ppm"),
        "order": (1.0, 2.0, ""),
    },
    commands=frozenset({"order"}),
)


class SafetyOrder(enum.IntEnum):
    """Orders to the safety relay."""

    TRIP = 1
    RESET = 2


SAFETY_RELAY = RegisterMap(
    model=0x5352,
    version=1,
    readings={
        "chain_closed": Field(2, 1, 1.0),
        "button_pressed": Field(3, 1, 1.0),
        "reset_required": Field(4, 1, 1.0),
        "trips": Field(5, 1, 1.0),
        "last_refusal": Field(6, 1, 1.0),
    },
    set_points={"order": Field(0, 1, 1.0)},
    ranges={"order": (1.0, 2.0, "")},
    commands=frozenset({"order"}),
)
