# SPDX-License-Identifier: Apache-2.0
"""Mesenchymal cells on granules in a bioreactor: growth to confluence, differentiation, mineral.

    dP/dt  = mu P (1 - N/K) - k1 P - kd P
    dO1/dt = k1 P - k2 O1 - kd O1
    dO2/dt = k2 O1 - kd O2
    dCa/dt = km O2, from day 10 of differentiation on

Without dexamethasone, ascorbate and phosphate k1 falls to a fifth; ascorbate is used up between medium changes.
Gentle shear speeds both steps up, strong shear tears cells off.
Source: PHYSICS §5 (21-day osteoblast variant: rates, K = 5e4/cm2); shear and ascorbate [calibration].
"""

from __future__ import annotations

import math

import numpy as np

from mimedi_sim.models.osteoblast import COMMITMENT_PER_DAY, MATURATION_PER_DAY
from mimedi_sim.plant.ledger import INDEX, QUANTITIES, VOLUME, FloatArray

CELLS = ("precursor", "pre_osteoblast", "osteoblast")
GROWTH_PER_DAY = 0.4
SURFACE_CM2 = 8000.0
"""Granules in the culture vessel."""
CONFLUENT_PER_CM2 = 5.0e4
DEATH_PER_DAY = 0.004
MINERAL_UG_PER_CELL_DAY = 0.5 / 1.0e5
MINERAL_FROM_DAY = 10.0
WITHOUT_ADDITIVES = 0.2
ADDITIVE_HALF_LIFE_D = 8.0
REST_RPM, GENTLE_RPM, TEARING_RPM = 30.0, 120.0, 150.0
GENTLE_GAIN = 0.6
"""Both rates at GENTLE_RPM are 1.6 times those at rest."""
TEARING_DEATH_PER_DAY = 0.4
_STEP_D = 1.0 / 24.0


def cells(row: FloatArray) -> float:
    """Return the living cells of the lineage in an account."""
    return float(sum(row[INDEX[name]] for name in CELLS))


def shear_factor(stirring_rpm: float) -> float:
    """Return by how much shear multiplies both rates of differentiation."""
    share = (stirring_rpm - REST_RPM) / (GENTLE_RPM - REST_RPM)
    return 1.0 + GENTLE_GAIN * min(1.0, max(0.0, share))


def change(row: FloatArray, days: float, temperature_c: float, stirring_rpm: float) -> FloatArray:
    """Return the change of an account in `days` at constant conditions; midpoint steps of an hour at most."""
    total = np.zeros(len(QUANTITIES))
    start = [float(row[INDEX[name]]) for name in CELLS]
    if sum(start) <= 0.0:
        return total
    additive = float(row[INDEX["osteogenic_ul"]]) / max(float(row[VOLUME]), 1e-9)
    committed_d = float(row[INDEX["commitment_cell_d"]]) / sum(start)
    warm = max(0.0, 1.0 - ((temperature_c - 37.0) / 12.0) ** 2)
    state = [*start, 0.0, 0.0]
    steps = max(1, math.ceil(days / _STEP_D))
    length = days / steps
    for number in range(steps):
        age = committed_d + (number + 0.5) * length
        fresh = min(1.0, additive) * 0.5 ** ((number + 0.5) * length / ADDITIVE_HALF_LIFE_D)
        speed = warm * shear_factor(stirring_rpm) * (WITHOUT_ADDITIVES + (1.0 - WITHOUT_ADDITIVES) * fresh)
        death = DEATH_PER_DAY + (TEARING_DEATH_PER_DAY if stirring_rpm > TEARING_RPM else 0.0)
        middle = [s + 0.5 * length * r for s, r in zip(state, _rates(state, speed, warm, death, age), strict=True)]
        state = [s + length * r for s, r in zip(state, _rates(middle, speed, warm, death, age), strict=True)]
    for name, before, after in zip(CELLS, start, state, strict=False):
        total[INDEX[name]] = after - before
    total[INDEX["dead"]] = state[3]
    total[INDEX["calcium_ug"]] = state[4]
    ratio = sum(state[:3]) / sum(start)
    old = float(row[INDEX["commitment_cell_d"]])
    total[INDEX["commitment_cell_d"]] = old * (ratio - 1.0) + sum(state[:3]) * days
    gone = 1.0 - 0.5 ** (days / ADDITIVE_HALF_LIFE_D)
    total[INDEX["osteogenic_ul"]] = -float(row[INDEX["osteogenic_ul"]]) * gone
    return total


def _rates(state: list[float], speed: float, warm: float, death: float, age_d: float) -> list[float]:
    p, pre, mature = state[:3]
    room = max(0.0, 1.0 - (p + pre + mature) / (CONFLUENT_PER_CM2 * SURFACE_CM2))
    k1, k2 = COMMITMENT_PER_DAY * speed, MATURATION_PER_DAY * speed
    return [
        GROWTH_PER_DAY * warm * p * room - (k1 + death) * p,
        k1 * p - (k2 + death) * pre,
        k2 * pre - death * mature,
        death * (p + pre + mature),
        MINERAL_UG_PER_CELL_DAY * mature if age_d >= MINERAL_FROM_DAY else 0.0,
    ]
