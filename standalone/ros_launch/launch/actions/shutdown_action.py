# SPDX-License-Identifier: Apache-2.0
"""The end of the launch, asked for by a launch file."""

from typing import TYPE_CHECKING, Any

from ..events.process import ProcessExited
from ..events.shutdown import Shutdown as ShutdownEvent
from ..logging import get_logger
from .simple import EmitEvent

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


class Shutdown(EmitEvent):
    """Ends the launched system; as `on_exit` of a process it makes that process required."""

    def __init__(self, *, reason: str = 'reason not given', **kwargs: Any) -> None:
        """Take why."""
        super().__init__(event=ShutdownEvent(reason=reason, due_to_sigint=False), **kwargs)

    def execute(self, context: 'LaunchContext') -> None:
        """Emit the event; name the process whose end is the cause."""
        event = context.get_locals_as_dict().get('event')
        if isinstance(event, ProcessExited):
            get_logger('launch').info(
                f'process[{event.process_name}] was required: shutting down launched system'
            )
            if event.returncode != 0 and not context.is_shutdown:
                context.required_process_failed = True
        super().execute(context)
