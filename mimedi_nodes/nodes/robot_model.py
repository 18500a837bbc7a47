# SPDX-License-Identifier: Apache-2.0
"""Publishes the robot description and its frames from joint states, where there is no robot_state_publisher.

Topics and meaning are those of robot_state_publisher: takes `joint_states`, publishes `robot_description` (latched),
`tf` and `tf_static`. Joints that nobody has reported are at 0.
"""

from __future__ import annotations

import sys

from builtin_interfaces.msg import Time
from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from tf2_msgs.msg import TFMessage

from ..modules.transfer.description import robot_description
from ..modules.transfer.frames import Frames, Transform
from .frame import qos
from .frame.bounded_end import PROCESS_END
from .frame.parameters import Parameter, declare
from .frame.running import run_node

PARAMETERS = (
    Parameter("prefix", "", "goes before every frame's name, so that several workcells share one tree"),
    Parameter("cassettes", "", "docks at which a cassette stands, with spaces between"),
)


class RobotModelNode(Node):
    """Robot description, joint states to transforms."""

    def __init__(self) -> None:
        super().__init__("robot_model")
        given = declare(self, PARAMETERS)
        urdf = robot_description(given["cassettes"].split(), given["prefix"])
        self._frames = Frames(urdf)
        self._positions: dict[str, float] = {}
        self._stamp: Time | None = None  # of the last joint states: frames are of the moment that the joints are of
        self._static = self.create_publisher(TFMessage, "tf_static", qos.STATE)
        self._moving = self.create_publisher(TFMessage, "tf", qos.EVENT)
        self._description = self.create_publisher(String, "robot_description", qos.STATE)
        self._description.publish(String(data=urdf))
        self._static.publish(self._message(self._frames.fixed()))
        self.create_subscription(JointState, "joint_states", self._take, qos.TELEMETRY)
        # Late listeners of tf, which is not latched, learn where everything is.
        self.create_timer(1.0, self._publish)

    def _take(self, message: JointState) -> None:
        known = set(self._frames.movable)
        if len(message.name) != len(message.position):
            self.get_logger().warning(
                f"joint_states: {len(message.name)} names but {len(message.position)} positions; not used"
            )
            return
        news = {n: p for n, p in zip(message.name, message.position, strict=True) if n in known and p == p}
        self._positions.update(news)
        if news:
            self._stamp = message.header.stamp
            self._publish()

    def _publish(self) -> None:
        self._moving.publish(self._message(self._frames.moving(self._positions), self._stamp))

    def _message(self, transforms: list[Transform], stamp: Time | None = None) -> TFMessage:
        stamp = stamp or self.get_clock().now().to_msg()
        found = []
        for transform in transforms:
            one = TransformStamped()
            one.header.stamp, one.header.frame_id, one.child_frame_id = stamp, transform.parent, transform.child
            move, turn = one.transform.translation, one.transform.rotation
            move.x, move.y, move.z = transform.translation_m
            turn.x, turn.y, turn.z, turn.w = transform.rotation_xyzw
            found.append(one)
        return TFMessage(transforms=found)

    def destroy_node(self) -> None:
        """Leave; there is nothing of its own to close."""
        PROCESS_END.only_middleware_left()
        super().destroy_node()


def main() -> None:
    """Run the node."""
    sys.exit(run_node(RobotModelNode))
