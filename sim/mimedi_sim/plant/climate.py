# SPDX-License-Identifier: Apache-2.0
"""Heat and gas of a bioreactor's chamber: stored at events, looked ahead on copies between them.

A chamber that has come to rest is not computed again until something changes. A reading between two events comes
from blocks that count from the last event, so that it does not depend on earlier readings, bit by bit.
The liquid's heat capacity is that of a full vessel with its jacket (1 L), whatever it holds: cold liquid that
arrives takes the share of its own capacity.
"""

from __future__ import annotations

import copy
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
_HEAT_BATCH_K = 0.1  # cold liquid is booked as heat when it has cooled the vessel by this


class Climate:
    """Temperatures and CO2 of one chamber."""

    def __init__(self, time_s: float) -> None:
        self._heat = ThermalChamber(
            time_s=time_s, temperatures=Temperatures(ROOM_C, ROOM_C, ROOM_C), set_point_c=ROOM_C, ambient_c=ROOM_C
        )
        self._gas = Co2Chamber(time_s=time_s, set_point=AMBIENT_CO2, half_band=0.0)
        self._pending_heat_j = 0.0
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

    def received(self, time_s: float, volume_ul: float, temperature_c: float) -> None:
        """Take note of liquid that arrived with another temperature."""
        self._pending_heat_j += volume_ul * _HEAT_CAPACITY_J_UL_K * (temperature_c - self.liquid_c)
        change = self._pending_heat_j / self._heat.parameters.liquid_j_k
        if abs(change) >= _HEAT_BATCH_K:
            self._heat.change(time_s)
            now = self._heat.temperatures
            self._heat.temperatures = now._replace(liquid_c=now.liquid_c + change)
            self._pending_heat_j = 0.0
            self._disturbed(time_s)

    def commit(self, time_s: float) -> None:
        """Carry heat and gas to time_s."""
        if not self.settled:
            self._store(time_s)
        self._gas.advance_to(time_s)

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
    def _pending_k(self) -> float:
        return self._pending_heat_j / self._heat.parameters.liquid_j_k

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
