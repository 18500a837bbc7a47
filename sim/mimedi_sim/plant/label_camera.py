# SPDX-License-Identifier: Apache-2.0
"""The camera on the gantry's carriage that looks down at the cassettes' labels.

A pinhole picture of the lids below: each label is a Data Matrix on a white square, at the dock where its cassette
stands.
The camera sits a little off its drawing, as mounted ones do. Geometry: urdf/.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import zxingcpp
from transforms3d.affines import compose
from transforms3d.euler import euler2mat

from mimedi_nodes.modules.transfer.frames import RobotFrames
from mimedi_nodes.modules.transfer.hand_eye import LabelOptics
from mimedi_nodes.modules.transfer.kinematics import Kinematics, Pose
from mimedi_sim.plant.gantry import GantryMechanics

Image = npt.NDArray[np.uint8]

LABEL_M, LABEL_OFFSET_M, LID_M, GRIP_M = 0.014, 0.033, 0.060, 0.072
LID_GREY, PLATE_GREY, NOISE_GREY = 120.0, 70.0, 2.5
MOUNT_M, MOUNT_RAD = 0.0004, 0.0008
"""Standard deviation of the mounting per axis."""


class LabelCamera:
    """Takes pictures of what lies below the carriage.

    Args:
        mechanics: of the gantry, which knows where the carriage really is and where each cassette is.
        seed: of mounting and noise.
    """

    def __init__(self, mechanics: GantryMechanics, seed: int, optics: LabelOptics | None = None) -> None:
        self._mechanics, self.optics = mechanics, optics or LabelOptics()
        self._random = np.random.default_rng(seed)
        self._kinematics = Kinematics(RobotFrames())
        model = self._kinematics.model
        drawn = np.linalg.inv(model.pose("gantry_x_link")) @ model.pose("label_camera_optical")
        turn = euler2mat(*self._random.normal(0.0, MOUNT_RAD, 3))
        self.mounted = drawn @ compose(self._random.normal(0.0, MOUNT_M, 3), turn, np.ones(3))
        """True pose (4, 4) of the camera on the carriage."""
        self.frozen = False
        self._last: Image | None = None

    def pose(self) -> npt.NDArray[np.float64]:
        """Return the camera's true pose (4, 4) in workcell_base."""
        x, y, _ = self._mechanics.position
        self._kinematics.model.set_joints(self._kinematics.joints(Pose(x, y, 0.0)))
        return np.asarray(self._kinematics.model.pose("gantry_x_link") @ self.mounted)

    def picture(self) -> Image:
        """Return a picture (height, width), uint8."""
        if self.frozen and self._last is not None:
            return self._last
        size = (self.optics.width_px, self.optics.height_px)
        canvas = np.full(size[::-1], PLATE_GREY, np.float32)
        camera = self.pose()
        for label, place in self._mechanics.cassettes.items():
            if place in self._kinematics.model.docks:
                self._draw(canvas, camera, label, self._kinematics.dock_frame(place))
        noisy = canvas + np.asarray(self._random.normal(0.0, NOISE_GREY, canvas.shape), np.float32)
        self._last = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        return self._last

    def _draw(self, canvas: Any, camera: Any, label: str, dock: Any) -> None:
        """Draw a cassette's lid and its label."""
        lid = self._square(camera, dock, (0.0, 0.0), (0.08548, 0.12776))
        if lid is None:
            return
        cv2.fillConvexPoly(canvas, np.round(lid).astype(np.int32), LID_GREY)
        code = _code(label)
        corners = self._square(camera, dock, (0.0, LABEL_OFFSET_M), (LABEL_M, LABEL_M))
        if corners is None:
            return
        side = code.shape[0]
        flat = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
        view = cv2.getPerspectiveTransform(flat, corners.astype(np.float32))
        size = (canvas.shape[1], canvas.shape[0])
        drawn = cv2.warpPerspective(code, view, size, flags=cv2.INTER_AREA)
        mask = cv2.warpPerspective(np.full_like(code, 255), view, size)
        canvas[mask > 127] = drawn[mask > 127]

    def _square(self, camera: Any, dock: Any, middle: tuple[float, float], size: tuple[float, float]) -> Any:
        """Return the pixels (4, 2) of a rectangle on the lid; None when it is far outside the picture."""
        half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array(size) / 2.0 + middle
        local = np.column_stack([half, np.full(4, LID_M)])
        pixels = self.optics.project(local @ dock[:3, :3].T + dock[:3, 3], camera)
        far = 3 * max(self.optics.width_px, self.optics.height_px)
        return pixels if np.all(np.abs(pixels) < far) else None


@lru_cache(maxsize=64)
def _code(label: str) -> Image:
    """Return a label's Data Matrix with its quiet zone, 8 px a module."""
    barcode = zxingcpp.create_barcode(label, zxingcpp.BarcodeFormat.DataMatrix, force_square=True)
    return np.array(barcode.to_image(scale=8), dtype=np.uint8)


class LabelCameraDriver:
    """The camera as phases see it, in the plant's own process: one frame each time it is asked for.

    Args:
        advance: brings the gantry's controller to the present before a picture is taken.
    """

    def __init__(self, camera: LabelCamera, now_s: Callable[[], float], advance: Callable[[float], object]) -> None:
        self.name, self.dropped, self.capturing = "label_camera", 0, False
        self._camera, self._now_s, self._advance = camera, now_s, advance

    async def set_capture(self, on: bool) -> None:
        """Start or stop the exposures."""
        self.capturing = on

    async def next_frame(self, timeout_s: float) -> Any:
        """Return the picture of now; raises ReplyTimeout when the camera does not capture."""
        from mimedi_nodes.instruments.link import ReplyTimeout
        from mimedi_nodes.modules.camera import Frame

        if not self.capturing:
            raise ReplyTimeout(self.name, "the camera does not capture; switch capture on first")
        self._advance(self._now_s())
        return Frame(math.floor(self._now_s() * 10.0) / 10.0, self._camera.picture())
