# SPDX-License-Identifier: Apache-2.0
"""An executor that works in a thread of its own while a test looks."""

import contextlib
import threading
from collections.abc import Iterator

from rclpy.executors import Executor, ExternalShutdownException

END_S = 10.0
"""Longest wait for the thread to end [s]."""


@contextlib.contextmanager
def spinning(executor: Executor) -> Iterator[None]:
    """Spin until the block has ended; its context must be shut down by then, or the executor is."""

    def spin() -> None:
        try:
            executor.spin()
        except ExternalShutdownException:
            return  # the test has ended

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    try:
        yield
    finally:
        executor.shutdown()
        thread.join(END_S)
