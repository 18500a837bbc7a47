# SPDX-License-Identifier: Apache-2.0
"""The camera on the gantry's carriage that looks down at the cassettes' labels and the deck's fiducials.

A pinhole picture of what lies below: each label is a Data Matrix on a white square, at the dock where its cassette
stands. The camera sits a little off its drawing, as mounted ones do. Geometry: urdf/.
"""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mimedi_nodes.modules.site import LabelCamera
from mimedi_sim.plant.camera_station import CameraFrame, FrameGrid
from mimedi_sim.random_streams import stream

# OpenCV, the robot model and the gantry are loaded with the first picture: a batch without them shall not wait.
if TYPE_CHECKING:
    from mimedi_nodes.modules.transfer.frames import RobotFrames
    from mimedi_nodes.modules.transfer.hand_eye import LabelOptics
    from mimedi_nodes.modules.transfer.kinematics import Kinematics
    from mimedi_sim.plant.stations import Stations

Image = npt.NDArray[np.uint8]

NAME = "label_camera"
LABEL_M, LABEL_OFFSET_M, LID_M = 0.014, 0.033, 0.060
LID_SIDES_M = (0.08548, 0.12776)
LID_GREY, PLATE_GREY, NOISE_GREY = 120.0, 70.0, 2.5
NOISE_EXTRA = 1 << 16
"""Places in the bank of noise from which an exposure may read."""
DARK_SHARE = 0.02
"""Light of the room, of the lamp's."""
BLUR_PX_UM = 0.02
"""Blur [px, standard deviation] by way of the lens out of focus: an f/4 lens of 12 mm on pixels of 5.7 um, / 3 [C]."""
MOUNT_M, MOUNT_RAD = 0.0002, 0.0004
"""Standard deviation of the mounting per axis: two dowel pins 30 mm apart in H7 bores [C]."""
_NO_DYE = np.zeros((0, 0), np.uint8)


