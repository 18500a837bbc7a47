# SPDX-License-Identifier: Apache-2.0
"""Three thermal nodes of an incubator (wall, air, liquid) with a PI controller, propagated exactly.

Temperatures in °C, powers in W, times in s. The controller acts on whole seconds and holds its output between;
between two ticks the nodes follow the matrix exponential. Runs of ticks during which the output stays inside (or
outside) its limits are one affine map, so that days of steady control cost a few matrix products; the limits are
checked at every tick of the run, not only at its ends.
Source: PHYSICS §6; Åström & Hägglund 2006 (back-calculation anti-windup).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from mimedi_sim.models.validation import require_not_negative, require_positive

FloatArray = npt.NDArray[np.float64]
TICK_S = 1.0
_RUN_LENGTHS = (4096, 512, 64, 8)
"""Powers of two: their maps are made by doubling."""
_TIME_TOLERANCE_S = 1e-9


@dataclass(frozen=True)
class ThermalParameters:
    """Heat capacities (J/K), conductances (W/K) and heater limit (W) of the chamber [calibration]."""

    wall_j_k: float = 8000.0
    air_j_k: float = 2000.0
    liquid_j_k: float = 4186.0
    wall_air_w_k: float = 6.0
    wall_ambient_w_k: float = 1.5
    air_liquid_w_k: float = 2.0
    door_w_k: float = 15.0
    heater_limit_w: float = 120.0

    def __post_init__(self) -> None:
        require_positive(wall_j_k=self.wall_j_k, air_j_k=self.air_j_k, liquid_j_k=self.liquid_j_k,
                         wall_air_w_k=self.wall_air_w_k, wall_ambient_w_k=self.wall_ambient_w_k,
                         air_liquid_w_k=self.air_liquid_w_k)
        require_not_negative(door_w_k=self.door_w_k, heater_limit_w=self.heater_limit_w)


class Temperatures(NamedTuple):
    """Node temperatures in °C."""

    wall_c: float
    air_c: float
    liquid_c: float


@lru_cache(maxsize=256)
def _modes(parameters: ThermalParameters, door_open: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return (rates 1/s, V, V^-1) of x' = A x: real, since the network is symmetric up to its capacities."""
    p = parameters
    door = p.door_w_k if door_open else 0.0
    conductance = np.array([
        [p.wall_air_w_k + p.wall_ambient_w_k, -p.wall_air_w_k, 0.0],
        [-p.wall_air_w_k, p.wall_air_w_k + p.air_liquid_w_k + door, -p.air_liquid_w_k],
        [0.0, -p.air_liquid_w_k, p.air_liquid_w_k],
    ])
    root = np.sqrt(np.array([p.wall_j_k, p.air_j_k, p.liquid_j_k]))
    rates, vectors = np.linalg.eigh(conductance / np.outer(root, root))
    return -rates, vectors / root[:, None], vectors.T * root[None, :]


def steady_temperatures(
    parameters: ThermalParameters, heater_w: float, ambient_c: float, door_open: bool = False
) -> Temperatures:
    """Return the temperatures in °C that a constant heater power settles to."""
    p = parameters
    door = p.door_w_k if door_open else 0.0
    # Air and liquid are equal; two balances remain.
    to_ambient_through_air = p.wall_air_w_k * door / (p.wall_air_w_k + door) if door > 0.0 else 0.0
    wall = ambient_c + heater_w / (p.wall_ambient_w_k + to_ambient_through_air)
    air = (p.wall_air_w_k * wall + door * ambient_c) / (p.wall_air_w_k + door)
    return Temperatures(wall, air, air)


def propagated(
    parameters: ThermalParameters, start: Temperatures, heater_w: float, ambient_c: float, time_s: float,
    door_open: bool = False,
) -> Temperatures:
    """Return the temperatures in °C after time_s of constant heater power (exact)."""
    if time_s == 0.0:
        return start
    steady = np.array(steady_temperatures(parameters, heater_w, ambient_c, door_open))
    rates, vectors, inverse = _modes(parameters, door_open)
    moved = vectors @ (np.exp(rates * time_s) * (inverse @ (np.array(start) - steady)))
    return Temperatures(*(steady + moved).tolist())


