# SPDX-License-Identifier: Apache-2.0
"""Heat and gas of a bioreactor's chamber: stored at events, looked ahead on copies between them.

A chamber that has come to rest is not computed again until something changes. A reading between two events comes
from blocks that count from the last event, so that it does not depend on earlier readings, bit by bit.
The liquid node has the heat capacity of what the vessel really holds, in classes of 10 %, and of the vessel itself.
Liquid that arrives is mixed in; while it keeps coming, heat is booked when it makes a tenth of a kelvin, what is left
of it at the next event.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace

from mimedi_sim.models.humidity import co2_partial_pressure_mmhg
from mimedi_sim.models.incubator_gas import AMBIENT_CO2, Co2Chamber
from mimedi_sim.models.thermal import Temperatures, ThermalChamber, ThermalParameters
from mimedi_sim.plant.fault_effects import ReactorFaults

ROOM_C = 22.0
STORE_EVERY_S = 600.0
"""A chamber that still moves is stored this often."""

_BLOCK_S = 64.0
_SETTLED_K = 0.005  # closer to the set point than this the chamber is taken as steady: a quarter of the noise
_SETTLED_K_PER_STEP = 0.0005  # a chamber that moves less than this in STORE_EVERY_S has arrived somewhere
_HEAT_CAPACITY_J_UL_K = 4.186e-3
_VESSEL_J_K = 42.0  # of the vessel itself: that of 10 mL of water [calibration]
_CAPACITY_STEP = 1.1
_HEAT_BATCH_K = 0.1


def _heat_capacity_j_k(volume_ul: float) -> float:
    return _VESSEL_J_K + _HEAT_CAPACITY_J_UL_K * volume_ul


class Climate:
    """Temperatures and CO2 of one chamber."""

    def __init__(self, time_s: float) -> None:
        self._heat = ThermalChamber(
            time_s=time_s, temperatures=Temperatures(ROOM_C, ROOM_C, ROOM_C), set_point_c=ROOM_C, ambient_c=ROOM_C
        )
        self._gas = Co2Chamber(time_s=time_s, set_point=AMBIENT_CO2, half_band=0.0)
        self._heat.parameters = replace(self._heat.parameters, liquid_j_k=_VESSEL_J_K)
        self._pending_k = 0.0
        self._received_s = time_s
        self._stored, self._stored_s = self._heat.temperatures, time_s
        self.settled = False
        """Whether the temperatures have come to rest."""
        self._store(time_s)

    def copy(self) -> Climate:
        """Return an independent copy."""
        twin = copy.copy(self)
        twin._heat, twin._ahead, twin._blocks = replace(self._heat), replace(self._ahead), list(self._blocks)
        twin._gas = replace(self._gas)
        return twin

    # -- changes, each at a committed time ----------------------------------------------------------------

    def set_temperature(self, time_s: float, set_point_c: float) -> None:
        """Take a new set point of the air."""
        self._heat.change(time_s, set_point_c=set_point_c)
        self._disturbed(time_s)

    def set_co2(self, time_s: float, fraction: float) -> None:
        """Take a new set point of CO2 (share of dry gas); at the room's own or below the injector stays shut."""
        target = max(fraction, AMBIENT_CO2)
        self._gas.change(time_s, set_point=target, half_band=0.01 * target if target > AMBIENT_CO2 else 0.0)

    def set_faults(self, time_s: float, faults: ReactorFaults) -> None:
        """Behave as the faults say."""
        self._heat.change(
            time_s, heater_works=faults.heater_works, stuck_output_w=faults.stuck_output_w,
            measurement_bias_k=faults.temperature_bias_k, door_open=faults.door_open,
        )
        if faults.stuck_output_w is None and self._heat.cut_out_tripped:
            self._heat.change(time_s, cut_out_tripped=False)  # whoever mends the relay resets the cut-out
        nominal = ThermalParameters().heater_limit_w
        limit = nominal if faults.heater_power_w is None else faults.heater_power_w
        self._heat.parameters = replace(self._heat.parameters, heater_limit_w=limit)
        self._gas.change(time_s, door_open=faults.door_open, supply_empty=faults.gas_supply_empty)
        self._disturbed(time_s)

    def received(self, time_s: float, arrived_ul: float, temperature_c: float, volume_ul: float) -> None:
        """Mix in liquid of another temperature; volume_ul is what the vessel holds with it."""
        share = arrived_ul * _HEAT_CAPACITY_J_UL_K / _heat_capacity_j_k(volume_ul)
        self._pending_k += share * (temperature_c - self.liquid_c)
        self._received_s = time_s
        if abs(self._pending_k) >= _HEAT_BATCH_K:
            self._book_heat(time_s)

    def holds(self, time_s: float, volume_ul: float) -> None:
        """Take note of how much the vessel holds from a committed time_s on."""
        step = round(math.log(_heat_capacity_j_k(volume_ul) / _VESSEL_J_K) / math.log(_CAPACITY_STEP))
        capacity_j_k = _VESSEL_J_K * _CAPACITY_STEP**step
        if capacity_j_k == self._heat.parameters.liquid_j_k:
            return
        if not self.settled:  # at rest nothing moves, whatever its capacity
            self._heat.change(time_s)
        self._heat.parameters = replace(self._heat.parameters, liquid_j_k=capacity_j_k)
        if not self.settled:
            self._disturbed(time_s)

    def commit(self, time_s: float) -> None:
        """Carry heat and gas to time_s."""
        if self._pending_k != 0.0 and time_s > self._received_s:
            self._book_heat(time_s)
        elif not self.settled:
            self._store(time_s)
        self._gas.advance_to(time_s)

    def _book_heat(self, time_s: float) -> None:
        change_k, self._pending_k = self._pending_k, 0.0
        self._heat.change(time_s)
        now = self._heat.temperatures
        self._heat.temperatures = now._replace(liquid_c=now.liquid_c + change_k)
        settled = self.settled and abs(change_k) < _SETTLED_K
        self._disturbed(time_s)
        self.settled = settled

    def _disturbed(self, time_s: float) -> None:
        self._store(time_s)
        self.settled = False

    def _store(self, time_s: float) -> None:
        before, steps = self._stored, (time_s - self._stored_s) / STORE_EVERY_S
        now = self._stored = self._heat.at(time_s)
        self._stored_s = time_s
        wanted = self._heat.set_point_c
        gap = max(abs(now.air_c - wanted), abs(now.liquid_c - wanted))
        moved = max(abs(now.air_c - before.air_c), abs(now.liquid_c - before.liquid_c))
        near = gap < _SETTLED_K and moved < 4.0 * _SETTLED_K_PER_STEP * steps
        self.settled = steps >= 0.5 and (near or moved < _SETTLED_K_PER_STEP * steps)
        self._ahead = replace(self._heat)
        self._blocks = [now]

    # -- readings -----------------------------------------------------------------------------------------

    @property
    def liquid_c(self) -> float:
        """Liquid temperature at the last event."""
        return self._stored.liquid_c + self._pending_k

    @property
    def heater_w(self) -> float:
        """Heater power at the last event."""
        return self._heat.output_w

    @property
    def cut_out_tripped(self) -> bool:
        """Whether the over-temperature cut-out had tripped at the last event; it stays open until it is reset."""
        return self._heat.cut_out_tripped

    @property
    def heater_limit_w(self) -> float:
        """The heater's present limit."""
        return self._heat.parameters.heater_limit_w

    def temperatures(self, time_s: float) -> Temperatures:
        """Return the temperatures at or after the last event: straight lines between blocks of a minute."""
        nodes = self._stored
        if not self.settled and time_s > self._stored_s:
            block, share = divmod((time_s - self._stored_s) / _BLOCK_S, 1.0)
            while len(self._blocks) < block + 2:
                self._blocks.append(self._ahead.at(self._stored_s + _BLOCK_S * len(self._blocks)))
            start, end = self._blocks[int(block)], self._blocks[int(block) + 1]
            nodes = Temperatures(*(a + share * (b - a) for a, b in zip(start, end, strict=True)))
        return nodes._replace(liquid_c=nodes.liquid_c + self._pending_k)

    def co2(self, time_s: float) -> float:
        """Return the CO2 fraction of dry gas at or after the last event."""
        if time_s <= self._gas.time_s:
            return self._gas.fraction
        ahead = copy.copy(self._gas)
        ahead.advance_to(time_s)
        return ahead.fraction

    def pco2_mmhg(self, time_s: float, fraction: float | None = None) -> float:
        """Return the CO2 pressure that the liquid sees: the injector's sawtooth averages out within minutes.

        Args: fraction: of dry gas at time_s, where it is known already.
        """
        fraction = self.co2(time_s) if fraction is None else fraction
        if abs(fraction - self._gas.set_point) < 0.02 * self._gas.set_point:
            fraction = self._gas.set_point
        return max(0.1, co2_partial_pressure_mmhg(fraction))
