# SPDX-License-Identifier: Apache-2.0
"""The action ProduceBatch: an order comes, the batch is made, its verdict goes back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle

from mimedi_msgs.action import ProduceBatch

from ..frame import qos
from ..frame.bridge import result_in_executor
from ..frame.managed_node import ManagedNode
from ..frame.ros_calls import CallFailed
from .active_batch import ActiveBatch
from .order_check import CoordinatorCode, Refused
from .production import Ended, NoSuchBatch, Production, Productions

FEEDBACK_PERIOD_S = 1.0


class ProduceAction:
    """Serves the action of the coordinator.

    Args:
        node: the coordinator.
        batches: what it produces.
        check: makes an order of a goal; raises Refused.
        begin: begins a batch and returns it with its run; raises Refused.
    """

    def __init__(
        self,
        node: ManagedNode,
        batches: Productions,
        check: Callable[[Any], ActiveBatch],
        begin: Callable[[ActiveBatch], Awaitable[tuple[Production, asyncio.Task[Ended]]]],
    ) -> None:
        self._node, self._batches, self._check, self._begin = node, batches, check, begin
        self._server = ActionServer(
            node,
            ProduceBatch,
            "~/produce_batch",
            execute_callback=self._execute,
            goal_callback=lambda goal: GoalResponse.ACCEPT,
            cancel_callback=self._cancel,
            result_timeout=qos.RESULT_TIMEOUT_S,
        )

    def close(self) -> None:
        """Take no more orders."""
        self._server.destroy()

    async def _execute(self, handle: ServerGoalHandle) -> ProduceBatch.Result:
        result = ProduceBatch.Result()
        try:
            if not self._node.active:
                raise Refused(CoordinatorCode.INACTIVE, "the coordinator is not active; wait for the supervisor")
            active = self._check(handle.request)
            produced = result_in_executor(self._node, self._node.loop, self._produced(active, handle))
            outcome, result.verdict, result.summary_json, result.folder = await produced
        except Refused as error:
            result.error_code, result.error_msg = error.code, str(error)
        except CallFailed as error:
            result.error_code, result.error_msg = CoordinatorCode.REVIEW, str(error)
        else:
            if outcome.state in ("rejected", "held", "stopped", "aborted"):
                result.error_msg = outcome.reason
        if handle.is_cancel_requested:
            handle.canceled()
        elif result.error_code:
            handle.abort()
        else:
            handle.succeed()
        return result

    async def _produced(self, active: ActiveBatch, handle: ServerGoalHandle) -> Ended:
        production, run = await self._begin(active)
        watch = asyncio.get_running_loop().create_task(self._feed_back(handle, production))
        try:
            return await asyncio.shield(run)
        finally:
            watch.cancel()

    @staticmethod
    async def _feed_back(handle: ServerGoalHandle, production: Production) -> None:
        while handle.is_active:
            snapshot = production.snapshot
            if snapshot is not None:
                handle.publish_feedback(ProduceBatch.Feedback(progress=snapshot.progress, step=snapshot.phase_id))
            await asyncio.sleep(FEEDBACK_PERIOD_S)

    def _cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        try:
            production = self._batches.find(handle.request.batch_id)
        except NoSuchBatch:
            return CancelResponse.ACCEPT  # it was refused, or is over: its result is on the way
        self._node.loop.submit(production.engine.command("stop", "action client", "the batch was cancelled"))
        return CancelResponse.ACCEPT