class LabelStation(FrameGrid):
    """Takes pictures of what lies below the carriage, on the grid of its frame rate.

    Args:
        stations: has the gantry, whose mechanics know where the carriage really is and where each cassette is.
        seed: of mounting and noise.
    """

    def __init__(self, stations: Stations, seed: int, settings: LabelCamera) -> None:
        super().__init__(seed, NAME, settings.frame_rate_hz)
        self.settings = settings
        self._stations, self._seed = stations, seed
        self._offsets = stream(seed, NAME, "noise offset")

    @cached_property
    def _robot(self) -> RobotFrames:
        from mimedi_nodes.modules.transfer.frames import RobotFrames

        return RobotFrames()

    @cached_property
    def _kinematics(self) -> Kinematics:
        from mimedi_nodes.modules.transfer.kinematics import Kinematics

        return Kinematics(self._robot)

    @cached_property
    def optics(self) -> LabelOptics:
        """The lens."""
        from mimedi_nodes.modules.transfer.hand_eye import LabelOptics

        return LabelOptics(self.settings.width_px, self.settings.height_px, self.settings.focal_px)

    @cached_property
    def mounted(self) -> npt.NDArray[np.float64]:
        """True pose (4, 4) of the camera on the carriage."""
        from transforms3d.affines import compose
        from transforms3d.euler import euler2mat

        model = self._robot
        drawn = np.linalg.inv(model.pose("gantry_x_link")) @ model.pose("label_camera_optical")
        chance = stream(self._seed, NAME, "mounting")
        turn = euler2mat(*(chance.normal(k, 0.0, MOUNT_RAD) for k in range(3)))
        shift = [chance.normal(3 + k, 0.0, MOUNT_M) for k in range(3)]
        return np.asarray(drawn @ compose(shift, turn, np.ones(3)))

    def pose(self) -> npt.NDArray[np.float64]:
        """Return the camera's true pose (4, 4) in workcell_base."""
        from mimedi_nodes.modules.transfer.kinematics import Pose

        x, y, _ = self._stations.mechanics.position
        self._robot.set_joints(self._kinematics.joints(Pose(x, y, 0.0)))
        return np.asarray(self._robot.pose("gantry_x_link") @ self.mounted)

    def frame(self, time_s: float) -> CameraFrame:
        """Return the exposure of the frame grid at time_s."""
        index, stamp_s = self._stamp(time_s)
        if self._faults.frozen and self._frozen is not None:
            return CameraFrame(stamp_s, self._frozen.bright_field, _NO_DYE, index)
        self._stations.gantry.advance_to(time_s)
        frame = CameraFrame(stamp_s, self._picture(index), _NO_DYE, index)
        self._frozen = frame if self._faults.frozen else None
        return frame

    def _picture(self, index: int) -> Image:
        canvas = np.full((self.settings.height_px, self.settings.width_px), PLATE_GREY, np.float32)
        camera, model = self.pose(), self._robot
        for text, link in model.fiducials.items():
            self._draw_code(canvas, camera, text, model.pose(link), (0.0, 0.0), 0.0)
        for label, dock in self._stations.mechanics.cassettes.items():
            if dock in model.docks:
                self._draw_cassette(canvas, camera, label, self._kinematics.dock_frame(dock))
        faults = self._faults
        if faults.defocus_um > 0.0:
            import cv2

            canvas[:] = cv2.GaussianBlur(canvas, (0, 0), BLUR_PX_UM * faults.defocus_um)
        light = DARK_SHARE if faults.dark else max(0.0, self._flicker.normal(index, 1.0, faults.flicker))
        # Read from a bank at an offset of the exposure: the picture is a function of its index, whoever asks and when.
        start = int(self._offsets.uniform(index) * NOISE_EXTRA)
        canvas *= light
        canvas += _noise(canvas.size + NOISE_EXTRA)[start : start + canvas.size].reshape(canvas.shape)
        return np.clip(np.rint(canvas, out=canvas), 0, 255, out=canvas).astype(np.uint8)

    def _draw_cassette(self, canvas: Any, camera: Any, label: str, dock: Any) -> None:
        """Draw a cassette's lid and its label."""
        import cv2

        lid = self._rectangle(camera, dock, (0.0, 0.0), LID_SIDES_M, LID_M)
        if lid is None:
            return
        cv2.fillConvexPoly(canvas, np.round(lid).astype(np.int32), LID_GREY)
        self._draw_code(canvas, camera, label, dock, (0.0, LABEL_OFFSET_M), LID_M)

    def _draw_code(self, canvas: Any, camera: Any, text: str, frame: Any, at: tuple[float, float], z_m: float) -> None:
        import cv2

        corners = self._rectangle(camera, frame, at, (LABEL_M, LABEL_M), z_m)
        if corners is None:
            return
        code = _code(text)
        side = code.shape[0]
        flat = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
        view = cv2.getPerspectiveTransform(flat, corners.astype(np.float32))
        size = (canvas.shape[1], canvas.shape[0])
        drawn = cv2.warpPerspective(code, view, size, flags=cv2.INTER_AREA)
        mask = cv2.warpPerspective(np.full_like(code, 255), view, size)
        canvas[mask > 127] = drawn[mask > 127]

    def _rectangle(
        self, camera: Any, frame: Any, middle: tuple[float, float], size: tuple[float, float], z_m: float
    ) -> Any:
        """Return the pixels (4, 2) of a level rectangle in a frame; None when it is far outside the picture."""
        half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array(size) / 2.0 + middle
        local = np.column_stack([half, np.full(4, z_m)])
        pixels = self.optics.project(local @ frame[:3, :3].T + frame[:3, 3], camera)
        far = 3 * max(self.settings.width_px, self.settings.height_px)
        return pixels if np.all(np.abs(pixels) < far) else None


@lru_cache(maxsize=2)
def _noise(count: int) -> npt.NDArray[np.float32]:
    """Return the bank of noise in grey levels, shape (count,); where it is read is each plant's own."""
    return np.float32(NOISE_GREY) * np.random.default_rng(0).standard_normal(count, np.float32)


@lru_cache(maxsize=64)
def _code(text: str) -> Image:
    """Return a label's Data Matrix with its quiet zone, 8 px a module."""
    import zxingcpp

    barcode = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.DataMatrix, force_square=True)
    return np.array(barcode.to_image(scale=8), dtype=np.uint8)
