# SPDX-License-Identifier: Apache-2.0
"""Fluid handling: moves, mixes, labels, samples and formulates; every volume is weighed where a scale is."""

from ..module import Actuator, Module, Phase, Safe
from . import formulate, label, manual, mix, sample, transfer
from .instruments import FluidicsInstruments, build

ERROR_BASE = 100
WEIGHED = (
    "apheresis", "bank", "buffer", "medium", "depleted", "harvest", "dose_bag", "surplus_bag", "waste",
)  # fmt: skip
"""Vessels whose load cells this module owns."""


async def _stop_pump(instruments: FluidicsInstruments) -> None:
    await instruments.pump.stop()


async def _pump_is_off(instruments: FluidicsInstruments) -> bool:
    return await instruments.pump.is_off()


MODULE = Module(
    name="fluidics",
    error_base=ERROR_BASE,
    phases=(
        Phase("PrimeLines", transfer.prime_lines, transfer.expected_s),
        Phase("TransferFluid", transfer.transfer_fluid, transfer.expected_s),
        Phase("MixContainer", mix.mix_container, lambda goal: goal.duration_s, continuous=True),
        Phase("LabelCells", label.label_cells, lambda goal: goal.duration_s + 600.0),
        Phase("DepleteBeads", transfer.deplete_beads, transfer.expected_depletion_s),
        Phase("TakeSample", sample.take_sample, lambda goal: 120.0),
        Phase("FormulateDose", formulate.formulate_dose, lambda goal: 3600.0),
        Phase("RinseLines", transfer.rinse_lines, transfer.expected_rinse_s),
    ),
    actuators=(Actuator("pump", Safe.OFF, Safe.OFF, Safe.OFF, _stop_pump, _pump_is_off),),
    build=build,
    manual=manual.acts(WEIGHED),
)
