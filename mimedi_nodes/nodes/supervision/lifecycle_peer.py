# SPDX-License-Identifier: Apache-2.0
"""A managed node over its lifecycle services."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.client import Client
from rclpy.node import Node

from ..frame.event_loop import LoopThread
from ..frame.ros_calls import CallFailed, in_loop, ready
from .bring_up import Gone, Unanswered

_TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
}
ERROR_WAIT_S = 0.5
"""Steady time [s] for the text of an error, which comes on a topic beside the reply."""


class LifecyclePeer:
    """A Peer over ROS; all methods run in the loop.

    Args:
        node: the supervisor.
        loop: where the methods run.
        name: relative name of the managed node.
    """

    def __init__(self, node: Node, loop: LoopThread, name: str) -> None:
        self.name = name
        self._loop = loop
        self._error = ""
        self._told = asyncio.Event()
        self._get = node.create_client(GetState, f"{name}/get_state")
        self._change = node.create_client(ChangeState, f"{name}/change_state")

    def tell_error(self, error: str) -> None:
        """Take what the node said about its last failure (called in the loop)."""
        self._error = error
        self._told.set()

    def last_error(self) -> str:
        """Return what the node said about the last transition."""
        return self._error

    async def found(self, timeout_s: float) -> None:
        """Return when both services are there; raises Unanswered."""
        try:
            for client in (self._get, self._change):
                await ready(self._loop, client.service_is_ready, timeout_s, f"service {client.srv_name}")
        except CallFailed as error:
            raise Unanswered(str(error)) from error

    async def get_state(self, timeout_s: float) -> str:
        """Return the label of the state; raises Unanswered."""
        reply = await self._call(self._get, GetState.Request(), timeout_s)
        return str(reply.current_state.label)

    async def change_state(self, transition: str, timeout_s: float) -> bool:
        """Request a transition; raises Unanswered."""
        self._error = ""
        self._told.clear()
        request = ChangeState.Request(transition=Transition(id=_TRANSITIONS[transition]))
        reply = await self._call(self._change, request, timeout_s)
        if not reply.success:
            with suppress(TimeoutError):  # a node that is not ours may say nothing
                await asyncio.wait_for(self._told.wait(), ERROR_WAIT_S)
        return bool(reply.success)

    async def _call(self, client: Client, request: Any, timeout_s: float) -> Any:
        if not client.service_is_ready():
            raise Gone(f"service {client.srv_name} is not offered; is its node up?")
        future = client.call_async(request)
        try:
            return await in_loop(self._loop, future, timeout_s, f"service {client.srv_name}")
        except CallFailed as error:
            raise Unanswered(str(error)) from error
        finally:
            if not future.done():
                client.remove_pending_request(future)
