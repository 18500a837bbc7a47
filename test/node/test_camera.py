# SPDX-License-Identifier: Apache-2.0
"""The camera node: pictures of a folder on the topics, without the lens's distortion once they are taken."""

import threading
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from spinning import spinning
from std_srvs.srv import SetBool

from mimedi_nodes.instruments.wire.link import ReplyTimeout
from mimedi_nodes.modules.vision_qc.inspect import FIRST_FRAMES
from mimedi_nodes.nodes.camera import CameraNode
from mimedi_nodes.nodes.camera_info_file import read_camera_info
from mimedi_nodes.nodes.frame import qos
from mimedi_nodes.nodes.frame.clocks import NodeClock
from mimedi_nodes.nodes.frame.event_loop import LoopThread
from mimedi_nodes.nodes.module import ros_camera
from mimedi_nodes.nodes.module.ros_camera import QUEUE_LENGTH, RosCamera
from mimedi_nodes.nodes.vision_qc import LatencyMeter
from mimedi_nodes.vision.camera.lens import LensModel
from mimedi_nodes.vision.camera.settings import VisionInputError

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
        # From the very first one on.
        while len(seen) < 3:
            assert time.monotonic() < deadline, "no picture"
            try:
                seen.append(wait(loop.submit(camera.next_frame(1.0))))
            except ReplyTimeout:
                continue
            assert any(np.array_equal(seen[-1].bright_field, one) for one in straight), f"frame {len(seen)} is bent"
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


def image_of(number):
    """A picture whose pixels are its number."""
    image = Image(height=16, width=32, encoding="mono8", step=32, data=bytes([number]) * 512)
    image.header.stamp.sec = number
    return image


def test_images_that_nobody_has_time_for_are_dropped_oldest_first_and_counted():
    """A hundred images while the loop is busy: the newest eight are kept, and the time since they came is told."""
    context = Context()
    rclpy.init(args=[], context=context)
    driver, looker = Node("driver", context=context), Node("looker", context=context)

    def switch(request, response):
        response.success = True
        return response

    driver.create_service(SetBool, "microscope/set_capture", switch)
    loop = LoopThread("looker")
    camera = RosCamera(looker, loop, NodeClock(), "microscope")
    busy, free = threading.Event(), threading.Event()
    try:
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(driver)
        with spinning(executor):
            loop.submit(camera.set_capture(True)).result(DEADLINE_S)
            loop.call(lambda: (busy.set(), free.wait(DEADLINE_S)))
            assert busy.wait(DEADLINE_S)
            begun_s = time.monotonic()
            for number in range(100):
                camera._arrive("bright", image_of(number))
            free.set()
            seen = [loop.submit(camera.next_frame(DEADLINE_S)).result(DEADLINE_S) for _ in range(QUEUE_LENGTH)]
            assert [frame.stamp_s for frame in seen] == list(range(100 - QUEUE_LENGTH, 100))
            assert [int(frame.bright_field[0, 0]) for frame in seen] == list(range(100 - QUEUE_LENGTH, 100))
            assert camera.dropped == 100 - QUEUE_LENGTH, camera.dropped
            assert all(begun_s <= frame.received_s <= time.monotonic() for frame in seen)
            loop.submit(camera.set_capture(False)).result(DEADLINE_S)
            camera._wanted = ("bright", "dye")
            loop.submit(camera.set_capture(True)).result(DEADLINE_S)
            camera._arrive("bright", image_of(101))
            with pytest.raises(ReplyTimeout, match=r"no image on dye/image_raw for 0\.2 s"):
                loop.submit(camera.next_frame(0.2)).result(DEADLINE_S)
            loop.submit(camera.set_capture(False)).result(DEADLINE_S)
    finally:
        free.set()
        camera.close()
        loop.stop()
        driver.destroy_node()
        looker.destroy_node()
        rclpy.shutdown(context=context)


def test_no_picture_is_handed_out_before_the_lens_is_told(monkeypatch):
    """Somebody publishes camera_info, and it has not come: the pictures are dropped and counted, and it is said why."""
    monkeypatch.setattr(ros_camera, "INFO_TIMEOUT_S", 0.1)
    context = Context()
    rclpy.init(args=[], context=context)
    driver, looker = Node("driver", context=context), Node("looker", context=context)
    told = driver.create_publisher(CameraInfo, "microscope/camera_info", qos.IMAGE)

    def switch(request, response):
        response.success = True
        return response

    driver.create_service(SetBool, "microscope/set_capture", switch)
    loop = LoopThread("looker")
    camera = RosCamera(looker, loop, NodeClock(), "microscope")
    try:
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(driver)
        with spinning(executor):
            loop.submit(camera.set_capture(True)).result(DEADLINE_S)
            deadline = time.monotonic() + DEADLINE_S
            while not camera._node.count_publishers("microscope/camera_info"):
                assert time.monotonic() < deadline, "the publisher was never discovered"
            camera._arrive("bright", image_of(1))
            with pytest.raises(ReplyTimeout, match=r"no camera_info, though somebody publishes it, for 0\.3 s"):
                loop.submit(camera.next_frame(0.3)).result(DEADLINE_S)
            assert camera.dropped == 1
            while not camera._described.is_set():
                assert time.monotonic() < deadline, "camera_info was never heard"
                told.publish(CameraInfo(width=32, height=16))
                time.sleep(0.01)
            camera._arrive("bright", image_of(2))
            assert loop.submit(camera.next_frame(DEADLINE_S)).result(DEADLINE_S).stamp_s == 2
    finally:
        camera.close()
        loop.stop()
        driver.destroy_node()
        looker.destroy_node()
        rclpy.shutdown(context=context)


def test_latency_is_told_as_diagnostics_without_the_frames_that_waited_for_the_empty_channel():
    told = []
    meter = LatencyMeter(SimpleNamespace(publish_diagnostics=lambda *status: told.append(status)))
    for index in range(FIRST_FRAMES):
        meter.note(500.0, SimpleNamespace(frame_index=index), 0)
    assert not told
    meter.note(2.0, SimpleNamespace(frame_index=FIRST_FRAMES), 3)
    component, level, message, values = told[0]
    assert (component, level, message) == ("microscope", DiagnosticStatus.WARN, "3 frames lost")
    assert values == {"latency_p50_ms": "2.00", "latency_p99_ms": "2.00", "frames": "1", "frames_dropped": "3"}


@pytest.mark.parametrize("source", ["/nowhere", "movie.txt", "77"])
def test_a_source_that_is_not_there_is_refused_at_once(source):
    context = Context()
    rclpy.init(args=[], context=context)
    try:
        with pytest.raises(VisionInputError, match="source is"):
            CameraNode(context=context, parameter_overrides=[Parameter("source", value=source)])
    finally:
        rclpy.shutdown(context=context)
