# SPDX-License-Identifier: Apache-2.0
"""Transfer of cassettes between docks by the gantry, with their labels read at both ends.

ruckig and OpenCV are imported with the phases; MuJoCo only when a way has to be checked that nobody has checked before.
"""

from ..module import Actuator, Module, Phase, Safe
from . import calibrate, manual, phases
from .instruments import TransferInstruments, build

ERROR_BASE = 800


async def _brake(instruments: TransferInstruments) -> None:
    await instruments.gantry.hold()


async def _is_braked(instruments: TransferInstruments) -> bool:
    return (await instruments.gantry.state()).state not in ("Run", "Jog", "Home")


MODULE = Module(
    name="transfer",
    error_base=ERROR_BASE,
    phases=(
        Phase("HomeGantry", phases.home_gantry, lambda goal: phases.HOMING_S),
        Phase("MoveCassette", phases.move_cassette, lambda goal: phases.MOVE_S / goal.speed_factor),
        Phase("ScanLabel", phases.scan_label, lambda goal: phases.MOVE_S),
        Phase("CalibrateHandEye", calibrate.calibrate_hand_eye, lambda goal: calibrate.CALIBRATE_S),
        Phase("Park", phases.park, lambda goal: phases.HOMING_S / goal.speed_factor),
    ),
    actuators=(
        Actuator("gantry", Safe.OFF, Safe.OFF, Safe.OFF, _brake, _is_braked),
        # Opening would drop a cassette: closed by its spring, with or without power.
        Actuator("gripper", Safe.KEEP, Safe.KEEP, Safe.KEEP),
    ),
    build=build,
    manual=manual.ACTS,
)
