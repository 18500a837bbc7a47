# SPDX-License-Identifier: Apache-2.0
"""Steps of a test on a launched workcell: what goes wrong while the gantry carries a cassette drops nothing."""

from __future__ import annotations

import math
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.action import ActionClient
from run_checks import kill, restarted
from sensor_msgs.msg import CameraInfo, JointState
from tf2_msgs.msg import TFMessage
from workcell_client import UP_S, Client, Steps, _result

from mimedi_msgs.action import MoveCassette
from mimedi_msgs.srv import CommandModule
from mimedi_nodes.modules.transfer.hand_eye import LabelOptics
from mimedi_nodes.nodes.frame import qos
from mimedi_nodes.process.service_state import ServiceCommand, ServiceState

CASSETTE = "CASSETTE-1"


class Carrying(Steps):
    """Mixed into a test whose workcell is up and has no batch; comes after its own steps."""

    client: Client

    def test_w_a_line_without_power_while_carrying(self):
        """Held with the jaws closed; with power again it is homed, and the transfer goes on."""
        self.hear()
        move = self.begin("hatch", "store")
        self.wait_carrying()
        self.client.fault("power_loss", "gantry", active=True)
        self.client.set_clock(speed=math.inf)
        self.client.wait(lambda: self.state() == ServiceState.HELD, 40.0, "the transfer is held")
        self.client.wait(lambda: "transfer.gantry_fault" in self.client.alarms, 30.0, "an alarm of the gantry")
        assert (there := self.where()) == "gripper", there
        self.client.fault("power_loss", "gantry", active=False)
        self.command(ServiceCommand.UNHOLD)
        result = _result(move, 60.0, "result of the transfer").result
        seen = (result.error_code, result.error_msg, result.label_read)
        assert seen == (0, "", CASSETTE), seen
        assert (there := self.where()) == "store", there
        # The label was read at both docks: the camera has said what its lens is.
        lens = LabelOptics(512, 384, 2100.0)
        told = [list(info.k) for info in self.lenses]
        assert told, "no camera_info of the label camera was heard"
        assert all(k == lens.matrix.ravel().tolist() for k in told), told[0]
        # The joints that were told while it moved span the way along the row.
        along = self.joints["gantry_y"]
        assert max(along) - min(along) > 0.2, (min(along), max(along))
        self.client.wait(
            lambda: abs(self.frames.get("gantry_y_link", math.inf) - self.joints["gantry_y"][-1]) < 1e-6, 20.0,
            "the frame of the gantry is where its joint is",
        )

    def test_x_a_process_killed_while_carrying(self):
        """Its next life knows what the jaws hold, and brings it to another place by its name."""
        self.begin("store", "fluidics")
        self.wait_carrying()
        before = kill("transfer")
        self.client.wait(lambda: restarted("transfer", before), 60.0, "the node is started again")
        self.places.clear()
        self.client.wait(lambda: self.places.get("gripper") == CASSETTE, 40.0, "it tells what the jaws hold")
        self.client.wait_supervisor("active")
        self.client.wait(lambda: self.state() == ServiceState.IDLE, 40.0, "the transfer is idle")
        self.client.set_clock(speed=math.inf)
        assert (there := self.where()) == "gripper", there
        result = _result(self.begin("store", "hatch", speed_factor=1.0), 60.0, "result of the transfer").result
        seen = (result.error_code, result.error_msg, result.label_read)
        assert seen == (0, "", CASSETTE), seen
        assert (there := self.where()) == "hatch", there

    # -- help ---------------------------------------------------------------------------------------------

    def hear(self):
        """Hear joint states and whereabouts from now on; be able to send cassettes."""
        cls, node = type(self), self.client.node
        cls.joints, cls.places, cls.frames, cls.lenses = {}, {}, {}, []

        def joints(message: JointState) -> None:
            for name, value in zip(message.name, message.position, strict=True):
                cls.joints.setdefault(name, []).append(value)

        def places(message: DiagnosticStatus) -> None:
            with self.client._news:
                cls.places = {value.key: value.value for value in message.values}
                self.client._news.notify_all()

        def frames(message: TFMessage) -> None:
            with self.client._news:
                cls.frames.update({t.child_frame_id: t.transform.translation.y for t in message.transforms})
                self.client._news.notify_all()

        node.create_subscription(TFMessage, "tf", frames, qos.EVENT)
        node.create_subscription(CameraInfo, "label_camera/camera_info", cls.lenses.append, qos.IMAGE)
        node.create_subscription(JointState, "joint_states", joints, qos.TELEMETRY)
        node.create_subscription(DiagnosticStatus, "transfer/cassettes", places, qos.STATE)
        cls.mover = ActionClient(node, MoveCassette, "transfer/move_cassette")
        cls.addClassCleanup(cls.mover.destroy)
        cls.commander = node.create_client(CommandModule, "transfer/command")

    def begin(self, source: str, destination: str, *, speed_factor: float = 0.1) -> Any:
        """Send the cassette on its way, slowly in process time; return the future of the result."""
        if speed_factor < 1.0:
            self.client.set_clock(speed=10.0)
        if self.state() != ServiceState.IDLE:
            self.command(ServiceCommand.RESET)
        goal = MoveCassette.Goal(
            cassette=CASSETTE, source=source, destination=destination, speed_factor=speed_factor
        )
        assert self.mover.wait_for_server(UP_S), "nobody offers move_cassette"
        sent = self.client._in_executor(lambda: self.mover.send_goal_async(goal))
        handle = _result(sent, 60.0, "acceptance of the transfer")
        assert handle.accepted
        return self.client._in_executor(handle.get_result_async)

    def wait_carrying(self):
        """Return when the cassette is in the jaws."""
        self.client.wait_truth(
            lambda truth: truth["stations"].get("gantry", {}).get("cassettes", {}).get(CASSETTE) == "gripper",
            60.0, "the cassette is in the jaws",
        )

    def where(self) -> str:
        """Return where the cassette truly is now."""
        self.client.truth = {}
        truth = self.client.wait_truth(lambda t: True, 30.0, "the truth of the plant")
        return str(truth["stations"]["gantry"]["cassettes"][CASSETTE])

    def state(self) -> int:
        """Return the state of the transfer's service."""
        return int(self.client.modules["transfer"].state)

    def command(self, command: ServiceCommand):
        """Give the transfer a command."""
        assert self.commander.wait_for_service(20.0), "nobody takes commands"
        request = CommandModule.Request(command=int(command), who="tester", why="a test")
        reply = _result(self.commander.call_async(request), 60.0, "reply to the command")
        assert reply.accepted, reply.message
