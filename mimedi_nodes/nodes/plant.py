# SPDX-License-Identifier: Apache-2.0
"""The plant node: the twin behind its ptys and image topics, keeper of simulated time.

The only file of the nodes that knows the simulation; no other node can tell whether it is there.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future
from rosgraph_msgs.msg import Clock as ClockMsg
from std_srvs.srv import SetBool

from mimedi_msgs.msg import GroundTruth, TimeGrant, TimeRequest
from mimedi_msgs.srv import ExchangeSet, InjectFault, OrderTests, SetClock, SubmitLabRecord
from mimedi_sim.clock import PLANT, Grant, TimeKeeper, parse_speed, token
from mimedi_sim.laboratory.laboratory import LaboratoryError, SignedRecord
from mimedi_sim.models.donors import donor
from mimedi_sim.plant.camera_station import CameraFrame
from mimedi_sim.plant.faults import FaultError
from mimedi_sim.plant.kits import kit_of
from mimedi_sim.plant.set_exchange import ExchangeError
from mimedi_sim.plant.twin import Plant
from mimedi_sim.pty_server import PtyServer
from mimedi_sim.scenarios import find_scenario

from ..modules.site_file import load_site
from ..process.units.units import NO_UNITS, read_units, units_file
from .frame import qos
from .frame.bounded_end import PROCESS_END
from .frame.conversion import ros_time
from .frame.parameters import Parameter, declare
from .frame.running import run_node
from .plant_camera import PlantCameraTopics

PARAMETERS = (
    Parameter("site", "", "path of the site file"),
    Parameter("port_dir", "", "folder in which the ptys appear under their lines' names"),
    Parameter("seed", 1, "seed of every noise of the plant", 0, 2**31 - 1),
    Parameter("donor", "nominal", "whose cells", choices=("nominal", "healthy", "patient", "weak")),
    Parameter(
        "kit",
        "car_t_cd19",
        "materials that stand in place at the start: those of a product",
        choices=("car_t_cd19", "icasp9_dcd19", "osteoblast_graft", "bacterial_syringe"),
    ),
    Parameter("scenario", "nominal", "name of a scenario in scenario_dir, or a file (.yaml)"),
    Parameter("scenario_dir", "", "folder of the scenario files"),
    Parameter("speed", "max", "process time per wall time: max, or a factor"),
    Parameter("participants", [""], "nodes that must have registered before time runs faster than the wall clock"),
    Parameter("truth_period_s", 1.0, "steady time between two ground truths [s], when somebody listens", 0.1, 60.0),
)

CLOCK_PERIOD_S = 0.02
"""Shortest steady time between two messages on /clock [s]."""
CAMERA_USERS = {"microscope": "vision_qc", "sorter_camera": "vision_qc", "label_camera": "transfer"}
"""Node that takes the images of each camera."""
FRAME_PATIENCE_S = 5.0
"""Steady time [s] after which an image that nobody took counts as lost on the way."""
FRAME_REPEAT_S = 1.0
"""Steady time [s] after which an image that nobody took is sent again: image topics promise no delivery."""
RESEND_S = 1.0
STANDS_S = 5.0
"""Steady time [s] for which somebody keeps time from passing, from which the log says who."""


@dataclass
class _FrameUnderWay:
    """A frame on its topics, since when [s] of steady time, and when to send it again."""

    frame: CameraFrame
    topics: PlantCameraTopics
    sent_s: float
    repeat_s: float


class PlantNode(Node):
    """Serves the wires, gives out time, shows the cameras, plays the laboratory."""

    def __init__(self) -> None:
        super().__init__("plant")
        settings = declare(self, PARAMETERS)
        site = load_site(Path(settings["site"]))
        scenario = find_scenario(settings["scenario"], Path(settings["scenario_dir"]))
        who = donor(scenario.donor or settings["donor"], settings["seed"])
        self._site = site
        units_path = units_file(Path(settings["site"]))
        self._units = read_units(units_path) if units_path.is_file() else NO_UNITS
        self._sets: dict[str, str] = {}
        self._first_batch = ""
        """Whose sets are in the plant from its start: told by the first sample that goes to the laboratory."""
        self._plant = Plant(
            site, donor=who, seed=settings["seed"], scenario=scenario, kit_name=settings["kit"]
        )
        self._lock = threading.RLock()
        expected = frozenset(name for name in settings["participants"] if name)
        self._keeper = TimeKeeper(speed=parse_speed(settings["speed"]), expected=expected)
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._frames: dict[str, _FrameUnderWay] = {}
        self._undelivered: list[SignedRecord] = []
        self._submitting: Future | None = None
        self._clock_sent_s = -math.inf
        self._standing = (0, math.inf)
        self._offer(settings)
        self._ptys = PtyServer(
            Path(settings["port_dir"]), self._receive, answer_delay_s=self._plant.answer_delay_s
        )
        for line in site.instruments:
            self._ptys.plug(line)
        self._timer = self.create_timer(0.1, self._pass_time, clock=self._steady)
        self._clock_timer = self.create_timer(0.5, self._show_clock, clock=self._steady)
        self._truth_timer = self.create_timer(settings["truth_period_s"], self._publish_truth, clock=self._steady)
        self._publish_grant(self._keeper.last)
        self.get_logger().info(
            f"plant ready: {len(site.instruments)} lines in {settings['port_dir']}, donor {who.name}, "
            f"kit {settings['kit']}, "
            f"scenario {scenario.scenario}, seed {settings['seed']}, speed {settings['speed']}"
        )

    def _offer(self, settings: dict[str, Any]) -> None:
        self._grants = self.create_publisher(TimeGrant, "sim/time_grant", qos.TIME)
        self._clock = self.create_publisher(ClockMsg, "clock", qos.CLOCK)
        self._truth = self.create_publisher(GroundTruth, "sim/truth", qos.TELEMETRY)
        self._cameras = {
            "microscope": PlantCameraTopics(self, "microscope", self._site.microscope, dye=True, fluorescence=True),
            "sorter_camera": PlantCameraTopics(self, "sorter_camera", self._site.sorter_camera, dye=False),
            "label_camera": PlantCameraTopics(self, "label_camera", self._site.label_camera, dye=False),
        }
        self.create_subscription(TimeRequest, "sim/time_request", self._on_request, qos.EVENT)
        self.create_service(SetClock, "sim/set_clock", self._on_set_clock)
        self.create_service(InjectFault, "sim/inject_fault", self._on_fault)
        self.create_service(ExchangeSet, "sim/exchange_set", self._on_exchange)
        for camera in self._cameras:
            self.create_service(SetBool, f"{camera}/set_capture", partial(self._on_capture, camera))
        self.create_service(SetBool, "microscope/set_fluorescence", self._on_fluorescence)
        self.create_service(OrderTests, "laboratory/order_tests", self._on_order)
        self._submit = self.create_client(SubmitLabRecord, "coordinator/submit_lab_record")
        self._resend = self.create_timer(RESEND_S, self._deliver_results, clock=self._steady)

    # -- the wire ---------------------------------------------------------------------------------------

    def _receive(self, line: str, data: bytes) -> bytes:
        with self._lock:
            return self._plant.receive(line, data, self._keeper.last.time_s)

    # -- time -------------------------------------------------------------------------------------------

    def _on_request(self, message: TimeRequest) -> None:
        with self._lock:
            for name in message.taken:
                self._frames.pop(name, None)
            try:
                self._keeper.request(
                    message.participant,
                    message.session,
                    message.grant,
                    message.wake_s,
                    time.monotonic(),
                    message.owed,
                    message.taken,
                    busy=message.busy,
                    leaving=message.leaving,
                    held=message.held,
                )
            except ValueError as error:
                self.get_logger().error(f"time request refused: {error}")
                return
            if message.busy:
                self._publish_grant(self._keeper.last)  # who begins to work wants to know what time it is
        self._pass_time()

    def _pass_time(self) -> None:
        """Give out as much time as may pass now, and come back when more may."""
        with self._lock:
            while True:
                now_s = time.monotonic()
                self._see_to_frames(now_s)
                event_s = min(self._plant.next_frame_s(), self._plant.laboratory.next_event())
                grant, delay_s = self._keeper.plan(now_s, event_s)
                if grant is None:
                    break
                self._plant.advance_to(grant.time_s)
                self._publish_grant(grant)
                self._publish_frames(grant.time_s)
                for line, data in self._plant.take_unasked(grant.time_s).items():
                    self._ptys.send(line, data)
                for signed in self._plant.laboratory.due(grant.time_s):
                    self._keeper.owe(self._result_token(signed))  # in flight from now on, sent or not
                    self._undelivered.append(signed)
                self._deliver_results()
        if self._frames:
            delay_s = min(delay_s, FRAME_REPEAT_S)
        self._timer.timer_period_ns = round(min(max(delay_s, 0.001), 3600.0) * 1e9)
        self._timer.reset()

    def _publish_grant(self, grant: Grant) -> None:
        keeper = self._keeper
        self._grants.publish(
            TimeGrant(
                number=grant.number, time_s=grant.time_s, speed=keeper.speed, paused=keeper.paused, lost=keeper.lost()
            )
        )
        self._publish_clock()

    def _show_clock(self) -> None:
        """Show that time stands, too, and ask those for an answer who have not been heard of."""
        with self._lock:
            self._publish_clock(force=True)
            if self._keeper.lost():
                self._publish_grant(self._keeper.last)
            waiting = "; ".join(self._keeper.waiting_for())
            number, now_s = self._keeper.last.number, time.monotonic()
            if number != self._standing[0]:
                self._standing = (number, now_s)
            elif waiting and now_s - self._standing[1] > STANDS_S:
                self._standing = (number, math.inf)  # told once
                self.get_logger().warning(f"time has stood for {STANDS_S:g} s: {waiting}")

    def _publish_clock(self, force: bool = False) -> None:
        now_s = time.monotonic()
        if force or now_s - self._clock_sent_s >= CLOCK_PERIOD_S:
            self._clock_sent_s = now_s
            # Nodes take time 0 for "no clock yet": a batch begins one nanosecond later for them.
            stamp = ros_time(self._keeper.last.time_s)
            self._clock.publish(ClockMsg(clock=stamp if (stamp.sec or stamp.nanosec) else Time(nanosec=1)))

    def _on_set_clock(self, request: SetClock.Request, reply: SetClock.Response) -> SetClock.Response:
        with self._lock:
            reply.time_s = self._keeper.last.time_s
            if not math.isnan(request.speed) and request.speed <= 0.0:
                reply.message = f"speed is {request.speed}; allowed: above 0, or inf for as fast as possible"
                return reply
            if request.run_until_s < reply.time_s:  # NaN, no limit, is never below
                reply.message = f"run_until_s is {request.run_until_s}; allowed: after {reply.time_s}, which it is now"
                return reply
            if not math.isnan(request.speed):
                self._keeper.speed = request.speed
            self._keeper.paused = request.paused
            self._keeper.run_until_s = math.inf if math.isnan(request.run_until_s) else request.run_until_s
            reply.accepted = True
            self._publish_grant(self._keeper.last)  # the same again, with what was set now
        self._pass_time()
        return reply

    # -- cameras ----------------------------------------------------------------------------------------

    def _on_capture(self, camera: str, request: SetBool.Request, reply: SetBool.Response) -> SetBool.Response:
        with self._lock:
            # Frames still under way stay in flight: time must not pass before the camera's user has heard of this.
            self._plant.set_capture(camera, request.data, self._keeper.last.time_s)
        reply.success = True
        self._pass_time()
        return reply

    def _on_fluorescence(self, request: SetBool.Request, reply: SetBool.Response) -> SetBool.Response:
        with self._lock:
            self._plant.set_fluorescence("microscope", request.data)
        reply.success = True
        return reply

    def _publish_frames(self, time_s: float) -> None:
        for camera, topics in self._cameras.items():
            while (due_s := self._plant.next_frame_s(camera)) <= time_s:
                frame = self._plant.frame(camera, due_s)
                stamp = ros_time(frame.stamp_s)
                name = token(PLANT, CAMERA_USERS[camera], f"frame:{camera}:{stamp.sec}.{stamp.nanosec:09d}")
                if self._keeper.owe(name):
                    sent_s = time.monotonic()
                    self._frames[name] = _FrameUnderWay(frame, topics, sent_s, sent_s + FRAME_REPEAT_S)
                topics.publish(frame)

    def _see_to_frames(self, now_s: float) -> None:
        """Send images again that were not taken, and wait no more for those that never are."""
        for name, under_way in list(self._frames.items()):
            if now_s - under_way.sent_s > FRAME_PATIENCE_S:
                del self._frames[name]
                self._keeper.settle(name)
                self.get_logger().warning(f"image {name} was lost on the way")
            elif now_s >= under_way.repeat_s:
                under_way.repeat_s = now_s + FRAME_REPEAT_S
                under_way.topics.publish(under_way.frame)

    # -- laboratory -------------------------------------------------------------------------------------

    def _on_order(self, request: OrderTests.Request, reply: OrderTests.Response) -> OrderTests.Response:
        with self._lock:
            self._first_batch = self._first_batch or request.batch_id
            try:
                now_s = self._keeper.last.time_s
                self._plant.laboratory.order(request.batch_id, request.sample_id, list(request.tests), now_s)
                reply.accepted = True
            except LaboratoryError as error:
                reply.message = str(error)
        return reply

    def _deliver_results(self) -> None:
        """Submit results one after the other until the coordinator has taken them; time stands meanwhile."""
        with self._lock:
            if not self._undelivered or not self._submit.service_is_ready():
                return
            if self._submitting is not None and not self._submitting.done():
                if time.monotonic() - self._submitted_s < 5.0 * RESEND_S:
                    return
                self._submit.remove_pending_request(self._submitting)
            signed = self._undelivered[0]
            self._submitted_s = time.monotonic()
            self._submitting = self._submit.call_async(
                SubmitLabRecord.Request(
                    record_json=signed.record_json, signature_hex=signed.signature_hex, key_id=signed.key_id
                )
            )
            self._submitting.add_done_callback(lambda future: self._delivered(signed, future))

    def _delivered(self, signed: SignedRecord, future: Future) -> None:
        with self._lock:
            reply = future.result()
            if reply is not None and signed in self._undelivered:
                self._undelivered.remove(signed)
                if not reply.accepted:
                    self.get_logger().error(f"the coordinator refused a laboratory result: {reply.message}")
                    self._keeper.settle(self._result_token(signed))
            self._submitting = None
            self._deliver_results()
        self._pass_time()

    @staticmethod
    def _result_token(signed: SignedRecord) -> str:
        return token(PLANT, "coordinator", f"lab:{signed.signature_hex[:32]}")

    # -- faults and truth -------------------------------------------------------------------------------

    def _on_fault(self, request: InjectFault.Request, reply: InjectFault.Response) -> InjectFault.Response:
        with self._lock:
            try:
                parameters = json.loads(request.parameters_json or "{}")
                self._plant.inject(request.fault, request.target, parameters, request.active, self._keeper.last.time_s)
                reply.accepted = True
            except (FaultError, ValueError) as error:
                reply.message = str(error)
        return reply

    def _on_exchange(self, request: ExchangeSet.Request, reply: ExchangeSet.Response) -> ExchangeSet.Response:
        """Do what a person does at a changeover: her hands at the simulated workcell."""
        unit = self._units.get(request.unit)
        if unit is None:
            known = ", ".join(each.name for each in self._units) or "none"
            reply.message = f"unit {request.unit!r} is unknown; there are {known}"
            return reply
        with self._lock:
            old = self._sets.get(unit.name, self._first_batch)
            if not old:
                reply.message = "nobody knows yet whose set is in the plant: no sample of it has gone to the laboratory"
                return reply
            try:
                whose = donor(request.donor, request.seed) if request.donor else None
                kit_name = kit_of(request.product)
                self._plant.exchange_set(unit, old, request.batch_id, self._keeper.last.time_s, whose, kit_name)
                self._sets[unit.name] = request.batch_id
                reply.accepted = True
            except (ExchangeError, ValueError, KeyError) as error:
                reply.message = str(error)
        self._pass_time()
        return reply

    def _publish_truth(self) -> None:
        if self._truth.get_subscription_count() == 0:
            return
        with self._lock:
            truth = self._plant.truth()
            stamp = ros_time(self._keeper.last.time_s)
        self._truth.publish(GroundTruth(stamp=stamp, data_json=json.dumps(truth)))

    def destroy_node(self) -> None:
        """Close the ptys, then the node."""
        self._ptys.close()
        PROCESS_END.only_middleware_left()
        super().destroy_node()


def main() -> None:
    """Run the node."""
    sys.exit(run_node(PlantNode))
