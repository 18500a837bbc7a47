# SPDX-License-Identifier: Apache-2.0
"""A client of the simulated plant for commands: its clock, its faults, its truth. Nothing of production uses it."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from mimedi_msgs.msg import GroundTruth, TimeGrant
from mimedi_msgs.srv import ExchangeSet, InjectFault, SetClock

from ..frame import qos
from ..frame.bounded_end import PROCESS_END
from ..frame.spinning import SpinThread

REPLY_S = 10.0
"""Steady time [s] after which a request counts as unanswered."""


class NoPlant(RuntimeError):
    """Nobody answers as a simulated plant."""


@dataclass(frozen=True)
class Told:
    """What became of a request."""

    accepted: bool
    message: str = ""


class PlantClient:
    """Talks to the plant of a namespace; ROS runs in a thread of its own, calls here wait with deadlines."""

    def __init__(self, namespace: str) -> None:
        self.grant: TimeGrant | None = None
        self.truth: Mapping[str, Any] | None = None
        self._heard = threading.Condition()
        self._context = Context()
        rclpy.init(args=[], context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node(
            "plant_client",
            namespace=namespace or None,
            context=self._context,
            enable_rosout=False,
            start_parameter_services=False,
        )
        self._node.create_subscription(TimeGrant, "sim/time_grant", self._take_grant, qos.TIME)
        self._clock = self._node.create_client(SetClock, "sim/set_clock")
        self._exchange = self._node.create_client(ExchangeSet, "sim/exchange_set")
        self._fault = self._node.create_client(InjectFault, "sim/inject_fault")
        self._spinning = SpinThread(self._node, self._context, "ros")
        self._spinning.start()

    def close(self) -> None:
        """Leave the graph."""
        self._spinning.stop()
        PROCESS_END.leave(self._node, self._context)

    # -- clock --------------------------------------------------------------------------------------------

    def time(self, timeout_s: float) -> TimeGrant:
        """Return the last grant of time; raises NoPlant when none is heard within timeout_s [s]."""
        if not self._wait(lambda: self.grant is not None, timeout_s):
            raise NoPlant("no simulated plant answers; is a workcell up with hardware:=sim in this ROS domain?")
        assert self.grant is not None
        return self.grant

    def set_clock(self, *, speed: float = math.nan, paused: bool = False, run_until_s: float = math.nan) -> Told:
        """Set speed (NaN leaves it), pause, and the process time [s] at which time stops (NaN: none)."""
        request = SetClock.Request(speed=speed, paused=paused, run_until_s=run_until_s)
        reply = self._call(self._clock, request)
        return Told(reply.accepted, reply.message)

    def wait_time(self, time_s: float, timeout_s: float) -> bool:
        """Return whether process time has come to time_s [s] within timeout_s [s] of steady time."""
        return self._wait(lambda: self.grant is not None and self.grant.time_s >= time_s - 1e-6, timeout_s)

    # -- faults and truth ---------------------------------------------------------------------------------

    def set_fault(self, fault: str, target: str, parameters: Mapping[str, Any], *, active: bool) -> Told:
        """Put a fault in or take it away."""
        text = json.dumps(dict(parameters))
        reply = self._call(
            self._fault, InjectFault.Request(fault=fault, target=target, parameters_json=text, active=active)
        )
        return Told(reply.accepted, reply.message)

    def exchange_set(self, unit: str, batch_id: str, *, donor: str = "", seed: int = 0, product: str = "") -> Told:
        """Put the set of a batch into a unit, a new one with cells of a donor when the batch has none there yet."""
        request = ExchangeSet.Request(unit=unit, batch_id=batch_id, donor=donor, seed=seed, product=product)
        reply = self._call(self._exchange, request)
        return Told(reply.accepted, reply.message)

    def read_truth(self, timeout_s: float) -> Mapping[str, Any]:
        """Return the next truth that the plant publishes; raises NoPlant when none comes within timeout_s [s]."""
        subscription = self._node.create_subscription(GroundTruth, "sim/truth", self._take_truth, qos.TELEMETRY)
        try:
            if not self._wait(lambda: self.truth is not None, timeout_s):
                raise NoPlant("the plant publishes no truth; is a workcell up with hardware:=sim in this ROS domain?")
        finally:
            self._node.destroy_subscription(subscription)
        assert self.truth is not None
        return self.truth

    # -- inside -------------------------------------------------------------------------------------------

    def _call(self, client: Any, request: Any) -> Any:
        if not client.wait_for_service(REPLY_S):
            raise NoPlant(f"nobody offers {client.srv_name}; is a workcell up with hardware:=sim in this ROS domain?")
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        if not done.wait(REPLY_S):
            raise NoPlant(f"{client.srv_name} does not answer within {REPLY_S:g} s")
        return future.result()

    def _wait(self, enough: Callable[[], bool], timeout_s: float) -> bool:
        with self._heard:
            return self._heard.wait_for(enough, timeout_s)

    def _take_grant(self, message: TimeGrant) -> None:
        with self._heard:
            self.grant = message
            self._heard.notify_all()

    def _take_truth(self, message: GroundTruth) -> None:
        with self._heard:
            self.truth = json.loads(message.data_json)
            self._heard.notify_all()
