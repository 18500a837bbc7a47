# SPDX-License-Identifier: Apache-2.0
"""Moving the gantry: planned, checked, sent, confirmed. Everything that phases have in common."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from ...instruments.wire.grbl_line import GantryState
from ...instruments.wire.link import InstrumentError
from ...process.context import PhaseContext
from ...process.errors import PhaseError, PhaseHold
from .checked_ways import Surroundings, known_ways
from .codes import TransferCode
from .description import RobotModelError
from .instruments import TransferInstruments
from .kinematics import Pose
from .planning import CONTROLLER_ACCELERATION, Move, PathError, plan, turning
from .scanning import SeenCode, find_codes
from .streaming import blocks
from .whereabouts import GRIPPER

TRAVEL_Z_MM = -5.0
"""Height of travel: clear of the home switches."""
GRIP_HEIGHT_M, LABEL_OFFSET_M, LID_M = 0.072, 0.033, 0.060
"""Of a cassette over its dock (urdf/cassette.xacro; a test holds them to it)."""
AISLE_X_MM = -10.0
"""Where the gantry goes along: before the modules, over the docks."""
PARK = Pose(-170.0, -760.0, TRAVEL_Z_MM)
POSITION_LOST_M = 0.0015
"""A label seen farther than this from where it should be: steps were lost, or the cassette stands wrong."""
TRAVEL_TOLERANCE_MM = 0.5
DOOR_OPEN = "transfer.door_open"
EXPOSURES = 3
"""Pictures without a label before a dock counts as free: three alike tell a frozen camera."""
FRAME_PATIENCE_S = 5.0


async def ready(instruments: TransferInstruments, ctx: PhaseContext, *, force: bool = False) -> None:
    """Bring the gantry to rest with its reference known: home it when it is locked or asked to.

    Homing lifts first and keeps the gripper closed, so it is safe with a cassette.
    """
    state = await instruments.gantry.state()
    if _guard_is_open(state):
        raise PhaseHold(DOOR_OPEN, "the gantry's guard is open; close it, then restart")
    if state.state in ("Hold", "Door", "Run", "Jog"):
        await instruments.gantry.stop(ctx)  # the rest of an interrupted way is forgotten, the position kept
        state = await instruments.gantry.state()
    if force or state.state == "Alarm":
        ctx.feedback(0.0, "homing")
        ctx.record(
            "gantry_homed", "gantry", "asked for" if force else "its reference was lost", gripped=state.gripped,
            holds=instruments.whereabouts.at(GRIPPER),
        )
        await instruments.gantry.home(ctx)
    if not instruments.wrist_told:
        check_settings(await instruments.gantry.settings(), instruments)
        # A turn that was broken off is ended here: its whole sweep was checked before it began.
        await turn(instruments.whereabouts.wrist_rad, instruments, ctx)
        instruments.wrist_told = True


def check_settings(settings: Mapping[int, float], instruments: TransferInstruments) -> None:
    """Compare what the controller is set to with what plans reckon with.

    Raises:
        InstrumentError: speed or acceleration of an axis is less, or its travel another; names setting and value.
    """
    kinematics = instruments.kinematics
    for axis, name in enumerate("xyz"):
        for number, unit, least in (
            (110 + axis, "mm/min", 60e3 * kinematics.speed[axis]),
            (120 + axis, "mm/s²", 1e3 * CONTROLLER_ACCELERATION[axis]),
        ):
            if not settings[number] >= least * (1.0 - 1e-6):
                raise InstrumentError(
                    instruments.gantry.name,
                    f"setting ${number} ({name}) is {settings[number]:g} {unit}; plans need at least {least:g}",
                )
        travel_mm = 1e3 * float(kinematics.upper[axis] - kinematics.lower[axis])
        if not abs(settings[130 + axis] - travel_mm) <= TRAVEL_TOLERANCE_MM:
            raise InstrumentError(
                instruments.gantry.name,
                f"setting ${130 + axis} ({name}) is {settings[130 + axis]:g} mm; the robot model has {travel_mm:g}",
            )


def _guard_is_open(state: GantryState) -> bool:
    return state.state == "Door" and state.substate != 0


async def turn(angle_rad: float, instruments: TransferInstruments, ctx: PhaseContext) -> None:
    """Turn the wrist; its angle is on disk before."""
    instruments.whereabouts.turn(angle_rad)
    await instruments.gantry.turn_wrist(math.degrees(angle_rad), ctx)


async def where(instruments: TransferInstruments) -> Pose:
    """Return where the gantry is; the wrist's servo does not report, it is where it was told to be."""
    return Pose(*(await instruments.gantry.state()).position_mm, instruments.whereabouts.wrist_rad)


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
        PhaseHold: the guard was opened, or the cassette is no longer felt.
    """
    for move in moves:
        if not math.isclose(move.start.wrist_rad, move.end.wrist_rad, abs_tol=1e-6):
            await turn(move.end.wrist_rad, instruments, ctx)
        try:
            await instruments.gantry.follow(blocks(move), ctx)
        except InstrumentError as error:
            if _guard_is_open(await instruments.gantry.state()):
                raise PhaseHold(DOOR_OPEN, f"the guard was opened; close it, then restart ({error})") from error
            raise
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
    try:
        frame = instruments.kinematics.dock_frame(dock)
        label = frame[:3, 3] + LABEL_OFFSET_M * frame[:3, 1] + LID_M * frame[:3, 2]
        return looking_at(label, instruments), label
    except RobotModelError as error:
        raise PhaseError(TransferCode.DOCK, f"{dock}: {error}") from error


def looking_at(point_m: np.ndarray, instruments: TransferInstruments) -> Pose:
    """Return where the camera looks straight at a point [m] in workcell_base, the wrist as it is.

    Raises:
        RobotModelError: the camera does not reach it.
    """
    camera, carriage = camera_pose(instruments), carriage_pose(Pose(0.0, 0.0, 0.0), instruments)
    axis = carriage[:3, :3] @ camera[:3, 2]
    eye = carriage[:3, 3] + carriage[:3, :3] @ camera[:3, 3]
    reach = (point_m[2] - eye[2]) / axis[2]
    shift = 1e3 * (point_m - (eye + reach * axis))
    # To what the controller's steps can reach: the same place is the same way again.
    x_mm, y_mm = round(float(shift[0]), 3), round(float(shift[1]), 3)
    pose = Pose(x_mm, y_mm, TRAVEL_Z_MM, instruments.whereabouts.wrist_rad)
    if not instruments.kinematics.is_within(pose):
        raise RobotModelError(f"the camera does not reach {np.round(point_m, 3).tolist()} m: {pose}")
    return pose


def carriage_pose(pose: Pose, instruments: TransferInstruments) -> np.ndarray:
    """Return the carriage's pose (4, 4) in workcell_base."""
    instruments.robot.set_joints(instruments.kinematics.joints(pose))
    return instruments.robot.pose("gantry_x_link")


