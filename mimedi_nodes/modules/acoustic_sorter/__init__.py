# SPDX-License-Identifier: Apache-2.0
"""Acoustic sorting: tunes the transducer, sorts bead-bound cells, concentrates and washes."""

from ..module import Actuator, Module, Phase, Safe
from . import concentrate, manual, sort, tune
from .instruments import SorterInstruments, build

ERROR_BASE = 200


async def _stop_sample(instruments: SorterInstruments) -> None:
    await instruments.sample.stop()


async def _sample_is_off(instruments: SorterInstruments) -> bool:
    return await instruments.sample.is_off()


async def _stop_buffer(instruments: SorterInstruments) -> None:
    await instruments.buffer.stop()


async def _buffer_is_off(instruments: SorterInstruments) -> bool:
    return await instruments.buffer.is_off()


async def _output_off(instruments: SorterInstruments) -> None:
    await instruments.generator.output_off()


async def _output_is_off(instruments: SorterInstruments) -> bool:
    return await instruments.generator.is_off()


MODULE = Module(
    name="acoustic_sorter",
    error_base=ERROR_BASE,
    phases=(
        Phase("TuneTransducer", tune.tune_transducer, lambda goal: 60.0),
        Phase("SortCells", sort.sort_cells, sort.expected_s),
        Phase("ConcentrateCells", concentrate.concentrate_cells, concentrate.expected_s),
    ),
    actuators=(
        Actuator("generator", Safe.OFF, Safe.OFF, Safe.OFF, _output_off, _output_is_off),
        Actuator("sample_pumps", Safe.OFF, Safe.OFF, Safe.OFF, _stop_sample, _sample_is_off),
        Actuator("buffer_pumps", Safe.OFF, Safe.OFF, Safe.OFF, _stop_buffer, _buffer_is_off),
    ),
    build=build,
    manual=manual.ACTS,
)
