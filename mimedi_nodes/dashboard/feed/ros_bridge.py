# SPDX-License-Identifier: Apache-2.0
"""The window's side of ROS: one node in a thread of its own; Qt's thread never waits for it."""

from __future__ import annotations

import itertools
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.task import Future
from sensor_msgs.msg import Image

from mimedi_msgs.msg import (
    AlarmList,
    BatchStatus,
    CellTrackArray,
    ModuleState,
    PopulationSummary,
    Prompt,
    RecordEvent,
    Telemetry,
)
from mimedi_msgs.srv import AcknowledgeAlarm, AnswerPrompt, CommandBatch

from ...modules.registry import known_modules
from ...nodes.frame import qos
from ...nodes.frame.bounded_end import PROCESS_END
from ...nodes.frame.spinning import SpinThread
from ..look.qt import QtCore, Signal
from ..views import BatchSnapshot, PresenceView, Reply, Request, RequestKind, Source
from . import ros_views
from .inbox import Inbox

REPLY_TIMEOUT_S = 5.0
"""Steady time [s] after which a request counts as unanswered."""
WATCH_PERIOD_S = 1.0
DISCOVERY_S = 10.0
"""Steady time [s], from this node's first turn of its executor, for which a source not yet found is not called absent:
on a loaded machine a workcell that lived was told as lost after 4 s."""
PICTURE_PERIOD_S = 0.1
"""Steady time [s] between two pictures that are taken over; those between are dropped unread."""

BATCHES_TOPIC = "coordinator/batches"
BATCH_TOPIC, ALARM_TOPIC, PROMPT_TOPIC = "coordinator/batch_status", "alarms", "coordinator/prompt"
SORTER_TOPIC, ANALYSIS_TOPIC = "sorter_camera/image_raw", "recorder/analysis"
CASSETTES_TOPIC = "transfer/cassettes"
_WITNESS = {Source.COORDINATOR: BATCH_TOPIC, Source.SUPERVISOR: ALARM_TOPIC}

_serial = itertools.count(1)


@dataclass(frozen=True)
class HeardBatch:
    """Where one of the batches in production stands; the oldest one comes by itself as a BatchSnapshot."""

    batch: BatchSnapshot


