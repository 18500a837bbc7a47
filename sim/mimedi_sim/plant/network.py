# SPDX-License-Identifier: Apache-2.0
"""The liquid path: what moves in an interval of constant pump rates and valve ports.

`Flows` is what the pumps and valves do; `Network.step` books it. Within an interval liquid is first drawn into
the syringes that fill, then pushed out of those that deliver; intervals end at every command and every event of
an instrument, so the split of an interval never depends on who asked for a reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from mimedi_sim.plant import magnet, selection
from mimedi_sim.plant.chip import Chip, ChipRun
from mimedi_sim.plant.ledger import LOST, QUANTITIES, VOLUME, FloatArray, Ledger
from mimedi_sim.plant.settling import Settling

MAGNET_COLUMN = "magnet_column"
DEPLETED = "depleted"
IMAGING_CELL = "imaging_cell"
ASSAY_CELL = "assay_cell"
"""In front of the photon counter and the analysers."""
FLOW_CELLS = (IMAGING_CELL, ASSAY_CELL)
"""Cells in front of instruments: a new sample pushes the old one out."""
SORTER_WASTE = "sorter_waste"
WASTE = "waste"
CHIP = "chip"
"""Name of the chip as an end of a line; it holds nothing."""
AIR = ""
"""End of a line that leads nowhere: a pump there draws air and pushes it out."""


class PumpFlow(NamedTuple):
    """One pump in an interval: signed rate [uL/s], positive draws in, and the vessel at its valve."""

    rate_ul_s: float
    vessel: str


@dataclass(frozen=True)
class Flows:
    """All pumps that move, where the chip's centre outlet leads, and the leaks [uL/s by vessel]."""

    pumps: Mapping[str, PumpFlow] = field(default_factory=dict)
    sample_pumps: frozenset[str] = frozenset()
    centre: str = AIR
    leaks: Mapping[str, float] = field(default_factory=dict)

    @property
    def still(self) -> bool:
        """Whether nothing moves."""
        return not self.pumps and not self.leaks

    @cached_property
    def touched(self) -> frozenset[str]:
        """Names of the vessels into or out of which liquid moves."""
        if self.still:
            return frozenset()
        return frozenset((*self.leaks, self.centre, *(flow.vessel for flow in self.pumps.values())))


