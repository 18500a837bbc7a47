# SPDX-License-Identifier: Apache-2.0
"""What both cameras are held for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...instruments.wire.link import InstrumentError
from ...process.errors import PhaseHold
from ...vision.camera.frame import CameraHealth
from ...vision.camera.settings import VisionInputError

FRAME_TIMEOUT_S = 10.0
"""Steady time [s] without a frame after which a camera counts as dead."""
LEAST_FOCUS = 2.9
"""Least width of a cell over that of its outline. Lymphocytes in focus have 6; at 2.7 (a focus 40 um away) dead ones
are no longer told from living ones, since the small dead cells fade first, and farther away those on their way to the
side outlets are lost before the focused ones."""


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


def check_focus(focus: float, alarm: str, response: str) -> float:
    """Hold when the cells' outlines are too soft to be measured; returns how sharp they are.

    Args:
        focus: how many times as wide as its outline a cell is, 0 when no outline was seen.
        alarm: to raise. response: what a person does about it.

    Raises:
        PhaseHold: below `LEAST_FOCUS`.
    """
    if not focus >= LEAST_FOCUS:
        seen = f"the cells are {focus:.1f} times as wide as their outlines" if focus > 0.0 else "no cell has an outline"
        raise PhaseHold(alarm, f"{seen}; allowed: {LEAST_FOCUS:g} times and more; {response}")
    return focus


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
