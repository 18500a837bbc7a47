# SPDX-License-Identifier: Apache-2.0
"""Base of all actions."""

from typing import TYPE_CHECKING

from .condition import Condition
from .entity import LaunchDescriptionEntity

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class Action(LaunchDescriptionEntity):
    """An intent, carried out when visited if its condition holds."""

    def __init__(self, *, condition: Condition | None = None) -> None:
        """Take the condition under which the action runs; None: always."""
        self._condition = condition

    @property
    def condition(self) -> Condition | None:
        """Return the condition under which the action runs."""
        return self._condition

    def visit(self, context: 'LaunchContext') -> list[LaunchDescriptionEntity] | None:
        """Execute the action if its condition holds, and tell when it has completed."""
        if self._condition is not None and not self._condition.evaluate(context):
            return None
        try:
            return self.execute(context)
        finally:
            self._announce_completion(context)

    def execute(self, context: 'LaunchContext') -> list[LaunchDescriptionEntity] | None:
        """Carry out the action and return the entities to visit next, if any."""
        raise NotImplementedError(f'{type(self).__name__} does not implement execute()')

    def _announce_completion(self, context: 'LaunchContext') -> None:
        from .events.execution_complete import ExecutionComplete

        event = ExecutionComplete(action=self)
        if not context.would_handle_event(event):
            return
        future = self.get_asyncio_future()
        if future is None:
            context.emit_event_sync(event)
        else:
            future.add_done_callback(lambda _future: context.emit_event_sync(event))
