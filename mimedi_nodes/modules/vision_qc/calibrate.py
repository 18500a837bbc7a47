# SPDX-License-Identifier: Apache-2.0
"""Calibration of the microscope: scale, pose, walls, focus and light, from what the chip shows of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...process.context import PhaseContext
from ...process.errors import PhaseError
from ...vision.camera.calibration import CalibrationError, CameraCalibration, calibrate
from ...vision.camera.chip_marks import (
    find_marks,
    find_walls,
    flat_field,
    focus_of_marks,
    match_marks,
    still_image,
    walls_as_marks,
)
from ...vision.camera.frame import CameraHealth, check_image
from .camera_check import FRAME_TIMEOUT_S, check_camera, wrong_images_hold
from .codes import VisionCode
from .instruments import VisionInstruments

FRAMES = 25
"""Frames whose median is looked at: cells that pass are gone from it."""


async def calibrate_camera(goal: Any, instruments: VisionInstruments, ctx: PhaseContext) -> Mapping[str, Any]:
    """Measure the chip's marks, or its walls where it has none, and keep the calibration until it expires.

    An interrupted calibration begins anew; the one before holds until a new one is good.
    """
    health = CameraHealth()
    frames: list[NDArray[Any]] = []
    await instruments.camera.set_capture(True)
    try:
        while len(frames) < FRAMES:
            await ctx.pause_point()
            frame = await instruments.camera.next_frame(FRAME_TIMEOUT_S)
            with wrong_images_hold(instruments.camera.name):
                check_image("bright_field", frame.bright_field, instruments.settings.image_shape)
            health.look_at(np.asarray(frame.bright_field))
            check_camera(health, "microscope", health.frames)
            frames.append(np.asarray(frame.bright_field))
            ctx.feedback(len(frames) / (FRAMES + 1), f"{len(frames)} of {FRAMES} frames")
    finally:
        await instruments.camera.set_capture(False)
    try:
        made = _measure(frames, goal, instruments, ctx.now_s())
    except CalibrationError as error:
        raise PhaseError(VisionCode.CALIBRATION, str(error)) from error
    instruments.keep(made)
    ctx.measured("um_per_px", made.um_per_px, "um/px")
    ctx.measured("calibration_residual_px", made.residual_px, "px")
    ctx.measured("focus", made.focus, "1")
    return {
        "um_per_px": made.um_per_px,
        "wall_top_px": made.wall_top_px,
        "wall_bottom_px": made.wall_bottom_px,
        "focus": made.focus,
    }


def _measure(
    frames: list[NDArray[Any]], goal: Any, instruments: VisionInstruments, now_s: float
) -> CameraCalibration:
    image = still_image(frames)
    if instruments.lens is not None:
        image = instruments.lens.straighten(image)
    light = flat_field(image)
    even = (image / np.maximum(light, 1e-3)).astype(np.float32)
    expected = goal.um_per_px_expected
    chip = instruments.chip
    if chip.marks_um:
        diameter_px = chip.mark_diameter_um / expected
        found = find_marks(even, diameter_px)
        px, um = match_marks(found, np.array(chip.marks_um), expected, 2.0 * goal.tolerance + 0.02)
        focus = focus_of_marks(even, px, diameter_px)
    else:
        settings = instruments.settings
        walls = find_walls(even, settings.wall_top_px, settings.wall_bottom_px)
        px, um = walls_as_marks(walls, chip.walls_um, expected)
        focus = walls.focus
    made = calibrate(instruments.camera.name, px, um, chip.walls_um, now_s, goal.valid_h * 3600.0, focus,
                     float(light.min()))
    deviation = made.um_per_px / expected - 1.0
    if abs(deviation) > goal.tolerance:
        raise CalibrationError(
            f"the scale is {made.um_per_px:.4f} um/px, {deviation:+.1%} from the expected {expected:g}; allowed: "
            f"+-{goal.tolerance:.1%}. Check the objective, and which chip is mounted."
        )
    return made
