# SPDX-License-Identifier: Apache-2.0
"""Service calls out of the phases' loop: a reply that never comes, and a request that is sent again."""

import asyncio
import gc
import threading
from types import SimpleNamespace

import pytest
import rclpy
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.executors import MultiThreadedExecutor
from rclpy.node import Node
from spinning import spinning
from std_srvs.srv import SetBool

from mimedi_nodes.nodes.frame.bridge import result_in_executor
from mimedi_nodes.nodes.frame.event_loop import LoopThread
from mimedi_nodes.nodes.frame.ros_calls import CallFailed, call

pytestmark = pytest.mark.ros
DEADLINE_S = 20.0


@pytest.fixture
def silent_first():
    """A service whose first reply does not come before the test has ended; the others come at once."""
    context = Context()
    rclpy.init(args=[], context=context)
    node, ended, asked = Node("switch", context=context), threading.Event(), []

    def answer(request, reply):
        asked.append(request.data)
        if len(asked) == 1:
            assert ended.wait(3.0 * DEADLINE_S)
        reply.success = True
        return reply

    group = ReentrantCallbackGroup()
    node.create_service(SetBool, "switch/set", answer, callback_group=group)
    client = node.create_client(SetBool, "switch/set", callback_group=group)
    executor = MultiThreadedExecutor(3, context=context)
    executor.add_node(node)
    loop = LoopThread("caller")
    with spinning(executor):
        yield SimpleNamespace(loop=loop, client=client, asked=asked)
        ended.set()
        loop.stop()
        rclpy.shutdown(context=context)
    node.destroy_node()


def test_a_harmless_request_is_sent_again_until_it_is_answered(silent_first):
    asking = call(silent_first.loop, silent_first.client, SetBool.Request(data=True), DEADLINE_S, repeat_s=0.3)
    assert silent_first.loop.submit(asking).result(DEADLINE_S).success
    assert silent_first.asked == [True, True]


def test_any_other_request_is_sent_once_and_the_silence_is_told(silent_first):
    asking = call(silent_first.loop, silent_first.client, SetBool.Request(data=True), 1.0)
    with pytest.raises(CallFailed, match=r"service \S*switch/set did not answer within 1 s"):
        silent_first.loop.submit(asking).result(DEADLINE_S)
    assert silent_first.asked == [True]


@pytest.mark.parametrize("resumed", [True, False])
def test_who_waits_for_the_loop_hears_of_its_end_and_nobody_else(resumed, capsys):
    """At a shutdown the executor may have stopped: what it would have resumed was printed as an error forgotten."""
    loop = LoopThread("phases")
    waiting = result_in_executor(SimpleNamespace(executor=None), loop, asyncio.sleep(3.0 * DEADLINE_S))
    waiting.send(None)
    loop.stop()
    if resumed:
        with pytest.raises(RuntimeError, match="shutting down"):
            waiting.send(None)
    waiting.close()
    del waiting
    gc.collect()
    assert capsys.readouterr().err == ""
