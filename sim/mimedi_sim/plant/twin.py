# SPDX-License-Identifier: Apache-2.0
"""The plant: every vessel, instrument and cell of one simulated workcell, driven by process time alone.

How time passes
---------------
The plant stores its state only at events: a command that changed what an instrument does, an instrument's own
event (a stroke ends, a valve has turned), a full hour or a fast step of a bioreactor, a tenth of a kelvin of the
chip, a fault that comes or goes. Between two events every flow and set point is constant and a reading is
computed from the last event without storing anything. So nothing depends on how often anybody asks, bit by bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mimedi_nodes.modules.site import Site, SiteError
from mimedi_nodes.process.units.units import Unit
from mimedi_sim.firmware.base import Firmware
from mimedi_sim.firmware.faulty_line import FaultyLine
from mimedi_sim.laboratory.laboratory import Laboratory
from mimedi_sim.models.donors import Donor
from mimedi_sim.plant import biology, dmso, selection
from mimedi_sim.plant.camera_station import CameraFrame
from mimedi_sim.plant.cameras import Cameras
from mimedi_sim.plant.chip import Chip
from mimedi_sim.plant.climate import ROOM_C
from mimedi_sim.plant.fault_board import Act, FaultBoard
from mimedi_sim.plant.instruments import REACTOR_VESSELS, Instruments, Sensing
from mimedi_sim.plant.kits import CAR_T, RETROVIRAL_KITS, kit
from mimedi_sim.plant.ledger import INDEX, FloatArray, Ledger
from mimedi_sim.plant.network import ASSAY_CELL, CHIP, IMAGING_CELL, MAGNET_COLUMN, WASTE, Flows, Network
from mimedi_sim.plant.occlusion import Occlusions
from mimedi_sim.plant.reactor import Reactor
from mimedi_sim.plant.readings import Readings, Sensed
from mimedi_sim.plant.set_exchange import Sets
from mimedi_sim.plant.settling import Settling
from mimedi_sim.plant.station_faults import CHANGES as STATION_CHANGES
from mimedi_sim.plant.stations import Stations
from mimedi_sim.plant.truth import truth_of
from mimedi_sim.random_streams import stream
from mimedi_sim.scenarios import Scenario

MEDIUM = "medium"
SAMPLE_PORT = "sample_port"
LABORATORY = "laboratory"
PUMP_CALIBRATION_SD = 0.002
"""Relative error of a pump's stroke volume [calibration; Cavro XLP 6000: accuracy better than 1 %]."""

_SETTLING_HEIGHT_M_PER_UL = {
    "sorter_inlet": 0.052 / 40_000.0,  # PROCESS step 5: 52 mm
    **dict.fromkeys(REACTOR_VESSELS.values(), 0.1 / 1.0e6),
}
_DMSO, _BEAD_FREE, _T_FREE, _SELECTION_FREE = (
    INDEX[name] for name in ("dmso_ul", "bead_free", "t_free", "selection_free")
)
_BINDING_VESSELS = ("sorter_inlet", "sorted", "depleted", "harvest", *REACTOR_VESSELS.values())


