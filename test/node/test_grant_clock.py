# SPDX-License-Identifier: Apache-2.0
"""Simulated time in a node: a message that comes before the grant it followed from waits for it, but not for long."""

import queue
import time

import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from spinning import spinning

from mimedi_msgs.msg import TimeGrant, TimeRequest
from mimedi_nodes.nodes.frame import qos
from mimedi_nodes.nodes.frame.clocks import CATCH_UP_S, GrantClock
from mimedi_nodes.nodes.frame.event_loop import LoopThread

pytestmark = pytest.mark.ros
DEADLINE_S = 20.0


@pytest.fixture
def module():
    """A node with its clock, and who grants it time."""
    context = Context()
    rclpy.init(args=[], context=context)
    node, loop = Node("module", context=context), LoopThread("module")
    clock = GrantClock(node, loop, "module")
    grants = node.create_publisher(TimeGrant, "sim/time_grant", qos.TIME)
    heard = queue.Queue()
    node.create_subscription(TimeRequest, "sim/time_request", heard.put, qos.EVENT)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)

    def grant(number, time_s, lost=()):
        grants.publish(TimeGrant(number=number, time_s=time_s, lost=list(lost)))
        loop.submit(clock.ready()).result(DEADLINE_S)

    with spinning(executor):
        grant(1, 10.0)
        yield clock, loop, grant, heard
        loop.stop()
    node.destroy_node()
    context.try_shutdown()


def test_what_follows_from_a_grant_waits_for_it(module):
    clock, loop, grant, _ = module
    come = loop.submit(clock.catch_up(20.0))
    grant(2, 20.0)
    come.result(DEADLINE_S)
    assert clock.now_s() == 20.0


def test_what_was_seen_already_waits_for_nothing_and_a_grant_that_never_comes_holds_nobody_up(module):
    clock, loop, _, _ = module
    begun_s = time.monotonic()
    loop.submit(clock.catch_up(10.0)).result(DEADLINE_S)
    assert clock.now_s() == 10.0
    loop.submit(clock.catch_up(1e9)).result(DEADLINE_S)
    assert time.monotonic() - begun_s >= CATCH_UP_S
    assert clock.now_s() == 10.0


def test_who_was_not_heard_of_answers_again(module):
    _, _, grant, heard = module
    grant(2, 20.0)
    while heard.get(timeout=DEADLINE_S).grant < 2:
        pass
    grant(2, 20.0, ["another"])
    grant(2, 20.0, ["module"])
    again = heard.get(timeout=DEADLINE_S)
    assert (again.participant, again.grant) == ("module", 2)
    grant(3, 30.0)
    assert heard.get(timeout=DEADLINE_S).grant == 3, "answered for another one, too"


def test_who_is_called_from_outside_asks_what_time_it_is_and_keeps_it_from_passing(module):
    clock, loop, grant, heard = module
    grant(2, 20.0)
    while heard.get(timeout=DEADLINE_S).grant < 2:
        pass
    settled = loop.submit(clock.settle())
    asked = heard.get(timeout=DEADLINE_S)
    assert (asked.grant, asked.busy) == (2, True)
    grant(3, 500.0)  # on its way while the node was called
    settled.result(DEADLINE_S)
    assert clock.now_s() == 500.0
    answered = heard.get(timeout=DEADLINE_S)
    assert (answered.grant, answered.busy) == (3, False)
    settled = loop.submit(clock.settle())
    assert heard.get(timeout=DEADLINE_S).busy
    grant(3, 500.0)  # nothing newer
    settled.result(DEADLINE_S)
    assert not heard.get(timeout=DEADLINE_S).busy, "idle again is not told"
