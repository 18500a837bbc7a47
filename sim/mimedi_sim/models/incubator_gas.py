# SPDX-License-Identifier: Apache-2.0
"""CO2 in the incubator: injection with hysteresis against leakage and an open door, exact between switchings.

Fractions of dry gas 0..1, volumes in L, flows in L/s or L/min as named, times in s. Source: PHYSICS §6.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

from mimedi_sim.models.validation import require_fraction, require_not_negative, require_positive

AMBIENT_CO2 = 0.0004
DOOR_EXCHANGE_TIME_S = 10.0
SENSOR_LAG_S = 20.0


def co2_fill_time(flow: float, volume: float, start_fraction: float, end_fraction: float) -> float:
    """Return the time to raise CO2 by pure injection, V dx/dt = Q (1-x), in the unit of volume/flow.

    Raises: ValueError if the end is not above the start.
    """
    require_positive(flow=flow, volume=volume)
    require_fraction(start_fraction=start_fraction)
    if not start_fraction <= end_fraction < 1.0:
        raise ValueError(f"end_fraction is {end_fraction}; allowed: {start_fraction} .. below 1")
    return volume / flow * math.log((1.0 - start_fraction) / (1.0 - end_fraction))


@dataclass
class Co2Chamber:
    """Chamber gas with an on/off injector: switches on below low, off above high; exact between.

    leak_l_s is the exchange with the room with the door shut; an open door exchanges the volume in 10 s.
    """

    time_s: float = 0.0
    fraction: float = AMBIENT_CO2
    set_point: float = 0.05
    half_band: float = 0.0005
    volume_l: float = 20.0
    injection_l_s: float = 5.0 / 60.0
    leak_l_s: float = 20.0 / 14_400.0
    ambient_fraction: float = AMBIENT_CO2
    door_open: bool = False
    supply_empty: bool = False
    injecting: bool = False
    injected_l: float = 0.0

    def advance_to(self, time_s: float) -> None:
        """Move to time_s through every switching of the injector; raises ValueError if it lies in the past."""
        if time_s < self.time_s - 1e-9:
            raise ValueError(f"time_s is {time_s}, before the chamber's time {self.time_s}")
        self._switch()
        skipped = False
        # A remainder below the clock's own resolution would never be used up.
        while (remaining := time_s - self.time_s) > 1e-9:
            wait = self._time_to_switch_s()
            self._propagate(min(wait, remaining))
            if wait <= remaining:
                self.fraction = self._high() if self.injecting else self._low()
                self.injecting = not self.injecting
                if not skipped:
                    self._skip_cycles(time_s)
                    skipped = True
        self.time_s = max(self.time_s, time_s)

    def _skip_cycles(self, time_s: float) -> None:
        """Go through whole cycles of injection and leakage at once: from a switching on they are all alike."""
        other = copy.copy(self)
        other.fraction, other.injecting = self._high() if self.injecting else self._low(), not self.injecting
        first, second = self._time_to_switch_s(), other._time_to_switch_s()
        period = first + second
        if not 0.0 < period < math.inf:
            return
        cycles = math.floor((time_s - self.time_s) / period)
        if cycles > 0:
            self.time_s += cycles * period
            if not self.supply_empty:
                self.injected_l += cycles * self.injection_l_s * (first if self.injecting else second)

    def next_event(self) -> float:
        """Return the process time in s of the injector's next switching, inf if none comes."""
        return self.time_s + self._time_to_switch_s()

    def change(self, time_s: float, **fields: float | bool) -> None:
        """Change set point, door, supply or ambient from time_s on; AttributeError on an unknown field."""
        allowed = {"set_point", "half_band", "door_open", "supply_empty", "ambient_fraction", "leak_l_s"}
        unknown = set(fields) - allowed
        if unknown:
            raise AttributeError(f"unknown field(s) {sorted(unknown)}; allowed: {sorted(allowed)}")
        self.advance_to(time_s)
        for name, value in fields.items():
            setattr(self, name, value)
        require_fraction(set_point=self.set_point)
        require_not_negative(leak_l_s=self.leak_l_s)
        self._switch()

    def _high(self) -> float:
        return self.set_point + self.half_band

    def _low(self) -> float:
        return self.set_point - self.half_band

    def _switch(self) -> None:
        if self.fraction <= self._low():
            self.injecting = True
        elif self.fraction >= self._high():
            self.injecting = False

    def _dynamics(self) -> tuple[float, float]:
        """Return (final fraction, rate 1/s) of the present phase."""
        injection = self.injection_l_s if self.injecting and not self.supply_empty else 0.0
        exchange = self.volume_l / DOOR_EXCHANGE_TIME_S if self.door_open else self.leak_l_s
        total = injection + exchange
        if total == 0.0:
            return self.fraction, 0.0
        return (injection + exchange * self.ambient_fraction) / total, total / self.volume_l

    def _time_to_switch_s(self) -> float:
        final, rate = self._dynamics()
        goal = self._high() if self.injecting else self._low()
        if rate == 0.0 or (final - goal) * (goal - self.fraction) <= 0.0:
            return math.inf
        return math.log((self.fraction - final) / (goal - final)) / rate

    def _propagate(self, duration_s: float) -> None:
        final, rate = self._dynamics()
        self.fraction = final + (self.fraction - final) * math.exp(-rate * duration_s)
        if self.injecting and not self.supply_empty:
            self.injected_l += self.injection_l_s * duration_s
        self.time_s += duration_s
