# SPDX-License-Identifier: Apache-2.0
"""Spinning for days, and an end to it that always comes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

END_S = 5.0
"""Steady time [s] within which the callback that is under way is to return."""


def spin_until(told: Future, executor: SingleThreadedExecutor) -> None:
    """Spin in this thread until `told` is done, whichever thread completes it.

    `Executor.spin_until_future_complete` leaves one more callback with the future for each thing it does: those of ten
    days would fill the memory (rclpy 7.1, `spin_once_until_future_complete`).
    """
    told.add_done_callback(lambda _: executor.create_task(lambda: None))  # something to do ends the wait
    while not told.done():
        executor.spin_once()


class SpinThread:
    """Spins one node in a thread of its own.

    `Executor.shutdown` from another thread takes away the condition that wakes the spinning one, which may then wait
    for ever (rclpy 7.1). So the thread is told by a future, and the executor is shut down when it has gone.

    Args:
        node: what to spin.
        context: its context.
        name: name of the thread.
    """

    def __init__(self, node: Node, context: Context, name: str) -> None:
        self._ending: Future = Future()
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, name=name, daemon=True)

    def start(self) -> None:
        """Begin; callbacks run in the thread from now on."""
        self._thread.start()

    def call(self, function: Callable[[], Any]) -> Future:
        """Have a function called in the thread; return the future of what it returns."""
        return self._executor.create_task(function)

    def stop(self) -> None:
        """End the thread; harmless when it was never begun or has ended. The node is no longer spun.

        Raises:
            RuntimeError: a callback did not return within `END_S`.
        """
        if self._thread.is_alive():
            self._ending.set_result(None)
            self._thread.join(END_S)
            if self._thread.is_alive():
                raise RuntimeError(f"a callback of thread {self._thread.name} has not returned within {END_S:g} s")
        self._executor.shutdown()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):  # somebody else has shut the context down
            spin_until(self._ending, self._executor)
