# SPDX-License-Identifier: Apache-2.0
"""What commands and the web page see of a running workcell and ask of it; never of an instrument, only of its nodes."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from mimedi_msgs.msg import AlarmList, BatchStatus, Measurement, ModuleState, PopulationSummary, Prompt, Telemetry
from mimedi_msgs.srv import AcknowledgeAlarm, AnswerPrompt, CommandBatch, MaintainModule

from ...modules.registry import known_modules
from ...process.engine import batch_choice
from ..frame import qos
from ..frame.bounded_end import PROCESS_END
from ..frame.spinning import SpinThread

FIRST_REPLY_S = 2.0
"""Steady time [s] for the first answer of a service just found, before it is asked again."""
REPLY_S = 10.0
"""Steady time [s] after which a request counts as unanswered."""


@dataclass(frozen=True)
class Measured:
    """A measured value with the process time of its message [s]."""

    time_s: float
    value: Measurement


@dataclass(frozen=True)
class Outcome:
    """What became of a request; `state` is the procedure's state where it was a command to it."""

    accepted: bool
    message: str = ""
    state: str = ""


@dataclass
class Seen:
    """What has been heard of the workcell so far; `heard_s` has the steady time of each module's last word [s]."""

    batch: BatchStatus | None = None
    """The batch that displays of one batch show: the oldest in production."""
    batches: dict[str, BatchStatus] = field(default_factory=dict)
    modules: dict[str, ModuleState] = field(default_factory=dict)
    heard_s: dict[str, float] = field(default_factory=dict)
    alarms: AlarmList | None = None
    prompt: Prompt | None = None
    """The last word on a question."""
    prompts: dict[tuple[str, str], Prompt] = field(default_factory=dict)
    """Open questions by batch and id, oldest first."""
    supervisor: DiagnosticArray | None = None
    population: PopulationSummary | None = None
    measured: dict[tuple[str, str], Measured] = field(default_factory=dict)

    def shown(self, wanted: str = "") -> BatchStatus | None:
        """Return the batch of a name, by none the oldest in production."""
        return batch_choice.shown(wanted, self.batch, self.batches)

    def choices(self, wanted: str = "") -> dict[str, BatchStatus]:
        """Return the batches in production by name, and the one that is shown."""
        return batch_choice.choices(self.shown(wanted), self.batch, self.batches)

    def question(self, wanted: str = "") -> Prompt | None:
        """Return the oldest open question of a batch; by no name, or when it asks none, of any."""
        waiting = list(self.prompts.values())
        return next((p for p in waiting if wanted and p.batch_id == wanted), waiting[0] if waiting else None)

    def failure(self) -> str:
        """Return why the supervisor could not bring the workcell up; empty while it has not given up."""
        if self.supervisor is None or not self.supervisor.status:
            return ""
        workcell = self.supervisor.status[0]
        failed = any(value.key == "phase" and value.value == "failed" for value in workcell.values)
        return workcell.message if failed else ""


