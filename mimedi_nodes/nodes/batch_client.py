# SPDX-License-Identifier: Apache-2.0
"""A client of the coordinator for commands: orders a batch, follows it, survives the coordinator's restart."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import rclpy
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from mimedi_msgs.action import ProduceBatch
from mimedi_msgs.msg import AlarmList, BatchStatus, ModuleState, Prompt
from mimedi_msgs.srv import AnswerPrompt, ReviewBatch

from ..process.batch import Batch
from ..process.procedure_state import FINAL_STATES
from . import qos

BRING_UP_TIMEOUT_S = 90.0
SETTLE_S = 5.0
"""Steady time [s] after the end of a procedure in which the action's result should come; then the recorder is asked."""


class ClientError(RuntimeError):
    """The workcell did not do what was asked; says what and where to look."""


@dataclass
class Seen:
    """What has been heard of the workcell so far."""

    batch: BatchStatus | None = None
    modules: dict[str, ModuleState] = field(default_factory=dict)
    alarms: AlarmList | None = None
    prompt: Prompt | None = None
    supervisor: DiagnosticArray | None = None

    def failure(self) -> str:
        """Return why the supervisor could not bring the workcell up; empty while it has not given up."""
        if self.supervisor is None or not self.supervisor.status:
            return ""
        workcell = self.supervisor.status[0]
        failed = any(value.key == "phase" and value.value == "failed" for value in workcell.values)
        return workcell.message if failed else ""


class BatchClient:
    """Talks to a workcell from a command; ROS runs in a thread of its own, calls here wait with deadlines."""

    def __init__(self, namespace: str, modules: tuple[str, ...]) -> None:
        self.seen = Seen()
        self._heard = threading.Condition()
        rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)  # the command ends by Python's own
        self._node = Node("batch_client", namespace=namespace)
        node = self._node
        node.create_subscription(BatchStatus, "coordinator/batch_status", self._take("batch"), qos.STATE)
        node.create_subscription(AlarmList, "alarms", self._take("alarms"), qos.STATE)
        node.create_subscription(DiagnosticArray, "supervisor/status", self._take("supervisor"), qos.STATE)
        node.create_subscription(Prompt, "coordinator/prompt", self._take("prompt"), qos.STATE)
        for module in modules:
            node.create_subscription(ModuleState, f"{module}/state", self._take_module, qos.STATE)
        self._produce = ActionClient(node, ProduceBatch, "coordinator/produce_batch")
        self._state = node.create_client(GetState, "coordinator/get_state")
        self._review = node.create_client(ReviewBatch, "recorder/review_batch")
        self._answer = node.create_client(AnswerPrompt, "coordinator/answer_prompt")
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, name="ros", daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):  # the command was interrupted
            self._executor.spin()

    def _take(self, name: str) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            with self._heard:
                setattr(self.seen, name, message)
                self._heard.notify_all()

        return take

    def _take_module(self, message: ModuleState) -> None:
        with self._heard:
            self.seen.modules[message.module] = message
            self._heard.notify_all()

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._thread.join(5.0)
        self._node.destroy_node()
        rclpy.try_shutdown()

    def wait_seen(self, enough: Callable[[Seen], bool], timeout_s: float) -> bool:
        """Return when `enough` has been heard, or False after `timeout_s` [s]; asked at every message."""
        with self._heard:
            return self._heard.wait_for(lambda: enough(self.seen), timeout_s)

    def wait_active(self, still_running: Callable[[], bool], tell: Callable[[str], None]) -> None:
        """Return when the coordinator is active; raises ClientError when it cannot be, or after 90 s."""
        deadline_s = time.monotonic() + BRING_UP_TIMEOUT_S
        while time.monotonic() < deadline_s:
            if not still_running():
                raise ClientError("the workcell ended before it was up")
            if failure := self.seen.failure():
                raise ClientError(f"bring-up {failure}")
            tell(f"bringing up: {len(self.seen.modules)} modules report")
            if self._state.wait_for_service(0.5):
                reply = self._call(self._state, GetState.Request(), 5.0)
                if reply is not None and reply.current_state.id == State.PRIMARY_STATE_ACTIVE:
                    return
                with self._heard:
                    self._heard.wait(0.2)  # a transition has no event here: asked again at the next message, or soon
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
        accepted = self._wait(self._in_executor(lambda: self._produce.send_goal_async(goal)), 10.0)
        if accepted is None or not accepted.accepted:
            raise ClientError("the coordinator did not take the order; look at its log")
        result = self._in_executor(accepted.get_result_async)
        done = threading.Event()
        result.add_done_callback(lambda _: done.set())
        ended_s = math.inf
        while not done.wait(0.2):
            follow(self.seen)
            status = self.seen.batch
            if status is not None and status.batch_id == batch.batch_id and status.state in FINAL_STATES:
                ended_s = min(ended_s, time.monotonic())
            if time.monotonic() - ended_s > SETTLE_S:
                return self._reviewed(batch.batch_id)  # the coordinator that took the order is no more
        answer = result.result()
        if answer.status == GoalStatus.STATUS_ABORTED or answer.result.error_code:
            raise ClientError(f"{answer.result.error_msg} (code {answer.result.error_code})")
        summary = json.loads(answer.result.summary_json)
        return {**summary, "folder": answer.result.folder}

    def answer(self, prompt_id: str, answer: str, who: str) -> str:
        """Answer an open question; return why it was refused, empty when it was taken."""
        request = AnswerPrompt.Request(prompt_id=prompt_id, answer=answer, who=who, why="answered on the terminal")
        reply = self._call(self._answer, request, 10.0)
        return "the coordinator does not answer" if reply is None else ("" if reply.accepted else reply.message)

    def _reviewed(self, batch_id: str) -> dict[str, Any]:
        reply = self._call(self._review, ReviewBatch.Request(batch_id=batch_id, write_report=True), 60.0)
        if reply is None or reply.error_msg:
            raise ClientError(f"the recorder cannot review {batch_id}: {reply.error_msg if reply else 'no answer'}")
        return {**json.loads(reply.summary_json), "folder": reply.folder}

    def _in_executor(self, send: Callable[[], Future]) -> Future:
        """Return `send()`, called in the executor's thread: from another one an ActionClient loses replies."""
        sent = self._executor.create_task(send)
        future = self._wait(sent, 10.0)
        if future is None:
            raise ClientError("the command's own ROS thread does not run; was it interrupted?")
        return future

    def _call(self, client: Any, request: Any, timeout_s: float) -> Any:
        return self._wait(client.call_async(request), timeout_s)

    @staticmethod
    def _wait(future: Future, timeout_s: float) -> Any:
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        return future.result() if done.wait(timeout_s) else None