def heater_power_for_w(parameters: ThermalParameters, set_point_c: float, ambient_c: float) -> float:
    """Return the steady heater power in W that holds the air at a set point with the door shut."""
    wall_air_series = set_point_c - ambient_c  # in steady state the wall is as warm as air and liquid
    return parameters.wall_ambient_w_k * wall_air_series


def time_to_air_threshold_s(
    parameters: ThermalParameters, start: Temperatures, heater_w: float, ambient_c: float, threshold_c: float,
    horizon_s: float = 14 * 86_400.0, door_open: bool = False,
) -> float:
    """Return the first time in s at which the air crosses a threshold under constant power; inf if never."""

    def gap(time_s: float) -> float:
        return propagated(parameters, start, heater_w, ambient_c, time_s, door_open).air_c - threshold_c

    sign = math.copysign(1.0, gap(0.0)) if gap(0.0) != 0.0 else 0.0
    if sign == 0.0:
        return 0.0
    early, late = 0.0, 1.0
    while late < horizon_s:
        if sign * gap(late) <= 0.0:
            return float(brentq(gap, early, late, xtol=1e-9, rtol=1e-14))
        early, late = late, late * 1.05 + 1.0
    return math.inf


@dataclass(frozen=True)
class PiSettings:
    """Proportional-integral controller on the air temperature with back-calculation anti-windup."""

    gain_w_k: float = 60.0
    integral_time_s: float = 700.0
    tracking_time_s: float = 230.0
    tick_s: float = TICK_S

    def __post_init__(self) -> None:
        require_positive(gain_w_k=self.gain_w_k, integral_time_s=self.integral_time_s,
                         tracking_time_s=self.tracking_time_s, tick_s=self.tick_s)


@dataclass(frozen=True)
class _LoopMaps:
    """One control mode: affine tick on z = (wall, air, liquid, integral, 1) and its runs."""

    tick: FloatArray
    runs: dict[int, FloatArray]
    outputs: dict[int, FloatArray]  # rows: unlimited output before each tick of a run


class _Mode(NamedTuple):
    saturated_at: float | None  # None: output follows the law; else the output that is held


@lru_cache(maxsize=128)
def _loop_maps(
    parameters: ThermalParameters, settings: PiSettings, set_point_c: float, ambient_c: float, door_open: bool,
    mode: _Mode,
) -> _LoopMaps:
    rates, vectors, inverse = _modes(parameters, door_open)
    free = (vectors * np.exp(rates * settings.tick_s)) @ inverse
    # Response of the nodes to constant ambient and to 1 W, over one tick.
    rest = np.array(steady_temperatures(parameters, 0.0, ambient_c, door_open))
    per_watt = np.array(steady_temperatures(parameters, 1.0, ambient_c, door_open)) - rest
    constant, heated = rest - free @ rest, per_watt - free @ per_watt
    law = np.array([0.0, -settings.gain_w_k, 0.0, 1.0, settings.gain_w_k * set_point_c])
    output = law if mode.saturated_at is None else np.array([0.0, 0.0, 0.0, 0.0, mode.saturated_at])
    tick = np.zeros((5, 5))
    tick[:3, :3] = free
    tick[:3, 4] = constant
    tick[:3] += np.outer(heated, output)
    integral_rate = settings.gain_w_k / settings.integral_time_s
    tick[3] = np.array([0.0, -integral_rate, 0.0, 0.0, integral_rate * set_point_c]) * settings.tick_s
    tick[3] += (output - law) * settings.tick_s / settings.tracking_time_s
    tick[3, 3] += 1.0
    tick[4, 4] = 1.0
    # Powers of the tick, and the law before each tick of a run, by doubling.
    runs, outputs = {}, {}
    power, rows, length = tick, law[None, :], 1
    while length < max(_RUN_LENGTHS):
        power, rows, length = power @ power, np.vstack([rows, rows @ power]), 2 * length
        if length in _RUN_LENGTHS:
            runs[length], outputs[length] = power, rows
    return _LoopMaps(tick, runs, outputs)


