# SPDX-License-Identifier: Apache-2.0
"""What keeps a launch running although it has nothing to do."""

import asyncio
from typing import TYPE_CHECKING, Any, Optional

from launch.action import Action
from launch.event_handlers import OnShutdown

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class KeepAliveProc(Action):
    """Lasts until the launch is shut down, without a process of its own."""

    def __init__(self, **kwargs: Any) -> None:
        """Take only what every action takes."""
        super().__init__(**kwargs)
        self._future: asyncio.Future[None] | None = None

    def get_asyncio_future(self) -> Optional['asyncio.Future[None]']:
        """Return the future of the shutdown."""
        return self._future

    def execute(self, context: 'LaunchContext') -> None:
        """Start to last."""
        future: asyncio.Future[None] = context.asyncio_loop.create_future()
        self._future = future

        def end(_event: object, _context: object) -> None:
            if not future.done():
                future.set_result(None)

        context.register_event_handler(OnShutdown(on_shutdown=end))
