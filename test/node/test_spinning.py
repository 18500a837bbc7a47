# SPDX-License-Identifier: Apache-2.0
"""Spinning: it ends when it is told, in the middle of messages too, and leaves nothing behind for each of them."""

import threading

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

from mimedi_nodes.nodes.frame.spinning import SpinThread, spin_until

DEADLINE_S = 30.0


class Counting(Future):
    """A future that counts who waits for it."""

    waiting = 0

    def add_done_callback(self, callback):
        """Count, and add."""
        self.waiting += 1
        super().add_done_callback(callback)


class Busy:
    """A node that is busy at every instant, and tells when it has been so `times` times."""

    def __init__(self, context, times):
        self.enough = threading.Event()
        self._left = times
        self.node = Node("busy", context=context, enable_rosout=False, start_parameter_services=False)
        self.node.create_timer(1e-5, self._work)

    def _work(self):
        self._left -= 1
        if self._left <= 0:
            self.enough.set()


@pytest.fixture
def context():
    context = Context()
    rclpy.init(args=[], context=context)
    yield context
    context.try_shutdown()


def test_a_thread_ends_at_each_of_many_instants(context):
    busy = Busy(context, 1)
    for _ in range(100):
        busy.enough.clear()
        spinning = SpinThread(busy.node, context, "busy")
        spinning.start()
        assert busy.enough.wait(DEADLINE_S), "the node was not spun"
        spinning.stop()
        assert "busy" not in {thread.name for thread in threading.enumerate()}
    busy.node.destroy_node()


def test_a_function_is_called_in_the_thread(context):
    busy, done = Busy(context, 1), threading.Event()
    spinning = SpinThread(busy.node, context, "called")
    spinning.start()
    found = spinning.call(lambda: threading.current_thread().name)
    found.add_done_callback(lambda _: done.set())
    assert done.wait(DEADLINE_S), "the function was not called"
    assert found.result() == "called"
    spinning.stop()
    busy.node.destroy_node()


def test_a_thread_that_was_never_begun_or_has_ended_is_stopped_without_harm(context):
    busy = Busy(context, 1)
    SpinThread(busy.node, context, "never").stop()
    spinning = SpinThread(busy.node, context, "twice")
    spinning.start()
    spinning.stop()
    spinning.stop()
    busy.node.destroy_node()


def test_a_context_that_somebody_else_shuts_down_ends_the_thread(context):
    busy = Busy(context, 1)
    spinning = SpinThread(busy.node, context, "left")
    spinning.start()
    context.try_shutdown()
    spinning.stop()
    assert "left" not in {thread.name for thread in threading.enumerate()}


def test_nothing_is_kept_of_what_was_done(context):
    busy, told = Busy(context, 500), Counting()
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(busy.node)
    teller = threading.Thread(target=lambda: (busy.enough.wait(DEADLINE_S), told.set_result(None)), daemon=True)
    teller.start()
    spin_until(told, executor)
    assert busy.enough.is_set()
    assert told.waiting == 1
    executor.shutdown()
    busy.node.destroy_node()
