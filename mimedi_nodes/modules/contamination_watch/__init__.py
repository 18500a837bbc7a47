# SPDX-License-Identifier: Apache-2.0
"""Contamination watch: counts single photons of an aliquot's ATP light and tells whether microbes live in it."""

from ...instruments.wire.photon_frames import Filter
from ..module import Actuator, Module, Phase, Safe
from . import calibrate, screen, targets
from .instruments import WatchInstruments, build

ERROR_BASE = 700


async def _stop_counting(instruments: WatchInstruments) -> None:
    await instruments.counter.stop()


async def _stop_laser(instruments: WatchInstruments) -> None:
    await instruments.counter.stop()
    await instruments.counter.ensure_excitation(0.0, Filter.OPEN)


async def _laser_is_off(instruments: WatchInstruments) -> bool:
    return not (await instruments.counter.state()).laser_on


async def _is_off(instruments: WatchInstruments) -> bool:
    return await instruments.counter.is_off()


MODULE = Module(
    name="contamination_watch",
    error_base=ERROR_BASE,
    phases=(
        Phase("CalibrateBackground", calibrate.calibrate_background, lambda goal: float(goal.duration_s) + 60.0),
        Phase("ScreenSample", screen.screen_sample, screen.expected_s),
        Phase("DetectTargets", targets.detect_targets, targets.expected_s),
    ),
    actuators=(
        Actuator("detector_shutter", Safe.OFF, Safe.OFF, Safe.OFF, _stop_counting, _is_off),
        Actuator("laser", Safe.OFF, Safe.OFF, Safe.OFF, _stop_laser, _laser_is_off),
    ),
    build=build,
)
