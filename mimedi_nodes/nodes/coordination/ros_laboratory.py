# SPDX-License-Identifier: Apache-2.0
"""The external laboratory over ROS: orders out, signed results in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node

from mimedi_msgs.srv import OrderTests, SubmitLabRecord

from ...process.errors import WorkcellError
from ...process.laboratory_records import LaboratoryRecordError, verify_record
from ..frame.bridge import result_in_executor
from ..frame.clocks import NodeClock
from ..frame.event_loop import LoopThread
from ..frame.ros_calls import CallFailed, call


class OrderRefused(WorkcellError):
    """The laboratory did not take an order; says why."""


class RosLaboratory:
    """A LaboratoryGateway; results that its service takes are verified and handed to `submit` in the loop.

    Args:
        keys: key id → Ed25519 public key, hexadecimal.
        submit: takes a verified record, durable when it returns; raises WorkcellError to refuse it.
    """

    def __init__(
        self,
        node: Node,
        loop: LoopThread,
        clock: NodeClock,
        keys: Mapping[str, str],
        submit: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._node = node
        self._loop = loop
        self._clock = clock
        self._keys = keys
        self._submit = submit
        self._client = node.create_client(OrderTests, "laboratory/order_tests")
        self._service = node.create_service(
            SubmitLabRecord, "~/submit_lab_record", self._on_record, callback_group=ReentrantCallbackGroup()
        )

    async def order(self, batch_id: str, sample_id: str, tests: Sequence[str]) -> None:
        """Order tests; raises OrderRefused when the laboratory refuses or does not answer."""
        request = OrderTests.Request(batch_id=batch_id, sample_id=sample_id, tests=list(tests))
        self._clock.hold()
        try:
            reply = await call(self._loop, self._client, request)
        except CallFailed as error:
            raise OrderRefused(f"laboratory: {error}") from error
        finally:
            self._clock.release()
        if not reply.accepted:
            raise OrderRefused(f"laboratory: {reply.message}")

    async def _on_record(
        self, request: SubmitLabRecord.Request, reply: SubmitLabRecord.Response
    ) -> SubmitLabRecord.Response:
        reply.message = await result_in_executor(self._node, self._loop, self._take(request))
        reply.accepted = not reply.message
        if reply.message:
            self._node.get_logger().error(f"laboratory result refused: {reply.message}")
        return reply

    async def _take(self, request: SubmitLabRecord.Request) -> str:
        try:
            record = verify_record(request.record_json, request.signature_hex, request.key_id, self._keys)
            # A result may be here before the grant of the time at which it was reported.
            reported_s = record.get("reported_s")
            if isinstance(reported_s, int | float):
                await self._clock.catch_up(reported_s)
            self._submit(record)
        except (LaboratoryRecordError, WorkcellError) as error:
            return str(error)
        finally:
            self._clock.take("plant", f"lab:{request.signature_hex[:32]}")
        return ""
