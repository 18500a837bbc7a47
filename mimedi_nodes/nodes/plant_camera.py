# SPDX-License-Identifier: Apache-2.0
"""One camera of the plant on its image topics, named as any ROS camera driver names them."""

from __future__ import annotations

import array
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from mimedi_sim.plant.camera_station import CameraFrame

from ..modules.site import ChannelCamera, LabelCamera
from .frame import qos
from .frame.conversion import ros_time


class PlantCameraTopics:
    """Publishes `<name>/image_raw` and `<name>/camera_info`, `<name>/dye/image_raw` with a dye channel.

    With `fluorescence` also `<name>/fluorescence_1/image_raw` and `<name>/fluorescence_2/image_raw` while their lamps
    are on.
    """

    def __init__(
        self, node: Node, name: str, settings: ChannelCamera | LabelCamera, dye: bool, fluorescence: bool = False
    ) -> None:
        self._settings = settings
        self._frame_id = f"{name}_optical"
        self._bright = node.create_publisher(Image, f"{name}/image_raw", qos.IMAGE)
        self._dye = node.create_publisher(Image, f"{name}/dye/image_raw", qos.IMAGE) if dye else None
        self._colours = [
            node.create_publisher(Image, f"{name}/fluorescence_{k}/image_raw", qos.IMAGE)
            for k in ((1, 2) if fluorescence else ())
        ]
        self._intrinsics = _intrinsics(settings) if isinstance(settings, LabelCamera) else {}
        self._info = node.create_publisher(CameraInfo, f"{name}/camera_info", qos.IMAGE)

    def publish(self, frame: CameraFrame) -> None:
        """Send an exposure and the camera's description."""
        stamp = ros_time(frame.stamp_s)
        self._bright.publish(self._image(stamp, frame.bright_field))
        if self._dye is not None:
            self._dye.publish(self._image(stamp, frame.dye))
        for publisher, pixels in zip(self._colours, frame.fluorescence or (), strict=False):
            publisher.publish(self._image(stamp, pixels))
        info = CameraInfo(
            width=self._settings.width_px, height=self._settings.height_px, distortion_model="plumb_bob",
            **self._intrinsics,
        )  # fmt: skip
        info.header.stamp, info.header.frame_id = stamp, self._frame_id
        self._info.publish(info)

    def _image(self, stamp: Time, pixels: Any) -> Image:
        height, width = pixels.shape
        image = Image(height=height, width=width, encoding="mono8", step=width)
        image.header.stamp, image.header.frame_id = stamp, self._frame_id
        image.data = array.array("B", pixels.tobytes())
        return image


def _intrinsics(settings: LabelCamera) -> dict[str, list[float]]:
    """Return k, d, r and p (REP 104) of a lens without distortion; the channels' cameras are calibrated in um/px."""
    focal, x, y = settings.focal_px, 0.5 * settings.width_px, 0.5 * settings.height_px
    return {
        "k": [focal, 0.0, x, 0.0, focal, y, 0.0, 0.0, 1.0],
        "d": [0.0] * 5,
        "r": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        "p": [focal, 0.0, x, 0.0, 0.0, focal, y, 0.0, 0.0, 0.0, 1.0, 0.0],
    }
