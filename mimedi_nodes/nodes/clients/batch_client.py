# SPDX-License-Identifier: Apache-2.0
"""A client of the coordinator for commands: orders a batch, follows it, survives the coordinator's restart."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from action_msgs.msg import GoalStatus
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.action import ActionClient
from rclpy.task import Future

from mimedi_msgs.action import ProduceBatch
from mimedi_msgs.srv import ReviewBatch

from ...process.batch import Batch
from ...process.engine.procedure_state import FINAL_STATES
from .workcell_client import Seen, WorkcellClient

__all__ = ["BatchClient", "ClientError", "Seen"]

BRING_UP_TIMEOUT_S = 90.0
SETTLE_S = 5.0
"""Steady time [s] after the end of a procedure in which the action's result should come; then the recorder is asked."""


class ClientError(RuntimeError):
    """The workcell did not do what was asked; says what and where to look."""


class BatchClient(WorkcellClient):
    """Talks to a workcell from a command that orders a batch."""

    def __init__(self, namespace: str, modules: tuple[str, ...], name: str = "batch_client") -> None:
        super().__init__(namespace, modules, name)
        self._produce = ActionClient(self.node, ProduceBatch, "coordinator/produce_batch")
        self._state = self.node.create_client(GetState, "coordinator/get_state")
        self._review = self.node.create_client(ReviewBatch, "recorder/review_batch")
        self.start()

    def wait_active(
        self, still_running: Callable[[], bool], tell: Callable[[str], None], silent_s: float = math.inf
    ) -> None:
        """Return when the coordinator is active; raises ClientError when it cannot be, or after 90 s.

        Args:
            still_running: whether the launch is alive, where the caller has launched it.
            tell: is told how far the bring-up is.
            silent_s: how long nobody at all may be heard [s of steady time].
        """
        begun_s = time.monotonic()
        while (waited_s := time.monotonic() - begun_s) < BRING_UP_TIMEOUT_S:
            if waited_s > silent_s and not self.seen.modules and not self._state.service_is_ready():
                raise ClientError(
                    f"no workcell is heard in namespace {self.node.get_namespace()!r} of ROS domain "
                    f"{os.environ.get('ROS_DOMAIN_ID', '0')}; start one by ./workcell up, or give --namespace"
                )
            if not still_running():
                raise ClientError("the workcell ended before it was up")
            if failure := self.seen.failure():
                raise ClientError(f"bring-up {failure}")
            tell(f"bringing up: {len(self.seen.modules)} modules report")
            if self._state.wait_for_service(0.5):
                reply = self.call(self._state, GetState.Request(), 5.0)
                if reply is not None and reply.current_state.id == State.PRIMARY_STATE_ACTIVE:
                    return
                with self.heard:
                    self.heard.wait(0.2)  # a transition has no event here: asked again at the next message, or soon
        raise ClientError(f"the coordinator was not active within {BRING_UP_TIMEOUT_S:g} s; look at the launch log")

    def produce(
        self, recipe: str, batch: Batch, parameters: Mapping[str, Any], follow: Callable[[Seen], None]
    ) -> dict[str, Any]:
        """Order a batch and return its summary, following it meanwhile.

        Raises:
            ClientError: the batch could not be run; with the coordinator's reason.
        """
        if not self._produce.wait_for_server(10.0):
            raise ClientError("the coordinator offers no produce_batch; is the workcell up?")
        goal = ProduceBatch.Goal(
            recipe=recipe,
            batch_id=batch.batch_id,
            patient_id=batch.patient_id,
            donor_id=batch.donor_id,
            patient_weight_kg=batch.patient_weight_kg,
            parameters_json=json.dumps(dict(parameters)),
            engineering_run=batch.engineering_run,
        )
        accepted = self.wait(self._in_executor(lambda: self._produce.send_goal_async(goal)), 10.0)
        if accepted is None or not accepted.accepted:
            raise ClientError("the coordinator did not take the order; look at its log")
        result = self._in_executor(accepted.get_result_async)
        done = threading.Event()
        result.add_done_callback(lambda _: done.set())
        ended_s = math.inf
        while not done.wait(0.2):
            status = self.seen.batches.get(batch.batch_id)
            follow(replace(self.seen, batch=status))  # None until it is told of: another batch is not shown instead
            if status is not None and status.state in FINAL_STATES:
                ended_s = min(ended_s, time.monotonic())
            if time.monotonic() - ended_s > SETTLE_S:
                return self._reviewed(batch.batch_id)  # the coordinator that took the order is no more
        answer = result.result()
        if answer.status == GoalStatus.STATUS_ABORTED or answer.result.error_code:
            raise ClientError(f"{answer.result.error_msg} (code {answer.result.error_code})")
        summary = json.loads(answer.result.summary_json)
        return {**summary, "folder": answer.result.folder}

    def _reviewed(self, batch_id: str) -> dict[str, Any]:
        reply = self.call(self._review, ReviewBatch.Request(batch_id=batch_id, write_report=True), 60.0)
        if reply is None or reply.error_msg:
            raise ClientError(f"the recorder cannot review {batch_id}: {reply.error_msg if reply else 'no answer'}")
        return {**json.loads(reply.summary_json), "folder": reply.folder}

    def _in_executor(self, send: Callable[[], Future]) -> Future:
        """Return `send()`, called in the executor's thread: from another one an ActionClient loses replies."""
        sent = self._spinning.call(send)
        future = self.wait(sent, 10.0)
        if future is None:
            raise ClientError("the command's own ROS thread does not run; was it interrupted?")
        return future
