# SPDX-License-Identifier: Apache-2.0
"""What the active faults mean for each part of the plant: plain values that a part can act on."""

from __future__ import annotations

from dataclasses import dataclass, field

from mimedi_nodes.instruments.bioreactor_map import BioreactorFault


@dataclass
class Overrides:
    """What faults make of commands: real port of a stuck valve, share of a pump's stroke, generator's error."""

    ports: dict[str, int] = field(default_factory=dict)
    strokes: dict[str, float] = field(default_factory=dict)
    resistances: dict[str, float] = field(default_factory=dict)
    """Factor on the resistance of the line behind a pump, where it is not 1."""
    generator_offset_hz: float = 0.0
    generator_dead: bool = False


@dataclass(frozen=True)
class ReactorFaults:
    """What is wrong with one bioreactor; the defaults are a sound one."""

    heater_power_w: float | None = None
    heater_works: bool = True
    stuck_output_w: float | None = None
    temperature_bias_k: float = 0.0
    door_open: bool = False
    gas_supply_empty: bool = False
    stirrer_works: bool = True
    perfusion_works: bool = True
    organism: str = "escherichia_coli"

    @property
    def seen(self) -> BioreactorFault:
        """What the controller itself notices: current of the heater, supply pressure, tachometer, pump pressure."""
        bits = BioreactorFault(0)
        for bit, sound in (
            (BioreactorFault.HEATER, self.heater_works), (BioreactorFault.GAS_SUPPLY, not self.gas_supply_empty),
            (BioreactorFault.STIRRER, self.stirrer_works), (BioreactorFault.PERFUSION_BLOCKED, self.perfusion_works),
        ):
            if not sound:
                bits |= bit
        return bits


@dataclass(frozen=True)
class CameraFaults:
    """What is wrong with a camera; the defaults are a sound one."""

    frozen: bool = False
    dark: bool = False
    defocus_um: float = 0.0
    lost_share: float = 0.0
    flicker: float = 0.0


@dataclass(frozen=True)
class LineFaults:
    """What is wrong with a line; the defaults are a sound one."""

    silent: bool = False
    garbage_share: float = 0.0
    bit_error_rate: float = 0.0
    delay_s: float = 0.0
