# SPDX-License-Identifier: Apache-2.0
"""The launch is to end."""

from ..event import Event


class Shutdown(Event):
    """Asks every action to end, in order."""

    name = 'launch.events.Shutdown'

    def __init__(self, *, reason: str = 'reason not given', due_to_sigint: bool = False) -> None:
        """Take why, and whether ctrl-c is the cause."""
        self.reason = reason
        self.due_to_sigint = due_to_sigint
