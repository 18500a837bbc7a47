# SPDX-License-Identifier: Apache-2.0
"""From the executor's thread to the phases' loop and back."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Coroutine
from typing import Any, TypeVar

from rclpy.node import Node
from rclpy.task import Future

from .event_loop import LoopThread

T = TypeVar("T")


async def result_in_executor(node: Node, loop: LoopThread, coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the phases' loop; await it in an executor callback without blocking the executor.

    The executor is woken by hand: one that waits does not notice a future completed by another thread.
    """
    future: Future = Future(executor=node.executor)

    def done(finished: concurrent.futures.Future[T]) -> None:
        if finished.cancelled():
            future.set_exception(RuntimeError("the node is shutting down"))
            # Whoever awaits it gets it. An executor that has stopped resumes nobody: rclpy would print it as forgotten.
            future.exception()
        elif (error := finished.exception()) is not None:
            future.set_exception(error)
        else:
            future.set_result(finished.result())
        if node.executor is not None:
            node.executor.wake()

    loop.submit(coroutine).add_done_callback(done)
    return await future  # type: ignore[no-any-return]
