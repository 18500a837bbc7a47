# SPDX-License-Identifier: Apache-2.0
"""Laminar flow in channels and tubing: resistance, profile, networks, compliance, bubbles, occlusions.

Valid for Re < 100 without entrance length, rigid walls. SI units throughout; a pressure is a gauge pressure
unless its name says `absolute`.
Source: Bruus, Theoretical Microfluidics (2008), eq. 3.48 and chapter 4, where nothing else is said.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mimedi_sim.models.validation import require_not_negative, require_positive

FloatArray = npt.NDArray[np.float64]

PBS_VISCOSITY_FACTOR = 1.02
"""Phosphate-buffered saline over water [literature]."""
MEDIUM_VISCOSITY_FACTOR = 1.1
"""Medium with 10 % serum over water [literature]."""
VALVE_CLOSED_RESISTANCE_FACTOR = 1.0e6
"""A shut valve's resistance over its open resistance [calibration]; a leaking valve has 1e2…1e4."""

_SERIES_TERMS = 60


def water_viscosity_pa_s(temperature_k: float) -> float:
    """Return the dynamic viscosity of water in Pa s (273–373 K, within 1 %).

    Source: compact Vogel fit 2.414e-5·10^(247.8/(T-140)); 0.13 % from IAPWS-2008 at 310 K.
    """
    if not 260.0 <= temperature_k <= 380.0:
        raise ValueError(f"temperature_k is {temperature_k}; the fit holds for 260..380 K")
    return 2.414e-5 * 10.0 ** (247.8 / (temperature_k - 140.0))


def suspension_viscosity_pa_s(viscosity_pa_s: float, volume_fraction: float) -> float:
    """Return the viscosity of a dilute cell suspension in Pa s (Einstein: 1 + 2.5 phi, phi < 0.1)."""
    require_not_negative(volume_fraction=volume_fraction)
    return viscosity_pa_s * (1.0 + 2.5 * volume_fraction)


def rectangular_resistance_pa_s_m3(
    width_m: float, height_m: float, length_m: float, viscosity_pa_s: float
) -> float:
    """Return the hydraulic resistance of a rectangular channel in Pa s/m³ (sides in any order)."""
    require_positive(width_m=width_m, height_m=height_m, length_m=length_m, viscosity_pa_s=viscosity_pa_s)
    w, h = max(width_m, height_m), min(width_m, height_m)
    n = np.arange(1, 2 * _SERIES_TERMS, 2, dtype=float)
    side_walls = float(np.sum(192.0 * h / (math.pi**5 * n**5 * w) * np.tanh(n * math.pi * w / (2.0 * h))))
    return 12.0 * viscosity_pa_s * length_m / (w * h**3 * (1.0 - side_walls))


def tube_resistance_pa_s_m3(inner_diameter_m: float, length_m: float, viscosity_pa_s: float) -> float:
    """Return the hydraulic resistance of a round tube in Pa s/m³ (Hagen–Poiseuille)."""
    require_positive(inner_diameter_m=inner_diameter_m, length_m=length_m, viscosity_pa_s=viscosity_pa_s)
    return 128.0 * viscosity_pa_s * length_m / (math.pi * inner_diameter_m**4)


def _cosh_ratio(n: FloatArray, y_m: FloatArray, w: float, h: float) -> FloatArray:
    """cosh(n pi y/h)/cosh(n pi w/2h) without overflow, shape (len(y), len(n))."""
    a = n * math.pi / h
    y = np.abs(y_m)[:, None]
    near, far = np.exp(a * (y - w / 2.0)), np.exp(-a * (y + w / 2.0))
    return (near + far) / (1.0 + np.exp(-a * w))


def velocity_over_mean(
    y_m: npt.ArrayLike, z_m: npt.ArrayLike, width_m: float, height_m: float
) -> FloatArray:
    """Return the axial speed over the mean speed in a rectangular channel.

    Args: y_m from the channel's middle, -width/2..width/2; z_m from the floor, 0..height; broadcastable.
    Raises: ValueError on non-positive sides.
    """
    require_positive(width_m=width_m, height_m=height_m)
    y, z = np.broadcast_arrays(np.asarray(y_m, dtype=float), np.asarray(z_m, dtype=float))
    n = np.arange(1, 2 * _SERIES_TERMS, 2, dtype=float)
    ratio = _cosh_ratio(n, y.ravel(), width_m, height_m)
    terms = (1.0 - ratio) * np.sin(n * math.pi * z.reshape(-1, 1) / height_m) / n**3
    scale = 4.0 / math.pi**3 / _unit_mean_speed(width_m, height_m)
    return (scale * terms.sum(axis=1)).reshape(y.shape)


def _unit_mean_speed(width_m: float, height_m: float) -> float:
    """Mean speed in units of height² dP/(viscosity length)."""
    resistance = rectangular_resistance_pa_s_m3(width_m, height_m, 1.0, 1.0)
    return 1.0 / (resistance * width_m * height_m * height_m**2)


def rectangular_peak_over_mean(width_m: float, height_m: float) -> float:
    """Return the speed on the channel axis over the mean speed."""
    return float(velocity_over_mean(0.0, height_m / 2.0, width_m, height_m))