@dataclass
class ThermalChamber:
    """Chamber with its controller; changes take effect at the instant given, ticks fall on whole seconds."""

    time_s: float = 0.0
    temperatures: Temperatures = field(default_factory=lambda: Temperatures(22.0, 22.0, 22.0))
    set_point_c: float = 37.0
    ambient_c: float = 22.0
    parameters: ThermalParameters = field(default_factory=ThermalParameters)
    settings: PiSettings = field(default_factory=PiSettings)
    integral_w: float = 0.0
    output_w: float = 0.0
    door_open: bool = False
    heater_works: bool = True
    stuck_output_w: float | None = None
    enabled: bool = True
    measurement_bias_k: float = 0.0
    cut_out_c: float = 38.5
    cut_out_tripped: bool = False
    _tick_due: bool = True

    # -- time -------------------------------------------------------------------------------------------

    def advance_to(self, time_s: float) -> None:
        """Carry out the controller ticks up to time_s and move the nodes to the last of them.

        Read an instant between ticks with `at`. Raises: ValueError if time_s lies in the past.
        """
        if time_s < self.time_s - _TIME_TOLERANCE_S:
            raise ValueError(f"time_s is {time_s}, before the chamber's time {self.time_s}")
        tick = self.settings.tick_s
        next_tick = self._next_tick_s()
        if next_tick > time_s + _TIME_TOLERANCE_S:
            return
        self._move_to(next_tick)
        ticks = math.floor((time_s - next_tick) / tick + _TIME_TOLERANCE_S)
        self._run(ticks)
        self._tick_due = True

    def at(self, time_s: float) -> Temperatures:
        """Return the temperatures at time_s (>= the last change), storing only whole ticks."""
        self.advance_to(time_s)
        return self._propagate_from_now(time_s)

    def next_event(self) -> float:
        """Return the process time in s at which the controller acts next."""
        return self._next_tick_s() if not self._tick_due else self.time_s

    def change(self, time_s: float, **fields: float | bool | None) -> None:
        """Change set point, ambient, door, faults and the like (public fields) from time_s on.

        Raises: AttributeError on a field that the chamber does not have.
        """
        allowed = {"set_point_c", "ambient_c", "door_open", "heater_works", "stuck_output_w", "enabled",
                   "measurement_bias_k", "cut_out_c", "cut_out_tripped"}
        unknown = set(fields) - allowed
        if unknown:
            raise AttributeError(f"unknown field(s) {sorted(unknown)}; allowed: {sorted(allowed)}")
        self.advance_to(time_s)
        self._move_to(time_s)
        for name, value in fields.items():
            setattr(self, name, value)
        self.output_w = self._limited(self.output_w)

    # -- inside -----------------------------------------------------------------------------------------

    def _next_tick_s(self) -> float:
        tick = self.settings.tick_s
        if self._tick_due:
            index = math.ceil(self.time_s / tick - _TIME_TOLERANCE_S)
        else:
            index = math.floor(self.time_s / tick + _TIME_TOLERANCE_S) + 1
        return index * tick

    def _heater_limits_w(self) -> tuple[float, float]:
        if not self.heater_works or not self.enabled or self.cut_out_tripped:
            return 0.0, 0.0
        if self.stuck_output_w is not None:
            return self.stuck_output_w, self.stuck_output_w
        return 0.0, self.parameters.heater_limit_w

    def _limited(self, output_w: float) -> float:
        low, high = self._heater_limits_w()
        return min(max(output_w, low), high)

    def _propagate_from_now(self, time_s: float) -> Temperatures:
        duration = time_s - self.time_s
        if duration <= _TIME_TOLERANCE_S:
            return self.temperatures
        output = self.output_w
        if self._tick_due:  # exactly on a tick whose output is not computed yet
            output = self._limited(self._law_w())
        return propagated(self.parameters, self.temperatures, output, self.ambient_c, duration, self.door_open)

    def _move_to(self, time_s: float) -> None:
        if time_s - self.time_s > _TIME_TOLERANCE_S:
            if self._tick_due:
                self._control()
            self.temperatures = self._propagate_from_now(time_s)
            self.time_s = time_s
            self._tick_due = abs(time_s / self.settings.tick_s - round(time_s / self.settings.tick_s)) < 1e-9

    def _law_w(self) -> float:
        error = self.set_point_c - self.measurement_bias_k - self.temperatures.air_c
        return self.settings.gain_w_k * error + self.integral_w

    def _control(self) -> None:
        """Carry out the controller's tick at the present instant."""
        s = self.settings
        if self.temperatures.air_c > self.cut_out_c:
            self.cut_out_tripped = True
        law = self._law_w()
        self.output_w = self._limited(law)
        error = self.set_point_c - self.measurement_bias_k - self.temperatures.air_c
        held = self.output_w
        if not self.enabled:
            self.integral_w = 0.0
        else:
            self.integral_w += (
                s.gain_w_k / s.integral_time_s * error + (held - law) / s.tracking_time_s
            ) * s.tick_s
        self._tick_due = False

    def _run(self, ticks: int) -> None:
        """Carry out `ticks` whole ticks from an instant on which a tick is due."""
        while ticks > 0:
            done = self._jump(ticks)
            if done == 0:
                self._control()
                tick = self.settings.tick_s
                self.temperatures = propagated(self.parameters, self.temperatures, self.output_w, self.ambient_c,
                                               tick, self.door_open)
                self.time_s = round(self.time_s / tick + 1.0) * tick
                self._tick_due = True
                done = 1
            ticks -= done

    def _jump(self, ticks: int) -> int:
        """Carry out a run of ticks in one product if its mode holds at every tick; return its length or 0."""
        if ticks < _RUN_LENGTHS[-1] or not self.enabled or self.temperatures.air_c > self.cut_out_c - 1.0:
            return 0
        low, high = self._heater_limits_w()
        law = self._law_w()
        held = None if low < law < high else (low if law <= low else high)
        maps = _loop_maps(self.parameters, self.settings, self.set_point_c - self.measurement_bias_k,
                          self.ambient_c, self.door_open, _Mode(held))
        z = np.array([*self.temperatures, self.integral_w, 1.0])
        for length in _RUN_LENGTHS:
            if length > ticks:
                continue
            law_values = maps.outputs[length] @ z
            if held is None:
                holds = bool(law_values.min() > low and law_values.max() < high)
            elif low == high:
                holds = True
            else:
                holds = bool(law_values.max() <= low) if held == low else bool(law_values.min() >= high)
            if not holds:
                continue
            moved = (maps.runs[length] @ z).tolist()
            if moved[1] > self.cut_out_c - 1.0:
                continue  # walk through a possible cut-out tick by tick
            self.temperatures = Temperatures(moved[0], moved[1], moved[2])
            self.integral_w = moved[3]
            self.output_w = held if held is not None else float(law_values[-1])
            tick = self.settings.tick_s
            self.time_s = round(self.time_s / tick + length) * tick
            return length
        return 0


