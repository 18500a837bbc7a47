# SPDX-License-Identifier: Apache-2.0
"""Electrical impedance of the piezo transducer with its fluid channel (two-branch Butterworth–Van Dyke).

The channel branch moves the driving point admittance little: it shows no conductance maximum of its own, yet
it is the resonance that sorts. PZT drifts down with temperature, the channel up.
Source: Van Dyke 1928; IEEE Std 176-1987; PHYSICS §3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from mimedi_sim.models.sound import half_wave_resonance_hz
from mimedi_sim.models.validation import require_fraction, require_not_negative, require_positive

ComplexArray = npt.NDArray[np.complexfloating[Any, Any]]

PZT_TEMPERATURE_COEFFICIENT_PER_K = -150e-6
CAPACITANCE_TEMPERATURE_COEFFICIENT_PER_K = 3.0e-3
AGEING_PER_DECADE = -2.0e-3
REFERENCE_TEMPERATURE_C = 25.0


@dataclass(frozen=True)
class MotionalBranch:
    """Series R (ohm), L (H), C (F) of one mechanical resonance."""

    resistance_ohm: float
    inductance_h: float
    capacitance_f: float

    def __post_init__(self) -> None:
        require_positive(resistance_ohm=self.resistance_ohm, inductance_h=self.inductance_h,
                         capacitance_f=self.capacitance_f)

    @classmethod
    def from_resonance(
        cls, resonance_hz: float, coupling_squared: float, quality: float, clamped_capacitance_f: float
    ) -> MotionalBranch:
        """Return the branch with a given series resonance, k_eff² = C1/(C0+C1) and Q."""
        require_positive(resonance_hz=resonance_hz, quality=quality)
        require_fraction(coupling_squared=coupling_squared)
        capacitance = clamped_capacitance_f * coupling_squared / (1.0 - coupling_squared)
        omega = 2.0 * math.pi * resonance_hz
        inductance = 1.0 / (omega * omega * capacitance)
        return cls(omega * inductance / quality, inductance, capacitance)

    @property
    def resonance_hz(self) -> float:
        """Series resonance in Hz: where the conductance of this branch alone is largest."""
        return 1.0 / (2.0 * math.pi * math.sqrt(self.inductance_h * self.capacitance_f))

    @property
    def quality(self) -> float:
        """Quality factor: resonance over half-power width of the conductance."""
        return 2.0 * math.pi * self.resonance_hz * self.inductance_h / self.resistance_ohm


@dataclass(frozen=True)
class Transducer:
    """Clamped capacitance, motional branches, dielectric loss and cable of a driven transducer."""

    clamped_capacitance_f: float
    branches: tuple[MotionalBranch, ...]
    loss_tangent: float = 0.0
    series_resistance_ohm: float = 0.0
    series_inductance_h: float = 0.0

    @overload
    def admittance_s(self, frequency_hz: float) -> complex: ...
    @overload
    def admittance_s(self, frequency_hz: npt.NDArray[np.float64]) -> ComplexArray: ...
    def admittance_s(self, frequency_hz: float | npt.NDArray[np.float64]) -> complex | ComplexArray:
        """Return the admittance in S at the transducer (without the cable); scalar or array of Hz."""
        omega = 2.0 * math.pi * frequency_hz
        total = 1j * omega * self.clamped_capacitance_f * (1.0 - 1j * self.loss_tangent)
        for branch in self.branches:
            reactance = omega * branch.inductance_h - 1.0 / (omega * branch.capacitance_f)
            total = total + 1.0 / (branch.resistance_ohm + 1j * reactance)
        return total

    @overload
    def impedance_ohm(self, frequency_hz: float) -> complex: ...
    @overload
    def impedance_ohm(self, frequency_hz: npt.NDArray[np.float64]) -> ComplexArray: ...
    def impedance_ohm(self, frequency_hz: float | npt.NDArray[np.float64]) -> complex | ComplexArray:
        """Return the impedance in ohm at the analyser, cable included; scalar or array of Hz."""
        cable = self.series_resistance_ohm + 2j * math.pi * frequency_hz * self.series_inductance_h
        return cable + 1.0 / self.admittance_s(frequency_hz)

    def motional_impedance_ohm(self, frequency_hz: float) -> complex:
        """Return the impedance of the branches in ohm after removing cable and clamped capacitance."""
        clamped = 2j * math.pi * frequency_hz * self.clamped_capacitance_f * (1.0 - 1j * self.loss_tangent)
        return 1.0 / (self.admittance_s(frequency_hz) - clamped)

    def parallel_resonance_hz(self) -> float:
        """Return the frequency in Hz at which the resistance Re Z is largest (antiresonance).

        Searched around f_s sqrt(1 + C1/C0) of the first branch, from which damping moves it by about 1/Q².
        """
        first = self.branches[0]
        ideal = first.resonance_hz * math.sqrt(1.0 + first.capacitance_f / self.clamped_capacitance_f)
        reach = ideal / first.quality

        def negative_resistance(offset: float) -> float:
            return -self.impedance_ohm(ideal + offset).real

        found = minimize_scalar(negative_resistance, bounds=(-reach, reach), method="bounded", options={"xatol": 1e-2})
        return ideal + float(found.x)

    def zero_phase_frequencies_hz(self) -> tuple[float, float]:
        """Return the two zero-phase frequencies in Hz (resonance, antiresonance) of the first branch alone.

        They are roots of C0 C R²/L (u+1) + C0 u² - C u = 0 with u = w² L C - 1 (loss-free C0, no cable).
        Raises: ValueError if the damping is so strong that the phase never crosses zero.
        """
        branch, c0 = self.branches[0], self.clamped_capacitance_f
        damping = c0 * branch.capacitance_f * branch.resistance_ohm**2 / branch.inductance_h
        b = damping - branch.capacitance_f
        discriminant = b * b - 4.0 * c0 * damping
        if discriminant < 0.0:
            raise ValueError(
                f"quality {branch.quality:.1f} is too low for this coupling: the phase never crosses zero"
            )
        root = math.sqrt(discriminant)
        low, high = ((-b - root) / (2.0 * c0), (-b + root) / (2.0 * c0))
        return branch.resonance_hz * math.sqrt(1.0 + low), branch.resonance_hz * math.sqrt(1.0 + high)

    def dissipated_power_w(self, frequency_hz: float, volts_peak_to_peak: float) -> float:
        """Return the electrical power in W taken at a drive voltage: V_rms² G(f)."""
        volts_rms_squared = volts_peak_to_peak**2 / 8.0
        return volts_rms_squared * self.admittance_s(frequency_hz).real


def tracking_step_hz(
    transducer: Transducer, frequency_hz: float, gain: float, resonance_estimate_hz: float,
    quality_estimate: float, phase_clamp: float = 2.5,
) -> float:
    """Return the next drive frequency in Hz of the C0-compensated resonance tracker.

    f <- f - K (X_m/R_m) f_s/(2Q), the ratio clamped to ±phase_clamp; the error shrinks as (1-K)^n.
    Raises: ValueError if the gain is outside 0..2 (the loop would not converge).
    """
    if not 0.0 < gain < 2.0:
        raise ValueError(f"gain is {gain}; allowed: 0 < gain < 2 (0.3..0.5 recommended)")
    motional = transducer.motional_impedance_ohm(frequency_hz)
    ratio = max(-phase_clamp, min(phase_clamp, motional.imag / motional.real))
    return frequency_hz - gain * ratio * resonance_estimate_hz / (2.0 * quality_estimate)


@dataclass(frozen=True)
class TransducerModel:
    """The sorter's transducer with its channel as a function of temperature, load, age and defects.

    quality factors and couplings: PHYSICS §3. `channel_filled` False is a dry channel (its branch vanishes,
    PZT resistance ×1.5); `bubble` divides the channel's Q by 5; `delaminated` doubles the PZT's Q and cuts
    the channel off; `depoled` quarters the PZT's k².
    """

    pzt_resonance_hz: float = 1.98e6
    pzt_coupling_squared: float = 0.10
    pzt_quality: float = 50.0
    clamped_capacitance_f: float = 1.0e-9
    channel_width_m: float = 375e-6
    channel_coupling_squared: float = 0.002
    channel_quality: float = 100.0
    loss_tangent: float = 0.003
    age_decades: float = 0.0
    channel_filled: bool = True
    bubble: bool = False
    delaminated: bool = False
    depoled: bool = False
    fluid: str = field(default="pbs")

    def channel_resonance_hz(self, temperature_c: float) -> float:
        """Return the true half-wave resonance of the filled channel in Hz."""
        return half_wave_resonance_hz(temperature_c, self.channel_width_m, self.fluid)

    def at(self, temperature_c: float) -> Transducer:
        """Return the equivalent circuit at a chip temperature in °C."""
        warm = temperature_c - REFERENCE_TEMPERATURE_C
        ageing = 1.0 + AGEING_PER_DECADE * self.age_decades
        pzt_hz = self.pzt_resonance_hz * (1.0 + PZT_TEMPERATURE_COEFFICIENT_PER_K * warm) * ageing
        c0 = self.clamped_capacitance_f * (1.0 + CAPACITANCE_TEMPERATURE_COEFFICIENT_PER_K * warm)
        coupling = self.pzt_coupling_squared * (0.25 if self.depoled else 1.0)
        quality = self.pzt_quality * (2.0 if self.delaminated else 1.0)
        pzt = MotionalBranch.from_resonance(pzt_hz, coupling, quality, c0)
        coupled = self.channel_filled and not self.delaminated
        if not self.channel_filled:
            pzt = replace(pzt, resistance_ohm=1.5 * pzt.resistance_ohm)
        branches: tuple[MotionalBranch, ...] = (pzt,)
        if coupled:
            channel_quality = self.channel_quality / (5.0 if self.bubble else 1.0)
            branches += (
                MotionalBranch.from_resonance(
                    self.channel_resonance_hz(temperature_c), self.channel_coupling_squared, channel_quality, c0
                ),
            )
        return Transducer(c0, branches, self.loss_tangent)


def warmed_temperature_c(
    temperature_c: float, ambient_c: float, power_w: float, time_s: float,
    thermal_resistance_k_w: float = 8.0, time_constant_s: float = 60.0,
) -> float:
    """Return the chip temperature in °C after time_s of constant power (first order; R 8 K/W, 60 s [C])."""
    require_not_negative(time_s=time_s)
    final = ambient_c + power_w * thermal_resistance_k_w
    return final + (temperature_c - final) * math.exp(-time_s / time_constant_s)
