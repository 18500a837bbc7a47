# SPDX-License-Identifier: Apache-2.0
"""What others may ask of a module: its phases as actions, commands, and what became of a goal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
from rclpy.callback_groups import CallbackGroup

from mimedi_msgs.srv import CommandModule, RecallPhase

from ...modules.module import Module
from ...modules.service.service import ModuleService
from ...process.context import PhaseHeader
from ...process.gateway import PhaseOutcome, PhaseRecall
from ...process.interfaces import Interfaces
from ...records.canonical import canonical_json
from ...records.errors import RecordError
from ..frame import qos
from ..frame.bridge import result_in_executor
from ..frame.clocks import NodeClock
from ..frame.conversion import action_class, fill_message, header_from, message_fields, seconds
from ..frame.managed_node import ManagedNode

COORDINATOR = "coordinator"


class ModuleDoors:
    """Serves the module's actions, `~/command` and `~/recall`.

    Args:
        node: the module's node.
        module: gives the phases.
        service: runs them.
        clock: a goal that the coordinator sent belongs to an instant of process time.
        interfaces: fields of the actions.
        group: for callbacks that wait.
        why_not_produce: returns why no goal is taken now; empty when goals are.
    """

    def __init__(
        self,
        node: ManagedNode,
        module: Module,
        service: ModuleService,
        clock: NodeClock,
        interfaces: Interfaces,
        group: CallbackGroup,
        why_not_produce: Callable[[], str],
    ) -> None:
        self._node, self._service, self._clock = node, service, clock
        self._interfaces, self._why_not_produce = interfaces, why_not_produce
        self._actions = [
            ActionServer(
                node,
                action_class(phase.action, interfaces),
                f"~/{interfaces.action(phase.action).snake_name}",
                execute_callback=partial(self._execute, phase.action),
                goal_callback=lambda goal: GoalResponse.ACCEPT,
                cancel_callback=self._cancel,
                result_timeout=qos.RESULT_TIMEOUT_S,
            )
            for phase in module.phases
        ]
        self._services = [
            node.create_service(CommandModule, "~/command", self._on_command, callback_group=group),
            node.create_service(RecallPhase, "~/recall", self._on_recall, callback_group=group),
        ]

    def close(self) -> None:
        """Take no more questions."""
        for service in self._services:
            self._node.destroy_service(service)
        for action in self._actions:
            action.destroy()

    async def _execute(self, action: str, handle: ServerGoalHandle) -> Any:
        values = message_fields(handle.request)
        header = header_from(handle.request.header)
        values.pop("header")
        feedback = action_class(action, self._interfaces).Feedback

        def tell(progress: float, step: str) -> None:
            if handle.is_active:
                handle.publish_feedback(feedback(progress=progress, step=step))

        goal_id = header.goal_id or bytes(handle.goal_id.uuid).hex()
        running = self._run(action, values, header, goal_id, tell)
        outcome = await result_in_executor(self._node, self._node.loop, running)
        result = fill_message(action_class(action, self._interfaces).Result(), outcome.result)
        if outcome.status == "succeeded":
            handle.succeed()
        elif outcome.status == "canceled" and handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        return result

    async def _run(
        self,
        action: str,
        values: Mapping[str, Any],
        header: PhaseHeader,
        goal_id: str,
        tell: Callable[[float, str], None],
    ) -> PhaseOutcome:
        counted = header.goal_id != ""  # chosen by the coordinator; a goal sent by hand leaves it empty
        await self._clock.ready()  # a node that was started again may be asked before it has been told the time
        if counted:
            self._clock.take(COORDINATOR, f"goal:{goal_id}")
        try:
            if why := self._why_not_produce():
                return self._service.refused(action, why)
            return await self._service.run(action, values, header, goal_id, tell)
        finally:
            if counted:
                self._clock.owe(COORDINATOR, f"end:{goal_id}")

    def _cancel(self, handle: ServerGoalHandle) -> CancelResponse:
        self._node.loop.submit(self._service.command(8, "action client", "the goal was cancelled"))
        return CancelResponse.ACCEPT

    async def _on_command(self, request: CommandModule.Request, reply: CommandModule.Response) -> Any:
        answer = await result_in_executor(self._node, self._node.loop, self._commanded(request))
        reply.accepted, reply.state, reply.message = answer.accepted, answer.state, answer.message
        return reply

    async def _commanded(self, request: CommandModule.Request) -> Any:
        await self._clock.settle()
        await self._clock.catch_up(seconds(request.stamp))
        return await self._service.command(request.command, request.who, request.why)

    async def _on_recall(self, request: RecallPhase.Request, reply: RecallPhase.Response) -> Any:
        known: PhaseRecall | None = None
        while known is None:
            try:
                known = self._service.recall(request.goal_id)
            except RecordError as error:  # no answer until it can be read: "unknown" would start the goal again
                self._node.get_logger().error(f"nothing can be told of goal {request.goal_id}: {error}")
                await result_in_executor(self._node, self._node.loop, asyncio.sleep(1.0))
        reply.status, reply.action = known.status, known.action
        reply.goal_json, reply.result_json = canonical_json(known.goal), canonical_json(known.result)
        reply.checkpoint_json = canonical_json(known.checkpoint)
        reply.started_s, reply.ended_s = known.started_s, known.ended_s
        return reply
