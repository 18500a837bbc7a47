# SPDX-License-Identifier: Apache-2.0
"""From the plant's truth to what its sensors say: noise, drift and calibration from counter-based streams.

A sensor samples on its own period: two readings within one period carry the same noise, whatever was asked in
between. Drift follows an Ornstein-Uhlenbeck process on a fixed grid.
Source: PHYSICS §1 (scales), §3 (analyser), §5 (culture probes), §6 (PT100, NDIR).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mimedi_sim.firmware.modbus_bioreactor import BioreactorReadings
from mimedi_sim.plant.reactor import ReactorState
from mimedi_sim.random_streams import OrnsteinUhlenbeck, stream

SCALE_PERIOD_S, SCALE_NOISE_G, SCALE_DRIFT_G, SCALE_DRIFT_TIME_S = 0.1, 0.03, 0.05, 6 * 3600.0
REACTOR_PERIOD_S = 10.0
TEMPERATURE_NOISE_K, TEMPERATURE_DRIFT_K = 0.02, 0.05
PH_NOISE, PH_DRIFT_PER_DAY = 0.02, 0.01
PH_RANGE = (5.0, 9.0)
"""Beyond it an optical pH sensor shows no reading: its dye follows the pH no more [calibration]."""
CO2_NOISE = 0.0005
OXYGEN_NOISE = 0.02
METABOLITE_NOISE = 0.03
BIOMASS_NOISE, BIOMASS_CALIBRATION_CV = 0.02, 0.03
WEIGHT_NOISE_G = 0.2
ANALYSER_MAGNITUDE_NOISE, ANALYSER_PHASE_NOISE_DEG = 0.001, 0.1
_SWEEP_LENGTH = 4096  # indices set aside for one sweep
_DRIFT_STEP_S = 600.0


def _positive(value: float) -> float:
    """Return the value, at least 0; NaN (nothing to measure) stays NaN."""
    return 0.0 if value < 0.0 else value


class ScaleSensor:
    """Load cell of one vessel."""

    def __init__(self, seed: int, vessel: str) -> None:
        device = f"scale_{vessel}"
        self._noise = stream(seed, device, "noise")
        self._drift = OrnsteinUhlenbeck(
            stream(seed, device, "drift"), SCALE_DRIFT_G, SCALE_DRIFT_TIME_S, _DRIFT_STEP_S, start_at_zero=True
        )

    def reading_g(self, mass_g: float, time_s: float) -> float:
        """Return the reading for a true mass [g]."""
        noise = self._noise.normal(int(time_s / SCALE_PERIOD_S + 1e-9), 0.0, SCALE_NOISE_G)
        return mass_g + noise + self._drift.at_time(time_s)


class ReactorSensors:
    """Probes of one bioreactor; the biomass probe is calibrated once a run."""

    def __init__(self, seed: int, vessel: str) -> None:
        self._noise = {
            name: stream(seed, vessel, name)
            for name in ("liquid", "air", "co2", "ph", "oxygen", "glucose", "lactate", "biomass", "weight")
        }
        self._drift = {
            name: OrnsteinUhlenbeck(stream(seed, vessel, f"{name}_drift"), TEMPERATURE_DRIFT_K, 86_400.0, _DRIFT_STEP_S,
                                    start_at_zero=True)
            for name in ("liquid", "air")
        }
        self._ph_slope = stream(seed, vessel, "ph_slope").normal(0, 0.0, PH_DRIFT_PER_DAY) / 86_400.0
        self._biomass = stream(seed, vessel, "biomass_calibration").lognormal(0, 1.0, BIOMASS_CALIBRATION_CV)

    def readings(
        self, true: ReactorState, mass_g: float, perfused_ul: float, heater_limit_w: float, faults: int, time_s: float
    ) -> BioreactorReadings:
        """Return what the controller reports for the true state."""
        index = int(time_s / REACTOR_PERIOD_S + 1e-9)

        def normal(name: str) -> float:
            return self._noise[name].normal(index)

        def temperature(name: str, true_c: float) -> float:
            return true_c + TEMPERATURE_NOISE_K * normal(name) + self._drift[name].at_time(time_s)

        ph = true.ph + PH_NOISE * normal("ph") + self._ph_slope * time_s
        biomass = true.viable_per_ml * self._biomass * (1.0 + BIOMASS_NOISE * normal("biomass"))
        return BioreactorReadings(
            liquid_temperature_c=temperature("liquid", true.liquid_c),
            air_temperature_c=temperature("air", true.air_c),
            co2_fraction=_positive(true.co2_fraction + CO2_NOISE * normal("co2")),
            ph=ph if PH_RANGE[0] <= ph <= PH_RANGE[1] else math.nan,
            dissolved_oxygen_fraction=_positive(true.oxygen_saturation * (1.0 + OXYGEN_NOISE * normal("oxygen"))),
            stirring_rpm=true.stirring_rpm,
            weight_g=mass_g + WEIGHT_NOISE_G * normal("weight"),
            viable_cells_per_ml=_positive(biomass),
            glucose_mm=_positive(true.glucose_mm * (1.0 + METABOLITE_NOISE * normal("glucose"))),
            lactate_mm=_positive(true.lactate_mm * (1.0 + METABOLITE_NOISE * normal("lactate"))),
            perfused_ul=perfused_ul,
            heater_fraction=min(1.0, true.heater_w / heater_limit_w),
            faults=faults,
        )


class AnalyserSensor:
    """Impedance analyser: relative noise of the magnitude and phase noise, one block of indices a sweep."""

    def __init__(self, seed: int) -> None:
        self._magnitude = stream(seed, "sorter_impedance", "magnitude")
        self._phase = stream(seed, "sorter_impedance", "phase")

    def reading_ohm(self, true_ohm: npt.NDArray[np.complex128], time_s: float) -> npt.NDArray[np.complex128]:
        """Return a sweep with readout noise, shape as given; the same instant gives the same noise."""
        start = int(time_s * 10.0 + 1e-6) * _SWEEP_LENGTH
        count = len(true_ohm)
        magnitude = 1.0 + ANALYSER_MAGNITUDE_NOISE * self._magnitude.normals(start, count)
        phase = np.radians(ANALYSER_PHASE_NOISE_DEG) * self._phase.normals(start, count)
        return np.asarray(true_ohm * magnitude * np.exp(1j * phase), dtype=np.complex128)
