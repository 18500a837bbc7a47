# SPDX-License-Identifier: Apache-2.0
"""pH of a bicarbonate medium and dissolved oxygen, in closed form. Units: mM, mmHg, h, cells/mL."""

from __future__ import annotations

import math

from mimedi_sim.models.validation import require_not_negative, require_positive

CO2_SOLUBILITY_MM_PER_MMHG = 0.0307
CARBONIC_PK1 = 6.1
STRONG_ION_DIFFERENCE_MM = 23.8
"""RPMI-like bicarbonate medium."""
BUFFER_PKA = 7.3
NOMINAL_PCO2_MMHG = 35.65
"""5 % of dry gas over saturated medium at 37 °C."""
_LEAST_FREE_BASE_MM = 0.02  # below it bicarbonate is used up; the medium is then far below any living pH


def medium_ph(
    strong_ion_difference_mm: float, lactate_mm: float, pco2_mmhg: float, buffer_total_mm: float = 0.0,
    buffer_pka: float = BUFFER_PKA, co2_solubility_mm_mmhg: float = CO2_SOLUBILITY_MM_PER_MMHG,
    pk1: float = CARBONIC_PK1,
) -> float:
    """Return the pH of a medium in equilibrium with CO2, the root of its charge balance.

    SID - L - s pCO2 10^(pH-pK1) - A/(1+10^(pKa-pH)) = 0, a quadratic in [H+]. When lactate has used up the
    bicarbonate the free base is held at 0.02 mM (pH below 4.5): the value then only means "acid".
    Raises: ValueError on a non-positive pCO2.
    """
    if not (pco2_mmhg > 0.0 and buffer_total_mm >= 0.0):  # worded by the helpers only when it fails: hot path
        require_positive(pco2_mmhg=pco2_mmhg)
        require_not_negative(buffer_total_mm=buffer_total_mm)
    base = max(strong_ion_difference_mm - lactate_mm, _LEAST_FREE_BASE_MM)
    bicarbonate = co2_solubility_mm_mmhg * pco2_mmhg * 10.0**-pk1  # mM of HCO3- times h
    if buffer_total_mm == 0.0:
        return math.log10(base / bicarbonate)
    ka = 10.0**-buffer_pka
    b = base * ka - bicarbonate - buffer_total_mm * ka
    root = math.sqrt(b * b + 4.0 * base * bicarbonate * ka)
    # The form without cancellation for either sign of b.
    h = (root - b) / (2.0 * base) if b < 0.0 else 2.0 * bicarbonate * ka / (b + root)
    return -math.log10(h)


def dissolved_oxygen_mm(
    transfer_per_h: float, saturation_mm: float, uptake_mmol_cell_h: float, cells_per_ml: float,
    initial_mm: float, time_h: float,
) -> float:
    """Return the dissolved oxygen in mM after time_h of dC = kLa (C* - C) - q X, not below 0."""
    require_not_negative(transfer_per_h=transfer_per_h, time_h=time_h, initial_mm=initial_mm)
    uptake_mm_h = uptake_mmol_cell_h * cells_per_ml * 1e3
    if transfer_per_h == 0.0:
        return max(0.0, initial_mm - uptake_mm_h * time_h)
    steady = saturation_mm - uptake_mm_h / transfer_per_h
    return max(0.0, steady + (initial_mm - steady) * math.exp(-transfer_per_h * time_h))


def steady_perfusion_lactate_mm(cells_per_ml: float, production_mmol_cell_h: float, dilution_vvd: float) -> float:
    """Return the lactate concentration in mM at which production and perfusion (volumes a day) balance."""
    require_positive(dilution_vvd=dilution_vvd)
    return production_mmol_cell_h * cells_per_ml * 1e3 * 24.0 / dilution_vvd
