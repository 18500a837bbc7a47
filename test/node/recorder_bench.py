# SPDX-License-Identifier: Apache-2.0
"""A recorder in a process of its own, and a client that brings it up and talks to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rclpy
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

from mimedi_msgs.msg import RecordEvent as RecordEventMsg
from mimedi_msgs.srv import AppendEvents, ReviewBatch
from mimedi_nodes.nodes.frame.conversion import fill_message
from mimedi_nodes.records.events import RecordEvent
from mimedi_nodes.records.heads import PUBLIC_KEY_FILE, load_public_key
from mimedi_nodes.records.verify import verify
from mimedi_nodes.records.verify_report import VerifyReport

ROOT = Path(__file__).resolve().parents[2]
NAMESPACE = "/cell_under_test"
DEADLINE_S = 30.0


class RecorderProcess:
    """The recorder as it is launched: own process, parameters on the command line, output in a file."""

    def __init__(self, folder: Path, namespace: str = NAMESPACE, **parameters: object) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.keys = folder / ".workcell" / "keys"
        self.log = folder / "recorder.log"
        settings = {"runs_dir": self.runs, "products_dir": ROOT / "config" / "products", "mcap_reserve_mb": 0}
        settings.update(parameters)
        command = [sys.executable, "-c", "from mimedi_nodes.nodes.recorder import main; main()", "--ros-args"]
        command += ["-r", f"__ns:={namespace}"]
        for name, value in settings.items():
            command += ["-p", f"{name}:={value}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=os.environ)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def stop(self) -> int:
        """Tell it to stop and return its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(DEADLINE_S)

    def verify(self, batch_id: str) -> VerifyReport:
        """Verify a batch's record as `workcell verify` does."""
        return verify(self.runs / batch_id, self.runs / ".heads", load_public_key(self.keys / PUBLIC_KEY_FILE))


class Bench:
    """A node in the test's process; `until` spins it."""

    def __init__(self, namespace: str = NAMESPACE) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node("bench", context=self.context, namespace=namespace)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self._append = self.node.create_client(AppendEvents, "recorder/append")
        self._review = self.node.create_client(ReviewBatch, "recorder/review_batch")
        self._state = self.node.create_client(GetState, "recorder/get_state")
        self._change = self.node.create_client(ChangeState, "recorder/change_state")

    def close(self) -> None:
        """Destroy the node."""
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()

    def until(self, condition: Callable[[], bool], what: str, timeout_s: float = DEADLINE_S) -> None:
        """Spin until a condition holds; fails after `timeout_s` [s]."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what}"
            self.executor.spin_once(timeout_sec=0.05)

    def until_or(self, condition: Callable[[], bool], patience_s: float) -> None:
        """Spin until a condition holds, or patience [s] ends: then the sender sends again."""
        began_s = time.monotonic()
        while not condition() and time.monotonic() - began_s < patience_s:
            self.executor.spin_once(timeout_sec=0.05)

    def bring_up(self) -> None:
        """Configure and activate the recorder."""
        for transition, wanted in (
            (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE),
            (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE),
        ):
            self.ask(self._state, GetState.Request())
            request = ChangeState.Request(transition=Transition(id=transition))
            assert self.ask(self._change, request, DEADLINE_S).success
            assert self.ask(self._state, GetState.Request()).current_state.id == wanted

    def ask(self, client: Client, request: Any, patience_s: float = 2.0) -> Any:
        """Call a service and return its answer, again when none comes: a killed server haunts the graph for a while."""
        deadline_s = time.monotonic() + DEADLINE_S
        while True:
            self.until(client.service_is_ready, client.srv_name)
            future = client.call_async(request)
            self.until_or(future.done, patience_s)
            if future.done():
                return future.result()
            client.remove_pending_request(future)
            assert time.monotonic() < deadline_s, f"no answer from {client.srv_name}"

    def append_soon(self, events: Sequence[RecordEvent]) -> Future:
        """Send events; return the future of the answer."""
        messages = [fill_message(RecordEventMsg(), event.as_fields()) for event in events]
        return self._append.call_async(AppendEvents.Request(events=messages))

    def append(self, events: Sequence[RecordEvent]) -> AppendEvents.Response:
        """Send events and return the answer."""
        messages = [fill_message(RecordEventMsg(), event.as_fields()) for event in events]
        return self.ask(self._append, AppendEvents.Request(events=messages))

    def forget(self, future: Future) -> None:
        """Give up waiting for an answer to append."""
        self._append.remove_pending_request(future)

    def review_soon(self, batch_id: str, write: bool = True) -> Future:
        """Ask for a review; return the future of the answer."""
        self.until(self._review.service_is_ready, "the recorder's review service")
        return self._review.call_async(ReviewBatch.Request(batch_id=batch_id, write_report=write))

    def review(self, batch_id: str, write: bool = True) -> ReviewBatch.Response:
        """Ask for a review and return the answer."""
        return self.ask(self._review, ReviewBatch.Request(batch_id=batch_id, write_report=write), DEADLINE_S)


def event(
    sequence: int, producer: str = "incubator", batch_id: str = "B1", kind: str = "measurement", **data: Any
) -> RecordEvent:
    """An event of a producer."""
    wall = f"2026-01-31T12:00:{sequence % 60:02d}Z"
    return RecordEvent(producer, sequence, batch_id, float(sequence), wall, kind, producer, "glucose_mm", data=data)
