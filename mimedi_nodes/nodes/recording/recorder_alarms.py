# SPDX-License-Identifier: Apache-2.0
"""The recorder's own alarms: on a topic at once, in the record as soon as it can be written again."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Any

from rclpy.node import Node

from mimedi_msgs.msg import Alarm

from ...records.errors import RecordError
from ..frame import qos
from ..frame.conversion import ros_time
from .record_keeper import PRODUCER, RecordKeeper

STORAGE = "recorder.storage_failed"
REFUSED = "recorder.events_refused"
TOPICS = "recorder.topics_not_recorded"

_RESPONSES = {
    STORAGE: "Free space on the disk of the runs folder or mend it. Nothing is lost: events wait at their producers.",
    REFUSED: "Read the message; restore the outbox of the producer, or run `workcell verify` on the run.",
    TOPICS: "Free space on the disk of the runs folder. The batch record itself goes on.",
}
_PRIORITIES = {STORAGE: Alarm.HIGH, REFUSED: Alarm.HIGH, TOPICS: Alarm.LOW}
TELL_AGAIN_S = 1.0
"""Steady time [s] between two tellings of what still stands: interlocks that come late hear of it."""
MAX_UNWRITTEN = 100
"""Alarm events that wait for the record to be writable; older ones are dropped, they stand in the log."""


class RecorderAlarms:
    """Raises and clears alarms; each once, however often its cause is met. Executor's thread."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publisher = node.create_publisher(Alarm, "alarm_events", qos.EVENT)
        self._told_s = -math.inf
        self._standing: dict[tuple[str, str], tuple[str, str]] = {}
        self._unwritten: deque[tuple[str, str, str, dict[str, Any]]] = deque(maxlen=MAX_UNWRITTEN)

    @property
    def worst(self) -> str:
        """Message of an alarm that stands, empty when none does."""
        return next((message for _, message in self._standing.values()), "")

    def storage_failed(self, batch_id: str, message: str) -> None:
        """The record cannot be written."""
        self._raise(STORAGE, "", batch_id, message)

    def refused(self, producer: str, batch_id: str, message: str) -> None:
        """Events of a producer were not taken for a reason that time alone does not cure."""
        self._raise(REFUSED, producer, batch_id, f"{producer}: {message}")

    def topics_not_recorded(self, batch_id: str, message: str) -> None:
        """Topics are no longer recorded for this batch."""
        self._raise(TOPICS, "", batch_id, message)
        # Nothing stands: the batch goes on without, and the next one tries again.
        self._clear(TOPICS, "")

    def written(self, keeper: RecordKeeper, producer: str) -> None:
        """Events of a producer were taken: clear what said otherwise and put the alarms on record."""
        self._clear(STORAGE, "")
        self._clear(REFUSED, producer)
        while self._unwritten:
            batch_id, kind, alarm_id, data = self._unwritten[0]
            try:
                keeper.note(batch_id, kind, alarm_id, data["message"], data)
            except RecordError as error:
                self._node.get_logger().error(f"alarm {alarm_id} is not on record yet: {error}")
                return
            self._unwritten.popleft()

    def _raise(self, alarm_id: str, about: str, batch_id: str, message: str) -> None:
        if (alarm_id, about) in self._standing:
            now_s = time.monotonic()
            if now_s - self._told_s >= TELL_AGAIN_S:
                self._told_s = now_s
                self._publish(alarm_id, Alarm.UNACKNOWLEDGED, message)
            return
        self._standing[(alarm_id, about)] = (batch_id, message)
        self._node.get_logger().error(f"ALARM {alarm_id}: {message}")
        self._publish(alarm_id, Alarm.UNACKNOWLEDGED, message)
        data = {
            "alarm_id": alarm_id,
            "priority": int(_PRIORITIES[alarm_id]),
            "message": message,
            "response": _RESPONSES[alarm_id],
        }
        self._unwritten.append((batch_id, "alarm_raised", alarm_id, data))

    def _clear(self, alarm_id: str, about: str) -> None:
        standing = self._standing.pop((alarm_id, about), None)
        if standing is None:
            return
        batch_id, message = standing
        self._publish(alarm_id, Alarm.NORMAL, message)
        self._unwritten.append((batch_id, "alarm_cleared", alarm_id, {"alarm_id": alarm_id, "message": message}))

    def _publish(self, alarm_id: str, state: int, message: str) -> None:
        self._publisher.publish(
            Alarm(
                stamp=ros_time(self._node.get_clock().now().nanoseconds * 1e-9),
                alarm_id=alarm_id,
                source=PRODUCER,
                state=state,
                priority=_PRIORITIES[alarm_id],
                message=message,
                response=_RESPONSES[alarm_id],
            )
        )