class Network:
    """Ledger, syringe gas and settling under the flows.

    Args: syringes: pump name to account name. capacity_ul: vessel name to what it holds before it overflows.
    """

    def __init__(
        self, ledger: Ledger, syringes: Mapping[str, str], capacity_ul: Mapping[str, float], settling: Settling,
        chip: Chip,
    ) -> None:
        self.ledger, self.settling, self.chip = ledger, settling, chip
        self._syringes, self._capacity = dict(syringes), dict(capacity_ul)
        self.gas_ul = dict.fromkeys(syringes, 0.0)
        self.air_ahead_ul = dict.fromkeys(syringes, 0.0)
        """Air in a pump's inlet line: it is drawn before the liquid."""
        self.arrivals_ul: dict[str, float] = {}
        self._fed: frozenset[str] = frozenset()

    def preview(self) -> Network:
        """Return an independent copy of what liquid there is, to look ahead with (it shares the chip)."""
        twin = Network(self.ledger.copy(), self._syringes, self._capacity, self.settling.copy(), self.chip)
        twin.gas_ul, twin.air_ahead_ul = dict(self.gas_ul), dict(self.air_ahead_ul)
        twin._fed = self._fed
        return twin

    def step(self, flows: Flows, time_s: float, duration_s: float) -> None:
        """Book an interval that starts at time_s; `arrivals_ul` then tells what each vessel received."""
        self.arrivals_ul = {}
        for vessel, rate in flows.leaks.items():
            self._draw(vessel, LOST, rate * duration_s)
        for pump, flow in flows.pumps.items():
            if flow.rate_ul_s > 0.0:
                self._fill(pump, flow, duration_s)
        self._feed_chip(flows, time_s, duration_s)
        for pump, flow in flows.pumps.items():
            if flow.rate_ul_s < 0.0 and flow.vessel != CHIP:
                self._deliver(self._pushed(pump, -flow.rate_ul_s * duration_s), pump, flow)
        self._fed = frozenset(
            flow.vessel for flow in flows.pumps.values() if flow.rate_ul_s < 0.0 and flow.vessel in FLOW_CELLS
        )
        self._overflow()

    def sink(self, duration_s: float) -> None:
        """Let suspended cells sink for duration_s in the vessels nobody stirs."""
        for vessel in self.settling.vessels:
            self.settling.advance(vessel, self.ledger.volume_ul(vessel), duration_s)

    def _draw(self, vessel: str, destination: str, volume_ul: float) -> float:
        available = self.ledger.volume_ul(vessel)
        if available <= 0.0:
            return 0.0
        share = self.settling.drawn_share(vessel)
        moved = self.ledger.move(vessel, destination, volume_ul, share)
        self.settling.drawn(vessel, min(1.0, float(moved[VOLUME]) / available))
        return float(moved[VOLUME])

    def _fill(self, pump: str, flow: PumpFlow, duration_s: float) -> None:
        wanted = flow.rate_ul_s * duration_s
        liquid = 0.0
        if flow.vessel not in (AIR, CHIP):
            air = min(self.air_ahead_ul[pump], wanted)
            self.air_ahead_ul[pump] -= air
            liquid = self._draw(flow.vessel, self._syringes[pump], wanted - air)
        self.gas_ul[pump] += wanted - liquid

    def _pushed(self, pump: str, volume_ul: float) -> FloatArray:
        """Return what a stroke pushes out of a syringe (liquid and gas leave in proportion), as amounts."""
        row = self.ledger.row(self._syringes[pump])
        held = float(row[VOLUME]) + self.gas_ul[pump]
        if held <= 1e-9:
            return np.zeros(len(QUANTITIES))
        share = 1.0 if volume_ul >= held - 1e-6 else volume_ul / held
        self.gas_ul[pump] *= 1.0 - share
        return row * share

    def _deliver(self, part: FloatArray, pump: str, flow: PumpFlow) -> None:
        source = self._syringes[pump]
        if part[VOLUME] <= 0.0:
            return
        if flow.vessel == AIR:
            self.ledger.transfer(source, LOST, part)
            return
        if flow.vessel == DEPLETED:
            held = magnet.retained(part, -flow.rate_ul_s * 60.0)
            self.ledger.transfer(source, MAGNET_COLUMN, held)
            part = part - held
        if flow.vessel == selection.UNSELECTED:
            held = selection.retained(part, -flow.rate_ul_s * 60.0)
            self.ledger.transfer(source, selection.COLUMN, held)
            part = part - held
        if flow.vessel == selection.SELECTED:
            flushed = selection.eluted(self.ledger.row(selection.COLUMN), float(part[VOLUME]))
            self.ledger.transfer(selection.COLUMN, flow.vessel, flushed)
        if flow.vessel in FLOW_CELLS and flow.vessel not in self._fed:
            self.ledger.move(flow.vessel, WASTE, self.ledger.volume_ul(flow.vessel))
        self._give(source, flow.vessel, part)

    def gas_share(self, pump: str) -> float:
        """Return the share of gas in what a pump's syringe holds (0..1)."""
        held = float(self.ledger.row(self._syringes[pump])[VOLUME]) + self.gas_ul[pump]
        return self.gas_ul[pump] / held if held > 1e-9 else 0.0

    def _give(self, source: str, vessel: str, part: FloatArray) -> None:
        volume = float(part[VOLUME])
        self.settling.received(vessel, self.ledger.volume_ul(vessel), volume)
        self.ledger.transfer(source, vessel, part)
        self.arrivals_ul[vessel] = self.arrivals_ul.get(vessel, 0.0) + volume

    def chip_run(self, flows: Flows) -> ChipRun | None:
        """Return what the flows send through the chip from now on; None when nothing goes there."""
        sample, rates = np.zeros(len(QUANTITIES)), {True: 0.0, False: 0.0}
        for pump, flow in flows.pumps.items():
            if flow.rate_ul_s < 0.0 and flow.vessel == CHIP:
                rates[pump in flows.sample_pumps] -= flow.rate_ul_s
                if pump in flows.sample_pumps:
                    sample += self.ledger.row(self._syringes[pump])
        return ChipRun(sample, rates[True], rates[False]) if rates[True] + rates[False] > 0.0 else None

    def _feed_chip(self, flows: Flows, time_s: float, duration_s: float) -> None:
        feeding = {p: f for p, f in flows.pumps.items() if f.rate_ul_s < 0.0 and f.vessel == CHIP}
        if not feeding:
            return
        sample, buffer = np.zeros(len(QUANTITIES)), np.zeros(len(QUANTITIES))
        rates = {True: 0.0, False: 0.0}
        for pump, flow in feeding.items():
            part = self._pushed(pump, -flow.rate_ul_s * duration_s)
            is_sample = pump in flows.sample_pumps
            rates[is_sample] -= flow.rate_ul_s
            self.ledger.transfer(self._syringes[pump], CHIP, part)
            if is_sample:
                sample += part
            else:
                buffer += part
        centre = self.chip.split(sample, buffer, rates[True], rates[False], time_s)
        sides = sample + buffer - centre
        self._give(CHIP, flows.centre if flows.centre != AIR else LOST, centre)
        self._give(CHIP, SORTER_WASTE, sides)
        # What rounding left in the chip goes with the waste: the chip holds nothing.
        self.ledger.transfer(CHIP, SORTER_WASTE, self.ledger.row(CHIP).copy())

    def _overflow(self) -> None:
        for vessel in self.arrivals_ul:
            excess = self.ledger.volume_ul(vessel) - self._capacity.get(vessel, np.inf)
            if excess > 0.0:
                self.ledger.move(vessel, LOST, excess)
