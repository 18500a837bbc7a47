# SPDX-License-Identifier: Apache-2.0
"""The plant's instruments: one firmware a line of the site file, and what the plant reads from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mimedi_nodes.modules.site import InstrumentLine, Site, SiteError
from mimedi_sim.firmware.base import Firmware
from mimedi_sim.firmware.cavro_bus import CavroBus
from mimedi_sim.firmware.cavro_device import PLUNGER_OVERLOAD
from mimedi_sim.firmware.cavro_pump import CavroPumpFirmware, CavroValveFirmware
from mimedi_sim.firmware.generator import ScpiGenerator
from mimedi_sim.firmware.impedance import ScpiImpedanceAnalyser
from mimedi_sim.firmware.modbus_bioreactor import BioreactorReadings, ModbusBioreactor
from mimedi_sim.firmware.sics import SicsBalance
from mimedi_sim.plant.chip import Drive
from mimedi_sim.plant.fault_effects import Overrides
from mimedi_sim.plant.network import AIR, CHIP, Flows, PumpFlow
from mimedi_sim.plant.occlusion import stall_time_s
from mimedi_sim.plant.reactor import SetPoints
from mimedi_sim.plant.stations import PROTOCOLS, LazyLine, Stations

REACTOR_VESSELS: Mapping[str, str] = {
    "activation_controller": "activation_vessel", "culture_controller": "culture_vessel",
    "culture_controller_2": "culture_vessel_2",
}
"""Bioreactor line to the vessel it keeps."""


@dataclass(frozen=True)
class Sensing:
    """How the instruments sense the plant: mass, rest, impedance, bioreactor readings."""

    mass_g: Callable[[str, float], float]
    moved_s: Callable[[str, float], float]
    impedance: Callable[[npt.NDArray[np.float64], float], npt.NDArray[np.complex128]]
    reactor: Callable[[str, float], BioreactorReadings]


class Instruments:
    """All lines of a site with their devices by name.

    Raises: SiteError on a line whose devices the plant cannot place.
    """

    def __init__(self, site: Site, sensing: Sensing, stations: Stations) -> None:
        self._stations = stations
        self.lines: dict[str, Firmware] = {}
        self.pumps: dict[str, CavroPumpFirmware] = {}
        self.valves: dict[str, CavroValveFirmware] = {}
        self._moving: dict[str, tuple[CavroPumpFirmware | CavroValveFirmware, ...]] = {}
        self.controllers: dict[str, ModbusBioreactor] = {}
        self.generator: ScpiGenerator | None = None
        self.weighed: dict[str, str] = {vessel.scale: name for name, vessel in site.vessels.items() if vessel.scale}
        self._vessel_at = {
            (valve, port): name for name, vessel in site.vessels.items() for valve, port in vessel.ports.items()
        }
        for name, line in site.instruments.items():
            self.lines[name] = self._build(name, line, sensing)
        self._buses = {name: line for name, line in self.lines.items() if isinstance(line, CavroBus)}
        self._bus_events = dict.fromkeys(self._buses, 0.0)
        self._first_event_s = 0.0 if self._buses else math.inf
        self._asked_only = {
            name for name, line in self.lines.items()
            if isinstance(line, (SicsBalance, ScpiImpedanceAnalyser, LazyLine))
        }
        self._orders = dict.fromkeys(self._buses, 0)
        self._adopted: dict[str, object] = {}
        """What the instruments of a line did when it was looked at last; missing after what they did by themselves."""

    def _build(self, name: str, line: InstrumentLine, sensing: Sensing) -> Firmware:
        if line.protocol == "cavro_dt":
            return self._bus(name, line)
        if line.protocol in PROTOCOLS:
            return self._stations.build(name, line)
        if line.protocol == "sics":
            vessel = self.weighed.get(name, "")
            if not vessel:
                raise SiteError(f"instruments.{name}: no vessel names it as its scale")
            return SicsBalance(
                lambda now_s: sensing.mass_g(vessel, now_s), moved_s=lambda now_s: sensing.moved_s(vessel, now_s)
            )
        if line.protocol == "scpi_generator":
            self.generator = ScpiGenerator()
            return self.generator
        if line.protocol == "scpi_impedance":
            return ScpiImpedanceAnalyser(sensing.impedance)
        kept = REACTOR_VESSELS.get(name, "")
        if not kept:
            raise SiteError(f"instruments.{name}: bioreactor lines are {', '.join(REACTOR_VESSELS)}")
        controller = ModbusBioreactor(
            lambda now_s: sensing.reactor(kept, now_s), address=line.addresses.get("controller", 1)
        )
        self.controllers[kept] = controller
        return controller

    def _bus(self, name: str, line: InstrumentLine) -> CavroBus:
        devices: dict[int, CavroPumpFirmware | CavroValveFirmware] = {}
        for device, address in line.addresses.items():
            if device in line.syringe_ul:
                self.pumps[device] = CavroPumpFirmware(line.syringe_ul[device])
                devices[address] = self.pumps[device]
            elif device.endswith("_valve"):
                self.valves[device] = CavroValveFirmware()
                devices[address] = self.valves[device]
            else:
                raise SiteError(f"instruments.{name}.addresses.{device}: neither a valve nor a pump with a syringe_ul")
        self._moving[name] = tuple(devices.values())
        return CavroBus(devices)

    def power_cycle(self, line: str, now_s: float) -> None:
        """Let every device of a line lose and regain power; a balance keeps its zero, an analyser has no state."""
        firmware = self.lines[line]
        self._adopted.pop(line, None)
        if isinstance(firmware, CavroBus):
            for device in firmware.devices.values():
                device.power_cycle()
            self._events_of(line)
        elif isinstance(firmware, ScpiGenerator):
            firmware.reset()
        elif isinstance(firmware, ModbusBioreactor):
            firmware.power_cycle()
        elif isinstance(firmware, LazyLine):
            firmware.power_cycle(now_s)

    def emergency_stop(self, time_s: float) -> None:
        """Take the power from what moves liquid and makes sound; heat, gas, stirring and scales keep theirs."""
        self.advance_to(time_s)
        for name, line in self.lines.items():
            if isinstance(line, (CavroBus, ScpiGenerator)):
                self.power_cycle(name, time_s)

    def stall(self, pump: str, time_s: float) -> None:
        """Let a pump's drive stall where its plunger is at time_s: plunger overload."""
        self.pumps[pump].advance_to(time_s)
        self.pumps[pump].fail(PLUNGER_OVERLOAD)
        for name in self._buses:
            self._adopted.pop(name, None)
        self._events_of(*self._buses)

    # -- what the plant reads ---------------------------------------------------------------------------

    def next_event(self) -> float:
        """Return the first own change of any pump or valve [s]."""
        return self._first_event_s

    def _events_of(self, *names: str) -> None:
        """Take note of when the first own change on some lines comes."""
        for name in names:
            self._bus_events[name] = self._buses[name].next_event()
        self._first_event_s = min(self._bus_events.values(), default=math.inf)

    def advance_to(self, time_s: float) -> None:
        """Carry pumps and valves on to time_s."""
        for name, line in self._buses.items():
            self._adopted.pop(name, None)
            line.advance_to(time_s)
        self._events_of(*self._buses)

    def commanded(self, line: str) -> bool:
        """Tell whether what a line received may have changed what its instruments do (a query does not)."""
        if line in self._asked_only:
            return False
        bus = self._buses.get(line)
        if bus is None:
            now: object = self._set_on(line)
        else:
            if bus.orders == self._orders[line]:
                return False
            self._orders[line] = bus.orders
            self._events_of(line)
            now = tuple([
                (device.rate_ul_s, device.valve) if isinstance(device, CavroPumpFirmware) else device.port
                for device in self._moving[line]
            ])
        changed = now != self._adopted.get(line)
        self._adopted[line] = now
        return changed

    def _set_on(self, line: str) -> object:
        """Return what the instrument of a line, neither pumps nor asked only, was told to do."""
        firmware = self.lines[line]
        if isinstance(firmware, ScpiGenerator):
            return firmware.output_on, firmware.frequency_hz, firmware.amplitude_vpp
        return self.set_points(REACTOR_VESSELS[line])

    def flows(self, overrides: Overrides, leaks: Mapping[str, float]) -> Flows:
        """Return what the pumps do now."""
        if not self._stations.released:
            return Flows(leaks=dict(leaks))
        pumps = {}
        sample = []
        for name, pump in self.pumps.items():
            if pump.rate_ul_s == 0.0:
                continue
            factor = overrides.strokes.get(name, 1.0)
            blocked = overrides.resistances.get(name, 1.0) if pump.rate_ul_s < 0.0 else 1.0
            if blocked > 1.0 and math.isfinite(stall_time_s(-pump.rate_ul_s, blocked)):
                factor = 0.0  # until the drive stalls the liquid only fills the compliance of the line
            if factor != 0.0:
                pumps[name] = PumpFlow(pump.rate_ul_s * factor, self._vessel_of(name, pump.valve, overrides))
                if name.startswith("sample"):
                    sample.append(name)
        centre = self._at("centre_valve", overrides) if "centre_valve" in self.valves else AIR
        return Flows(pumps, frozenset(sample), centre, dict(leaks))

    def _vessel_of(self, pump: str, valve: str, overrides: Overrides) -> str:
        if valve not in ("I", "O"):
            return AIR
        kind = pump.split("_")[0]
        if kind in ("sample", "buffer"):
            return CHIP if valve == "O" else self._at(f"{kind}_valve", overrides)
        return self._at("source_valve" if valve == "I" else "destination_valve", overrides)

    def _at(self, valve: str, overrides: Overrides) -> str:
        port = overrides.ports.get(valve, self.valves[valve].port)
        return self._vessel_at.get((valve, port), AIR)

    def drive(self, overrides: Overrides) -> Drive:
        """Return what really reaches the transducer."""
        generator = self.generator
        if generator is None or not generator.output_on or overrides.generator_dead or not self._stations.released:
            return Drive()
        return Drive(generator.frequency_hz + overrides.generator_offset_hz, generator.amplitude_vpp)

    def set_points(self, vessel: str) -> SetPoints:
        """Return what the controller of a bioreactor was told."""
        c = self.controllers[vessel]
        return SetPoints(c.temperature_c, c.co2_fraction, c.stirring_rpm, c.perfusion_ul_min)
