# SPDX-License-Identifier: Apache-2.0
"""Keeps the last annotated picture of each look through the microscope, for the report."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image

from ...records.errors import RecordError
from ...records.events import RecordEvent
from ...records.facts import step_name
from ..frame import qos
from ..frame.conversion import seconds
from . import run_files
from .record_keeper import RecordKeeper

TOPIC = "vision_qc/annotated"
ACTIONS = ("InspectSample",)
MAX_PICTURES = 12
"""Pictures of a batch: a report is no film; the recording of topics has the tracks."""


class PictureKeeper:
    """Holds the latest picture while a batch is recorded, and puts it on record when a look has ended.

    Args:
        node: the recorder.
        folder: run folder of the batch.
    """

    def __init__(self, node: Node, folder: Path) -> None:
        self._node, self._folder = node, folder
        self._lock = threading.Lock()
        self._latest: Image | None = None
        self._kept = 0
        self._subscription = node.create_subscription(Image, TOPIC, self._on_image, qos.IMAGE)

    def close(self) -> None:
        """Watch no longer."""
        self._node.destroy_subscription(self._subscription)

    def take(self, event: RecordEvent) -> tuple[str, Image] | None:
        """Return name and picture to keep when this event ends a look that the latest picture is of."""
        if event.kind != "phase_ended" or event.data.get("action") not in ACTIONS or self._kept >= MAX_PICTURES:
            return None
        with self._lock:
            image, self._latest = self._latest, None
        started_s = event.data.get("started_s")
        if image is None or not isinstance(started_s, (int, float)) or seconds(image.header.stamp) < started_s:
            return None  # none came, or it is of an earlier look
        self._kept += 1
        name = f"{step_name(str(event.data.get('phase_id', 'look')))}.png"
        if (self._folder / name).exists() or run_files.part_of(self._folder, name).exists():
            name = run_files.free_name(self._folder, name)
        return name, image

    def keep(self, keeper: RecordKeeper, batch_id: str, name: str, image: Image) -> None:
        """Write a picture into the run folder and register it; worker's thread."""
        try:
            pixels = np.frombuffer(image.data, dtype=np.uint8).reshape(image.height, image.step)[:, : 3 * image.width]
            encoded, data = cv2.imencode(".png", pixels.reshape(image.height, image.width, 3))
            if not encoded:
                raise ValueError("it cannot be encoded")
            keeper.publish_file(batch_id, run_files.write_part(self._folder, name, data.tobytes()), name)
        except (RecordError, OSError, ValueError, cv2.error) as error:
            # A report without a picture is a report: the batch goes on.
            self._node.get_logger().warning(f"picture {name} of {batch_id} is not kept: {error}")

    def _on_image(self, message: Image) -> None:
        if message.encoding == "bgr8":
            with self._lock:
                self._latest = message
