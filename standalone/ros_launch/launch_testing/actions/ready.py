# SPDX-License-Identifier: Apache-2.0
"""The action that starts the tests."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from launch.action import Action

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class ReadyToTest(Action):
    """Tells that the system is up and the active tests may start."""

    def __init__(self, **kwargs: Any) -> None:
        """Take only what every action takes."""
        super().__init__(**kwargs)
        self._callbacks: list[Callable[[], None]] = []
        self._done = False

    def _add_callback(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when the action is executed; at once if it has been."""
        self._callbacks.append(callback)
        if self._done:
            callback()

    def execute(self, context: 'LaunchContext') -> None:
        """Call the callbacks."""
        self._done = True
        for callback in self._callbacks:
            callback()
