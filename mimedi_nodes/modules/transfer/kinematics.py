# SPDX-License-Identifier: Apache-2.0
"""Forward and inverse kinematics of the gantry, from the robot model.

Machine coordinates [mm] are those of the controller: 0 at the upper end of each joint's range. The telescope's machine
axis Z is the tool's way: twice the joint's, since its second slide follows the first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .description import DOCK_PREFIX, TOOL, Array, RobotModelError
from .frames import JointLimit

AXES = ("gantry_x", "gantry_y", "gantry_z")
TELESCOPE = 2.0
"""Way of the tool over that of the joint gantry_z."""


@dataclass(frozen=True)
class Pose:
    """Where the gantry is: machine position [mm] and wrist [rad]."""

    x_mm: float
    y_mm: float
    z_mm: float
    wrist_rad: float = 0.0

    @property
    def position_mm(self) -> tuple[float, float, float]:
        """Machine position for the driver."""
        return self.x_mm, self.y_mm, self.z_mm

    def at_height(self, z_mm: float) -> Pose:
        """Return the pose at another height."""
        return Pose(self.x_mm, self.y_mm, z_mm, self.wrist_rad)

    def as_array(self) -> Array:
        """Return x, y, z in m and the wrist in rad."""
        return np.array([self.x_mm * 1e-3, self.y_mm * 1e-3, self.z_mm * 1e-3, self.wrist_rad])

    @staticmethod
    def of_array(values: Array) -> Pose:
        """Return the pose of x, y, z in m and the wrist in rad."""
        x, y, z, wrist = (float(v) for v in values)
        return Pose(1e3 * x, 1e3 * y, 1e3 * z, wrist)


class Posed(Protocol):
    """A robot model whose joints can be set: `RobotFrames`, or MuJoCo's `WorkcellModel`."""

    @property
    def limits(self) -> Mapping[str, JointLimit]:
        """Limits of every moving joint by name."""
        ...

    @property
    def docks(self) -> tuple[str, ...]:
        """Names of the cassette docks."""
        ...

    def set_joints(self, positions: Mapping[str, float]) -> None:
        """Move joints to positions [m or rad]."""
        ...

    def pose(self, link: str) -> Array:
        """Return the pose (4, 4) of a link in workcell_base."""
        ...


class Kinematics:
    """Kinematics of one model; the model is moved by asking."""

    def __init__(self, model: Posed) -> None:
        self.model = model
        self._upper = np.array([model.limits[axis].upper for axis in AXES])
        span = np.array([model.limits[axis].upper - model.limits[axis].lower for axis in AXES])
        travel = span * (1.0, 1.0, TELESCOPE)
        wrist = model.limits["gantry_wrist"]
        self.lower = np.array([*-travel, wrist.lower])
        """Least x, y, z [m] and wrist [rad]."""
        self.upper = np.array([0.0, 0.0, 0.0, wrist.upper])
        speed = np.array([model.limits[axis].velocity for axis in AXES]) * (1.0, 1.0, TELESCOPE)
        self.speed = np.array([*speed, wrist.velocity])
        """Greatest speeds [m/s, rad/s]."""
        self._tool_at_zero = self.forward(Pose(0.0, 0.0, 0.0))[:3, 3].copy()

    def joints(self, pose: Pose) -> dict[str, float]:
        """Return the joint positions of a pose."""
        x, y, z, wrist = pose.as_array()
        return {
            "gantry_x": float(self._upper[0] + x), "gantry_y": float(self._upper[1] + y),
            "gantry_z": float(self._upper[2] + z / TELESCOPE), "gantry_wrist": float(wrist),
        }

    def is_within(self, pose: Pose, tolerance_m: float = 1e-6) -> bool:
        """Tell whether a pose is within the joints' limits."""
        values = pose.as_array()
        return bool(np.all(values >= self.lower - tolerance_m) and np.all(values <= self.upper + tolerance_m))

    def forward(self, pose: Pose) -> Array:
        """Return the tool's pose (4, 4) in workcell_base."""
        self.model.set_joints(self.joints(pose))
        return self.model.pose(TOOL)

    def inverse(self, position_m: Array, yaw_rad: float = 0.0) -> Pose:
        """Return the pose that brings the tool to a position in workcell_base with this yaw.

        Raises:
            RobotModelError: out of reach, naming by how much.
        """
        pose = Pose.of_array(np.append(np.asarray(position_m) - self._tool_at_zero, yaw_rad))
        if not self.is_within(pose):
            values = pose.as_array()
            short = 1e3 * np.maximum(0.0, np.maximum(self.lower - values, values - self.upper))
            raise RobotModelError(
                f"tool at {np.round(position_m, 4).tolist()} m, yaw {yaw_rad:.3f} rad is out of reach by "
                f"{np.round(short, 2).tolist()} mm and mrad (x, y, z, wrist)"
            )
        return pose

    def dock_frame(self, dock: str) -> Array:
        """Return the pose (4, 4) of a cassette dock in workcell_base; raises RobotModelError naming those there are."""
        if dock not in self.model.docks:
            raise RobotModelError(f"there is no cassette dock {dock!r}; there are {', '.join(self.model.docks)}")
        return self.model.pose(DOCK_PREFIX + dock)

    def at_dock(self, dock: str, grip_height_m: float) -> Pose:
        """Return the pose that grips a cassette at a dock, at a height over the dock's frame."""
        frame = self.dock_frame(dock)
        yaw = math.atan2(frame[1, 0], frame[0, 0])
        return self.inverse(frame[:3, 3] + grip_height_m * frame[:3, 2], yaw)
