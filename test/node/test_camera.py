# SPDX-License-Identifier: Apache-2.0
"""The camera node: pictures of a folder on the topics, without the lens's distortion once they are taken."""

import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from mimedi_nodes.instruments.link import ReplyTimeout
from mimedi_nodes.nodes.camera import CameraNode
from mimedi_nodes.nodes.camera_info_file import read_camera_info
from mimedi_nodes.nodes.clocks import NodeClock
from mimedi_nodes.nodes.event_loop import LoopThread
from mimedi_nodes.nodes.ros_camera import RosCamera
from mimedi_nodes.vision.lens import LensModel
from mimedi_nodes.vision.settings import VisionInputError

pytestmark = pytest.mark.ros
DEADLINE_S = 20.0
LENS = """image_width: 96
image_height: 64
camera_matrix: {rows: 3, cols: 3, data: [80.0, 0.0, 47.5, 0.0, 80.0, 31.5, 0.0, 0.0, 1.0]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.2, 0.0, 0.0, 0.0, 0.0]}
"""


def test_pictures_of_a_folder_are_taken_without_distortion(tmp_path):
    rng = np.random.default_rng(1)
    pictures = [cv2.GaussianBlur(rng.integers(0, 65535, (64, 96)).astype(np.uint16), (0, 0), 2.0) for _ in range(3)]
    for k, picture in enumerate(pictures):
        cv2.imwrite(str(tmp_path / f"{k}.png"), picture)
    lens_file = tmp_path / "lens.yaml"
    lens_file.write_text(LENS, encoding="utf-8")
    context = Context()
    rclpy.init(args=[], context=context)
    wanted = {"source": str(tmp_path), "rate_hz": 100.0, "repeat": True, "camera_info": str(lens_file)}
    node = CameraNode(context=context, parameter_overrides=[Parameter(name, value=v) for name, v in wanted.items()])
    looker = Node("looker", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    loop = LoopThread("looker")
    camera = RosCamera(looker, loop, NodeClock(), "microscope")
    deadline = time.monotonic() + DEADLINE_S

    def wait(future):
        while not future.done() and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.01)
        return future.result(0.0)

    lens = LensModel.from_camera_info(SimpleNamespace(**read_camera_info(lens_file)))
    straight = [lens.straighten(picture) for picture in pictures]
    seen = []
    try:
        wait(loop.submit(camera.set_capture(True)))
        # The first ones may come before the lens is known.
        while not any(np.array_equal(seen[-1].bright_field, one) for one in straight if seen):
            assert time.monotonic() < deadline, "no straight picture"
            try:
                seen.append(wait(loop.submit(camera.next_frame(1.0))))
            except ReplyTimeout:
                continue
        wait(loop.submit(camera.set_capture(False)))
    finally:
        camera.close()
        loop.stop()
        node.destroy_node()
        looker.destroy_node()
        executor.shutdown()
        rclpy.shutdown(context=context)
    stamps = [frame.stamp_s for frame in seen]
    assert seen[-1].bright_field.dtype == np.uint16
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize("source", ["/nowhere", "movie.txt", "77"])
def test_a_source_that_is_not_there_is_refused_at_once(source):
    context = Context()
    rclpy.init(args=[], context=context)
    try:
        with pytest.raises(VisionInputError, match="source is"):
            CameraNode(context=context, parameter_overrides=[Parameter("source", value=source)])
    finally:
        rclpy.shutdown(context=context)
