# SPDX-License-Identifier: Apache-2.0
"""Physical constants and unit factors shared by the models (SI; CODATA 2018 where measured)."""

from __future__ import annotations

BOLTZMANN_J_PER_K = 1.380649e-23
STANDARD_GRAVITY_M_S2 = 9.80665
PASCAL_PER_MMHG = 133.322387415
STANDARD_PRESSURE_PA = 101_325.0
ZERO_CELSIUS_K = 273.15

UL_PER_MIN_IN_M3_S = 1.0e-9 / 60.0
"""One µL/min in m³/s."""
