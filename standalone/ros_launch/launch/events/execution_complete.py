# SPDX-License-Identifier: Apache-2.0
"""An action has completed."""

from typing import TYPE_CHECKING

from ..event import Event

if TYPE_CHECKING:
    from ..action import Action


class ExecutionComplete(Event):
    """Emitted when an action, with what it started, has ended."""

    name = 'launch.events.ExecutionComplete'

    def __init__(self, *, action: 'Action') -> None:
        """Take the action."""
        self.action = action
