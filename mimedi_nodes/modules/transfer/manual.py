# SPDX-License-Identifier: Apache-2.0
"""The gantry by hand: driven over a dock, planned and checked like every way, and its camera calibrated by fiducials.

The jaws are not for hands: what a person wants to take, the guard's door is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from ...process.context import PhaseContext
from ..service.manual import ManualAct, ManualRefused, ManualValue
from .calibrate import calibrate_hand_eye
from .description import RobotModelError
from .instruments import CAMERA, LINE, TransferInstruments
from .motion import GRIP_HEIGHT_M, TRAVEL_Z_MM, approach, go, planned, ready, where
from .planning import dock_plate

REDUCED = 0.25
"""Share of the permitted speed at which people drive it: 0.125 m/s, half of what ISO 10218-1 allows beside people."""


async def jog_gantry(
    target: str, values: Mapping[str, Any], instruments: TransferInstruments, ctx: PhaseContext
) -> Mapping[str, Any]:
    """Drive at travel height to over a dock; a cassette in the jaws comes along."""
    try:
        over = instruments.kinematics.at_dock(values["dock"], GRIP_HEIGHT_M).at_height(TRAVEL_Z_MM)
    except RobotModelError as error:
        raise ManualRefused(str(error)) from error
    await ready(instruments, ctx)
    carried = (await instruments.gantry.state()).gripped
    moves = planned(
        approach(await where(instruments), over), instruments, values["speed_factor"], carried=carried,
        cassettes=instruments.whereabouts.docks,
        may_touch=[dock_plate(dock) for dock in instruments.kinematics.model.docks],
    )  # fmt: skip
    await go(moves, instruments, ctx, carrying=carried)
    x_mm, y_mm, z_mm = (await instruments.gantry.state()).position_mm
    return {"x_mm": x_mm, "y_mm": y_mm, "z_mm": z_mm, "gripped": carried}


async def calibrate_camera(
    target: str, values: Mapping[str, Any], instruments: TransferInstruments, ctx: PhaseContext
) -> Mapping[str, Any]:
    """Find where the label camera sits, as the phase does it."""
    goal = SimpleNamespace(residual_max_px=1.0, valid_h=24.0 * values["valid_d"])
    return dict(await calibrate_hand_eye(goal, instruments, ctx))


DOCKS = (
    "hatch", "fluidics", "store", "acoustic_sorter", "transduction", "incubator", "vision_qc", "contamination_watch",
)  # fmt: skip
"""Of urdf/; a test holds them to it."""
ACTS = (
    ManualAct(
        "jog", (LINE,), "drives the gantry at travel height to over a dock", jog_gantry,
        (
            ManualValue("dock", "where to", choices=DOCKS),
            ManualValue("speed_factor", "share of the permitted speed", 0.05, 0.5, default=REDUCED),
        ),
    ),
    ManualAct(
        "calibrate", (CAMERA,), "finds where the label camera sits, by the deck's fiducials", calibrate_camera,
        (ManualValue("valid_d", "days until the calibration is due", 1.0, 365.0, default=30.0),),
    ),
)  # fmt: skip
