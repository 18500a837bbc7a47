# SPDX-License-Identifier: Apache-2.0
"""Which faults are in the plant, and which are to come: the plant asks, the faults never act by themselves."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mimedi_nodes.modules.site import Site
from mimedi_sim.plant.analyser_faults import ANALYSERS
from mimedi_sim.plant.fault_catalogue import CATALOGUE, STATIONS
from mimedi_sim.plant.fault_effects import CameraFaults, LineFaults, Overrides, ReactorFaults
from mimedi_sim.plant.faults import Values, checked_name, checked_target, checked_values
from mimedi_sim.plant.gantry_faults import GANTRY
from mimedi_sim.scenarios import Scenario

WORKCELL = "workcell"
"""Target of a power loss that takes everything."""


@dataclass(frozen=True)
class Act:
    """A single change: of a vessel's quantity ("all": emptied) by a factor and an amount, of a pump's air, of the power
    of a line, or of a station by the fault that comes or goes."""

    target: str
    quantity: str
    factor: float = 1.0
    amount: float = 0.0
    values: Values = field(default_factory=dict)
    active: bool = True


@dataclass(order=True)
class _Planned:
    time_s: float
    order: int
    fault: str = field(compare=False)
    target: str = field(compare=False)
    parameters: Mapping[str, Any] = field(compare=False)
    active: bool = field(compare=False)


def lines_of(site: Site, protocol: str) -> tuple[str, ...]:
    """Return the lines of a site that speak a protocol."""
    return tuple(name for name, line in site.instruments.items() if line.protocol == protocol)


class FaultBoard:
    """Active faults by (fault, target) with their parameters, and the scenario's plan."""

    def __init__(self, site: Site, pumps: tuple[str, ...], valves: tuple[str, ...], reactors: tuple[str, ...],
                 reactor_lines: Mapping[str, str], cameras: tuple[str, ...]) -> None:
        lines = tuple(site.instruments)
        self.targets: Mapping[str, tuple[str, ...]] = {
            "vessel": tuple(site.vessels), "pump": pumps, "valve": valves, "reactor": reactors,
            "line": lines, "chip": ("chip",), "camera": cameras, "supply": (*lines, WORKCELL),
            "enclosure": tuple("enclosure" for _ in lines_of(site, "modbus_enclosure")),
            "photon_counter": tuple("photon_counter" for _ in lines_of(site, "photon_counter")),
            "generator": lines_of(site, "scpi_generator"), "gantry": lines_of(site, "grbl"),
            "afm": lines_of(site, "scpi_afm"), "spr_reader": lines_of(site, "scpi_spr"),
            "plate_reader": lines_of(site, "scpi_plate_reader"), "cytometer": lines_of(site, "scpi_cytometer"),
            "droplet_reader": lines_of(site, "scpi_droplet_reader"),
        }
        """Names that there are, by what faults act on."""
        self.active: dict[tuple[str, str], Values] = {}
        self._reactor_lines = dict(reactor_lines)
        self._strokes: dict[str, float] = {}
        self._plan: list[_Planned] = []
        self._leaking_until: dict[str, float] = {}
        self._acts: list[Act] = []
        self._organism: dict[str, str] = {}
        self._overrides: Overrides | None = None

    def set_nominal_stroke(self, pump: str, factor: float) -> None:
        """Set a pump's calibration: true over nominal stroke volume."""
        self._strokes[pump] = factor
        self._overrides = None

    # -- coming and going -------------------------------------------------------------------------------

    def checked(self, fault: str, target: str, parameters: Mapping[str, Any], *, active: bool = True) -> Values:
        """Return the complete parameters; raises FaultError naming the known faults, targets or parameters."""
        kind = checked_name(fault, CATALOGUE)
        checked_target(fault, kind, target, self.targets)
        return checked_values(fault, kind, parameters) if active else {}

    def plan(self, scenario: Scenario | None, start_s: float) -> None:
        """Take a scenario's events; raises FaultError on one that does not fit the site."""
        for order, event in enumerate(scenario.events if scenario else ()):
            self.checked(event.fault, event.target, event.parameters)
            come = _Planned(start_s + 3600.0 * event.at_h, order, event.fault, event.target, event.parameters, True)
            heapq.heappush(self._plan, come)
            if event.until_h is not None:
                go = _Planned(start_s + 3600.0 * event.until_h, order, event.fault, event.target, {}, False)
                heapq.heappush(self._plan, go)

    def next_event(self) -> float:
        """Return when a planned fault comes or goes, or a leak has run out [s]."""
        planned = self._plan[0].time_s if self._plan else math.inf
        return min(planned, *self._leaking_until.values()) if self._leaking_until else planned

    def carry_out(self, time_s: float) -> None:
        """Carry out everything planned up to time_s."""
        for vessel in [v for v, end in self._leaking_until.items() if end <= time_s]:
            del self._leaking_until[vessel]
            self.active.pop(("leak", vessel), None)
            self._overrides = None
        while self._plan and self._plan[0].time_s <= time_s:
            planned = heapq.heappop(self._plan)
            self.set(planned.fault, planned.target, planned.parameters, planned.active, time_s)

    def set(self, fault: str, target: str, parameters: Mapping[str, Any], active: bool, now_s: float) -> None:
        """Put a fault in or take it away; harmless when it is so already. Raises FaultError."""
        values = self.checked(fault, target, parameters, active=active)
        self._overrides = None
        if fault in STATIONS or fault in GANTRY or fault in ANALYSERS:
            self._acts.append(Act(target, fault, values=values, active=active))
        if not active:
            self.active.pop((fault, target), None)
            if fault == "leak":
                self._leaking_until.pop(target, None)
            return
        number = {name: value for name, value in values.items() if isinstance(value, float)}
        match fault:
            case "leak":
                self._leaking_until[target] = now_s + 60.0 * number["volume_ul"] / number["flow_rate_ul_min"]
            case "empty_bag":
                self._acts.append(Act(target, "all", 0.0))
            case "contamination":
                self._acts.append(Act(target, "cfu", 1.0, float(round(number["cfu"]))))
                self._organism[target] = str(values["organism"])
            case "vector_weak":
                self._acts.append(Act(target, "vector_tu", number["factor"]))
            case "bubble":
                self._acts.append(Act(target, "air", 1.0, number["volume_ul"]))
            case "power_loss" if (fault, target) not in self.active:
                self._acts += [Act(line, "power") for line in self._supplied(target)]
        if not CATALOGUE[fault].once:
            self.active[(fault, target)] = values

    def take_acts(self) -> list[Act]:
        """Return the single changes due and forget them."""
        acts, self._acts = self._acts, []
        return acts

    # -- what the plant asks ----------------------------------------------------------------------------

    def _value(self, fault: str, target: str, name: str, otherwise: float) -> float:
        values = self.active.get((fault, target))
        return otherwise if values is None else float(values[name])

    def _is(self, fault: str, target: str) -> bool:
        return (fault, target) in self.active

    def _named(self, fault: str) -> list[str]:
        return [target for kind, target in self.active if kind == fault]

    def _supplied(self, target: str) -> tuple[str, ...]:
        return self.targets["line"] if target == WORKCELL else (target,)

    def powered(self, line: str) -> bool:
        """Tell whether the instruments of a line have power."""
        return not (self._is("power_loss", line) or self._is("power_loss", WORKCELL))

    @property
    def overrides(self) -> Overrides:
        """What faults make of commands."""
        if self._overrides is None:
            self._overrides = self._computed_overrides()
        return self._overrides

    def _computed_overrides(self) -> Overrides:
        strokes = {
            pump: 0.0 if self._is("pump_stall", pump) else true * self._value("pump_scale", pump, "factor", 1.0)
            for pump, true in self._strokes.items()
        }
        generators = self.targets["generator"]
        offset = sum(self._value("generator_detuned", name, "offset_hz", 0.0) for name in generators)
        ports = {v: int(self._value("valve_stuck", v, "port", 1.0)) for v in self._named("valve_stuck")}
        blocked = {pump: self._value("occlusion", pump, "factor", 1.0) for pump in self._named("occlusion")}
        return Overrides(ports, strokes, blocked, offset, bool(self._named("generator_off")))

    @property
    def leaks(self) -> dict[str, float]:
        """Leaks [uL/s] by vessel."""
        return {vessel: self._value("leak", vessel, "flow_rate_ul_min", 0.0) / 60.0 for vessel in self._leaking_until}

    def line_faults(self, line: str) -> LineFaults:
        """Return what is wrong with a line."""
        return LineFaults(
            silent=self._is("line_silent", line) or not self.powered(line),
            garbage_share=self._value("line_garbage", line, "share", 0.0),
            bit_error_rate=self._value("line_bit_flips", line, "bit_error_rate", 0.0),
            delay_s=self._value("line_slow", line, "delay_s", 0.0),
        )

    @property
    def dead_scales(self) -> frozenset[str]:
        """Vessels whose scale cannot weigh."""
        return frozenset(self._named("scale_dead"))

    def scale_offset_g(self, vessel: str) -> float:
        """Return the error of a vessel's scale [g]."""
        return self._value("scale_offset", vessel, "offset_g", 0.0)

    @property
    def chip_defects(self) -> dict[str, bool]:
        """Defects of the sorter's transducer, as fields of TransducerModel."""
        return {
            "channel_filled": not self._is("channel_dry", "chip"),
            "bubble": self._is("channel_bubble", "chip"),
            "delaminated": self._is("transducer_debonded", "chip"),
        }

    def camera_faults(self, camera: str) -> CameraFaults:
        """Return what is wrong with a camera."""
        off = self._is("power_loss", WORKCELL)
        return CameraFaults(
            frozen=self._is("camera_frozen", camera), dark=self._is("camera_dark", camera),
            defocus_um=self._value("camera_defocus", camera, "defocus_um", 0.0),
            lost_share=1.0 if off else self._value("camera_frame_loss", camera, "share", 0.0),
            flicker=self._value("camera_led_flicker", camera, "amplitude", 0.0),
        )

    def reactor_faults(self, vessel: str) -> ReactorFaults:
        """Return what is wrong with a bioreactor."""
        limited, stuck = self._is("heater_limited", vessel), self._is("heater_stuck", vessel)
        power = self.powered(self._reactor_lines[vessel])
        return ReactorFaults(
            heater_power_w=self._value("heater_limited", vessel, "power_w", 0.0) if limited else None,
            heater_works=power and not self._is("heater_failure", vessel),
            stuck_output_w=self._value("heater_stuck", vessel, "power_w", 0.0) if stuck and power else None,
            temperature_bias_k=self._value("temperature_bias", vessel, "offset_k", 0.0),
            door_open=self._is("door_open", vessel),
            gas_supply_empty=not power or self._is("gas_supply_lost", vessel),
            stirrer_works=power and not self._is("stirrer_stopped", vessel),
            perfusion_works=power and not self._is("perfusion_stopped", vessel),
            organism=next((self._organism[v] for v in (vessel, *self._organism) if v in self._organism),
                          ReactorFaults.organism),
        )
