# SPDX-License-Identifier: Apache-2.0
"""From a channel's width to its resonance, focusing length and throughput.

Sources: half-wave resonance f = c/2w; Bruus 2012, Lab Chip 12:1014 (focusing time, with Phi/3 convention); Bruus 2008,
Theoretical Microfluidics, eq. 3.48 (flow in a rectangular channel); speed of sound in PBS: TEOS-10 (PHYSICS §2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PBS_DENSITY_KG_M3, PBS_COMPRESSIBILITY_PA, PBS_VISCOSITY_PA_S = 1004.2, 4.389e-10, 8.9e-4
RANGES = {
    "width_um": (100.0, 1000.0), "depth_um": (30.0, 500.0), "length_mm": (5.0, 100.0), "channels": (1.0, 64.0),
    "temperature_c": (4.0, 40.0), "energy_j_m3": (0.1, 500.0),
}  # fmt: skip
"""What can be cut and driven."""


@dataclass(frozen=True)
class Cell:
    """What is to be focused: radius [m], density [kg/m³], compressibility [1/Pa]."""

    radius_m: float = 3.65e-6
    density_kg_m3: float = 1060.0
    compressibility_pa: float = 3.93e-10

    @property
    def contrast(self) -> float:
        """Acoustic contrast factor in PBS, with the third (Bruus 2012)."""
        ratio = self.density_kg_m3 / PBS_DENSITY_KG_M3
        return ((5.0 * ratio - 2.0) / (2.0 * ratio + 1.0) - self.compressibility_pa / PBS_COMPRESSIBILITY_PA) / 3.0


@dataclass(frozen=True)
class Design:
    """A chip of parallel channels.

    Raises:
        ValueError: a value is outside what can be cut or driven; names field, value and range.
    """

    width_um: float = 375.0
    depth_um: float = 150.0
    length_mm: float = 27.0
    channels: int = 16
    temperature_c: float = 25.0
    energy_j_m3: float = 40.0

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:  # written so that NaN is outside
                raise ValueError(f"{name} = {value:g}: allowed {low:g} to {high:g}")

    @property
    def resonance_hz(self) -> float:
        """Half-wave resonance across the width [Hz]."""
        return speed_of_sound_m_s(self.temperature_c) / (2.0 * self.width_um * 1e-6)

    def focusing_time_s(self, cell: Cell, start_m: float, end_m: float) -> float:
        """Return the time [s] that sound needs to move a cell from start_m to end_m from the wall [m].

        Raises:
            ValueError: the cell goes to the walls, or the places are not in order.
        """
        k = math.pi / (self.width_um * 1e-6)
        if cell.contrast <= 0.0 or not 0.0 < start_m < end_m < 0.5 * self.width_um * 1e-6:
            raise ValueError(f"contrast {cell.contrast:.3f}, from {start_m:g} to {end_m:g} m: nothing to be focused")
        scale = 3.0 * PBS_VISCOSITY_PA_S / (4.0 * cell.contrast * (k * cell.radius_m) ** 2 * self.energy_j_m3)
        return scale * math.log(math.tan(k * end_m) / math.tan(k * start_m))

    def focusing_length_m(self, cell: Cell, flow_m3_s: float, start_m: float, end_m: float) -> float:
        """Return how long [m] one channel must be for that, at its flow [m³/s], in the middle of its depth."""
        time_s = self.focusing_time_s(cell, start_m, end_m)
        k = math.pi / (self.width_um * 1e-6)
        share = np.linspace(0.0, 1.0, 401)
        growth = math.tan(k * end_m) / math.tan(k * start_m)
        place = np.arctan(math.tan(k * start_m) * growth**share) / k
        return float(np.trapezoid(self.velocity_m_s(place, flow_m3_s), share * time_s))

    def velocity_m_s(self, from_wall_m: NDArray[np.float64], flow_m3_s: float) -> NDArray[np.float64]:
        """Return the velocity [m/s] in the middle of the depth at distances from the wall [m], shape kept."""
        w, h = self.width_um * 1e-6, self.depth_um * 1e-6
        odd = np.arange(1.0, 200.0, 2.0)
        across = from_wall_m[..., None] - 0.5 * w
        arch = 1.0 - _cosh_ratio(odd * math.pi * across / h, odd * math.pi * w / (2.0 * h))
        profile = np.sum(arch * np.sin(odd * math.pi / 2.0) / odd**3, axis=-1)
        whole = np.sum((w - 2.0 * h / (odd * math.pi) * np.tanh(odd * math.pi * w / (2.0 * h))) / odd**4)
        result: NDArray[np.float64] = flow_m3_s * profile / (2.0 * h / math.pi * whole)
        return result

    def throughput_ul_min(self, cell: Cell, start_m: float, end_m: float) -> float:
        """Return the total flow [uL/min] of all channels at which the length is just enough."""
        one = 1.0e-9
        return self.channels * one * self.length_mm * 1e-3 / self.focusing_length_m(cell, one, start_m, end_m) * 6e10


def speed_of_sound_m_s(temperature_c: float) -> float:
    """Return the speed of sound in PBS [m/s]."""
    above = temperature_c - 25.0
    return 1506.97 + 2.63 * above - 0.0395 * above**2


def _cosh_ratio(small: NDArray[np.float64], large: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cosh(small)/cosh(large) without overflow, |small| ≤ large."""
    size = np.abs(small)
    result: NDArray[np.float64] = np.exp(size - large) * (1.0 + np.exp(-2.0 * size)) / (1.0 + np.exp(-2.0 * large))
    return result
