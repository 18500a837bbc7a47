# SPDX-License-Identifier: Apache-2.0
"""What the cameras saw, for the recording of a batch: compressed, and no more often than is looked at later.

Pictures are recorded as `sensor_msgs/CompressedImage` on `<topic>/compressed`, as image_transport names them: Foxglove
and Lichtblick show them as they are, a replay plays them back as images on their own topics.
"""

from __future__ import annotations

import array
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from ..frame import qos
from .mcap_writer import McapRecording
from .message_schemas import SchemaError
from .topic_recorder import IsOwn

TOPICS = {"vision_qc/annotated": "vision_qc", "sorter_camera/image_raw": "acoustic_sorter"}
"""Images that the boards show: the microscope's with its tracks, and the sorter's channel; whose cells they show."""
SUFFIX = "/compressed"
TYPE = "sensor_msgs/msg/CompressedImage"
JPEG_QUALITY = 85
"""A picture of 512 x 128 pixels takes about 20 kB; cells and tracks look as before."""
_CHANNELS = {"bgr8": 3, "rgb8": 3, "mono8": 1}


class ImageCodecError(ValueError):
    """A picture cannot be compressed or read; says why."""


def compress(image: Image) -> CompressedImage:
    """Return a bgr8, rgb8 or mono8 image as JPEG, with its header.

    Raises:
        ImageCodecError: another encoding, or a size that does not fit the data.
    """
    channels = _CHANNELS.get(image.encoding)
    if channels is None:
        raise ImageCodecError(f"encoding is {image.encoding!r}; allowed: {', '.join(_CHANNELS)}")
    wide = image.width * channels
    if not wide or not image.height or image.step < wide or len(image.data) != image.step * image.height:
        raise ImageCodecError(
            f"{image.width} x {image.height} pixels in steps of {image.step} bytes do not fit {len(image.data)} bytes"
        )
    rows = np.frombuffer(image.data, np.uint8).reshape(image.height, image.step)[:, :wide]
    pixels = rows.reshape(image.height, image.width, channels)
    if image.encoding == "rgb8":
        pixels = pixels[:, :, ::-1]
    done, data = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
    if not done:
        raise ImageCodecError("the encoder refuses it")
    return CompressedImage(header=image.header, format="jpeg", data=array.array("B", data.tobytes()))


def expand(compressed: CompressedImage) -> Image:
    """Return a compressed picture as bgr8 or mono8 image, with its header.

    Raises:
        ImageCodecError: it is no picture.
    """
    data: NDArray[np.uint8] = np.frombuffer(compressed.data, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if pixels is None:
        raise ImageCodecError(f"{data.size} bytes of format {compressed.format!r} are no picture")
    height, width = pixels.shape[:2]
    grey = pixels.ndim == 2
    image = Image(
        header=compressed.header, height=height, width=width, encoding="mono8" if grey else "bgr8",
        step=width if grey else 3 * width,
    )  # fmt: skip
    image.data = array.array("B", pixels.tobytes())
    return image


class ImageRecorder:
    """Subscribes the cameras' pictures for one recording; lives in the executor's thread.

    Args:
        node: whose subscriptions they are.
        recording: takes the pictures.
        period_s: shortest steady time between two recorded pictures of a camera [s].
        is_own: see `TopicRecorder`.
        on_error: called once with what stopped the recording (a full disk, say).
    """

    def __init__(
        self,
        node: Node,
        recording: McapRecording,
        period_s: float,
        is_own: IsOwn,
        on_error: Callable[[Exception], None],
    ) -> None:
        self._is_own = is_own
        self._node, self._recording = node, recording
        self._period_s, self._on_error = period_s, on_error
        self._taken_s = dict.fromkeys(TOPICS, -float("inf"))
        self._channels: dict[str, int] = {}
        self._over = False
        self._fault = ""
        # Raw: what is not recorded is not even read.
        self._subscriptions = [
            node.create_subscription(Image, topic, partial(self._take, topic), qos.IMAGE, raw=True) for topic in TOPICS
        ]

    def close(self) -> None:
        """End all subscriptions."""
        self._over = True
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _take(self, topic: str, data: bytes, info: Mapping[str, Any]) -> None:
        now_s = time.monotonic()
        if self._over or now_s - self._taken_s[topic] < self._period_s or not self._is_own(TOPICS[topic], b"", None):
            return
        self._taken_s[topic] = now_s
        try:
            picture = compress(deserialize_message(data, Image))
            received_ns = info["received_timestamp"] or time.time_ns()
            sent_ns = info["source_timestamp"] or received_ns
            self._recording.write(self._channel(topic), serialize_message(picture), received_ns, sent_ns)
        except (ImageCodecError, SchemaError, cv2.error) as error:
            if str(error) != self._fault:
                self._fault = str(error)
                self._node.get_logger().warning(f"pictures of {topic} are not recorded: {error}")
        except OSError as error:
            self._over = True
            self._on_error(error)

    def _channel(self, topic: str) -> int:
        if topic not in self._channels:
            name = self._node.resolve_topic_name(topic) + SUFFIX
            self._channels[topic] = self._recording.add_topic(name, TYPE, qos.name_of(qos.IMAGE))
        return self._channels[topic]
