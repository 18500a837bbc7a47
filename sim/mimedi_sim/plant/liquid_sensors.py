# SPDX-License-Identifier: Apache-2.0
"""Pressure, flow and air in the lines behind the pumps, as their sensors see them.

The pressure of a line is exact between two changes of its pumps: C dP/dt = Q_set - P/R, R times its factor while the
line is occluded (closed form, PHYSICS §1). Noise comes from counter-based streams with the sensors' own periods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mimedi_sim.firmware.shdlc import FlowSample
from mimedi_sim.models.constants import UL_PER_MIN_IN_M3_S
from mimedi_sim.plant.occlusion import LINE_COMPLIANCE_M3_PA, LINE_RESISTANCE_PA_S_M3
from mimedi_sim.random_streams import OrnsteinUhlenbeck, stream

PRESSURE_NOISE_PA, PRESSURE_DRIFT_PA, DRIFT_TIME_S = 50.0, 100.0, 6 * 3600.0
FLOW_NOISE, FLOW_FLOOR_UL_MIN = 0.02, 0.5
PERIOD_S = 0.1
TEMPERATURE_C = 22.0
CHIP_RESISTANCE_PA_S_M3 = 3.95e11 / 16.0
"""Sixteen channels of 375 x 150 um side by side (PHYSICS §1: 3.95e11 each)."""
AIR_SHARE = 0.01
"""Share of gas in what is delivered from which the sensor sees air [C]."""
_DRIFT_STEP_S = 600.0
_M3_S_PER_UL_S = 60.0 * UL_PER_MIN_IN_M3_S


@dataclass(frozen=True)
class _Piece:
    """A line since the last change: pressure then, what the plungers push, resistance."""

    since_s: float
    pressure_pa: float
    pushed_ul_s: float
    resistance: float

    def pressure_at(self, time_s: float) -> float:
        final = self.pushed_ul_s * _M3_S_PER_UL_S * self.resistance
        tau = self.resistance * LINE_COMPLIANCE_M3_PA
        return final + (self.pressure_pa - final) * math.exp(-(time_s - self.since_s) / tau)


@dataclass(frozen=True)
class LineFlow:
    """What moves in a line now: flow [uL/s], and the share of gas in what is delivered (0..1)."""

    flow_ul_s: float = 0.0
    gas_share: float = 0.0


class LiquidLine:
    """One line from its pumps to where they deliver.

    Args: seed, name: of its sensors' noise. start_s: process time [s] of the start. through_chip: it feeds the sorter.
    """

    def __init__(self, seed: int, name: str, start_s: float, *, through_chip: bool = False) -> None:
        self._base = LINE_RESISTANCE_PA_S_M3 + (CHIP_RESISTANCE_PA_S_M3 if through_chip else 0.0)
        self._piece = _Piece(start_s, 0.0, 0.0, self._base)
        self._start_s = start_s
        self._pressure_noise = stream(seed, f"pressure_{name}", "noise")
        self._flow_noise = stream(seed, f"flow_{name}", "noise")
        self._drift = OrnsteinUhlenbeck(
            stream(seed, f"pressure_{name}", "drift"), PRESSURE_DRIFT_PA, DRIFT_TIME_S, _DRIFT_STEP_S,
            start_at_zero=True,
        )

    def push(self, time_s: float, pushed_ul_s: float, occlusion: float) -> None:
        """Have the plungers push so much from time_s on, against an occlusion factor (1: free)."""
        resistance = self._base * occlusion
        if (pushed_ul_s, resistance) != (self._piece.pushed_ul_s, self._piece.resistance):
            self._piece = _Piece(time_s, self._piece.pressure_at(time_s), pushed_ul_s, resistance)

    def pressure_pa(self, time_s: float) -> float:
        """Return the true gauge pressure at the pump's outlet [Pa]."""
        return self._piece.pressure_at(time_s)

    def measured_pa(self, time_s: float) -> float:
        """Return what the pressure sensor says [Pa]."""
        index, since = self._index(time_s), time_s - self._start_s
        noise = self._pressure_noise.normal(index, 0.0, PRESSURE_NOISE_PA)
        return self.pressure_pa(time_s) + noise + self._drift.at_time(since)

    def measured_flow(self, flow: LineFlow, time_s: float) -> FlowSample:
        """Return what the flow sensor says of a true flow."""
        true_ul_min = flow.flow_ul_s * 60.0
        spread = math.hypot(FLOW_NOISE * true_ul_min, FLOW_FLOOR_UL_MIN)
        noisy = true_ul_min + spread * self._flow_noise.normal(self._index(time_s))
        return FlowSample(noisy, TEMPERATURE_C, flow.gas_share > AIR_SHARE)

    def _index(self, time_s: float) -> int:
        return int((time_s - self._start_s) / PERIOD_S + 1e-9)


LINES: Mapping[str, bool] = {"fluidics": False, "sample": True, "buffer": True}
"""Line to whether it goes through the sorter's chip."""


def line_of(pump: str) -> str:
    """Return the line that a pump delivers into."""
    kind = pump.split("_")[0]
    return kind if kind in LINES else "fluidics"


class LiquidSensors:
    """All lines of the workcell. What the pumps do is noted when it changes and worked out when somebody reads."""

    def __init__(self, seed: int, start_s: float) -> None:
        self._lines = {
            name: LiquidLine(seed, name, start_s, through_chip=through) for name, through in LINES.items()
        }
        self._noted: list[tuple[float, Mapping[str, float], Mapping[str, float]]] = []

    @property
    def lines(self) -> Mapping[str, LiquidLine]:
        """The lines by name, as they are after everything that was adopted."""
        for time_s, pushed, occlusions in self._noted:
            for name, line in self._lines.items():
                factor = max((found for pump, found in occlusions.items() if line_of(pump) == name), default=1.0)
                line.push(time_s, sum(rate for pump, rate in pushed.items() if line_of(pump) == name), factor)
        self._noted.clear()
        return self._lines

    def adopt(self, time_s: float, pushed_ul_s: Mapping[str, float], occlusions: Mapping[str, float]) -> None:
        """Take what the plungers push out, by pump, and the occlusion factors that hold from time_s on."""
        self._noted.append((time_s, pushed_ul_s, occlusions))
