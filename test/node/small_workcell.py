# SPDX-License-Identifier: Apache-2.0
"""A small workcell of publishers and services, for windows and commands that are tried on a real graph."""

import threading

import rclpy
from builtin_interfaces.msg import Time
from rclpy.node import Node
from sensor_msgs.msg import Image

from mimedi_msgs.msg import AlarmList, BatchStatus, ModuleState, PopulationSummary, Prompt, Telemetry
from mimedi_msgs.srv import AcknowledgeAlarm, AnswerPrompt, CommandBatch
from mimedi_nodes.modules.registry import module_table
from mimedi_nodes.nodes.frame import qos
from mimedi_nodes.nodes.frame.spinning import SpinThread

NAMESPACE = "cell_a"
MODULES = tuple(module_table())
DEADLINE_S = 20.0


class SmallWorkcell:
    """Publishes and answers what coordinator, supervisor and modules would, from a thread of its own."""

    def __init__(self, namespace=NAMESPACE):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, args=[])
        self.node = Node("small_workcell", namespace=namespace, context=self.context)
        self.asked = []
        self.named = []
        self.answer_at_all = threading.Event()
        self.answer_at_all.set()
        self.state = {m: self.node.create_publisher(ModuleState, f"{m}/state", qos.STATE) for m in MODULES}
        self.telemetry = self.node.create_publisher(Telemetry, "incubator/telemetry", qos.TELEMETRY)
        self.results = self.node.create_publisher(Telemetry, "vision_qc/telemetry", qos.TELEMETRY)
        self.population = self.node.create_publisher(PopulationSummary, "vision_qc/population", qos.TELEMETRY)
        self.image = self.node.create_publisher(Image, "vision_qc/annotated", qos.IMAGE)
        self.batch = self.node.create_publisher(BatchStatus, "coordinator/batch_status", qos.STATE)
        self.batches = self.node.create_publisher(BatchStatus, "coordinator/batches", qos.EVENT)
        self.standing = {}
        self.node.create_timer(0.3, self._repeat)
        self.alarms = self.node.create_publisher(AlarmList, "alarms", qos.STATE)
        self.prompt = self.node.create_publisher(Prompt, "coordinator/prompt", qos.STATE)
        self.node.create_service(CommandBatch, "coordinator/command_batch", self._on_command)
        self.node.create_service(AnswerPrompt, "coordinator/answer_prompt", self._on_answer)
        self.node.create_service(AcknowledgeAlarm, "supervisor/acknowledge_alarm", self._on_alarm)
        self.spinning = SpinThread(self.node, self.context, "small-workcell")
        self.spinning.start()

    def _on_command(self, request, reply):
        self.answer_at_all.wait(DEADLINE_S)
        self.asked.append((request.command, request.who, request.why))
        self.named.append(request.batch_id)
        reply.accepted, reply.state = True, "holding"
        self.publish_batch(batch_id=request.batch_id or "B1", state="held", hold_reason=request.why)
        return reply

    def _on_answer(self, request, reply):
        self.asked.append((request.prompt_id, request.answer, request.who, request.simulated))
        self.named.append(request.batch_id)
        reply.accepted = True
        asking = request.batch_id or "B1"
        self.prompt.publish(Prompt(batch_id=asking, prompt_id=request.prompt_id, open=False, answer=request.answer))
        return reply

    def _on_alarm(self, request, reply):
        self.asked.append((request.alarm_id, request.act, request.who))
        reply.accepted, reply.message = False, "the cause is still there"
        return reply

    def publish_batch(self, **changes):
        fields = {"batch_id": "B1", "state": "running", "process_day": 6.42, "progress": 0.64, "viable_cells": 2.31e9}
        status = BatchStatus(stamp=Time(sec=554688), **(fields | changes))
        self.standing[status.batch_id] = status
        if status.batch_id == next(iter(self.standing)):
            self.batch.publish(status)
        self.batches.publish(status)

    def _repeat(self):
        """Tell of every batch again, as the coordinator does once a second."""
        for status in list(self.standing.values()):
            self.batches.publish(status)

    def close(self):
        self.answer_at_all.set()
        self.spinning.stop()
        self.node.destroy_node()
        self.context.try_shutdown()
        self.context.destroy()
