# SPDX-License-Identifier: Apache-2.0
"""What both cameras are held for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...instruments.link import InstrumentError
from ...process.errors import PhaseHold
from ...vision.frame import CameraHealth
from ...vision.settings import VisionInputError

FRAME_TIMEOUT_S = 10.0
"""Steady time [s] without a frame after which a camera counts as dead."""


def check_camera(health: CameraHealth, camera: str, frames: int) -> None:
    """Hold when the last frame cannot be measured.

    Raises:
        PhaseHold: with the alarm `vision_qc.camera_black`, `_saturated` or `_frozen`.
    """
    for flag in ("black", "saturated", "frozen"):
        if getattr(health, flag):
            raise PhaseHold(
                f"vision_qc.camera_{flag}",
                f"the {camera} is {flag} after {frames} frames; look at camera, lamp and cable",
            )


@contextmanager
def wrong_images_hold(camera: str) -> Iterator[None]:
    """An image of the wrong size, type or time is the camera's fault: the phase is held, not ended.

    Raises:
        InstrumentError: for a VisionInputError; the module holds with the alarm `vision_qc.<camera>_fault`.
    """
    try:
        yield
    except VisionInputError as error:
        raise InstrumentError(camera, str(error)) from error
