# SPDX-License-Identifier: Apache-2.0
"""The engine's door to the modules over ROS: actions, commands, recalls, and who has gone silent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.node import Node
from unique_identifier_msgs.msg import UUID

from mimedi_msgs.msg import ModuleState
from mimedi_msgs.srv import CommandModule, RecallPhase

from ...process.context import PhaseHeader
from ...process.gateway import CommandReply, ModuleUnavailable, PhaseOutcome, PhaseRecall
from ...process.interfaces import Interfaces
from ...process.service_state import ServiceCommand, ServiceState
from ..frame import qos
from ..frame.clocks import NodeClock
from ..frame.conversion import action_class, action_topic, fill_message, header_to, message_fields, ros_time, seconds
from ..frame.event_loop import LoopThread
from ..frame.ros_calls import CallFailed, call, in_executor, in_loop, ready

SILENT_AFTER_S = 5.0
"""Steady time [s] without a state message after which a module counts as gone (its heartbeat is 1 s)."""
FORGOTTEN_AFTER_S = 2.0
"""Steady time [s] after which a module's state message was sent when the goal had long begun: two heartbeats."""
CALL_TIMEOUT_S = 10.0
RECALL_ATTEMPTS = 4
"""How often a module is asked within CALL_TIMEOUT_S: the first reply of a service just discovered may be lost."""
POLL_S = 1.0
SETTLE_S = 1.0
"""Longest steady time [s] to wait, when a result is here, for the module's own word that it has ended."""
_ENDED = (ServiceState.COMPLETED, ServiceState.STOPPED, ServiceState.ABORTED, ServiceState.IDLE)

_STATUS = {
    GoalStatus.STATUS_SUCCEEDED: "succeeded",
    GoalStatus.STATUS_CANCELED: "canceled",
    GoalStatus.STATUS_ABORTED: "aborted",
}


