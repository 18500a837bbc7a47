# SPDX-License-Identifier: Apache-2.0
"""Looks at a node's own files all the time: a culture writes twice an hour, and its file may be lost between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from ...records.errors import RecordError

PERIOD_S = 1.0


class Checked(Protocol):
    """Something on disk that can tell whether it still is."""

    def check(self) -> None:
        """Raise RecordError when it was cut, removed or replaced."""
        ...


class StorageWatch:
    """Checks files every second of steady time, in the executor's thread.

    Args:
        node: whose files they are.
        files: what to look at.
        failed: told of each failure; again and again as long as it lasts.
    """

    def __init__(self, node: Node, files: Sequence[Checked], failed: Callable[[RecordError], object]) -> None:
        self._node, self._files, self._failed = node, files, failed
        self._timer = node.create_timer(PERIOD_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _look(self) -> None:
        for file in self._files:
            try:
                file.check()
            except RecordError as error:
                self._failed(error)

    def close(self) -> None:
        """Look no longer."""
        self._node.destroy_timer(self._timer)
