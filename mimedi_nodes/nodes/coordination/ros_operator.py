# SPDX-License-Identifier: Apache-2.0
"""Questions to people over ROS: a latched prompt, answered by a service; a script's answers are shown as well."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rclpy.node import Node

from mimedi_msgs.msg import Prompt
from mimedi_msgs.srv import AnswerPrompt

from ...process.gateway import Answer, OperatorGateway, Question
from ..frame import qos
from ..frame.clocks import NodeClock
from ..frame.conversion import ros_time
from ..frame.doorkeeper import Doorkeeper, NotAllowed
from ..frame.event_loop import LoopThread


class RosOperator:
    """An OperatorGateway: publishes each question on `~/prompt` and takes its answer by `~/answer_prompt`.

    Args:
        script: answers in the people's place when there is one; its answers are marked as simulated.
        doorkeeper: tells who answers.
    """

    def __init__(
        self,
        node: Node,
        loop: LoopThread,
        clock: NodeClock,
        script: OperatorGateway | None = None,
        doorkeeper: Doorkeeper | None = None,
    ) -> None:
        self._doorkeeper = doorkeeper or Doorkeeper(None)
        self._loop = loop
        self._clock = clock
        self._script = script
        self._open: dict[tuple[str, str], tuple[Question, asyncio.Future[Answer]]] = {}
        self._publisher = node.create_publisher(Prompt, "~/prompt", qos.STATE)
        self._service = node.create_service(AnswerPrompt, "~/answer_prompt", self._on_answer)

    async def ask(self, question: Question) -> Answer:
        """Return the answer; waits as long as it takes."""
        self._publish(question)
        if self._script is not None:
            answer = await self._script.ask(question)
        else:
            waiting: asyncio.Future[Answer] = self._loop.loop.create_future()
            key = (question.batch_id, question.prompt_id)
            self._open[key] = (question, waiting)
            self._clock.ask("/".join(key))
            try:
                answer = await waiting
            finally:
                self._open.pop(key, None)
                self._clock.answered("/".join(key))
                if waiting.done() and not waiting.cancelled():
                    self._publish(question, waiting.result())
                # After it: the last word on the topic is what somebody who comes later hears.
                self._show_another()
            return answer
        self._publish(question, answer)
        return answer

    def _publish(self, question: Question, answer: Answer | None = None) -> None:
        self._publisher.publish(
            Prompt(
                stamp=ros_time(self._clock.now_s()),
                batch_id=question.batch_id,
                prompt_id=question.prompt_id,
                question=question.question,
                answers=list(question.answers),
                open=answer is None,
                answer=answer.answer if answer else "",
                answered_by=answer.who if answer else "",
            )
        )

    def _show_another(self) -> None:
        """Show the oldest question that is still open: the latched topic has room for one."""
        if self._open:
            self._publish(next(iter(self._open.values()))[0])

    def _on_answer(self, request: AnswerPrompt.Request, reply: AnswerPrompt.Response) -> AnswerPrompt.Response:
        fitting = [
            known
            for (batch_id, prompt_id), known in self._open.items()
            if prompt_id == request.prompt_id and request.batch_id in ("", batch_id)
        ]
        if len(fitting) != 1:
            several = "is asked by several batches: name one" if fitting else "is not open"
            opened = ", ".join(f"{prompt_id} of {batch_id}" for batch_id, prompt_id in self._open)
            reply.message = f"question {request.prompt_id!r} {several}; open: {opened or 'none'}"
            return reply
        question, waiting = fitting[0]
        if question.answers and request.answer not in question.answers:
            reply.message = f"answer {request.answer!r} is not allowed; allowed: {', '.join(question.answers)}"
            return reply
        try:
            who = self._doorkeeper.name_of(request.who, "answer")
        except NotAllowed as error:
            reply.message = str(error)
            return reply
        answer = Answer(request.answer, who, request.why, request.simulated)
        set_result: Callable[[], object] = lambda: waiting.done() or waiting.set_result(answer)  # noqa: E731
        self._loop.call(set_result)
        reply.accepted = True
        return reply
