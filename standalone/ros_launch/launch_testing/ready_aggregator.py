# SPDX-License-Identifier: Apache-2.0
"""One call out of several."""

from collections.abc import Callable


class ReadyAggregator:
    """Calls a function once, when `ready` has been called as often as wanted."""

    def __init__(self, ready_fn: Callable[[], None], count: int) -> None:
        """Take the function and the number of calls."""
        self._ready_fn = ready_fn
        self._left = count

    def ready(self) -> None:
        """Count one call."""
        self._left -= 1
        if self._left == 0:
            self._ready_fn()

    ready_fn = ready