class RosBridge(QtCore.QObject):
    """Subscribes to a workcell and sends it the operator's requests.

    `arrived` is emitted from the ROS thread whenever the empty inbox gets its first item: connect it queued, then
    call `take`. Names are relative to `namespace`; context and thread are the bridge's own, so that rqt, which has
    a context and a spinning thread already, and the stand-alone window use it alike.

    Args:
        namespace: the workcell's namespace, empty for none.
        modules: names of the modules to listen to, beside all that a site may have.
        arguments: ROS arguments (remappings), as after `--ros-args`; None for the process' own.
        vision: name of the module with the microscope.
    """

    arrived = Signal()

    def __init__(
        self,
        namespace: str,
        modules: Sequence[str],
        arguments: Sequence[str] | None = None,
        vision: str = "vision_qc",
        reply_timeout_s: float = REPLY_TIMEOUT_S,
        discovery_s: float = DISCOVERY_S,
    ) -> None:
        super().__init__()
        self._discovery_s = discovery_s
        self._inbox = Inbox(self.arrived.emit)
        self._pending: dict[int, tuple[Request, Client, Future, float]] = {}
        self._waiting: list[tuple[Request, str, float]] = []
        self._pending_lock = threading.Lock()
        self._reply_timeout_s = reply_timeout_s
        self._request_numbers = itertools.count()
        self._picture_s = {"microscope": 0.0, "sorter": 0.0, "tracks": 0.0}
        self._picture_fault = ""
        self._presence: PresenceView | None = None
        self._found: frozenset[Source] = frozenset()
        self._first_turn_s = math.nan
        self._closed = False
        self._context = Context()
        rclpy.init(args=None if arguments is None else list(arguments), context=self._context)
        self.node = Node(
            f"dashboard_{os.getpid()}_{next(_serial)}",
            namespace=namespace or None,
            context=self._context,
            # A display needs no parameters and no /rosout of its own in every workcell's log.
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._subscribe(modules, vision)
        self._clients = {
            RequestKind.COMMAND: self.node.create_client(CommandBatch, "coordinator/command_batch"),
            RequestKind.ANSWER: self.node.create_client(AnswerPrompt, "coordinator/answer_prompt"),
            RequestKind.ALARM: self.node.create_client(AcknowledgeAlarm, "supervisor/acknowledge_alarm"),
        }
        self.node.create_timer(WATCH_PERIOD_S, self._watch, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._spinning = SpinThread(self.node, self._context, "dashboard-ros")
        self._spinning.start()

    def take(self) -> list[object]:
        """Return what has arrived since the last call, only the newest of each kind."""
        return self._inbox.take()

    def post(self, key: object, item: object) -> None:
        """Leave an item that did not come by ROS; from any thread."""
        self._inbox.post(key, item)

    def send(self, request: Request, who: str = "") -> None:
        """Send a request; returns at once, the outcome arrives as a Reply.

        A service that is not found yet (a window that has just opened, a coordinator that has just come back) is
        looked for as long as an answer is waited for.

        Args:
            who: what is sent in the place of the person's name: her session's token.
        """
        end_s = time.monotonic() + self._reply_timeout_s
        if self._clients[request.kind].service_is_ready():
            self._call(request, who, end_s)
        else:
            with self._pending_lock:
                self._waiting.append((request, who, end_s))

    def _call(self, request: Request, who: str, end_s: float) -> None:
        client = self._clients[request.kind]
        number = next(self._request_numbers)
        future = client.call_async(_to_service(request, who or request.who))
        with self._pending_lock:
            self._pending[number] = (request, client, future, end_s)
        future.add_done_callback(partial(self._done, number))

    def _look_again(self) -> None:
        """Send what waits for its service, or tell that there is none."""
        with self._pending_lock:
            waiting, self._waiting = self._waiting, []
        for request, who, end_s in waiting:
            client = self._clients[request.kind]
            if client.service_is_ready():
                self._call(request, who, end_s)
            elif time.monotonic() > end_s:
                self._answer(request, False, f"{client.srv_name} is not there; is the workcell running?")
            else:
                with self._pending_lock:
                    self._waiting.append((request, who, end_s))

    def close(self) -> None:
        """Leave the graph and wait for the ROS thread's end; harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        self._spinning.stop()
        PROCESS_END.leave(self.node, self._context)

    def _subscribe(self, modules: Sequence[str], vision: str) -> None:
        # Also those that only some sites have: they are shown once they are heard.
        for module in dict.fromkeys((*modules, *known_modules())):
            self._listen(ModuleState, f"{module}/state", qos.STATE, ("module", module), ros_views.module_view)
            self._hear(Telemetry, f"{module}/telemetry", qos.TELEMETRY, self._on_telemetry)
        self._listen(BatchStatus, BATCH_TOPIC, qos.STATE, "batch", ros_views.batch_view)
        self._hear(BatchStatus, BATCHES_TOPIC, qos.EVENT, self._on_batch)
        self._listen(AlarmList, ALARM_TOPIC, qos.STATE, "alarms", ros_views.alarms_view)
        self._hear(PopulationSummary, f"{vision}/population", qos.TELEMETRY, self._on_population)
        self._listen(DiagnosticStatus, CASSETTES_TOPIC, qos.STATE, "cassettes", ros_views.cassettes_view)
        self._hear(RecordEvent, ANALYSIS_TOPIC, qos.STATE, self._on_analysis)
        self._hear(CellTrackArray, f"{vision}/tracks", qos.TELEMETRY, self._on_tracks)
        self._hear(Prompt, PROMPT_TOPIC, qos.QUESTION, self._on_prompt)
        self._hear(Image, f"{vision}/annotated", qos.IMAGE, partial(self._on_picture, "microscope"))
        self._hear(Image, SORTER_TOPIC, qos.IMAGE, partial(self._on_picture, "sorter"))

    def _hear(self, kind: type, topic: str, profile: QoSProfile, callback: Callable[[Any], None]) -> None:
        # Without rclpy's own events of a subscription: two more things to wait for each, rebuilt at every message, were
        # two thirds of what this thread did. All profiles are of one file, which a test compares.
        silent = SubscriptionEventCallbacks(use_default_callbacks=False)
        self.node.create_subscription(kind, topic, callback, profile, event_callbacks=silent)

    def _listen(
        self, kind: type, topic: str, profile: QoSProfile, key: object, convert: Callable[[Any], object]
    ) -> None:
        self._hear(kind, topic, profile, lambda message: self._inbox.post(key, convert(message)))

    def _on_telemetry(self, message: Telemetry) -> None:
        # By quantity: results of an inspection come one a message, right after each other.
        for measured in ros_views.measurement_views(message):
            self._inbox.post(("measured", measured.module, measured.name), measured)

    def _on_batch(self, message: BatchStatus) -> None:
        self._inbox.post(("batch", message.batch_id), HeardBatch(ros_views.batch_view(message)))

    def _on_prompt(self, message: Prompt) -> None:
        self._inbox.post(("prompt", message.batch_id, message.prompt_id), ros_views.prompt_view(message))

    def _on_population(self, message: PopulationSummary) -> None:
        self._inbox.post("seen", ros_views.population_view(message))
        if len(message.diameter_counts):
            self._inbox.post("histogram", ros_views.histogram_view(message))

    def _on_analysis(self, message: RecordEvent) -> None:
        try:
            seen = ros_views.analysis_view(message)
        except ValueError as error:
            self.node.get_logger().error(f"not shown: {error}")
            return
        if seen is not None:
            self._inbox.post(("analysis", seen.module, seen.name), seen)

    def _on_tracks(self, message: CellTrackArray) -> None:
        # Tracks come at the camera's rate: more than are drawn would only cost time.
        now_s = time.monotonic()
        if now_s - self._picture_s["tracks"] >= PICTURE_PERIOD_S:
            self._picture_s["tracks"] = now_s
            self._inbox.post("tracks", ros_views.tracks_view(message))

    def _on_picture(self, camera: str, message: Image) -> None:
        now_s = time.monotonic()
        if now_s - self._picture_s[camera] < PICTURE_PERIOD_S:
            return
        self._picture_s[camera] = now_s
        try:
            self._inbox.post(("picture", camera), ros_views.picture_view(message, camera))
            self._picture_fault = ""
        except ros_views.PictureError as error:
            if str(error) != self._picture_fault:
                self._picture_fault = str(error)
                self.node.get_logger().error(f"image of the {camera} camera not shown: {error}")

    def _watch(self) -> None:
        now_s = time.monotonic()
        if math.isnan(self._first_turn_s):
            self._first_turn_s = now_s
        present = frozenset(s for s, topic in _WITNESS.items() if self.node.count_publishers(topic))
        self._found |= present
        searching = now_s - self._first_turn_s < self._discovery_s
        presence = PresenceView(present, frozenset(Source) - self._found if searching else frozenset())
        if presence != self._presence:
            self._presence = presence
            self._inbox.post("presence", presence)
        self._look_again()
        with self._pending_lock:
            late = [number for number, (*_, end_s) in self._pending.items() if now_s > end_s]
            expired = [self._pending.pop(number) for number in late]
        for request, client, future, _ in expired:
            client.remove_pending_request(future)
            self._answer(request, False, f"no answer from {client.srv_name} within {self._reply_timeout_s:g} s")

    def _done(self, number: int, future: Future) -> None:
        with self._pending_lock:
            pending = self._pending.pop(number, None)
        if pending is None:
            return  # given up already; the operator has been told
        request = pending[0]
        error = future.exception()
        if error is not None or future.result() is None:
            self._answer(request, False, f"the call failed: {error}")
        else:
            self._answer(request, future.result().accepted, future.result().message)

    def _answer(self, request: Request, accepted: bool, message: str) -> None:
        self._inbox.post(("reply", request), Reply(request, accepted, message))


def _to_service(request: Request, who: str) -> Any:
    if request.kind is RequestKind.COMMAND:
        return CommandBatch.Request(command=request.act, who=who, why=request.why, batch_id=request.batch_id)
    if request.kind is RequestKind.ANSWER:
        return AnswerPrompt.Request(
            prompt_id=request.target, answer=request.act, who=who, why=request.why, batch_id=request.batch_id,
            simulated=False,
        )  # fmt: skip
    return AcknowledgeAlarm.Request(
        alarm_id=request.target, act=request.act, who=who, why=request.why, shelve_h=request.hours
    )
