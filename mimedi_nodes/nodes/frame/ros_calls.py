# SPDX-License-Identifier: Apache-2.0
"""Service calls from the phases' loop: awaited, with deadlines on the steady clock, never blocking a thread."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, TypeVar

from rclpy.client import Client
from rclpy.node import Node
from rclpy.task import Future

from .event_loop import LoopThread

T = TypeVar("T")


class CallFailed(Exception):
    """A service is not there or did not answer in time; names it."""


async def in_loop(loop: LoopThread, future: Future, timeout_s: float | None, what: str) -> Any:
    """Await an rclpy future in the phases' loop; raises CallFailed after `timeout_s` [s], None waits for ever."""
    waiting: asyncio.Future[Any] = loop.loop.create_future()

    def finish(finished: Future) -> None:
        def set_result() -> None:
            if not waiting.done():
                error = finished.exception()
                if error is not None:
                    waiting.set_exception(error)
                else:
                    waiting.set_result(finished.result())

        loop.call(set_result)

    future.add_done_callback(finish)
    try:
        return await asyncio.wait_for(waiting, timeout_s)
    except TimeoutError as error:
        raise CallFailed(f"{what} did not answer within {timeout_s:g} s") from error


async def call(
    loop: LoopThread, client: Client, request: Any, timeout_s: float = 10.0, *, repeat_s: float = math.inf
) -> Any:
    """Call a service and return its reply; waits for the service first.

    Args:
        repeat_s: steady time [s] after which an unanswered request is sent again; only for requests that may arrive
            twice without harm. The first reply of a service that has just been discovered may be lost: its writer
            need not know our reader yet.

    Raises:
        CallFailed: the service is not offered, or does not answer, within `timeout_s` [s] of steady time.
    """
    await ready(loop, client.service_is_ready, timeout_s, f"service {client.srv_name}")
    end_s = loop.loop.time() + timeout_s
    while True:
        future = client.call_async(request)
        left_s = end_s - loop.loop.time()
        try:
            return await in_loop(loop, future, min(repeat_s, left_s), f"service {client.srv_name}")
        except CallFailed as error:
            client.remove_pending_request(future)
            if repeat_s >= left_s:
                raise CallFailed(f"service {client.srv_name} did not answer within {timeout_s:g} s") from error


async def in_executor(node: Node, loop: LoopThread, act: Callable[[], T]) -> T:
    """Return `act()`, called in the executor's thread.

    An ActionClient may only be used there: it keeps no lock, and loses a reply that arrives while another thread is
    still noting the request (rclpy 7.1).
    """
    waiting: asyncio.Future[T] = loop.loop.create_future()

    def run() -> None:
        try:
            result = act()
        except Exception as error:  # noqa: BLE001 - handed on to the caller, whatever it is
            loop.call(_fail, waiting, error)
        else:
            loop.call(_succeed, waiting, result)

    assert node.executor is not None
    node.executor.create_task(run)
    return await waiting


def _succeed(waiting: asyncio.Future[T], result: T) -> None:
    if not waiting.done():
        waiting.set_result(result)


def _fail(waiting: asyncio.Future[T], error: Exception) -> None:
    if not waiting.done():
        waiting.set_exception(error)


async def ready(loop: LoopThread, is_ready: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Return when `is_ready()`: discovery gives no event to wait for, so it is asked 20 times a second.

    Raises:
        CallFailed: not within `timeout_s` [s] of steady time.
    """
    deadline_s = loop.loop.time() + timeout_s
    while not is_ready():
        if loop.loop.time() > deadline_s:
            raise CallFailed(f"{what} is not offered by anybody (waited {timeout_s:g} s); is its node up?")
        await asyncio.sleep(0.05)
