# SPDX-License-Identifier: Apache-2.0
"""The stations beside the liquid path: enclosure, gantry, screening, analytics, sensors of the lines.

A line's firmware is made when somebody first speaks on it (or a fault, or a person, acts on its station): a station
that nobody uses costs nothing. As everything in it is a function of time since the plant's start, that does not show.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mimedi_nodes.instruments.enclosure_map import Door
from mimedi_nodes.modules.site import InstrumentLine, Site, SiteError
from mimedi_sim.firmware.base import Firmware, PowerCycled, Talkative
from mimedi_sim.plant import syringe
from mimedi_sim.plant.faults import Values
from mimedi_sim.plant.ledger import INDEX, VIABLE, FloatArray
from mimedi_sim.plant.liquid_sensors import LINES, LineFlow, LiquidSensors
from mimedi_sim.plant.network import ASSAY_CELL

# Firmware and models are imported when a station is made: a batch without them shall not wait for their libraries.
if TYPE_CHECKING:
    from mimedi_sim.firmware.grbl import GrblFirmware
    from mimedi_sim.firmware.shdlc import FlowCable
    from mimedi_sim.plant.enclosure import Enclosure
    from mimedi_sim.plant.gantry import GantryMechanics
    from mimedi_sim.plant.photon_counter import ScreeningStation

GANTRY_TRAVEL_MM = (345.0, 1470.0, 360.0)
"""Of X, Y and the telescope Z (urdf/gantry.xacro); machine position 0 is the upper end of each joint."""
GANTRY_SETTINGS: Mapping[int, float] = {
    100: 50.0, 101: 50.0, 102: 50.0, 110: 30_000.0, 111: 30_000.0, 112: 18_000.0, 120: 1500.0, 121: 1500.0, 122: 800.0,
    130: GANTRY_TRAVEL_MM[0], 131: GANTRY_TRAVEL_MM[1], 132: GANTRY_TRAVEL_MM[2],
}  # fmt: skip
ANALYTICS = ("scpi_afm", "scpi_spr", "scpi_plate_reader", "scpi_droplet_reader", "scpi_cytometer")
PROTOCOLS = ("modbus_enclosure", "photon_counter", "grbl", "shdlc_flow", "ppt_pressure", *ANALYTICS)

PICOGRAM_PER_IU_IL2 = 61.0
"""PHYSICS §10 (18 MIU are 1.1 mg)."""
Content = Callable[[str, float], FloatArray]
"""Vessel and process time [s] to its amounts."""
Flow = Callable[[str, float], LineFlow]
"""Line and process time [s] to what moves in it."""


class LazyLine:
    """A line whose firmware is made at its first use."""

    def __init__(self, make: Callable[[], Firmware]) -> None:
        self._make = make
        self._made: Firmware | None = None

    @property
    def made(self) -> Firmware | None:
        """The firmware, None before the first use."""
        return self._made

    def use(self) -> Firmware:
        """Return the firmware."""
        if self._made is None:
            self._made = self._make()
        return self._made

    def receive(self, data: bytes, now_s: float) -> bytes:
        """Take bytes, return the answer."""
        return self.use().receive(data, now_s)

    def advance_to(self, time_s: float) -> None:
        """Nothing: stations carry themselves on when somebody asks."""

    def next_event(self) -> float:
        """Return inf: what goes on in a station changes nothing outside of it."""
        return math.inf

    def power_cycle(self, now_s: float) -> None:
        """Lose and regain power."""
        if isinstance(self._made, PowerCycled):
            self._made.power_cycle(now_s)

    def take_unasked(self, now_s: float) -> bytes:
        """Return what the instrument has to say though nobody asked."""
        return self._made.take_unasked(now_s) if isinstance(self._made, Talkative) else b""


class Stations:
    """All stations of one workcell.

    Args:
        seed: of every noise; start_s: process time [s] at which everything stands ready.
        content, flow: what the stations see of the liquid.
    """

    def __init__(self, site: Site, seed: int, start_s: float, content: Content, flow: Flow) -> None:
        self._site, self._seed, self._start_s = site, seed, start_s
        self._content, self._flow = content, flow
        self.lines: dict[str, LazyLine] = {}
        self.sensors = LiquidSensors(seed, start_s)
        """Sensors of the liquid lines; told of every change by the plant."""
        self.analyser_faults: dict[str, Values] = {}
        """Faults of the analysers that are in, by name."""
        self.senses_lines = False
        """Whether the site has such sensors."""
        self._on_chain: list[Callable[[float, bool], None]] = []

    def build(self, name: str, line: InstrumentLine) -> LazyLine:
        """Return a line's firmware, made at its first use. Raises SiteError for devices that do not exist."""
        self._check(name, line)
        self.senses_lines |= line.protocol in ("shdlc_flow", "ppt_pressure")
        self.lines[name] = LazyLine(lambda: self._make(line))
        return self.lines[name]

    def _check(self, name: str, line: InstrumentLine) -> None:
        possible: tuple[str, ...] = ()
        if line.protocol == "modbus_enclosure":
            possible = ("particle_counter", "controller", "vhp_generator", "safety_relay")
        elif line.protocol in ("shdlc_flow", "ppt_pressure"):
            possible = tuple(LINES)
        unknown = sorted(set(line.addresses) - set(possible))
        if unknown or (possible and not line.addresses):
            said, known = ", ".join(unknown) or "empty", ", ".join(possible) or "none"
            raise SiteError(f"instruments.{name}.addresses: {said}; possible: {known}")

    def _make(self, line: InstrumentLine) -> Firmware:
        from mimedi_sim.firmware.modbus_enclosure import EnclosureLine
        from mimedi_sim.firmware.photon_counter import PhotonCounterFirmware
        from mimedi_sim.firmware.ppt import PptLine, PressureTransducer
        from mimedi_sim.firmware.shdlc import ShdlcLine

        match line.protocol:
            case "modbus_enclosure":
                return EnclosureLine(self.enclosure, line.addresses)
            case "photon_counter":
                return PhotonCounterFirmware(self.screening)
            case "grbl":
                return self.gantry
            case "shdlc_flow":
                return ShdlcLine({address: self._cable(of, address) for of, address in line.addresses.items()})
            case "ppt_pressure":
                return PptLine({
                    address: PressureTransducer(self._pressure(of), serial_number=5000 + address)
                    for of, address in line.addresses.items()
                })
            case _:
                return self._analyser(line.protocol)

    def _cable(self, of: str, address: int) -> FlowCable:
        from mimedi_sim.firmware.shdlc import FlowCable

        return FlowCable(
            lambda now_s: self.sensors.lines[of].measured_flow(self._flow(of, now_s), now_s), 0x13000 + address
        )

    def _pressure(self, of: str) -> Callable[[float], float]:
        return lambda now_s: self.sensors.lines[of].measured_pa(now_s)

    def _analyser(self, protocol: str) -> Firmware:
        from mimedi_sim.firmware import analytics as scpi
        from mimedi_sim.plant import analytics as bench

        def sample(now_s: float) -> FloatArray:
            return self._content(ASSAY_CELL, now_s)

        faults = self.analyser_faults
        match protocol:
            case "scpi_afm":
                return scpi.AtomicForceMicroscope(bench.ForceBench(self._seed, sample, faults))
            case "scpi_spr":
                return scpi.SprReader(bench.BindingBench(self._seed, self._start_s, sample, faults))
            case "scpi_plate_reader":
                return scpi.PlateReader(bench.PlateBench(self._seed, sample, faults))
            case "scpi_droplet_reader":
                return scpi.DropletReader(bench.DropletBench(self._seed, sample, faults))
            case "scpi_cytometer":
                return scpi.FlowCytometer(bench.CytometryBench(self._seed, sample, faults))
        raise SiteError(f"protocol {protocol} is not one of the plant's stations")

    # -- the stations -------------------------------------------------------------------------------------

    @cached_property
    def enclosure(self) -> Enclosure:
        """Air, doors, decontamination, emergency stop."""
        from mimedi_sim.plant.enclosure import Enclosure

        made = Enclosure(self._seed, self._start_s)
        made.on_trip(self._emergency_stop)
        made.on_reset(self._restore_power)
        made.on_door(self._guard)
        return made

    @cached_property
    def mechanics(self) -> GantryMechanics:
        """The gantry's mechanics; a cassette stands in every dock of the site that names one."""
        from mimedi_nodes.modules.transfer.frames import RobotFrames
        from mimedi_nodes.modules.transfer.kinematics import Kinematics
        from mimedi_sim.plant.gantry import GantryMechanics

        cassettes = {label: dock for dock, label in self._site.cassettes.items()}
        robot = Kinematics(RobotFrames())
        frames = {dock: robot.dock_frame(dock) for dock in self._site.docks}
        yaws_deg = {dock: math.degrees(math.atan2(frame[1, 0], frame[0, 0])) for dock, frame in frames.items()}
        start = (-190.0, -760.0, -40.0)
        return GantryMechanics(GANTRY_TRAVEL_MM, self._site.docks, cassettes, start=start, yaws_deg=yaws_deg)

    @cached_property
    def gantry(self) -> GrblFirmware:
        """The gantry's controller."""
        from mimedi_sim.firmware.grbl import GrblFirmware

        made = GrblFirmware(self.mechanics, GANTRY_SETTINGS)
        enclosure: Enclosure | None = self.__dict__.get("enclosure")
        if enclosure is not None:
            made.safety_door(self._start_s, bool(enclosure.doors_open & Door.MAIN))
        return made

    @cached_property
    def screening(self) -> ScreeningStation:
        """Photon detector with its aliquot."""
        from mimedi_sim.plant.photon_counter import ScreeningStation

        return ScreeningStation(self._seed, self._start_s)

    @property
    def released(self) -> bool:
        """Whether the emergency stop chain is closed: what moves liquid, carries cassettes or makes sound has power."""
        enclosure: Enclosure | None = self.__dict__.get("enclosure")
        return enclosure is None or enclosure.chain_closed

    def on_chain(self, told: Callable[[float, bool], None]) -> None:
        """Have `told` called with process time and whether it is closed when the emergency stop chain changes."""
        self._on_chain.append(told)

    def _emergency_stop(self, now_s: float) -> None:
        self.mechanics.powered = False
        self.gantry.emergency_stop(now_s)
        for told in self._on_chain:
            told(now_s, False)

    def _guard(self, now_s: float) -> None:
        """A door was opened or closed: the main door is the gantry's guard."""
        if "gantry" in self.__dict__:
            self.gantry.safety_door(now_s, bool(self.enclosure.doors_open & Door.MAIN))

    def _restore_power(self, now_s: float) -> None:
        self.mechanics.powered = True
        for told in self._on_chain:
            told(now_s, True)

    # -- told by the plant ----------------------------------------------------------------------------------

    def aliquot_changed(self, now_s: float, row: FloatArray) -> None:
        """Take what the assay cell holds from now_s on."""
        viable = float(sum(row[INDEX[name]] for name in VIABLE))
        self.screening.load(
            now_s, syringe.living(row), viable, rare_cells=float(row[INDEX["monocyte"]]),
            molecule_pg=float(row[INDEX["il2_iu"]]) * PICOGRAM_PER_IU_IL2,
        )

    def take_unasked(self, now_s: float, hears: Callable[[str], bool]) -> dict[str, bytes]:
        """Return what instruments have to say though nobody asked, by line; of lines that are heard only."""
        said = {
            name: line.take_unasked(now_s) for name, line in self.lines.items() if line.made is not None and hears(name)
        }
        return {name: data for name, data in said.items() if data}

    def truth(self, now_s: float) -> dict[str, Any]:
        """Return the truth of the stations that are in use, JSON-able."""
        found: dict[str, Any] = {}
        made = self.__dict__
        if "enclosure" in made:
            air = self.enclosure
            air.advance_to(now_s)
            found["enclosure"] = {
                "particles_per_m3": {f"{size:g} um": n for size, n in air.particles_per_m3(now_s).items()},
                "pressure_pa": air.pressure_pa(now_s), "doors_open": int(air.doors_open),
                "peroxide_ppm": air.vhp.peroxide_ppm(now_s), "log_reduction": air.vhp.log_reduction(now_s),
                "chain_closed": air.chain_closed,
            }
        if "gantry" in made:
            self.gantry.advance_to(now_s)
            found["gantry"] = {
                "position_mm": list(self.mechanics.position), "believed_mm": list(self.gantry.position(now_s)),
                "wrist_deg": self.mechanics.wrist_deg(now_s), "gripper_open": self.mechanics.gripper_open,
                "cassettes": dict(self.mechanics.cassettes),
            }
        if "screening" in made:
            found["screening"] = {"light_per_s": self.screening.light_per_s()}
        return found
