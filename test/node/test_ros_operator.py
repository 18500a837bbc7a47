# SPDX-License-Identifier: Apache-2.0
"""Questions of several batches on one topic: each is heard to its end, and a late listener hears an open one."""

import os
import threading
from types import SimpleNamespace

import domain_coordinator
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from mimedi_msgs.msg import Prompt
from mimedi_msgs.srv import AnswerPrompt
from mimedi_nodes.nodes.coordination.ros_operator import RosOperator
from mimedi_nodes.nodes.frame import qos
from mimedi_nodes.nodes.frame.event_loop import LoopThread
from mimedi_nodes.process.gateway import Question

pytestmark = pytest.mark.ros
DEADLINE_S = 20.0


class Listener:
    """Hears the questions, in a node of its own."""

    def __init__(self, context):
        self.node = Node(f"listener_{id(self)}", context=context)
        self.heard, self.news = [], threading.Condition()
        self.node.create_subscription(Prompt, "coordinator/prompt", self._take, qos.QUESTION)

    def _take(self, prompt):
        with self.news:
            self.heard.append((prompt.batch_id, prompt.open))
            self.news.notify_all()

    def until(self, seen):
        with self.news:
            assert self.news.wait_for(lambda: seen(self.heard), DEADLINE_S), self.heard


@pytest.fixture
def asking(monkeypatch):
    with domain_coordinator.domain_id() as number:
        monkeypatch.setitem(os.environ, "ROS_DOMAIN_ID", str(number))
        context = Context()
        rclpy.init(args=[], context=context)
        executor = SingleThreadedExecutor(context=context)
        node, loop = Node("coordinator", context=context), LoopThread("coordinator")
        clock = SimpleNamespace(now_s=lambda: 1.0, ask=lambda key: None, answered=lambda key: None)
        operator = RosOperator(node, loop, clock)

        def spin():
            try:
                executor.spin()
            except ExternalShutdownException:
                return  # the test has ended

        executor.add_node(node)
        thread = threading.Thread(target=spin, daemon=True)
        thread.start()

        def listen():
            listener = Listener(context)
            executor.add_node(listener.node)
            return listener

        yield SimpleNamespace(operator=operator, loop=loop, listen=listen)
        loop.stop()
        rclpy.shutdown(context=context)
        thread.join(10.0)


def test_an_answer_closes_its_question_and_leaves_the_other_one_to_whoever_comes_later(asking):
    early = asking.listen()
    waiting = {}
    for batch_id in ("B1", "B2"):
        waiting[batch_id] = asking.loop.submit(asking.operator.ask(Question("p", batch_id, "Go on?", ("Yes",))))
        early.until(lambda heard, batch_id=batch_id: (batch_id, True) in heard)
    request = AnswerPrompt.Request(prompt_id="p", batch_id="B1", answer="Yes", who="A. Martin", why="looked")
    assert asking.operator._on_answer(request, AnswerPrompt.Response()).accepted
    assert waiting["B1"].result(DEADLINE_S).who == "A. Martin"
    # Closed before the other one is told of again: both words follow each other at once, and both are heard.
    early.until(lambda heard: ("B1", False) in heard and heard[-1] == ("B2", True))
    late = asking.listen()
    late.until(lambda heard: heard == [("B2", True)])
    assert not waiting["B2"].done()
