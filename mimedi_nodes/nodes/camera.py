# SPDX-License-Identifier: Apache-2.0
"""A camera on its ROS topics for hosts without a driver: any device, video or folder that OpenCV can read.

Publishes `<name>/image_raw` (mono8 or mono16) and `<name>/camera_info` while capture is on, which
`<name>/set_capture` (std_srvs/SetBool) switches, as usb_cam has it. A recording that ends stops capture.
"""

from __future__ import annotations

import array
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import SetBool

from ..vision.camera.settings import VisionInputError
from ..vision.recordings.sources import Pacer, open_source
from .camera_info_file import read_camera_info
from .frame import qos
from .frame.bounded_end import PROCESS_END
from .frame.parameters import Parameter, declare
from .frame.running import run_node

PARAMETERS = (
    Parameter("source", "0", "number or path of a device, path of a video, or of a folder of images"),
    Parameter("camera_name", "microscope", "goes before the topics' names"),
    Parameter("rate_hz", 0.0, "pictures per second of a recording [Hz], 0 for the file's own (30 of images)", 0.0, 1e4),
    Parameter("repeat", False, "begin a recording anew when it ends"),
    Parameter("camera_info", "", "YAML file of the lens as camera_calibration writes it; empty: not calibrated"),
)
USUAL_RATE_HZ = 30.0
JOIN_S = 5.0
"""Longest steady time [s] that a device may take for its last picture."""


class CameraNode(Node):
    """Reads pictures in a thread of its own and publishes them with the time at which they came."""

    def __init__(self, **options: Any) -> None:
        super().__init__("camera", **options)
        given = declare(self, PARAMETERS)
        self._given, self._name = given, given["camera_name"]
        self._info: dict[str, Any] = read_camera_info(Path(given["camera_info"])) if given["camera_info"] else {}
        # Whoever asks for a source that is not there learns it now, not at the first picture.
        open_source(given["source"]).close()
        self._images = self.create_publisher(Image, f"{self._name}/image_raw", qos.IMAGE)
        self._infos = self.create_publisher(CameraInfo, f"{self._name}/camera_info", qos.IMAGE)
        self.create_service(SetBool, f"{self._name}/set_capture", self._on_capture)
        self._off = threading.Event()
        self._thread: threading.Thread | None = None

    def _on_capture(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._stop()
        if request.data:
            self._off.clear()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        response.success = True
        return response

    def _stop(self) -> None:
        self._off.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)
            self._thread = None

    def _run(self) -> None:
        try:
            source = open_source(self._given["source"])
        except VisionInputError as error:
            self.get_logger().error(str(error))
            return
        pacer = None if source.live else Pacer(self._given["rate_hz"] or source.rate_hz or USUAL_RATE_HZ)
        try:
            while not self._off.is_set():
                pixels = source.read()
                if pixels is None and self._given["repeat"] and not source.live:
                    source.rewind()
                    pixels = source.read()
                if pixels is None:
                    self.get_logger().warning(f"{self._given['source']} gives no more pictures; capture is off")
                    return
                self._publish(pixels)
                if pacer is not None:
                    self._off.wait(pacer.left_s())
        except VisionInputError as error:
            self.get_logger().error(f"{error}; capture is off")
        finally:
            source.close()

    def _publish(self, pixels: np.ndarray) -> None:
        height, width = pixels.shape
        encoding = "mono8" if pixels.dtype == np.uint8 else "mono16"
        image = Image(height=height, width=width, encoding=encoding, step=width * pixels.itemsize,
                      is_bigendian=int(sys.byteorder == "big"))
        info = CameraInfo(**{"width": width, "height": height, "distortion_model": "plumb_bob", **self._info})
        for message in (image, info):
            message.header.stamp = self.get_clock().now().to_msg()
            message.header.frame_id = f"{self._name}_optical"
        info.header.stamp = image.header.stamp
        image.data = array.array("B", np.ascontiguousarray(pixels).tobytes())
        self._infos.publish(info)
        self._images.publish(image)

    def destroy_node(self) -> None:
        """Let go of the source."""
        self._stop()
        PROCESS_END.only_middleware_left()
        super().destroy_node()


def main() -> None:
    """Run the node."""
    sys.exit(run_node(CameraNode))