@dataclass(frozen=True)
class WarmUp:
    """How a cold chamber reaches its set point: settling time in s, highest air temperature in °C."""

    settling_s: float
    highest_air_c: float


def warm_up(
    parameters: ThermalParameters, settings: PiSettings, start_c: float, ambient_c: float, set_point_c: float,
    band_k: float = 0.1, watch: Callable[[float, Temperatures], None] | None = None, duration_s: float = 14_400.0,
) -> WarmUp:
    """Return settling time (air within ±band_k for good) and overshoot of a warm-up from a uniform temperature."""
    chamber = ThermalChamber(
        temperatures=Temperatures(start_c, start_c, start_c), set_point_c=set_point_c, ambient_c=ambient_c,
        parameters=parameters, settings=settings, cut_out_c=math.inf,
    )
    highest, outside, previous, settled = start_c, 0.0, start_c, 0.0
    for index in range(1, math.ceil(duration_s / settings.tick_s) + 1):
        time = index * settings.tick_s
        now = chamber.at(time)
        if watch is not None:
            watch(time, now)
        highest = max(highest, now.air_c)
        if abs(now.air_c - set_point_c) > band_k:
            outside = time
        elif outside == time - settings.tick_s:
            # Linear crossing of the band inside the last tick.
            edge = set_point_c + math.copysign(band_k, previous - set_point_c)
            moved = now.air_c - previous
            settled = outside + (settings.tick_s * (edge - previous) / moved if moved != 0.0 else 0.0)
        previous = now.air_c
    return WarmUp(settled, highest)
