# SPDX-License-Identifier: Apache-2.0
"""Moving the gantry: planned, checked, sent, confirmed. Everything that phases have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from ...process.context import PhaseContext
from ...process.errors import PhaseError, PhaseHold
from .checked_ways import Surroundings, known_ways
from .codes import TransferCode
from .description import RobotModelError
from .instruments import TransferInstruments
from .kinematics import Pose
from .planning import Move, PathError, plan, turning
from .scanning import SeenCode, find_codes

TRAVEL_Z_MM = -5.0
"""Height of travel: clear of the home switches."""
GRIP_HEIGHT_M, LABEL_OFFSET_M, LID_M = 0.072, 0.033, 0.060
"""Of a cassette over its dock (urdf/cassette.xacro; a test holds them to it)."""
AISLE_X_MM = -10.0
"""Where the gantry goes along: before the modules, over the docks."""
PARK = Pose(-170.0, -760.0, TRAVEL_Z_MM)
POSITION_LOST_M = 0.0015
"""A label seen farther than this from where it should be: steps were lost, or the cassette stands wrong."""
EXPOSURES = 3
FRAME_PATIENCE_S = 5.0


async def ready(instruments: TransferInstruments, ctx: PhaseContext, *, force: bool = False) -> None:
    """Bring the gantry to rest with its reference known: home it when it is locked or asked to.

    Homing lifts first and keeps the gripper closed, so it is safe with a cassette.
    """
    state = await instruments.gantry.state()
    if state.state == "Door":
        raise PhaseHold("transfer.door_open", "the gantry's guard is open; close it, then restart")
    if state.state in ("Hold", "Run", "Jog"):
        await instruments.gantry.stop(ctx)  # the rest of an interrupted way is forgotten, the position kept
        state = await instruments.gantry.state()
    if force or state.state == "Alarm":
        ctx.feedback(0.0, "homing")
        ctx.record("gantry_homed", "gantry", "asked for" if force else "its reference was lost", gripped=state.gripped)
        await instruments.gantry.home(ctx)


async def where(instruments: TransferInstruments, wrist_rad: float) -> Pose:
    """Return where the gantry is; the wrist's servo does not report."""
    return Pose(*(await instruments.gantry.state()).position_mm, wrist_rad)


def planned(
    poses: Sequence[Pose], instruments: TransferInstruments, speed_factor: float, *, carried: bool,
    cassettes: Iterable[str], may_touch: Iterable[str] = (),
) -> list[Move]:
    """Return the moves through poses, each checked over its whole way; raises PhaseError before anything moves."""
    around = Surroundings(frozenset(cassettes), carried, frozenset(may_touch))
    try:
        moves = [plan(start, end, instruments.kinematics, speed_factor) for start, end in pairwise(poses)]
        known_ways().check(moves, around)
    except (PathError, RobotModelError) as error:
        raise PhaseError(TransferCode.PATH, str(error)) from error
    return moves


async def go(moves: Iterable[Move], instruments: TransferInstruments, ctx: PhaseContext, *, carrying: bool) -> None:
    """Carry out moves; with a cassette, look at the grip after each.

    Raises:
        InstrumentError: an alarm, a stall, an emergency stop: the service holds, the gripper stays closed.
        PhaseHold: the cassette is no longer felt.
    """
    for move in moves:
        if not math.isclose(move.start.wrist_rad, move.end.wrist_rad, abs_tol=1e-6):
            await instruments.gantry.turn_wrist(move.end.wrist_deg, ctx)
        if move.start.position_mm != move.end.position_mm:
            await instruments.gantry.move_to(move.end.position_mm, move.feed_mm_min, ctx)
        if carrying and not (await instruments.gantry.state()).gripped:
            raise PhaseHold(
                "transfer.cassette_lost", f"the gripper no longer feels the cassette at {move.end.position_mm} mm; look"
            )
        await ctx.pause_point()


def approach(start: Pose, end: Pose) -> list[Pose]:
    """Return the poses from anywhere to a pose at travel height: up, to the aisle, turned, along it, over."""
    up = start.at_height(max(start.z_mm, TRAVEL_Z_MM))
    aisle = Pose(AISLE_X_MM, up.y_mm, up.z_mm, up.wrist_rad)
    return [start, up, *turning(aisle, end), Pose(AISLE_X_MM, end.y_mm, TRAVEL_Z_MM, end.wrist_rad), end]


def over_label(dock: str, instruments: TransferInstruments) -> tuple[Pose, np.ndarray]:
    """Return where the camera looks straight at a dock's label, and the label's place [m] in workcell_base."""
    kinematics = instruments.kinematics
    try:
        frame = kinematics.dock_frame(dock)
        label = frame[:3, 3] + LABEL_OFFSET_M * frame[:3, 1] + LID_M * frame[:3, 2]
        camera, carriage = camera_pose(instruments), carriage_pose(Pose(0.0, 0.0, 0.0), instruments)
        axis = carriage[:3, :3] @ camera[:3, 2]
        eye = carriage[:3, 3] + carriage[:3, :3] @ camera[:3, 3]
        reach = (label[2] - eye[2]) / axis[2]
        shift = label - (eye + reach * axis)
        pose = Pose(1e3 * float(shift[0]), 1e3 * float(shift[1]), TRAVEL_Z_MM)
        if not kinematics.is_within(pose):
            raise RobotModelError(f"the camera does not reach the label at {dock}: {pose}")
    except RobotModelError as error:
        raise PhaseError(TransferCode.DOCK, str(error)) from error
    return pose, label


def carriage_pose(pose: Pose, instruments: TransferInstruments) -> np.ndarray:
    """Return the carriage's pose (4, 4) in workcell_base."""
    model = instruments.kinematics.model
    model.set_joints(instruments.kinematics.joints(pose))
    return model.pose("gantry_x_link")


def camera_pose(instruments: TransferInstruments) -> np.ndarray:
    """Return the camera's pose (4, 4) on the carriage: calibrated, else as drawn."""
    if instruments.hand_eye is not None:
        return instruments.hand_eye.pose
    model = instruments.kinematics.model
    pose: np.ndarray = np.linalg.inv(model.pose("gantry_x_link")) @ model.pose("label_camera_optical")
    return pose


async def look(dock: str, at: Pose, label_m: np.ndarray, instruments: TransferInstruments) -> SeenCode | None:
    """Return the code nearest to where a dock's label should be; None when there is none within the cassette."""
    await instruments.camera.set_capture(True)
    try:
        for _ in range(EXPOSURES):
            frame = await instruments.camera.next_frame(FRAME_PATIENCE_S)
            seen = [
                code for code in find_codes(frame.bright_field)
                if _distance_m(code, at, label_m, instruments) < LABEL_OFFSET_M
            ]
            if seen:
                return min(seen, key=lambda code: _distance_m(code, at, label_m, instruments))
    finally:
        await instruments.camera.set_capture(False)
    return None


def displacement_m(code: SeenCode, at: Pose, label_m: np.ndarray, instruments: TransferInstruments) -> float:
    """Return how far [m] a code lies from where the label should be, in the label's plane."""
    return _distance_m(code, at, label_m, instruments)


def _distance_m(code: SeenCode, at: Pose, label_m: np.ndarray, instruments: TransferInstruments) -> float:
    carriage = carriage_pose(at, instruments)
    camera = carriage @ camera_pose(instruments)
    depth_m = float((label_m - camera[:3, 3]) @ camera[:3, 2])
    expected = instruments.optics.project(label_m[None, :], camera)[0]
    return float(np.hypot(*(np.subtract(code.pixel, expected)))) * depth_m / instruments.optics.focal_px
