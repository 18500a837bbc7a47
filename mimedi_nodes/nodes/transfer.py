# SPDX-License-Identifier: Apache-2.0
"""The transfer node: the module's shell with the label camera, joint states and the cassettes' whereabouts."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from sensor_msgs.msg import JointState

from .frame import qos
from .frame.conversion import ros_time
from .module.module_node import ModuleNode, run_module
from .module.ros_camera import RosCamera


class RobotPublisher:
    """Publishes `joint_states`, of which robot_state_publisher makes the frames, and `~/cassettes`: place to label."""

    def __init__(self, node: ModuleNode) -> None:
        self._node = node
        self._joints = node.create_publisher(JointState, "joint_states", qos.TELEMETRY)
        self._cassettes = node.create_publisher(DiagnosticStatus, "~/cassettes", qos.STATE)

    def show_joints(self, positions: Mapping[str, float]) -> None:
        """Publish joint positions [m or rad]."""
        message = JointState(name=list(positions), position=[float(value) for value in positions.values()])
        message.header.stamp = ros_time(self._node.clock.now_s())
        self._joints.publish(message)

    def show_cassettes(self, places: Mapping[str, str]) -> None:
        """Publish the label of the cassette at each place: a dock, or `gripper`."""
        values = [KeyValue(key=place, value=label) for place, label in sorted(places.items())]
        self._cassettes.publish(
            DiagnosticStatus(level=DiagnosticStatus.OK, name="cassettes", hardware_id="gantry", values=values)
        )


def _extras(node: ModuleNode) -> Mapping[str, Any]:
    cv2.setNumThreads(1)
    publisher = RobotPublisher(node)
    return {
        "label_camera": RosCamera(node, node.loop, node.clock, "label_camera"),
        "transfer_state": lambda: Path(node.settings["state_dir"]) / "transfer",
        "on_joints": publisher.show_joints,
        "on_cassettes": publisher.show_cassettes,
    }


def main() -> None:
    """Run the node."""
    sys.exit(run_module("transfer", _extras))
