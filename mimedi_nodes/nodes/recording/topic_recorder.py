# SPDX-License-Identifier: Apache-2.0
"""Subscribes the workcell's topics as raw bytes and hands them to a recording."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription

from ..frame import qos
from .mcap_writer import McapRecording
from .message_schemas import SchemaError

PACKAGES = ("mimedi_msgs", "diagnostic_msgs")
"""Packages whose messages are recorded as they are; pictures are compressed, see `image_recorder`."""
SIMULATION = "sim/"
"""Ground truth and time of a simulated plant are not production's to see."""

IsOwn = Callable[[str, bytes, str | None], bool]

_MESSAGE_TYPE = re.compile(r"([a-z][a-z0-9_]*)/msg/([A-Z][A-Za-z0-9]*)\Z")


def is_recorded(topic: str, type_name: str, namespace: str) -> bool:
    """Return whether a topic is one of this workcell's that are recorded."""
    match = _MESSAGE_TYPE.match(type_name)
    if match is None or match[1] not in PACKAGES:
        return False
    prefix = namespace.rstrip("/") + "/"
    return topic.startswith(prefix) and not topic[len(prefix) :].startswith(SIMULATION)


class TopicRecorder:
    """Raw subscriptions of every recorded topic for one recording; lives in the executor's thread.

    Args:
        node: whose subscriptions they are; its namespace is the workcell.
        recording: takes the messages.
        least_period_s: shortest steady time between two recorded messages of a type [s]; others are recorded all.
        on_error: called once with what stopped the recording (a full disk, say).
        is_own: tells by topic within the workcell, message and the batch that it names whether it is to be recorded.
    """

    def __init__(
        self,
        node: Node,
        recording: McapRecording,
        least_period_s: Mapping[str, float],
        on_error: Callable[[Exception], None],
        is_own: IsOwn = lambda topic, data, said: True,
    ) -> None:
        self._node = node
        self._is_own = is_own
        self._recording = recording
        self._least_period_s = least_period_s
        self._on_error = on_error
        self._subscriptions: dict[tuple[str, str], Subscription] = {}
        self._unknown: set[str] = set()
        self._failed = False

    @property
    def topics(self) -> int:
        """Number of topics that are recorded."""
        return len(self._subscriptions)

    def look(self) -> None:
        """Subscribe what has appeared since the last look."""
        namespace = self._node.get_namespace()
        for topic, types in self._node.get_topic_names_and_types():
            for type_name in types:
                new = (topic, type_name) not in self._subscriptions and type_name not in self._unknown
                if new and is_recorded(topic, type_name, namespace):
                    self._subscribe(topic, type_name)

    def close(self) -> None:
        """End all subscriptions."""
        self._failed = True
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _subscribe(self, topic: str, type_name: str) -> None:
        profile = self._profile(topic)
        if profile is None:
            return
        package, _, name = type_name.split("/")
        try:
            kind = getattr(importlib.import_module(f"{package}.msg"), name)
            channel = self._recording.add_topic(topic, type_name, qos.name_of(profile))
        except (ImportError, AttributeError, SchemaError) as error:
            self._unknown.add(type_name)
            self._node.get_logger().warning(f"topic {topic} is not recorded: {error}")
            return
        take = self._callback(topic, kind, channel, self._least_period_s.get(type_name, 0.0))
        subscription = self._node.create_subscription(kind, topic, take, profile, raw=True)
        self._subscriptions[(topic, type_name)] = subscription

    def _callback(
        self, topic: str, kind: type, channel: int, least_period_s: float
    ) -> Callable[[bytes, Mapping[str, Any]], None]:
        last_s = -float("inf")
        name = topic[len(self._node.get_namespace().rstrip("/")) + 1 :]
        names_batch = "batch_id" in kind.get_fields_and_field_types()  # type: ignore[attr-defined]

        def take(data: bytes, info: Mapping[str, Any]) -> None:
            nonlocal last_s
            if self._failed:
                return
            if least_period_s:
                now_s = time.monotonic()
                if now_s - last_s < least_period_s:
                    return
                last_s = now_s
            if not self._is_own(name, data, deserialize_message(data, kind).batch_id if names_batch else None):
                return
            received_ns = info["received_timestamp"] or time.time_ns()
            try:
                self._recording.write(channel, data, received_ns, info["source_timestamp"] or received_ns)
            except OSError as error:
                self._failed = True
                self._on_error(error)

        return take

    def _profile(self, topic: str) -> QoSProfile | None:
        """The named profile that every publisher of a topic can serve; None while there is none."""
        offers = [info.qos_profile for info in self._node.get_publishers_info_by_topic(topic)]
        if not offers:
            return None
        if any(offer.reliability == ReliabilityPolicy.BEST_EFFORT for offer in offers):
            return qos.TELEMETRY
        if all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers):
            return qos.STATE
        return qos.EVENT
