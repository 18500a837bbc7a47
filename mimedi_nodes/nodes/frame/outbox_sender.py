# SPDX-License-Identifier: Apache-2.0
"""Hands a producer's durable events to the recorder and forgets them once they are on disk there."""

from __future__ import annotations

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

from mimedi_msgs.msg import RecordEvent as RecordEventMsg
from mimedi_msgs.srv import AppendEvents

from ...records.errors import RecordError
from ...records.outbox import Outbox
from .conversion import fill_message

BATCH = 100
RETRY_S = 5.0


class OutboxSender:
    """Sends pending events in order, one request at a time, as long as the recorder answers.

    Runs in the executor's thread on a steady timer; nothing is lost when the recorder is away, the events wait on disk.
    """

    def __init__(self, node: Node, outbox: Outbox, period_s: float = 0.2) -> None:
        self._node = node
        self._outbox = outbox
        self._client = node.create_client(AppendEvents, "recorder/append")
        self._waiting: Future | None = None
        self._sent_at_s = 0.0
        self._clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(period_s, self._send, clock=self._clock)

    def _now_s(self) -> float:
        return self._clock.now().nanoseconds * 1e-9

    def _send(self) -> None:
        if self._waiting is not None:
            if self._now_s() - self._sent_at_s < RETRY_S:
                return
            self._client.remove_pending_request(self._waiting)
            self._waiting = None
        if not self._client.service_is_ready():
            return
        try:
            events = self._outbox.pending(BATCH)
        except RecordError as error:  # whoever watches the file alarms it
            self._node.get_logger().error(f"no events can be sent: {error}", throttle_duration_sec=RETRY_S)
            return
        if not events:
            return
        request = AppendEvents.Request(events=[fill_message(RecordEventMsg(), e.as_fields()) for e in events])
        self._sent_at_s = self._now_s()
        self._waiting = self._client.call_async(request)
        self._waiting.add_done_callback(self._answered)

    def _answered(self, future: Future) -> None:
        if future is not self._waiting:
            return
        self._waiting = None
        reply = future.result()
        if reply is None:
            return
        try:
            if reply.acknowledged:
                self._outbox.acknowledge(reply.acknowledged)
        except RecordError as error:  # they are sent again, which does no harm
            self._node.get_logger().error(f"what was sent cannot be forgotten: {error}")
            return
        if reply.error_msg:
            self._node.get_logger().error(f"the recorder did not take all events: {reply.error_msg}")
        else:
            self._send()

    def close(self) -> None:
        """Stop sending; what is pending stays on disk."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_client(self._client)
