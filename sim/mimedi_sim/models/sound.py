# SPDX-License-Identifier: Apache-2.0
"""Speed of sound in water and buffer, and the half-wave resonance of a channel."""

from __future__ import annotations

from mimedi_sim.models.validation import require_not_negative, require_positive

PBS_SALINITY_G_KG = 9.5
"""Sea-salt salinity that stands for phosphate-buffered saline (same density and sound speed)."""


def water_sound_speed_m_s(temperature_c: float) -> float:
    """Return the speed of sound in pure water in m/s, 0–95 °C.

    Source: Marczak 1997, J. Acoust. Soc. Am. 102:2776.
    """
    if not 0.0 <= temperature_c <= 95.0:
        raise ValueError(f"temperature_c is {temperature_c}; allowed: 0..95 °C")
    coefficients = (1.402385e3, 5.038813, -5.799136e-2, 3.287156e-4, -1.398845e-6, 2.787860e-9)
    return sum(c * temperature_c**power for power, c in enumerate(coefficients))


def saline_sound_speed_m_s(temperature_c: float, salinity_g_kg: float = PBS_SALINITY_G_KG) -> float:
    """Return the speed of sound in salt water (by default: PBS) in m/s, 0–40 °C, 0–40 g/kg.

    Pure water after Marczak, the salt's part after Chen & Millero at atmospheric pressure; within 0.03 % of
    TEOS-10. Source: Chen & Millero 1977, J. Acoust. Soc. Am. 62:1129.
    """
    require_not_negative(salinity_g_kg=salinity_g_kg)
    if salinity_g_kg > 42.0:
        raise ValueError(f"salinity_g_kg is {salinity_g_kg}; allowed: 0..42 g/kg")
    t, s = temperature_c, salinity_g_kg / 1.00472  # practical salinity from g/kg (TEOS-10 reference ratio)
    a = 1.389 - 1.262e-2 * t + 7.164e-5 * t**2 + 2.006e-6 * t**3 - 3.21e-8 * t**4
    b = -1.922e-2 - 4.42e-5 * t
    return water_sound_speed_m_s(t) + a * s + b * s**1.5 + 1.727e-3 * s**2


def half_wave_resonance_hz(temperature_c: float, width_m: float, fluid: str = "pbs") -> float:
    """Return the frequency in Hz at which half a wavelength fits the channel width.

    Args: fluid "water" or "pbs". Raises: ValueError on another fluid.
    """
    require_positive(width_m=width_m)
    name = fluid.lower()
    if name == "water":
        return water_sound_speed_m_s(temperature_c) / (2.0 * width_m)
    if name == "pbs":
        return saline_sound_speed_m_s(temperature_c) / (2.0 * width_m)
    raise ValueError(f"fluid is {fluid!r}; allowed: 'water', 'pbs'")
