# SPDX-License-Identifier: Apache-2.0
"""A ROS node with managed states."""

from typing import TYPE_CHECKING, Any

from launch.entity import LaunchDescriptionEntity
from launch.event import Event
from launch.event_handler import FunctionHandler
from launch.some_substitutions_type import SomeSubstitutionsType

from ..events.lifecycle import ChangeState
from ..lifecycle_client import LifecycleClient
from .node import Node

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class LifecycleNode(Node):
    """Runs a lifecycle node, tells its transitions as events and carries out ChangeState."""

    def __init__(self, *, name: SomeSubstitutionsType, namespace: SomeSubstitutionsType, **kwargs: Any) -> None:
        """Take the node's name and namespace, needed to find its services; the rest as for Node."""
        super().__init__(name=name, namespace=namespace, **kwargs)
        self._client: LifecycleClient | None = None

    def execute(self, context: 'LaunchContext') -> list[LaunchDescriptionEntity] | None:
        """Start the node and the client for its services."""
        result = super().execute(context)
        if context.is_shutdown:
            return result
        client = LifecycleClient(self, context)
        handler = FunctionHandler(
            self._on_change_state,
            lambda event: isinstance(event, ChangeState) and bool(event.lifecycle_node_matcher(self)),
        )
        self._client = client
        context.register_event_handler(handler)
        completed = self.get_asyncio_future()
        assert completed is not None

        def leave(_future: object) -> None:
            client.close()
            context.unregister_event_handler(handler)

        completed.add_done_callback(leave)
        return result

    def _on_change_state(self, event: Event, context: 'LaunchContext') -> None:
        assert isinstance(event, ChangeState)
        assert self._client is not None
        self._client.request(event.transition_id)
