# SPDX-License-Identifier: Apache-2.0
"""What launch asks of, and hears from, one lifecycle node."""

import asyncio
import os
from typing import TYPE_CHECKING, Any

from launch.logging import get_logger
from launch.process_groups import ProcessGroups

from .events.lifecycle import ChangeState, StateTransition
from .ros_adapters import get_ros_node

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext

    from .actions.lifecycle_node import LifecycleNode

# Seconds between looks at the ROS graph while a transition waits for its node; rclpy tells no graph events.
DISCOVERY_PERIOD_S = 0.05


class LifecycleClient:
    """Subscribed to a node's transitions; requests transitions one after the other."""

    def __init__(self, action: 'LifecycleNode', context: 'LaunchContext') -> None:
        """Start to listen, as soon as the launcher's own node is there."""
        self._action = action
        self._context = context
        self._loop = context.asyncio_loop
        self._name = action.node_name
        self._logger = get_logger('launch_ros')
        self._requests: asyncio.Queue[int] = asyncio.Queue()
        self._task = self._loop.create_task(self._serve())

    def request(self, transition_id: int) -> None:
        """Queue a transition."""
        self._requests.put_nowait(transition_id)

    def close(self) -> None:
        """Give up what is queued: the node has ended."""
        self._task.cancel()

    async def _serve(self) -> None:
        try:
            node = await get_ros_node(self._context)
        except Exception as error:  # noqa: BLE001 - whatever keeps rclpy from starting
            self._logger.error(f"no transitions for LifecycleNode '{self._name}': rclpy does not start: {error!r}")
            return
        ProcessGroups.of(self._context).remember_segments(os.getpid())
        from lifecycle_msgs.msg import TransitionEvent
        from lifecycle_msgs.srv import ChangeState as ChangeStateService
        from lifecycle_msgs.srv import GetAvailableTransitions

        # The subscription comes first: once a service has answered, the node has seen what was announced
        # before that service's client, so no transition is missed.
        subscription = node.create_subscription(
            TransitionEvent, f'{self._name}/transition_event', self._on_transition, 10
        )
        change_state = node.create_client(ChangeStateService, f'{self._name}/change_state')
        transitions = node.create_client(GetAvailableTransitions, f'{self._name}/get_available_transitions')
        try:
            while True:
                transition_id = await self._requests.get()
                # Asked first: an rclpy node dies of a transition that its state does not have.
                answer = await self._call(transitions, GetAvailableTransitions.Request())
                available = {item.transition.id: item.transition.label for item in answer.available_transitions}
                if transition_id in available:
                    request = ChangeStateService.Request()
                    request.transition.id = transition_id
                    if (await self._call(change_state, request)).success:
                        continue
                self._logger.error(
                    f"Failed to make transition '{ChangeState.valid_transitions[transition_id]}' for "
                    f"LifecycleNode '{self._name}'; available were {sorted(available.values())}"
                )
        finally:
            node.destroy_subscription(subscription)
            node.destroy_client(change_state)
            node.destroy_client(transitions)

    async def _call(self, client: Any, request: Any) -> Any:
        while not client.service_is_ready():  # noqa: ASYNC110 - rclpy offers no event for it
            await asyncio.sleep(DISCOVERY_PERIOD_S)
        answered = self._loop.create_future()

        def settle(future: Any) -> None:
            if not answered.done():
                answered.set_result(future.result())

        client.call_async(request).add_done_callback(
            lambda future: self._loop.call_soon_threadsafe(settle, future)
        )
        return await answered

    def _on_transition(self, message: Any) -> None:
        """Called in rclpy's thread."""
        self._context.emit_event_sync(StateTransition(action=self._action, msg=message))
