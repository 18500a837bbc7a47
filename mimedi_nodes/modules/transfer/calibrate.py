# SPDX-License-Identifier: Apache-2.0
"""Hand-eye calibration of the label camera by the deck's fiducials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...process.context import PhaseContext
from ...process.errors import PhaseError
from .codes import TransferCode
from .description import RobotModelError
from .hand_eye import CalibrationError, Sighting, calibrate
from .instruments import CAMERA, TransferInstruments
from .kinematics import Pose
from .motion import (
    approach,
    camera_pose,
    carriage_pose,
    drawn_camera_pose,
    go,
    looking_at,
    picture,
    planned,
    ready,
    where,
)
from .scanning import find_codes

OFFSETS_M = ((0.0, 0.0), (-0.022, -0.010), (-0.022, 0.010), (0.022, -0.010), (0.022, 0.010))
"""Of the views (x, y) from straight over the fiducials' middle: the codes come near the picture's edges."""
CALIBRATE_S = 120.0


async def calibrate_hand_eye(goal: Any, instruments: TransferInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Look at the fiducials from several places and keep where the camera sits until it expires.

    The one before holds until a new one is good.
    """
    await ready(instruments, ctx)
    if (await instruments.gantry.state()).gripped:
        raise PhaseError(TransferCode.OCCUPIED, "the gripper holds a cassette; put it down first")
    sightings: list[Sighting] = []
    views = _views(instruments)
    for number, view in enumerate(views):
        ctx.feedback(number / len(views), f"view {number + 1} of {len(views)}")
        way = approach(await where(instruments), view) if number == 0 else [await where(instruments), view]
        moves = planned(way, instruments, 1.0, carried=False, cassettes=instruments.whereabouts.docks)
        await go(moves, instruments, ctx, carrying=False)
        sightings += await _sightings(view, instruments)
    try:
        found = calibrate(sightings, instruments.optics, goal.residual_max_px)
    except CalibrationError as error:
        raise PhaseError(TransferCode.CALIBRATION, str(error)) from error
    shift_m, turn_rad = found.deviation(drawn_camera_pose(instruments))
    off_m, _ = found.deviation(camera_pose(instruments))
    depth_m = abs(float(found.pose[2, 3] - np.mean([s.fiducial_m[2] - s.carriage_m[2] for s in sightings])))
    instruments.hand_eye_file.keep(found, ctx.now_s() + 3600.0 * goal.valid_h)
    instruments.calibrations.keep(
        CAMERA, "mm", found=1e3 * off_m, left=1e3 * found.residual_px * depth_m / instruments.optics.focal_px,
        reference=f"{len(instruments.robot.fiducials)} fiducials on the deck",
        by=ctx.header.requested_by or "coordinator", valid_d=goal.valid_h / 24.0,
    )
    ctx.measured("hand_eye_residual_px", found.residual_px, "px")
    return {
        "residual_px": found.residual_px, "shift_mm": 1e3 * shift_m, "turn_deg": float(np.degrees(turn_rad)),
        "sightings": len(sightings),
    }


def _places(instruments: TransferInstruments) -> dict[str, np.ndarray]:
    """Return each fiducial's text with its place [m] in workcell_base."""
    return {text: instruments.robot.pose(link)[:3, 3] for text, link in instruments.robot.fiducials.items()}


def _views(instruments: TransferInstruments) -> list[Pose]:
    middle = np.mean(list(_places(instruments).values()), axis=0)
    try:
        return [looking_at(middle + np.array([dx, dy, 0.0]), instruments) for dx, dy in OFFSETS_M]
    except RobotModelError as error:
        raise PhaseError(TransferCode.CALIBRATION, str(error)) from error


async def _sightings(view: Pose, instruments: TransferInstruments) -> list[Sighting]:
    places = _places(instruments)
    carriage = carriage_pose(view, instruments)[:3, 3]
    await instruments.camera.set_capture(True)
    try:
        codes = find_codes(await picture(instruments))
    finally:
        await instruments.camera.set_capture(False)
    return [
        Sighting(_three(places[code.text]), _three(carriage), code.pixel) for code in codes if code.text in places
    ]


def _three(point: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in point)
    return x, y, z