class RosModules:
    """A ModuleGateway over ROS; all methods run in the phases' loop.

    Args:
        on_held: called with module and reason when a module goes to Held.
    """

    def __init__(
        self,
        node: Node,
        loop: LoopThread,
        clock: NodeClock,
        modules: Iterable[str],
        interfaces: Interfaces,
        on_held: Callable[[str, str], None],
    ) -> None:
        self._node = node
        self._loop = loop
        self._clock = clock
        self._interfaces = interfaces
        self._on_held = on_held
        self._states: dict[str, tuple[float, ModuleState]] = {}
        self._heard: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._actions: dict[tuple[str, str], ActionClient] = {}
        self._commands = {}
        self._recalls = {}
        for module in modules:
            self._commands[module] = node.create_client(CommandModule, f"{module}/command")
            self._recalls[module] = node.create_client(RecallPhase, f"{module}/recall")
            node.create_subscription(
                ModuleState, f"{module}/state", lambda m: loop.call(self._take_state, m), qos.STATE
            )

    def _take_state(self, message: ModuleState) -> None:
        known = self._states.get(message.module)
        self._states[message.module] = (time.monotonic(), message)
        self._heard[message.module].set()
        was_held = known is not None and known[1].state == ServiceState.HELD
        if message.state == ServiceState.HELD and not was_held:
            self._on_held(message.module, message.last_error)

    @property
    def names(self) -> tuple[str, ...]:
        """Modules that there are."""
        return tuple(self._commands)

    def outboxes_pending(self) -> int:
        """Return how many events the modules still have to hand to the recorder, by their last heartbeats."""
        return sum(message.outbox_pending for _, message in self._states.values())

    def state_age_s(self, module: str) -> float:
        """Return the steady time [s] since a module was last heard."""
        return time.monotonic() - self._states[module][0] if module in self._states else float("inf")

    async def run_phase(
        self,
        module: str,
        action: str,
        goal: Mapping[str, Any],
        header: PhaseHeader,
        goal_id: str,
        on_feedback: Callable[[float, str], None],
    ) -> PhaseOutcome:
        """Reset the service, send the goal, wait for its end; raises ModuleUnavailable."""
        message = fill_message(action_class(action, self._interfaces).Goal(), goal)
        message.header = header_to(header)
        # Time must not pass from the end of the last phase until this goal counts as in flight.
        self._clock.hold()
        try:
            sending = await self._send(module, action, message, goal_id, header.requested_by, on_feedback)
        finally:
            self._clock.release()
        try:
            handle = await in_loop(self._loop, sending, CALL_TIMEOUT_S, f"action {action_topic(module, action)}")
        except CallFailed as error:
            raise ModuleUnavailable(str(error)) from error
        if not handle.accepted:
            self._clock.take(module, f"end:{goal_id}")
            raise ModuleUnavailable(f"{module} did not accept {action}: its node is not configured")
        ending = await in_executor(self._node, self._loop, handle.get_result_async)
        answer = await self._or_lost(module, goal_id, ending)
        await self._catch_up_with(module, goal_id)
        self._clock.take(module, f"end:{goal_id}")
        status = _STATUS.get(answer.status)
        if status is None:
            return self._outcome(await self.recall_phase(module, goal_id))
        return PhaseOutcome(status, message_fields(answer.result))  # type: ignore[arg-type]

    async def _catch_up_with(self, module: str, goal_id: str) -> None:
        """Return when the clock shows the time at which a module ended a goal, of which the module's state tells.

        A result may be here before the grant of that time: what follows from it must not bear an earlier one.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while not self._says_ended(module, goal_id):
                    self._heard[module].clear()
                    await self._heard[module].wait()
                await self._clock.catch_up(seconds(self._states[module][1].stamp))

    def _says_ended(self, module: str, goal_id: str) -> bool:
        known = self._states.get(module)
        return known is not None and known[1].goal_id == goal_id and known[1].state in _ENDED

    async def _send(
        self,
        module: str,
        action: str,
        message: Any,
        goal_id: str,
        who: str,
        on_feedback: Callable[[float, str], None],
    ) -> Any:
        """Reset the service and send the goal; return the future of its acceptance."""
        client = await in_executor(self._node, self._loop, lambda: self._client(module, action))
        try:
            await ready(self._loop, client.server_is_ready, CALL_TIMEOUT_S, f"action {action_topic(module, action)}")
        except CallFailed as error:
            raise ModuleUnavailable(str(error)) from error
        await self.command(module, ServiceCommand.RESET, who or "coordinator", "next phase")

        def told(feedback: Any) -> None:
            self._loop.call(on_feedback, feedback.feedback.progress, feedback.feedback.step)

        self._clock.owe(module, f"goal:{goal_id}")
        return await in_executor(
            self._node,
            self._loop,
            lambda: client.send_goal_async(message, feedback_callback=told, goal_uuid=_transport_uuid()),
        )

    async def await_phase(self, module: str, goal_id: str, on_feedback: Callable[[float, str], None]) -> PhaseOutcome:
        """Ask the module again and again how a goal of an earlier life of the coordinator stands, until it ends."""
        while True:
            recall = await self.recall_phase(module, goal_id)
            if recall.status not in ("running", "held"):
                return self._outcome(recall)
            if recall.status == "held":
                return PhaseOutcome("held", {"error_msg": self._last_error(module)})
            message = self._states.get(module)
            if message is not None and message[1].goal_id == goal_id:
                on_feedback(message[1].progress, message[1].step)
            await asyncio.sleep(POLL_S)

    async def recall_phase(self, module: str, goal_id: str) -> PhaseRecall:
        """Return what the module remembers of a goal; raises ModuleUnavailable."""
        request = RecallPhase.Request(goal_id=goal_id)
        for attempt in range(1, RECALL_ATTEMPTS + 1):
            try:
                reply = await self._call(module, self._recalls, request, CALL_TIMEOUT_S / RECALL_ATTEMPTS)
                break
            except ModuleUnavailable:
                if attempt == RECALL_ATTEMPTS:
                    raise
        if reply.status in ("succeeded", "canceled", "aborted"):
            self._clock.take(module, f"end:{goal_id}")
        return PhaseRecall(
            reply.status,
            reply.action,
            json.loads(reply.goal_json),
            json.loads(reply.result_json),
            json.loads(reply.checkpoint_json),
            reply.started_s,
            reply.ended_s,
        )

    async def command(self, module: str, command: int, who: str, why: str) -> CommandReply:
        """Send an MTP command; raises ModuleUnavailable."""
        stamp = ros_time(self._clock.now_s())
        request = CommandModule.Request(command=int(command), who=who, why=why, stamp=stamp)
        reply = await self._call(module, self._commands, request)
        return CommandReply(reply.accepted, reply.state, reply.message)

    async def _call(
        self, module: str, clients: Mapping[str, Any], request: Any, timeout_s: float = CALL_TIMEOUT_S
    ) -> Any:
        if module not in clients:
            raise ModuleUnavailable(f"module {module} is not part of this workcell; there are {', '.join(clients)}")
        self._clock.hold()
        try:
            return await call(self._loop, clients[module], request, timeout_s)
        except CallFailed as error:
            raise ModuleUnavailable(str(error)) from error
        finally:
            self._clock.release()

    async def _or_lost(self, module: str, goal_id: str, future: Any) -> Any:
        """Await a result; raises ModuleUnavailable when the module falls silent, or no longer knows the goal, first."""
        begun_s = time.monotonic()
        result = asyncio.ensure_future(in_loop(self._loop, future, None, f"module {module}"))
        try:
            while True:
                done, _ = await asyncio.wait({result}, timeout=POLL_S)
                if done:
                    return result.result()
                if self.state_age_s(module) > SILENT_AFTER_S:
                    raise ModuleUnavailable(f"{module} has been silent for more than {SILENT_AFTER_S:g} s")
                if self._has_forgotten(module, goal_id, begun_s):
                    raise ModuleUnavailable(f"{module} was started again and no longer carries out the goal")
        finally:
            result.cancel()

    def _has_forgotten(self, module: str, goal_id: str, begun_s: float) -> bool:
        """Tell whether a module that took a goal at steady time `begun_s` [s] presents another one, or none, by now.

        A process that was started again at once is never silent, but the result of the goal it had never comes.
        """
        heard_s, message = self._states[module]
        return message.goal_id != goal_id and heard_s > begun_s + FORGOTTEN_AFTER_S

    def _client(self, module: str, action: str) -> ActionClient:
        key = (module, action)
        if key not in self._actions:
            kind = action_class(action, self._interfaces)
            self._actions[key] = ActionClient(self._node, kind, action_topic(module, action))
        return self._actions[key]

    def _last_error(self, module: str) -> str:
        known = self._states.get(module)
        return known[1].last_error if known else ""

    @staticmethod
    def _outcome(recall: PhaseRecall) -> PhaseOutcome:
        if recall.status in ("unknown", "interrupted"):
            raise ModuleUnavailable(f"the module lost the goal: it says {recall.status}")
        return PhaseOutcome(recall.status, dict(recall.result))


def _transport_uuid() -> UUID:
    """Return the UUID that carries a goal: fresh each time, since a server never takes one twice."""
    return UUID(uuid=list(uuid.uuid4().bytes))
