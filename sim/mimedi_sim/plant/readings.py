# SPDX-License-Identifier: Apache-2.0
"""What the plant's sensors read between two events: the truth looked ahead to now, plus each sensor's own error.

Nothing is stored here, so that a reading never depends on what was asked before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mimedi_nodes.modules.site import Site
from mimedi_sim.firmware.modbus_bioreactor import BioreactorReadings
from mimedi_sim.plant.chip import Chip
from mimedi_sim.plant.fault_board import FaultBoard
from mimedi_sim.plant.ledger import QUANTITIES, FloatArray, Ledger
from mimedi_sim.plant.liquid_sensors import LineFlow, line_of
from mimedi_sim.plant.network import Flows, Network
from mimedi_sim.plant.reactor import Reactor
from mimedi_sim.plant.sensors import AnalyserSensor, ReactorSensors, ScaleSensor


@dataclass(frozen=True)
class Sensed:
    """The parts of the plant that its sensors look at.

    `present` tells what flows, and since when [s] it is so; `touched_s` when liquid last moved into or out of a vessel
    that had come to rest since [s].
    """

    network: Network
    reactors: Mapping[str, Reactor]
    chip: Chip
    faults: FaultBoard
    present: Callable[[], tuple[Flows, float]]
    touched_s: Mapping[str, float]


class Readings:
    """All sensors of the liquid path and the bioreactors.

    Args: start_s: process time at which sensors begin to drift. weighed: vessels on load cells.
    """

    def __init__(self, site: Site, seed: int, start_s: float, weighed: Iterable[str], sensed: Sensed) -> None:
        self._site, self._start_s, self._sensed = site, start_s, sensed
        self._ledger = sensed.network.ledger
        self._scales = {vessel: ScaleSensor(seed, vessel) for vessel in weighed}
        self._probes = {vessel: ReactorSensors(seed, vessel) for vessel in sensed.reactors}
        self._analyser = AnalyserSensor(seed)

    def volume_ul(self, vessel: str, now_s: float) -> float:
        """Return the true volume in a vessel at now_s, between two events too."""
        volume = self._looked_ahead(now_s).volume_ul(vessel)
        for reactor in self._sensed.reactors.values():
            volume += reactor.perfused_since_stored(vessel, now_s, self._ledger)
        return volume

    def content(self, vessel: str, now_s: float) -> FloatArray:
        """Return the true amounts in a vessel at now_s; nothing for one that the site does not have."""
        if vessel not in self._ledger:
            return np.zeros(len(QUANTITIES))
        return self._looked_ahead(now_s).row(vessel)

    def line_flow(self, line: str, now_s: float) -> LineFlow:
        """Return what the pumps deliver into a line at now_s."""
        flows, stored_s = self._sensed.present()
        delivering = {
            pump: -flow.rate_ul_s for pump, flow in flows.pumps.items()
            if flow.rate_ul_s < 0.0 and line_of(pump) == line
        }
        total = sum(delivering.values())
        if total <= 0.0:
            return LineFlow()
        ahead = self._sensed.network.preview()
        ahead.step(flows, stored_s, max(0.0, now_s - stored_s))
        return LineFlow(total, sum(rate * ahead.gas_share(pump) for pump, rate in delivering.items()) / total)

    def mass_g(self, vessel: str, now_s: float) -> float:
        """Return what the load cell under a vessel reads [g]; NaN when it is dead."""
        faults = self._sensed.faults
        if vessel in faults.dead_scales:
            return math.nan
        true_g = self.volume_ul(vessel, now_s) * 1e-3 * self._site.vessels[vessel].density_g_ml
        return self._scales[vessel].reading_g(true_g, now_s - self._start_s) + faults.scale_offset_g(vessel)

    def moved_s(self, vessel: str, now_s: float) -> float:
        """Return when liquid last moved into or out of a vessel [s]: now_s while it does, -inf when it never has."""
        if vessel in self._sensed.present()[0].touched:
            return now_s
        return self._sensed.touched_s.get(vessel, -math.inf)

    def impedance_ohm(self, frequency_hz: npt.NDArray[np.float64], now_s: float) -> npt.NDArray[np.complex128]:
        """Return what the analyser reads of the transducer, shape of frequency_hz [Hz]."""
        true_ohm = self._sensed.chip.impedance_ohm(frequency_hz, now_s)
        return self._analyser.reading_ohm(true_ohm, now_s - self._start_s)

    def reactor(self, vessel: str, now_s: float) -> BioreactorReadings:
        """Return what the controller of a bioreactor reads."""
        reactor = self._sensed.reactors[vessel]
        volume_ul = self.volume_ul(vessel, now_s)
        mass_g = volume_ul * 1e-3 * self._site.vessels[vessel].density_g_ml
        return self._probes[vessel].readings(
            reactor.state_at(now_s, volume_ul, self._ledger), mass_g, reactor.perfused_ul(now_s, self._ledger),
            max(reactor.climate.heater_limit_w, 1e-9), int(reactor.faults_seen), now_s - self._start_s,
        )

    def _looked_ahead(self, now_s: float) -> Ledger:
        flows, stored_s = self._sensed.present()
        if flows.still or now_s <= stored_s:
            return self._ledger
        ahead = self._sensed.network.preview()
        ahead.step(flows, stored_s, now_s - stored_s)
        return ahead.ledger
