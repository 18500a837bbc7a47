# SPDX-License-Identifier: Apache-2.0
"""Water vapour and CO2 of the chamber's air. Units: °C, Pa, mmHg, s."""

from __future__ import annotations

import math

from mimedi_sim.models.constants import PASCAL_PER_MMHG, STANDARD_PRESSURE_PA
from mimedi_sim.models.validation import require_fraction, require_not_negative, require_positive

_BUCK_A, _BUCK_B, _BUCK_C, _BUCK_D = 611.21, 18.678, 234.5, 257.14


def saturation_pressure_pa(temperature_c: float) -> float:
    """Return the saturation pressure of water in Pa, 0–80 °C.

    Source: Buck 1981/1996 (0.05 % from IAPWS-95 at 37 °C).
    """
    if not -20.0 <= temperature_c <= 100.0:
        raise ValueError(f"temperature_c is {temperature_c}; allowed: -20..100 °C")
    exponent = (_BUCK_B - temperature_c / _BUCK_C) * temperature_c / (_BUCK_D + temperature_c)
    return _BUCK_A * math.exp(exponent)


def dew_point_c(temperature_c: float, relative_humidity: float) -> float:
    """Return the dew point in °C of air at a temperature and relative humidity (0..1, above 0)."""
    require_positive(relative_humidity=relative_humidity)
    require_fraction(relative_humidity=relative_humidity)
    # Buck's law inverted: (B - T/C) T = s (D + T), a quadratic in T.
    s = math.log(relative_humidity * saturation_pressure_pa(temperature_c) / _BUCK_A)
    b = _BUCK_B - s
    return _BUCK_C / 2.0 * (b - math.sqrt(b * b - 4.0 * s * _BUCK_D / _BUCK_C))


def co2_partial_pressure_mmhg(
    dry_mole_fraction: float, pressure_pa: float = STANDARD_PRESSURE_PA, temperature_c: float = 37.0,
    relative_humidity: float = 1.0,
) -> float:
    """Return pCO2 in mmHg of CO2 stated as a fraction of DRY gas (5 % of dry gas at 37 °C: 35.6 mmHg)."""
    require_fraction(dry_mole_fraction=dry_mole_fraction, relative_humidity=relative_humidity)
    dry_pressure = pressure_pa - relative_humidity * saturation_pressure_pa(temperature_c)
    return dry_mole_fraction * dry_pressure / PASCAL_PER_MMHG


def relaxed(start: float, target: float, rate_per_s: float, time_s: float) -> float:
    """Return x(t) of x' = rate (target - x): humidity, gas fractions and lagging sensors share it."""
    require_not_negative(rate_per_s=rate_per_s, time_s=time_s)
    return target + (start - target) * math.exp(-rate_per_s * time_s)


def chamber_humidity_pa(
    vapour_pa: float, temperature_c: float, ambient_vapour_pa: float, time_s: float, *,
    evaporation_per_s: float = 1.0 / 900.0, exchange_per_s: float = 5.0e-5,
) -> float:
    """Return the water vapour pressure in Pa after time_s: pan evaporation against air exchange [C].

    With evaporation_per_s 0 the pan is dry; with exchange_per_s 0.1 the door stands open.
    """
    total = evaporation_per_s + exchange_per_s
    if total == 0.0:
        return vapour_pa
    target = (evaporation_per_s * saturation_pressure_pa(temperature_c) + exchange_per_s * ambient_vapour_pa) / total
    return relaxed(vapour_pa, target, total, time_s)


def evaporated_ml(volume_ml: float, relative_humidity: float, time_s: float, dry_loss_per_day: float = 0.10) -> float:
    """Return the water lost by a vented culture in mL: (1 - RH) 10 %/day [calibration: 0.1–1 %/day humid]."""
    require_fraction(relative_humidity=relative_humidity)
    return volume_ml * -math.expm1(-dry_loss_per_day * (1.0 - relative_humidity) * time_s / 86_400.0)