class Plant:
    """The twin of one workcell; see the module's text for how time passes.

    Args:
        site: the site file's content. donor: whose batch. seed: of every noise. scenario: faults to come.
        start_s: process time at which everything stands ready. kit_name: of the kit in place (plant.kits).
    Raises: SiteError on a site that the plant cannot build, FaultError on a scenario that does not fit it.
    """

    def __init__(
        self, site: Site, *, donor: Donor, seed: int, scenario: Scenario | None = None, start_s: float = 0.0,
        kit_name: str = CAR_T,
    ) -> None:
        self.site, self.donor, self.seed = site, donor, seed
        self._start_s = self._now_s = self._stored_s = float(start_s)
        # What the instruments sense is made further down, of what they are.
        self.stations = Stations(
            site, seed, self._start_s,
            lambda vessel, now_s: self._readings.content(vessel, now_s),
            lambda line, now_s: self._readings.line_flow(line, now_s),
        )
        self._instruments = Instruments(site, Sensing(
            lambda vessel, now_s: self._readings.mass_g(vessel, now_s),
            lambda vessel, now_s: self._readings.moved_s(vessel, now_s),
            lambda frequency_hz, now_s: self._readings.impedance_ohm(frequency_hz, now_s),
            lambda vessel, now_s: self._readings.reactor(vessel, now_s),
        ), self.stations)
        self.stations.on_chain(self._emergency_chain)
        syringes = {pump: f"syringe {pump}" for pump in self._instruments.pumps}
        self.ledger = Ledger((*site.vessels, *syringes.values(), CHIP, MAGNET_COLUMN, selection.COLUMN, LABORATORY))
        for vessel, content in kit(kit_name, donor).items():
            if vessel not in site.vessels:
                raise SiteError(f"vessels: {vessel} is missing, which the kit {kit_name} fills")
            self.ledger.put(vessel, content)
        self._chip = Chip(start_s, donor.acoustic_efficiency, donor.lamella_width)
        capacity = {name: vessel.capacity_ul for name, vessel in site.vessels.items()}
        settling = Settling({k: v for k, v in _SETTLING_HEIGHT_M_PER_UL.items() if k in site.vessels})
        self._network = Network(self.ledger, syringes, capacity, settling, self._chip)
        self._reactors = {
            vessel: Reactor(vessel, MEDIUM, WASTE, donor, start_s, seed, kit_name in RETROVIRAL_KITS)
            for vessel in self._instruments.controllers
        }
        lines = (*syringes.values(), CHIP, MAGNET_COLUMN, selection.COLUMN)
        self._sets = Sets(self.ledger, lines, self.stations.mechanics.cassettes)
        self._donors: dict[str, Donor] = {}
        self._cultures: dict[str, str] = {}
        """Reactor vessel → batch whose cells are in it, once a set was exchanged."""
        self._at_hand = ""
        """Batch whose cassette is in, once a set was exchanged."""
        self._retroviral: dict[str, bool] = {"": kit_name in RETROVIRAL_KITS}
        self.views = Cameras(site, seed, self._chip, self.stations)
        self.cameras = self.views.by_name
        self.laboratory = Laboratory(seed, self._collect_sample)
        reactor_lines = {vessel: line for line, vessel in REACTOR_VESSELS.items() if vessel in self._reactors}
        self._faults = FaultBoard(site, tuple(self._instruments.pumps), tuple(self._instruments.valves),
                                  tuple(self._reactors), reactor_lines, tuple(self.cameras))
        self._wires = {
            name: FaultyLine(firmware, seed=seed, name=name) for name, firmware in self._instruments.lines.items()
        }
        self._delays_s: dict[str, float] = {}
        self._occlusions = Occlusions()
        for pump in self._instruments.pumps:
            error = stream(seed, pump, "stroke").normal(0, 1.0, PUMP_CALIBRATION_SD)
            self._faults.set_nominal_stroke(pump, error)
        self._faults.plan(scenario, start_s)
        self._own_event_s: float | None = None  # cached until the state is stored
        self._flows = Flows()
        self._touched_s: dict[str, float] = {}
        self._drive = self._chip.drive
        self._readings = Readings(
            site, seed, self._start_s, self._instruments.weighed.values(),
            Sensed(
                self._network, self._reactors, self._chip, self._faults, lambda: (self._flows, self._stored_s),
                self._touched_s,
            ),
        )
        self._adopt_controls(start_s)
        self._take_faults(start_s)

    # -- the wire ---------------------------------------------------------------------------------------

    @property
    def lines(self) -> Mapping[str, Firmware]:
        """Firmware by the line's name in the site file."""
        return self._instruments.lines

    def receive(self, line: str, data: bytes, now_s: float) -> bytes:
        """Take bytes from a line at a process time; return what its instruments answer (may be empty).

        Raises: KeyError on an unknown line, ValueError if now_s lies in the past.
        """
        wire = self._wires[line]
        self.advance_to(now_s)
        if wire.silent:
            return b""
        answer = wire.receive(data, self._now_s)
        if self._instruments.commanded(line):
            self._adopt_controls(self._now_s)
        return answer

    def take_unasked(self, now_s: float) -> dict[str, bytes]:
        """Return what instruments have to say by now_s though nobody asked, by line."""
        return self.stations.take_unasked(now_s, lambda line: not self._wires[line].silent)

    def answer_delay_s(self, line: str) -> float:
        """Return by how much steady time the answers of a line come late [s]; whoever carries the bytes sees to it."""
        return self._delays_s.get(line, 0.0)

    # -- time -------------------------------------------------------------------------------------------

    def next_event(self) -> float:
        """Return when the plant's state changes course next by itself [s]; inf when nothing is planned.

        `advance_to` goes through these events on its own: time may be granted past them. What reaches out of the
        plant unasked has its own times: `next_frame_s` and `laboratory.next_event`.
        """
        if self._own_event_s is None:
            self._own_event_s = min(
                self._chip.next_event(), self._faults.next_event(), self._occlusions.next_event(),
                *(reactor.next_event(self.ledger) for reactor in self._reactors.values()),
            )
        return min(self._instruments.next_event(), self._own_event_s)

    def advance_to(self, time_s: float) -> None:
        """Let process time pass up to time_s; raises ValueError if it lies in the past."""
        if time_s < self._now_s:
            if time_s < self._now_s - 1e-9:
                raise ValueError(f"time_s is {time_s}, but the plant is at {self._now_s}; time cannot run backwards")
            return
        while (event := self.next_event()) <= time_s:
            event = max(event, self._stored_s)
            self._now_s = event
            self._store(event)
            for pump in self._occlusions.stalled(event):
                self._instruments.stall(pump, event)
            self._instruments.advance_to(event)
            self._adopt_controls(event)
            if self._faults.next_event() <= event:
                self._faults.carry_out(event)
                self._take_faults(event)
                self._own_event_s = None
        self._now_s = time_s

    def _adopt_controls(self, time_s: float) -> None:
        """Read what the instruments do; when it changed, store the state under what they did before."""
        flows = self._instruments.flows(self._faults.overrides, self._faults.leaks)
        drive = self._instruments.drive(self._faults.overrides)
        wanted = {vessel: self._instruments.set_points(vessel) for vessel in self._reactors}
        self._watch_occlusions(time_s)
        moved = flows != self._flows
        if self.stations.senses_lines and (moved or self._faults.overrides.resistances):
            self._tell_sensors(time_s)
        if not moved and drive == self._drive and all(
            wanted[vessel] == reactor.set_points for vessel, reactor in self._reactors.items()
        ):
            return
        if time_s > self._stored_s:  # a stroke that ended by itself was stored up to here
            self._store(time_s)
        self._own_event_s = None
        if moved and not self._flows.still:
            self._touched_s.update(dict.fromkeys(self._flows.touched, time_s))
        self._flows, self._drive = flows, drive
        self._chip.commit(time_s, drive)
        self.views.sorter.adopt(time_s, self._network.chip_run(flows))
        for vessel, reactor in self._reactors.items():
            if wanted[vessel] != reactor.set_points:
                reactor.commit(time_s, self.ledger)
                reactor.command(time_s, wanted[vessel])
                reactor.refresh(self.ledger)
                self._network.settling.set_stirring(vessel, reactor.stirring_rpm)

    def _tell_sensors(self, time_s: float) -> None:
        overrides = self._faults.overrides
        pushed = {
            name: -pump.rate_ul_s * overrides.strokes.get(name, 1.0)
            for name, pump in self._instruments.pumps.items() if pump.rate_ul_s < 0.0
        }
        self.stations.sensors.adopt(time_s, pushed, overrides.resistances)

    def _emergency_chain(self, time_s: float, closed: bool) -> None:
        """The emergency stop has tripped, or was reset."""
        self.advance_to(max(time_s, self._now_s))
        if not closed:
            self._instruments.emergency_stop(self._now_s)
        self._adopt_controls(self._now_s)

    def _watch_occlusions(self, time_s: float) -> None:
        factors = self._faults.overrides.resistances
        if not (factors or self._occlusions.any):
            return
        before = self._occlusions.next_event()
        rates = {name: pump.rate_ul_s for name, pump in self._instruments.pumps.items()}
        self._occlusions.watch(rates, factors, time_s)
        if self._occlusions.next_event() != before:
            self._own_event_s = None

    def _store(self, time_s: float) -> None:
        """Make time_s an event: carry every part of the plant there under the present flows."""
        duration_s = time_s - self._stored_s
        flows = self._flows
        self._own_event_s = None
        for vessel, reactor in self._reactors.items():
            if vessel in flows.touched or reactor.next_event(self.ledger) <= time_s:
                reactor.commit(time_s, self.ledger)
        if duration_s > 0.0:
            self._network.sink(duration_s)
            self._bind_beads(self.ledger, duration_s)
            if not flows.still:
                self._network.step(flows, self._stored_s, duration_s)
                self._tell_reactors(flows, time_s)
                if ASSAY_CELL in flows.touched:
                    self.stations.aliquot_changed(time_s, self.ledger.row(ASSAY_CELL))
        if self._chip.next_event() <= time_s or duration_s > 0.0:
            self._chip.commit(time_s, self._drive)
        self._stored_s = time_s

    def _tell_reactors(self, flows: Flows, time_s: float) -> None:
        for vessel, reactor in self._reactors.items():
            if vessel in flows.touched:
                arrived = self._network.arrivals_ul.get(vessel, 0.0)
                if arrived > 0.0 and self._at_hand and vessel not in self._cultures:
                    self._cultures[vessel] = self._at_hand
                    reactor.exchanged(self.donor, self._retroviral[self._at_hand], self.ledger)
                    self._connect(vessel)
                if arrived > 0.0:
                    reactor.climate.received(time_s, arrived, ROOM_C, self.ledger.volume_ul(vessel))
                reactor.refresh(self.ledger)

    def _bind_beads(self, ledger: Ledger, duration_s: float) -> None:
        for vessel in _BINDING_VESSELS:
            if vessel not in ledger:
                continue
            row = ledger.row(vessel)
            if row[_BEAD_FREE] > 0.0 and row[_T_FREE] > 0.0:
                change = biology.bead_binding(row, self.donor, duration_s)
                if change is not None:
                    ledger.react(vessel, change)
            if row[_SELECTION_FREE] > 0.0 and (bound := selection.binding(row, duration_s)) is not None:
                ledger.react(vessel, bound)
        for vessel in dmso.VESSELS:
            if vessel in ledger and (row := ledger.row(vessel))[_DMSO] > 0.0:
                died = dmso.death(row, duration_s)
                if died is not None:
                    ledger.react(vessel, died)

    # -- faults -----------------------------------------------------------------------------------------

    def inject(
        self, fault: str, target: str, parameters: Mapping[str, Any] | None, active: bool, now_s: float
    ) -> None:
        """Put a fault in (active) or take it away at a process time.

        Raises: FaultError naming the known faults, targets or parameters.
        """
        self.advance_to(now_s)
        self._faults.set(fault, target, parameters or {}, active, now_s)
        self._own_event_s = None
        self._take_faults(now_s)

    @property
    def fault_targets(self) -> Mapping[str, tuple[str, ...]]:
        """Names of what faults can act on here, by kind: vessel, pump, line, …"""
        return self._faults.targets

    def _take_faults(self, time_s: float) -> None:
        """Make the plant behave as the fault board says from time_s on."""
        self._store(time_s)
        for reactor in self._reactors.values():
            reactor.commit(time_s, self.ledger)
        acts = self._faults.take_acts()
        if acts:
            self._instruments.advance_to(time_s)  # a plunger that loses its power stands where it is now
        for act in acts:
            self._carry_out(act)
        for name, wire in self._wires.items():
            line = self._faults.line_faults(name)
            wire.silent, wire.garbage_share, wire.bit_error_rate = line.silent, line.garbage_share, line.bit_error_rate
            self._delays_s[name] = line.delay_s
        for name, station in self.cameras.items():
            station.set_faults(self._faults.camera_faults(name), time_s)
        self._chip.set_defects(**self._faults.chip_defects)
        for vessel, reactor in self._reactors.items():
            reactor.set_faults(time_s, self._faults.reactor_faults(vessel))
            self._network.settling.set_stirring(vessel, reactor.stirring_rpm)
            reactor.refresh(self.ledger)
        self._adopt_controls(time_s)

    def _carry_out(self, act: Act) -> None:
        match act.quantity:
            case "power":
                self._instruments.power_cycle(act.target, self._now_s)
            case fault if fault in STATION_CHANGES:
                STATION_CHANGES[fault](self.stations, self._now_s, act.values, act.active)
            case "air":
                self._network.air_ahead_ul[act.target] += act.amount
            case "all":
                self.ledger.move(act.target, "lost", self.ledger.volume_ul(act.target))
                self._touched_s[act.target] = self._now_s
            case quantity:
                row = self.ledger.row(act.target)
                change = np.zeros(len(row))
                change[INDEX[quantity]] = row[INDEX[quantity]] * (act.factor - 1.0) + act.amount
                self.ledger.put(act.target, change)

    # -- hands ------------------------------------------------------------------------------------------

    def exchange_set(
        self, unit: Unit, old: str, batch_id: str, now_s: float, donor: Donor | None = None, kit_name: str = CAR_T
    ) -> bool:
        """Take the set of batch `old` out of a unit and put that of another batch in; return whether it is a new one.

        Args:
            donor: whose cells a new set brings, the plant's when None; a batch keeps the donor that it came with.

        Raises:
            ExchangeError: the sets are not where they are said to be.
        """
        self.advance_to(max(now_s, self._now_s))
        self._store(self._now_s)
        for reactor in self._reactors.values():
            reactor.commit(self._now_s, self.ledger)
        if not self._at_hand:
            self._at_hand = old
            # An empty vessel is of the batch whose cells come into it first.
            self._cultures = {vessel: old for vessel in self._reactors if self.ledger.volume_ul(vessel) > 0.0}
        self._donors.setdefault(old, self.donor)
        self._retroviral.setdefault(old, self._retroviral[""])
        whose = self._donors.setdefault(batch_id, donor or self.donor)
        self._retroviral.setdefault(batch_id, kit_name in RETROVIRAL_KITS)
        is_new = self._sets.exchange(unit, old, batch_id, kit(kit_name, whose))
        if unit.kind == "shared":
            self.donor, self._at_hand = whose, batch_id
            self._chip.exchanged(whose.acoustic_efficiency, whose.lamella_width)
            self._network.gas_ul.update(dict.fromkeys(self._network.gas_ul, 0.0))
        for vessel in unit.vessels:
            self._touched_s[vessel] = self._now_s
            self._network.settling.exchanged(vessel)
            if vessel in self._reactors:
                self._cultures[vessel] = batch_id
                self._reactors[vessel].exchanged(whose, kit_name in RETROVIRAL_KITS, self.ledger)
            if vessel == ASSAY_CELL and vessel in self.ledger:
                self.stations.aliquot_changed(self._now_s, self.ledger.row(ASSAY_CELL))
        for vessel in self._cultures:
            self._connect(vessel)
        self._own_event_s = None
        self._adopt_controls(self._now_s)
        return is_new

    def _connect(self, vessel: str) -> None:
        """Let a reactor perfuse from and into the bags of the batch whose cells are in it."""
        batch, reactor = self._cultures[vessel], self._reactors[vessel]
        reactor.connect(self._sets.bag_of(MEDIUM, batch), self._sets.bag_of(WASTE, batch))
        reactor.refresh(self.ledger)

    # -- cameras and laboratory -------------------------------------------------------------------------

    def set_capture(self, camera: str, on: bool, now_s: float) -> None:
        """Start or stop a camera; raises KeyError on an unknown one."""
        self.advance_to(now_s)
        self.cameras[camera].set_capture(on, now_s)

    def set_fluorescence(self, camera: str, on: bool) -> None:
        """Switch the lamps of a camera's two colours from the next exposure on; raises KeyError on an unknown one."""
        self.cameras[camera].fluorescing = on

    def next_frame_s(self, camera: str | None = None) -> float:
        """Return when the next exposure is due [s], of one camera or of any; inf while none captures."""
        return self.views.next_frame_s(camera)

    def frame(self, camera: str, time_s: float) -> CameraFrame:
        """Return a camera's exposure of the frame grid at time_s."""
        self.advance_to(max(time_s, self._now_s))
        return self.views.frame(camera, time_s, self.ledger.row(IMAGING_CELL))

    def _collect_sample(self, now_s: float) -> FloatArray:
        """Hand over what reached the sample port since the last collection."""
        self.advance_to(max(now_s, self._now_s))
        self._store(self._now_s)
        return self.ledger.move(SAMPLE_PORT, LABORATORY, self.ledger.volume_ul(SAMPLE_PORT))

    # -- truth ------------------------------------------------------------------------------------------

    def truth(self) -> dict[str, Any]:
        """Return everything there is at the present time, JSON-able, without storing anything."""
        now, ahead = self._now_s, self._network.preview()
        duration_s = now - self._stored_s
        states = {}
        for vessel, reactor in self._reactors.items():
            states[vessel] = reactor.state_at(now, self._readings.volume_ul(vessel, now), self.ledger)
            reactor.copy().commit(now, ahead.ledger)
        if duration_s > 0.0:
            ahead.sink(duration_s)
            self._bind_beads(ahead.ledger, duration_s)
            ahead.step(self._flows, self._stored_s, duration_s)
        found = truth_of(
            now, ahead.ledger, tuple(self.site.vessels), states, self._chip, self._flows, self.donor,
            self._faults.active,
        )
        return {**found, "stations": self.stations.truth(now)}