class WorkcellClient:
    """Listens to a workcell and asks its services; ROS runs in a thread of its own, calls here wait with deadlines.

    Args:
        namespace: the workcell's namespace, empty for none.
        modules: names of its modules.
        name: name of the node.
        on_change: called in the ROS thread after each message, with the name of what has changed.
    """

    def __init__(
        self,
        namespace: str,
        modules: tuple[str, ...],
        name: str = "workcell_client",
        on_change: Callable[[str], None] | None = None,
    ) -> None:
        self.seen = Seen()
        self.heard = threading.Condition()
        self._on_change = on_change
        self._context = Context()  # its own: another one in this process is not disturbed
        rclpy.init(args=[], context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node(name, namespace=namespace or None, context=self._context)
        node = self.node
        self._hear(BatchStatus, "coordinator/batch_status", self._take("batch"), qos.STATE)
        self._hear(BatchStatus, "coordinator/batches", self._take_batches, qos.EVENT)
        self._hear(AlarmList, "alarms", self._take("alarms"), qos.STATE)
        self._hear(DiagnosticArray, "supervisor/status", self._take("supervisor"), qos.STATE)
        self._hear(Prompt, "coordinator/prompt", self._take_prompt, qos.QUESTION)
        # Also those that only some sites have: they are shown once they are heard.
        for module in dict.fromkeys((*modules, *known_modules())):
            self._hear(ModuleState, f"{module}/state", self._take_module, qos.STATE)
        self._command = node.create_client(CommandBatch, "coordinator/command_batch")
        self._answer = node.create_client(AnswerPrompt, "coordinator/answer_prompt")
        self._alarm = node.create_client(AcknowledgeAlarm, "supervisor/acknowledge_alarm")
        self._modules = modules
        self._spinning = SpinThread(node, self._context, "ros")

    @property
    def modules(self) -> tuple[str, ...]:
        """Modules that should be there: those of every site, and the others that this one has or has had."""
        more = [n for n in known_modules() if n in self.seen.modules or self.node.count_publishers(f"{n}/state")]
        return tuple(dict.fromkeys((*self._modules, *more)))

    def start(self) -> None:
        """Begin to listen: after this, what is in `seen` changes."""
        self._spinning.start()

    def listen_to_values(self, vision: str = "vision_qc") -> None:
        """Hear measurements too; before `start`."""
        for module in dict.fromkeys((*self._modules, *known_modules())):
            self._hear(Telemetry, f"{module}/telemetry", self._take_telemetry, qos.TELEMETRY)
        self._hear(PopulationSummary, f"{vision}/population", self._take("population"), qos.TELEMETRY)

    def _hear(self, kind: type, topic: str, callback: Callable[[Any], None], profile: QoSProfile) -> None:
        # Without rclpy's own events of a subscription: two more things to wait for each, rebuilt at every message.
        # All profiles are of one file, which a test compares.
        silent = SubscriptionEventCallbacks(use_default_callbacks=False)
        self.node.create_subscription(kind, topic, callback, profile, event_callbacks=silent)

    def close(self) -> None:
        """Leave the graph."""
        self._spinning.stop()
        PROCESS_END.leave(self.node, self._context)

    def wait_seen(self, enough: Callable[[Seen], bool], timeout_s: float) -> bool:
        """Return when `enough` has been heard, or False after `timeout_s` [s]; asked at every message."""
        with self.heard:
            return self.heard.wait_for(lambda: enough(self.seen), timeout_s)

    def sources(self) -> tuple[bool, bool]:
        """Return whether somebody offers the batch's status (the coordinator), and the alarms (the supervisor)."""
        return tuple(self.node.count_publishers(t) > 0 for t in ("coordinator/batch_status", "alarms"))  # type: ignore[return-value]

    def command(self, command: str, who: str, why: str, batch_id: str = "") -> Outcome:
        """Give an ISA-88 command to the procedure of a batch, or of the only one in production."""
        request = CommandBatch.Request(command=command, who=who, why=why, batch_id=batch_id)
        reply = self.call(self._command, request, REPLY_S)
        return _silent(self._command) if reply is None else Outcome(reply.accepted, reply.message, reply.state)

    def act_on_alarm(self, alarm_id: str, act: str, who: str, why: str = "", shelve_h: float = 0.0) -> Outcome:
        """Acknowledge, reset, shelve or unshelve an alarm, or take it out of service and back."""
        request = AcknowledgeAlarm.Request(alarm_id=alarm_id, act=act, who=who, why=why, shelve_h=shelve_h)
        reply = self.call(self._alarm, request, REPLY_S)
        return _silent(self._alarm) if reply is None else Outcome(reply.accepted, reply.message)

    def maintain(
        self, module: str, act: str, target: str, values: Mapping[str, Any], who: str, why: str, timeout_s: float
    ) -> tuple[Outcome, dict[str, Any]]:
        """Do a manual act on a module; return how it went and what was found and left."""
        client = self.node.create_client(MaintainModule, f"{module}/maintain")
        request = MaintainModule.Request(act=act, target=target, values_json=json.dumps(dict(values)), who=who, why=why)
        try:
            # The first reply of a service just discovered may be lost: a harmless question is asked until it is
            # answered, so that the answer to the act, which is not asked twice, arrives.
            deadline_s = time.monotonic() + REPLY_S
            while self.call(client, MaintainModule.Request(act="list"), FIRST_REPLY_S) is None:
                if time.monotonic() > deadline_s:
                    return Outcome(False, f"{module} did not answer within {REPLY_S:g} s; is the workcell up?"), {}
            reply = self.call(client, request, timeout_s)
        finally:
            self.node.destroy_client(client)
        if reply is None:
            return Outcome(False, f"{module} did not answer within {timeout_s:g} s: look at what it does"), {}
        return Outcome(reply.accepted, reply.message), json.loads(reply.result_json or "{}")

    def answer(
        self,
        prompt_id: str,
        answer: str,
        who: str,
        why: str = "answered on the terminal",
        batch_id: str = "",
        simulated: bool = False,
    ) -> Outcome:
        """Answer an open question, of a batch where several ask the same; `simulated` when a script answers."""
        request = AnswerPrompt.Request(
            prompt_id=prompt_id, answer=answer, who=who, why=why, batch_id=batch_id, simulated=simulated
        )
        reply = self.call(self._answer, request, REPLY_S)
        return _silent(self._answer) if reply is None else Outcome(reply.accepted, reply.message)

    def call(self, client: Any, request: Any, timeout_s: float) -> Any:
        """Return a service's reply, None when it is not offered or does not answer within `timeout_s` [s]."""
        deadline_s = time.monotonic() + timeout_s
        if not client.wait_for_service(timeout_s):
            return None
        future = client.call_async(request)
        reply = self.wait(future, deadline_s - time.monotonic())
        if reply is None:
            client.remove_pending_request(future)
        return reply

    @staticmethod
    def wait(future: Future, timeout_s: float) -> Any:
        """Return a future's result, None when it has none within `timeout_s` [s]."""
        done = threading.Event()
        future.add_done_callback(lambda _: done.set())
        return future.result() if done.wait(max(timeout_s, 0.0)) else None

    def _take(self, name: str) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            with self.heard:
                setattr(self.seen, name, message)
                self.heard.notify_all()
            self._tell(name)

        return take

    def _take_batches(self, message: BatchStatus) -> None:
        with self.heard:
            self.seen.batches[message.batch_id] = message
            self.heard.notify_all()
        self._tell("batches")

    def _take_prompt(self, message: Prompt) -> None:
        key = (message.batch_id, message.prompt_id)
        with self.heard:
            if message.open:
                self.seen.prompts[key] = message
            else:
                self.seen.prompts.pop(key, None)
        self._take("prompt")(message)

    def _take_module(self, message: ModuleState) -> None:
        with self.heard:
            self.seen.modules[message.module] = message
            self.seen.heard_s[message.module] = time.monotonic()
            self.heard.notify_all()
        self._tell("modules")

    def _take_telemetry(self, message: Telemetry) -> None:
        time_s = message.stamp.sec + 1e-9 * message.stamp.nanosec
        with self.heard:
            for value in message.values:
                if math.isfinite(value.value):
                    self.seen.measured[(message.module, value.name)] = Measured(time_s, value)
        self._tell("measured")

    def _tell(self, what: str) -> None:
        if self._on_change is not None:
            self._on_change(what)


def _silent(client: Any) -> Outcome:
    return Outcome(False, f"{client.srv_name} did not answer within {REPLY_S:g} s; is the workcell up?")
