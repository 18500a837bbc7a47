# SPDX-License-Identifier: Apache-2.0
"""Events by which launch drives itself."""

from typing import TYPE_CHECKING

from ..event import Event

if TYPE_CHECKING:
    from ..actions.timer_action import TimerAction
    from ..launch_description import LaunchDescription


class IncludeLaunchDescription(Event):
    """Asks the launch service to visit a description."""

    name = 'launch.events.IncludeLaunchDescription'

    def __init__(self, launch_description: 'LaunchDescription') -> None:
        """Take the description."""
        self.launch_description = launch_description


class TimerEvent(Event):
    """A TimerAction's period has passed."""

    name = 'launch.events.TimerEvent'

    def __init__(self, *, timer_action: 'TimerAction') -> None:
        """Take the timer."""
        self.timer_action = timer_action
