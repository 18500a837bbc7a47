# SPDX-License-Identifier: Apache-2.0
"""Base of the conditions that decide whether an action runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .launch_context import LaunchContext


class Condition:
    """A yes or no that is worked out when the action is visited."""

    def __init__(self, *, predicate: Callable[['LaunchContext'], bool] | None = None) -> None:
        """Take the function that decides."""
        self._predicate = predicate
        self._last: bool | None = None

    def evaluate(self, context: 'LaunchContext') -> bool:
        """Return whether the condition holds now."""
        self._last = self._predicate(context) if self._predicate is not None else True
        return self._last
