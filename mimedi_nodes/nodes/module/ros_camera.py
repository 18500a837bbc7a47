# SPDX-License-Identifier: Apache-2.0
"""A camera behind image topics: its channels put together by their stamps, a bounded queue between."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.client import Client
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from std_srvs.srv import SetBool

from ...instruments.wire.link import InstrumentError, ReplyTimeout
from ...modules.camera import Frame
from ...vision.camera.lens import LensModel
from ...vision.camera.settings import VisionInputError
from ..frame import qos
from ..frame.clocks import NodeClock
from ..frame.conversion import seconds
from ..frame.event_loop import LoopThread
from ..frame.ros_calls import CallFailed, call
from ..frame.spinning import SpinThread

QUEUE_LENGTH = 8
PARTIAL_LENGTH = 4
_LOST_KEPT = 64
SERVICE_TIMEOUT_S = 10.0
INFO_TIMEOUT_S = 1.0
"""Steady time [s] for which the first image waits for its camera_info, which may be lost on the way."""
REPEAT_S = 2.0
"""Steady time [s] after which a switch is asked for again; asking twice is harmless."""
TOPICS = {
    "bright": "image_raw",
    "dye": "dye/image_raw",
    "fluorescence_1": "fluorescence_1/image_raw",
    "fluorescence_2": "fluorescence_2/image_raw",
}
"""Image topic of each channel, below the camera's name."""
COLOURS = ("fluorescence_1", "fluorescence_2")
ENCODINGS = {"mono8": np.uint8, "mono16": np.uint16}


class ImageError(InstrumentError):
    """An image that is not what its header says."""


def pixels(image: Image, camera: str) -> NDArray[np.generic]:
    """Return the pixels of an image, shape (height, width).

    Raises:
        ImageError: another encoding than mono8 or mono16, or data that do not fill the image.
    """
    if image.encoding not in ENCODINGS:
        raise ImageError(camera, f"encoding is {image.encoding!r}; allowed: {', '.join(ENCODINGS)}")
    kind = np.dtype(ENCODINGS[image.encoding]).newbyteorder(">" if image.is_bigendian else "<")
    if image.step < image.width * kind.itemsize or len(image.data) != image.step * image.height:
        raise ImageError(
            camera,
            f"{image.width}×{image.height} {image.encoding} with step {image.step} holds {len(image.data)} bytes; "
            f"expected {image.step * image.height}",
        )
    rows = np.frombuffer(image.data, np.uint8).reshape(image.height, image.step)
    return rows[:, : image.width * kind.itemsize].view(kind)


@dataclass
class _Exposure:
    """The images of one stamp that have come, and the steady time [s] at which the first of them did."""

    images: dict[str, Image]
    received_s: float

    @property
    def stamp(self) -> Time:
        """Of the exposure."""
        return next(iter(self.images.values())).header.stamp


