# SPDX-License-Identifier: Apache-2.0
"""Analytics: stiffness, binding, cytokines, vector copies and cytometry of a sample, each with its uncertainty."""

from ..module import Actuator, Module, Phase, Safe
from . import phases
from .instruments import AnalyticsInstruments, build

ERROR_BASE = 900


async def _stop_measuring(instruments: AnalyticsInstruments) -> None:
    for device in (instruments.microscope, instruments.plates, instruments.droplets, instruments.cytometer):
        await device.abort()


async def _nothing_measured(instruments: AnalyticsInstruments) -> bool:
    devices = (instruments.microscope, instruments.plates, instruments.droplets, instruments.cytometer)
    return all([await device.is_off() for device in devices])


MODULE = Module(
    name="analytics",
    error_base=ERROR_BASE,
    phases=(
        Phase("MeasureStiffness", phases.measure_stiffness, lambda goal: 30.0 * goal.cells_wanted),
        Phase("MeasureBinding", phases.measure_binding, lambda goal: goal.association_s + 420.0),
        Phase("MeasureCytokine", phases.measure_cytokine, lambda goal: 120.0),
        Phase("MeasureCopyNumber", phases.measure_copy_number, lambda goal: 180.0),
        Phase("AnalyzeCytometry", phases.analyze_cytometry, lambda goal: 60.0 + goal.events_wanted / 300.0),
    ),
    actuators=(Actuator("analysers", Safe.OFF, Safe.OFF, Safe.OFF, _stop_measuring, _nothing_measured),),
    build=build,
)
