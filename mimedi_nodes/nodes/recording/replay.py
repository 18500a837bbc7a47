# SPDX-License-Identifier: Apache-2.0
"""Plays a recording back onto the graph: dashboards, terminal and web page then show that batch, without a plant."""

from __future__ import annotations

import importlib
import math
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rclpy
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from rclpy.context import Context
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage

from ..frame import qos
from ..frame.bounded_end import PROCESS_END
from . import image_recorder
from .mcap_writer import COULD_NOT_READ

QOS_KEY = "qos"
"""Key of a channel's metadata under which its named profile stands."""
BATCH_TOPIC = "coordinator/batch_status"
_LATCHED = frozenset({"ModuleState", "BatchStatus", "AlarmList", "Prompt", "DiagnosticArray"})
_PASSING = frozenset({"Telemetry", "PopulationSummary", "CellTrackArray"})


class RecordingError(ValueError):
    """A file is no recording that can be played; says why."""


NOTHING_IN_IT = "it ends before the first topic; nothing of it can be played"


@dataclass(frozen=True)
class Recorded:
    """One recorded message.

    Args:
        type_name: such as `mimedi_msgs/msg/ModuleState`.
        received_s: wall time at which it was recorded [s].
        stamp_s: process time in the message [s], NaN where it begins with no stamp.
    """

    topic: str
    type_name: str
    profile: str
    received_s: float
    stamp_s: float
    data: bytes


def read_recording(path: Path) -> Iterator[Recorded]:
    """Yield the messages of a recording in the order in which they were recorded, up to where a torn file ends.

    Raises:
        RecordingError: the file is no MCAP recording.
        OSError: it cannot be read.
    """
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    with path.open("rb") as stream:
        try:
            for record in StreamReader(stream, record_size_limit=1 << 30).records:
                if isinstance(record, Schema):
                    schemas[record.id] = record
                elif isinstance(record, Channel):
                    channels[record.id] = record
                elif isinstance(record, Message):
                    yield _recorded(record, channels[record.channel_id], schemas)
        except COULD_NOT_READ as error:
            if not channels:
                raise RecordingError(f"{path} is no MCAP recording: {str(error) or NOTHING_IN_IT}") from error
            return  # torn here: what comes after cannot be told


def _recorded(message: Message, channel: Channel, schemas: dict[int, Schema]) -> Recorded:
    name = schemas[channel.schema_id].name
    stamped = "\nbuiltin_interfaces/Time stamp" in "\n" + schemas[channel.schema_id].data.decode()
    return Recorded(
        channel.topic,
        name,
        channel.metadata.get(QOS_KEY) or _guess(name),
        message.log_time * 1e-9,
        _stamp_s(message.data) if stamped else math.nan,
        message.data,
    )


def _guess(type_name: str) -> str:
    """The profile of a recording that does not name it."""
    kind = type_name.rsplit("/", 1)[-1]
    return "STATE" if kind in _LATCHED else "TELEMETRY" if kind in _PASSING else "EVENT"


def _stamp_s(data: bytes) -> float:
    """The stamp that a message begins with, after the 4 bytes of the CDR header (OMG DDSI-RTPS, 10.2)."""
    if len(data) < 12:
        return math.nan
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return float(seconds) + 1e-9 * float(nanoseconds)


def recorded_namespace(topics: list[str]) -> str:
    """Return the namespace of a recorded workcell, by where its batch status stands; empty for none."""
    found = [topic for topic in topics if topic.endswith(f"/{BATCH_TOPIC}")]
    return found[0].removesuffix(f"/{BATCH_TOPIC}") if found else ""