class RosCamera:
    """A Camera that subscribes `<name>/image_raw`, and the image topics of its other channels, while it captures.

    Frames wait in a queue of `QUEUE_LENGTH`, images before it in one as long; from a full one the oldest is dropped and
    counted. Capture is switched by the driver's `set_capture` service (std_srvs/SetBool, as usb_cam has it), the lamps
    of the fluorescence images by `set_fluorescence`; a frame is complete when every channel that is on has come. Where
    `<name>/camera_info` describes a lens, frames come without its distortion; where somebody publishes it, no frame
    comes before it has told. It has a node and a thread of its own:
    the module's executor is busy while one of its transitions waits for the driver's answer.
    """

    def __init__(
        self, node: Node, loop: LoopThread, clock: NodeClock, name: str, channels: tuple[str, ...] = ("bright",)
    ) -> None:
        self.name = name
        self._channels = channels
        self._wanted = tuple(name for name in channels if name not in COLOURS)
        self.dropped = 0
        self._node = Node(
            f"{node.get_name()}_{name}",
            namespace=node.get_namespace(),
            context=node.context,
            enable_rosout=False,
            start_parameter_services=False,
            parameter_overrides=[Parameter("use_sim_time", value=False)],  # it asks nobody for the time
        )
        self._spinning = SpinThread(self._node, node.context, name)
        self._loop = loop
        self._clock = clock
        self._frames: deque[_Exposure] = deque()
        self._arrived, self._described = asyncio.Event(), asyncio.Event()
        self._partial: OrderedDict[tuple[int, int], _Exposure] = OrderedDict()
        self._inbox: deque[tuple[str, Image, float]] = deque()
        self._inbox_length = QUEUE_LENGTH * len(channels)
        self._called = False
        self._lock = threading.Lock()
        self._lost: deque[tuple[int, int]] = deque(maxlen=_LOST_KEPT)
        self._complete: deque[tuple[int, int]] = deque(maxlen=2 * QUEUE_LENGTH)
        self._capturing = False
        self._client = self._node.create_client(SetBool, f"{name}/set_capture")
        self._lamps = self._node.create_client(SetBool, f"{name}/set_fluorescence")
        self._lamps_on = False
        for channel in channels:
            self._node.create_subscription(
                Image,
                f"{name}/{TOPICS[channel]}",
                lambda image, channel=channel: self._arrive(channel, image),
                qos.IMAGE,
            )
        self._info: CameraInfo | None = None
        self._lens: LensModel | None = None
        self._node.create_subscription(
            CameraInfo, f"{name}/camera_info", lambda info: loop.call(self._describe, info), qos.IMAGE
        )
        self._spinning.start()

    def close(self) -> None:
        """Take no more images."""
        self._spinning.stop()
        self._node.destroy_node()

    async def set_capture(self, on: bool, fluorescence: bool = False) -> None:
        """Switch the exposures; raises InstrumentError when the camera does not answer."""
        self._clock.hold()
        try:
            if fluorescence != self._lamps_on:
                await self._ask(self._lamps, fluorescence, "the fluorescence lamps")
                self._lamps_on = fluorescence
                self._wanted = tuple(name for name in self._channels if fluorescence or name not in COLOURS)
            await self._switch(on)
        finally:
            self._clock.release()

    async def _switch(self, on: bool) -> None:
        if on:
            self._drop_all()
            self.dropped = 0
        self._capturing = on
        await self._ask(self._client, on, "capture")
        if not on:
            self._drop_all()

    async def _ask(self, client: Client, on: bool, what: str) -> None:
        try:
            reply = await call(self._loop, client, SetBool.Request(data=on), SERVICE_TIMEOUT_S, repeat_s=REPEAT_S)
        except CallFailed as error:
            raise InstrumentError(self.name, f"{error}; start the camera's driver") from error
        if not reply.success:
            raise InstrumentError(self.name, f"the camera driver could not switch {what} {'on' if on else 'off'}")

    async def next_frame(self, timeout_s: float) -> Frame:
        """Return the oldest waiting frame; raises ReplyTimeout, or ImageError for a wrong image or an untold lens."""
        end_s, untold = time.monotonic() + timeout_s, False
        while True:
            left_s = end_s - time.monotonic()
            if not self._frames or (untold and left_s <= 0.0):
                self._arrived.clear()
                try:
                    await asyncio.wait_for(self._arrived.wait(), max(left_s, 0.0))
                except TimeoutError as error:
                    missing = "camera_info, though somebody publishes it," if untold else self._missing()
                    raise ReplyTimeout(
                        self.name, f"no {missing} for {timeout_s:g} s; look at the camera and its driver"
                    ) from error
            exposure = self._frames.popleft()
            untold = not await self._lens_is_told()
            if not untold:
                break
            self._drop(exposure.stamp)
        images = exposure.images
        bright, dye = images["bright"], images.get("dye")
        # Images come by another thread than grants of time: what follows from one must not bear an earlier time.
        await self._clock.catch_up(seconds(bright.header.stamp))
        self._taken(bright.header.stamp)
        colours = tuple(self._straight(images[name]) for name in COLOURS if name in images)
        return Frame(
            seconds(bright.header.stamp),
            self._straight(bright),
            None if dye is None else self._straight(dye),
            (colours[0], colours[1]) if len(colours) == len(COLOURS) else None,
            exposure.received_s,
        )

    async def _lens_is_told(self) -> bool:
        """Whether it is known what lens the pictures come through: at once where nobody publishes camera_info.

        An image comes before its camera_info: it is worth waiting for, or a lens would count from the second one on.
        """
        if self._info is None and self._node.count_publishers(f"{self.name}/camera_info"):
            try:
                await asyncio.wait_for(self._described.wait(), INFO_TIMEOUT_S)
            except TimeoutError:
                return False
        return True

    def _missing(self) -> str:
        """What has not come, where other images of an exposure have."""
        newest = next(reversed(self._partial.values()), None)
        if newest is None:
            return "image"
        return "image on " + ", ".join(TOPICS[name] for name in self._wanted if name not in newest.images)

    def _describe(self, info: CameraInfo) -> None:
        known = self._info
        if (
            known is not None
            and (known.width, known.height, known.distortion_model) == (info.width, info.height, info.distortion_model)
            and np.array_equal(known.k, info.k)
            and np.array_equal(known.d, info.d)
        ):
            return
        self._info, self._lens = info, None
        self._described.set()

    def _straight(self, image: Image) -> NDArray[np.generic]:
        """The image's pixels without the lens's distortion; raises ImageError for a wrong image or camera_info."""
        seen = pixels(image, self.name)
        try:
            if self._lens is None and self._info is not None:
                self._lens = LensModel.from_camera_info(self._info)
            return seen if self._lens is None else self._lens.straighten(seen)
        except VisionInputError as error:
            raise ImageError(self.name, str(error)) from error

    def _arrive(self, channel: str, image: Image) -> None:
        """Hand an image to the loop, from the subscriptions' thread; while it is too busy, the newest ones wait."""
        late = None
        with self._lock:
            self._inbox.append((channel, image, time.monotonic()))
            if len(self._inbox) > self._inbox_length:
                late = self._inbox.popleft()[1].header.stamp
            called, self._called = self._called, True
        if late is not None:
            self._loop.call(self._drop, late)
        if not called:
            self._loop.call(self._empty_inbox)

    def _empty_inbox(self) -> None:
        with self._lock:
            waiting, self._called = list(self._inbox), False
            self._inbox.clear()
        for channel, image, received_s in waiting:
            self._take(channel, image, received_s)

    def _take(self, channel: str, image: Image, received_s: float) -> None:
        stamp = image.header.stamp
        if not self._capturing or channel not in self._wanted:
            self._taken(stamp)
            return
        key = (stamp.sec, stamp.nanosec)
        if key in self._complete:  # sent again though it had come
            if all(waiting.stamp != stamp for waiting in self._frames):
                self._taken(stamp)
            return
        exposure = self._partial.setdefault(key, _Exposure({}, received_s))
        exposure.images[channel] = image
        if len(exposure.images) == len(self._wanted):
            del self._partial[key]
            self._complete.append(key)
            if len(self._frames) >= QUEUE_LENGTH:
                self._drop(self._frames.popleft().stamp)
            self._frames.append(exposure)
            self._arrived.set()
        while len(self._partial) > PARTIAL_LENGTH:
            _, lost = self._partial.popitem(last=False)
            self._drop(lost.stamp)

    def _drop_all(self) -> None:
        while self._frames:
            self._taken(self._frames.popleft().stamp)
        while self._partial:
            self._taken(self._partial.popitem()[1].stamp)

    def _drop(self, stamp: Time) -> None:
        """Count an exposure as lost while anybody wants it, once though several of its images are."""
        key = (stamp.sec, stamp.nanosec)
        if self._capturing and key not in self._lost:
            self._lost.append(key)
            self.dropped += 1
        self._taken(stamp)

    def _taken(self, stamp: Time) -> None:
        self._clock.take("plant", f"frame:{self.name}:{stamp.sec}.{stamp.nanosec:09d}")