def camera_pose(instruments: TransferInstruments) -> np.ndarray:
    """Return the camera's pose (4, 4) on the carriage: calibrated, else as drawn."""
    if instruments.hand_eye is not None:
        return instruments.hand_eye.pose
    return drawn_camera_pose(instruments)


def drawn_camera_pose(instruments: TransferInstruments) -> np.ndarray:
    """Return the camera's pose (4, 4) on the carriage as drawn."""
    robot = instruments.robot
    pose: np.ndarray = np.linalg.inv(robot.pose("gantry_x_link")) @ robot.pose("label_camera_optical")
    return pose


async def look(at: Pose, label_m: np.ndarray, instruments: TransferInstruments) -> SeenCode | None:
    """Return the code nearest to where a dock's label should be; None when there is none within the cassette."""
    await instruments.camera.set_capture(True)
    try:
        for _ in range(EXPOSURES):
            seen = [
                code for code in find_codes(await picture(instruments))
                if displacement_m(code, at, label_m, instruments) < LABEL_OFFSET_M
            ]
            if seen:
                return min(seen, key=lambda code: displacement_m(code, at, label_m, instruments))
    finally:
        await instruments.camera.set_capture(False)
    return None


async def picture(instruments: TransferInstruments) -> np.ndarray:
    """Return the next picture.

    Raises:
        InstrumentError: it has not the size that the site says.
        PhaseHold: it shows nothing, or what it showed before: an occupied dock would look free.
    """
    frame = await instruments.camera.next_frame(FRAME_PATIENCE_S)
    pixels = np.asarray(frame.bright_field)
    wanted = (instruments.optics.height_px, instruments.optics.width_px)
    if pixels.shape != wanted:
        raise InstrumentError(
            instruments.camera.name, f"the picture is {pixels.shape} px; the site file says {wanted} (height, width)"
        )
    instruments.camera_health.look_at(pixels)
    health, advice = instruments.camera_health, "look at camera, lamp and cable"
    if health.black:
        raise PhaseHold("transfer.camera_black", f"the label camera's picture is dark; {advice}")
    if health.saturated:
        raise PhaseHold("transfer.camera_saturated", f"the label camera's picture is overexposed; {advice}")
    if health.frozen:
        raise PhaseHold("transfer.camera_frozen", f"the label camera sends the same picture again; {advice}")
    return pixels


def displacement_m(code: SeenCode, at: Pose, label_m: np.ndarray, instruments: TransferInstruments) -> float:
    """Return how far [m] a code lies from where the label should be, in the label's plane."""
    camera = carriage_pose(at, instruments) @ camera_pose(instruments)
    depth_m = float((label_m - camera[:3, 3]) @ camera[:3, 2])
    expected = instruments.optics.project(label_m[None, :], camera)[0]
    return float(np.hypot(*(np.subtract(code.pixel, expected)))) * depth_m / instruments.optics.focal_px