class Replay:
    """Publishes a recording under a namespace; use as a context manager.

    Args:
        path: the recording.
        namespace: namespace to publish in, empty for none.

    Raises:
        RecordingError: no recording, or none of a workcell.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, namespace: str = "") -> None:
        self.messages = list(read_recording(path))
        if not self.messages:
            raise RecordingError(f"{path} holds no message")
        self._from = recorded_namespace(sorted({m.topic for m in self.messages}))
        prefix = namespace.strip("/")
        self._to = f"/{prefix}" if prefix else ""
        self._context = Context()
        rclpy.init(args=[], context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node(
            "replay",
            namespace=namespace or None,
            context=self._context,
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._publishers: dict[str, Publisher] = {}
        self.unknown: dict[str, str] = {}
        self.unreadable = ""
        for message in self.messages:
            self._publisher(message)

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, *error: object) -> None:
        PROCESS_END.leave(self.node, self._context)

    def span_s(self) -> tuple[float, float]:
        """Return how long it took by the wall clock and in process time [s]."""
        stamps = [m.stamp_s for m in self.messages if m.stamp_s > 0.0]
        wall = self.messages[-1].received_s - self.messages[0].received_s
        return wall, (max(stamps) - min(stamps)) if stamps else 0.0

    def wait_for_listener(self, timeout_s: float) -> bool:
        """Return whether somebody listens to the batch within `timeout_s` [s]; discovery gives no event to wait for."""
        publisher = next((p for t, p in self._publishers.items() if t.endswith(BATCH_TOPIC)), None)
        deadline_s = time.monotonic() + timeout_s
        while publisher is not None and publisher.get_subscription_count() == 0:
            if time.monotonic() > deadline_s:
                return False
            time.sleep(0.05)
        return True

    def is_live(self, timeout_s: float) -> bool:
        """Return whether somebody else tells of a batch where this would be played, found within `timeout_s` [s].

        A display cannot tell what was recorded from what is now: where a workcell lives nothing may be played.
        """
        publisher = next((p for t, p in self._publishers.items() if t.endswith(BATCH_TOPIC)), None)
        deadline_s = time.monotonic() + timeout_s
        while publisher is not None and time.monotonic() < deadline_s:
            if len(self.node.get_publishers_info_by_topic(publisher.topic_name)) > 1:
                return True
            time.sleep(0.05)
        return False

    def play(
        self,
        speed: float,
        by_process_time: bool = False,
        tell: Callable[[int, float], None] = lambda count, time_s: None,
        pause: Callable[[float], None] = time.sleep,
    ) -> int:
        """Publish everything in order; return how many messages that were.

        Args:
            speed: how much faster than it was recorded; with `by_process_time` process time per wall time.
            tell: called after each message with the count and the process time [s].
            pause: waits for so many seconds of steady time.
        """
        begun_s = time.monotonic()
        first_s = self.messages[0].received_s
        origin_s, time_s = math.nan, math.nan
        count = 0
        for message in self.messages:
            if message.stamp_s > 0.0:
                origin_s = message.stamp_s if math.isnan(origin_s) else origin_s
                time_s = message.stamp_s if math.isnan(time_s) else max(time_s, message.stamp_s)
            passed_s = message.received_s - first_s
            if by_process_time:
                passed_s = 0.0 if math.isnan(origin_s) else time_s - origin_s
            wait_s = begun_s + passed_s / speed - time.monotonic()
            if wait_s > 0.0:
                pause(wait_s)
            count += self._publish(message)
            tell(count, time_s)
        return count

    def _publish(self, message: Recorded) -> bool:
        publisher = self._publishers.get(message.topic)
        if publisher is None:
            return False
        if message.type_name != image_recorder.TYPE:
            publisher.publish(message.data)
            return True
        try:
            publisher.publish(image_recorder.expand(deserialize_message(message.data, CompressedImage)))
        except image_recorder.ImageCodecError as error:
            self.unreadable = str(error)
            return False
        return True

    def _publisher(self, message: Recorded) -> None:
        if message.topic in self._publishers or message.type_name in self.unknown:
            return
        # A compressed picture is played back as the image that it was made of, for whoever listens to that.
        pictures = message.type_name == image_recorder.TYPE
        package, _, name = ("sensor_msgs/msg/Image" if pictures else message.type_name).split("/")
        try:
            kind: Any = getattr(importlib.import_module(f"{package}.msg"), name)
        except (ImportError, AttributeError) as error:
            self.unknown[message.type_name] = str(error)
            return
        topic = self._to + message.topic.removeprefix(self._from)
        topic = topic.removesuffix(image_recorder.SUFFIX) if pictures else topic
        profile: QoSProfile = qos.PROFILES.get(message.profile, qos.EVENT)
        self._publishers[message.topic] = self.node.create_publisher(kind, topic, profile)


__all__ = ["Recorded", "RecordingError", "Replay", "read_recording", "recorded_namespace"]