@lru_cache(maxsize=4096)
def band_flow_fraction(width_m: float, height_m: float, from_wall_m: float, to_wall_m: float) -> float:
    """Return the share of the flow between two distances from ONE side wall (full height)."""
    if not 0.0 <= from_wall_m <= to_wall_m <= width_m:
        raise ValueError(f"band {from_wall_m}..{to_wall_m} m lies outside the channel of {width_m} m")
    h, w = height_m, width_m
    n = np.arange(1, 2 * _SERIES_TERMS, 2, dtype=float)
    a = n * math.pi / h

    def sinh_ratio(y: float) -> FloatArray:
        size = (np.exp(a * (abs(y) - w / 2)) - np.exp(-a * (abs(y) + w / 2))) / (1.0 + np.exp(-a * w))
        return math.copysign(1.0, y) * size

    y0, y1 = from_wall_m - w / 2, to_wall_m - w / 2
    across = (y1 - y0) - (sinh_ratio(y1) - sinh_ratio(y0)) / a
    mean_over_band = float(np.sum(across * 2.0 / (n * math.pi) / n**3)) * 4.0 / math.pi**3
    return mean_over_band / (_unit_mean_speed(w, h) * w)


@dataclass(frozen=True)
class CompliantStep:
    """Outflow and dispensed volume of a pump with compliance, a time after a step of its set flow."""

    flow_out_m3_s: float
    volume_out_m3: float
    pressure_pa: float


def compliant_step(
    set_flow_m3_s: float, resistance_pa_s_m3: float, compliance_m3_pa: float, time_s: float,
    initial_pressure_pa: float = 0.0,
) -> CompliantStep:
    """Return the exact response of C dP/dt = Q_set - P/R after a time in s.

    The volume comes from the mass balance, so that pump volume = outflow + stored volume holds exactly.
    """
    require_positive(resistance_pa_s_m3=resistance_pa_s_m3, compliance_m3_pa=compliance_m3_pa)
    require_not_negative(time_s=time_s)
    tau = resistance_pa_s_m3 * compliance_m3_pa
    final = set_flow_m3_s * resistance_pa_s_m3
    pressure = final + (initial_pressure_pa - final) * math.exp(-time_s / tau)
    volume = set_flow_m3_s * time_s - compliance_m3_pa * (pressure - initial_pressure_pa)
    return CompliantStep(pressure / resistance_pa_s_m3, volume, pressure)


def bubble_compliance_m3_pa(bubble_volume_m3: float, absolute_pressure_pa: float, fast: bool = False) -> float:
    """Return the compliance of trapped gas in m³/Pa: isothermal, or adiabatic for pulses under ~1 s."""
    require_positive(bubble_volume_m3=bubble_volume_m3, absolute_pressure_pa=absolute_pressure_pa)
    return bubble_volume_m3 / absolute_pressure_pa / (1.4 if fast else 1.0)


def damped_ripple(ripple: float, frequency_hz: float, time_constant_s: float) -> float:
    """Return the relative flow ripple after a first-order compliance."""
    require_not_negative(ripple=ripple, frequency_hz=frequency_hz, time_constant_s=time_constant_s)
    return ripple / math.hypot(1.0, 2.0 * math.pi * frequency_hz * time_constant_s)


def peristaltic_volume_m3(
    mean_flow_m3_s: float, ripple: float, roller_frequency_hz: float, start_s: float, end_s: float
) -> float:
    """Return the exact volume of Q = Qm[1 + r cos phi + 0.3 r cos 2 phi] between two times."""
    require_positive(roller_frequency_hz=roller_frequency_hz)
    omega = 2.0 * math.pi * roller_frequency_hz

    def integral(t: float) -> float:
        return t + ripple / omega * (math.sin(omega * t) + 0.15 * math.sin(2.0 * omega * t))

    return mean_flow_m3_s * (integral(end_s) - integral(start_s))


def occlusion_alarm_time_s(
    set_flow_m3_s: float, free_resistance_pa_s_m3: float, resistance_factor: float,
    compliance_m3_pa: float, alarm_pressure_pa: float,
) -> float:
    """Return the time in s from a partial occlusion to the pressure alarm, inf if it is never reached.

    The line runs at its free steady pressure Q R when the resistance jumps to resistance_factor R.
    """
    require_positive(set_flow_m3_s=set_flow_m3_s, free_resistance_pa_s_m3=free_resistance_pa_s_m3,
                     resistance_factor=resistance_factor, compliance_m3_pa=compliance_m3_pa)
    start = set_flow_m3_s * free_resistance_pa_s_m3
    final = start * resistance_factor
    if start >= alarm_pressure_pa:
        return 0.0
    if final <= alarm_pressure_pa:
        return math.inf
    tau = free_resistance_pa_s_m3 * resistance_factor * compliance_m3_pa
    return tau * math.log((final - start) / (final - alarm_pressure_pa))


