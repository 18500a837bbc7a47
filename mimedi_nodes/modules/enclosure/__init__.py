# SPDX-License-Identifier: Apache-2.0
"""The enclosure: verifies the grade of its air, decontaminates, tests for leaks."""

from ...instruments.enclosure_map import LeakTestPhase
from ..module import Actuator, Module, Phase, Safe
from . import decontaminate, emergency_stop, leaks, recovery, verify
from .instruments import EnclosureInstruments, build

ERROR_BASE = 600


async def _stop_vapour(instruments: EnclosureInstruments) -> None:
    await instruments.vhp.stop()


async def _vapour_is_off(instruments: EnclosureInstruments) -> bool:
    return await instruments.vhp.is_off()


async def _stop_test(instruments: EnclosureInstruments) -> None:
    await instruments.controller.stop_leak_test()


async def _test_is_off(instruments: EnclosureInstruments) -> bool:
    return (await instruments.controller.state()).leak_phase is LeakTestPhase.OFF


MODULE = Module(
    name="enclosure",
    error_base=ERROR_BASE,
    phases=(
        Phase("VerifyGrade", verify.verify_grade, verify.expected_s, continuous=True),
        Phase("DecontaminateEnclosure", decontaminate.decontaminate_enclosure, decontaminate.expected_s),
        Phase("TestLeaks", leaks.test_leaks, leaks.expected_s),
    ),
    actuators=(
        Actuator("peroxide_generator", Safe.OFF, Safe.OFF, Safe.OFF, _stop_vapour, _vapour_is_off),
        Actuator("leak_test_pressure", Safe.OFF, Safe.OFF, Safe.OFF, _stop_test, _test_is_off),
        Actuator("air_filtration", Safe.KEEP, Safe.KEEP, Safe.KEEP),
        Actuator("door_locks", Safe.KEEP, Safe.KEEP, Safe.KEEP),
        Actuator("particle_sampling", Safe.KEEP, Safe.KEEP, Safe.KEEP),
    ),
    build=build,
    not_ready=recovery.why_not_restarted,
    manual=emergency_stop.ACTS,
    watch=emergency_stop.WATCH,
)
