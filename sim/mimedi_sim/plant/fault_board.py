# SPDX-License-Identifier: Apache-2.0
"""Which faults are in the plant, and which are to come: the plant asks, the faults never act by themselves."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mimedi_nodes.modules.site import Site
from mimedi_sim.plant.faults import ONE_SHOT, checked
from mimedi_sim.scenarios import Scenario

Act = tuple[str, str, float, float]
"""A single change of a vessel: name, quantity ("all": emptied), factor on what is there, amount added."""


@dataclass
class Overrides:
    """What faults make of commands: real port of a stuck valve, share of a pump's stroke, generator's error."""

    ports: dict[str, int] = field(default_factory=dict)
    strokes: dict[str, float] = field(default_factory=dict)
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
    cfu_doubling_h: float = 0.75


@dataclass(order=True)
class _Planned:
    time_s: float
    order: int
    fault: str = field(compare=False)
    target: str = field(compare=False)
    parameters: Mapping[str, float] = field(compare=False)
    active: bool = field(compare=False)


class FaultBoard:
    """Active faults by (fault, target) with their parameters, and the scenario's plan."""

    def __init__(self, site: Site, pumps: tuple[str, ...], valves: tuple[str, ...], reactors: tuple[str, ...]) -> None:
        self._targets = {
            "vessel": tuple(site.vessels), "pump": pumps, "valve": valves, "reactor": reactors,
            "line": tuple(site.instruments), "chip": ("chip",),
            "generator": tuple(n for n, line in site.instruments.items() if line.protocol == "scpi_generator"),
        }
        self.active: dict[tuple[str, str], dict[str, float]] = {}
        self._strokes: dict[str, float] = {}
        self._plan: list[_Planned] = []
        self._leaking_until: dict[str, float] = {}
        self._acts: list[Act] = []
        self._doubling: dict[str, float] = {}
        self._overrides: Overrides | None = None

    def set_nominal_stroke(self, pump: str, factor: float) -> None:
        """Set a pump's calibration: true over nominal stroke volume."""
        self._strokes[pump] = factor
        self._overrides = None

    # -- coming and going -------------------------------------------------------------------------------

    def plan(self, scenario: Scenario | None, start_s: float) -> None:
        """Take a scenario's events; raises FaultError on one that does not fit the site."""
        for order, event in enumerate(scenario.events if scenario else ()):
            checked(event.fault, event.target, event.parameters, self._targets)
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
        while self._plan and self._plan[0].time_s <= time_s:
            planned = heapq.heappop(self._plan)
            self.set(planned.fault, planned.target, planned.parameters, planned.active, time_s)

    def set(self, fault: str, target: str, parameters: Mapping[str, Any], active: bool, now_s: float) -> None:
        """Put a fault in or take it away; harmless when it is so already. Raises FaultError."""
        if not active:
            checked(fault, target, {"port": 1} if fault == "valve_stuck" else {}, self._targets)
        values = checked(fault, target, parameters, self._targets) if active else {}
        self._overrides = None
        if not active:
            self.active.pop((fault, target), None)
            if fault == "leak":
                self._leaking_until.pop(target, None)
            return
        if fault == "leak":
            self._leaking_until[target] = now_s + 60.0 * values["volume_ul"] / max(values["flow_rate_ul_min"], 1e-9)
        elif fault == "empty_bag":
            self._acts.append((target, "all", 0.0, 0.0))
        elif fault == "contamination":
            self._acts.append((target, "cfu", 1.0, values["cfu"]))
            self._doubling[target] = values["doubling_h"]
        elif fault == "vector_weak":
            self._acts.append((target, "vector_tu", values["factor"], 0.0))
        if fault not in ONE_SHOT:
            self.active[(fault, target)] = values

    def take_acts(self) -> list[Act]:
        """Return the single changes due and forget them."""
        acts, self._acts = self._acts, []
        return acts

    # -- what the plant asks ----------------------------------------------------------------------------

    def _value(self, fault: str, target: str, name: str, otherwise: float) -> float:
        return self.active.get((fault, target), {}).get(name, otherwise)

    def _named(self, fault: str) -> list[str]:
        return [target for kind, target in self.active if kind == fault]

    @property
    def overrides(self) -> Overrides:
        """What faults make of commands."""
        if self._overrides is None:
            self._overrides = self._computed_overrides()
        return self._overrides

    def _computed_overrides(self) -> Overrides:
        strokes = {
            pump: 0.0 if ("pump_stall", pump) in self.active else true * self._value("pump_scale", pump, "factor", 1.0)
            for pump, true in self._strokes.items()
        }
        generators = self._targets["generator"]
        offset = sum(self._value("generator_detuned", name, "offset_hz", 0.0) for name in generators)
        ports = {v: int(self._value("valve_stuck", v, "port", 1.0)) for v in self._named("valve_stuck")}
        return Overrides(ports, strokes, offset, bool(self._named("generator_off")))

    @property
    def leaks(self) -> dict[str, float]:
        """Leaks [uL/s] by vessel."""
        return {vessel: self._value("leak", vessel, "flow_rate_ul_min", 0.0) / 60.0 for vessel in self._leaking_until}

    @property
    def silent_lines(self) -> frozenset[str]:
        """Lines that do not answer."""
        return frozenset(self._named("line_silent"))

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
            "channel_filled": ("channel_dry", "chip") not in self.active,
            "bubble": ("channel_bubble", "chip") in self.active,
            "delaminated": ("transducer_delaminated", "chip") in self.active,
        }

    def reactor_faults(self, vessel: str) -> ReactorFaults:
        """Return what is wrong with a bioreactor."""
        limited = ("heater_limited", vessel) in self.active
        stuck = ("heater_stuck", vessel) in self.active
        return ReactorFaults(
            heater_power_w=self._value("heater_limited", vessel, "power_w", 0.0) if limited else None,
            heater_works=("heater_failure", vessel) not in self.active,
            stuck_output_w=self._value("heater_stuck", vessel, "power_w", 0.0) if stuck else None,
            temperature_bias_k=self._value("temperature_bias", vessel, "offset_k", 0.0),
            door_open=("door_open", vessel) in self.active,
            gas_supply_empty=("gas_supply_lost", vessel) in self.active,
            stirrer_works=("stirrer_stopped", vessel) not in self.active,
            perfusion_works=("perfusion_stopped", vessel) not in self.active,
            cfu_doubling_h=self._doubling.get(vessel, 0.75),
        )