def blocked_line_alarm_time_s(
    set_flow_m3_s: float, initial_pressure_pa: float, compliance_m3_pa: float, alarm_pressure_pa: float
) -> float:
    """Return the time in s until a fully blocked line reaches the alarm: dP/dt = Q/C."""
    require_positive(set_flow_m3_s=set_flow_m3_s, compliance_m3_pa=compliance_m3_pa)
    return max(0.0, (alarm_pressure_pa - initial_pressure_pa) * compliance_m3_pa / set_flow_m3_s)


def bubble_pressure_drop_pa(
    hydraulic_diameter_m: float, speed_m_s: float, viscosity_pa_s: float, surface_tension_n_m: float
) -> float:
    """Return the extra pressure in Pa to push a bubble through a round tube (Ca < 5e-3).

    Source: Bretherton 1961, J. Fluid Mech. 10:166. Rectangular ducts and contact-angle hysteresis make real
    jumps 10–100 times larger: add `contact_line_pressure_pa`.
    """
    require_positive(hydraulic_diameter_m=hydraulic_diameter_m, viscosity_pa_s=viscosity_pa_s,
                     surface_tension_n_m=surface_tension_n_m)
    require_not_negative(speed_m_s=speed_m_s)
    capillary = viscosity_pa_s * speed_m_s / surface_tension_n_m
    return 7.16 * (3.0 * capillary) ** (2.0 / 3.0) * surface_tension_n_m / hydraulic_diameter_m


def contact_line_pressure_pa(
    width_m: float, height_m: float, surface_tension_n_m: float, cosine_difference: float = 0.2
) -> float:
    """Return the pinning pressure of a bubble in Pa: sigma (1/w + 1/h) dcos, dcos 0.1–0.3 [calibration]."""
    require_positive(width_m=width_m, height_m=height_m)
    return surface_tension_n_m * (1.0 / width_m + 1.0 / height_m) * cosine_difference


@dataclass
class HydraulicNetwork:
    """Linear network of hydraulic resistances between named nodes; factorised once per valve state.

    Nodes named in `fixed_pressures_pa` are reservoirs; every other node conserves volume.
    """

    _edges: dict[str, tuple[Hashable, Hashable, float]] = field(default_factory=dict)
    _solution_key: tuple[object, ...] | None = None
    _inverse: FloatArray | None = None
    _free: list[Hashable] = field(default_factory=list)

    def connect(self, name: str, start: Hashable, end: Hashable, resistance_pa_s_m3: float) -> None:
        """Add or change one resistance (Pa s/m³); an infinite one is no connection."""
        if not resistance_pa_s_m3 > 0.0:
            raise ValueError(f"resistance of {name!r} is {resistance_pa_s_m3}; allowed: > 0 (inf: closed)")
        self._edges[name] = (start, end, float(resistance_pa_s_m3))
        self._solution_key = None

    def flows_m3_s(
        self, fixed_pressures_pa: Mapping[Hashable, float], injected_m3_s: Mapping[Hashable, float] | None = None
    ) -> dict[str, float]:
        """Return the flow of each connection in m³/s, positive from its start to its end.

        Raises: ValueError if a part of the network touches no reservoir (its pressure is undefined).
        """
        pressures = self.pressures_pa(fixed_pressures_pa, injected_m3_s)
        return {name: (pressures[a] - pressures[b]) / r for name, (a, b, r) in self._edges.items()}

    def pressures_pa(
        self, fixed_pressures_pa: Mapping[Hashable, float], injected_m3_s: Mapping[Hashable, float] | None = None
    ) -> dict[Hashable, float]:
        """Return the pressure of every node in Pa for given reservoirs and injected pump flows."""
        injected = injected_m3_s or {}
        if self._solution_key != (key := tuple(fixed_pressures_pa)):
            self._factorise(tuple(fixed_pressures_pa))
            self._solution_key = key
        pressures: dict[Hashable, float] = dict(fixed_pressures_pa)
        if not self._free or self._inverse is None:
            return pressures
        known = np.array([injected.get(node, 0.0) for node in self._free])
        row = {node: i for i, node in enumerate(self._free)}
        for a, b, r in self._edges.values():
            if a in row and b in fixed_pressures_pa:
                known[row[a]] += fixed_pressures_pa[b] / r
            if b in row and a in fixed_pressures_pa:
                known[row[b]] += fixed_pressures_pa[a] / r
        pressures.update(zip(self._free, (self._inverse @ known).tolist(), strict=True))
        return pressures

    def _factorise(self, fixed: Sequence[Hashable]) -> None:
        nodes = dict.fromkeys(node for a, b, _ in self._edges.values() for node in (a, b))
        self._free = [node for node in nodes if node not in fixed]
        row = {node: i for i, node in enumerate(self._free)}
        conductance = np.zeros((len(self._free), len(self._free)))
        for a, b, r in self._edges.values():
            for here, there in ((a, b), (b, a)):
                if here in row:
                    conductance[row[here], row[here]] += 1.0 / r
                    if there in row:
                        conductance[row[here], row[there]] -= 1.0 / r
        try:
            self._inverse = np.asarray(np.linalg.inv(conductance), dtype=float) if self._free else None
        except np.linalg.LinAlgError as error:
            raise ValueError(f"nodes {self._free} have no path to a reservoir; fix a pressure there") from error
