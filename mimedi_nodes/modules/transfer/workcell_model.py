# SPDX-License-Identifier: Apache-2.0
"""The robot model in MuJoCo: what touches what, and pictures. Importing this imports MuJoCo.

Frames, limits and docks without MuJoCo: frames.py. Lengths in m, angles in rad, frame of the world: workcell_base.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import mujoco
import numpy as np

from .description import DOCK_PREFIX, TOOL, Array, RobotModelError, cassette_description, robot_description
from .frames import JointLimit, limits_of

MIMICS = {"gantry_z2": "gantry_z", "gripper_back": "gripper_front"}
"""Joints that follow another one; MuJoCo's kinematics do not read the mimic elements. A test holds this to the URDF."""
MOVING_LINKS = (
    "gantry_y_link", "gantry_x_link", "gantry_z_link", "gantry_z2_link", "gantry_wrist_link", "gripper_link",
    "gripper_front_link", "gripper_back_link", "label_camera_link",
)  # fmt: skip

class WorkcellModel:
    """The workcell with its gantry at some position.

    Args:
        cassettes: docks at which cassettes stand.
        carried: whether the gripper holds a cassette.
        sky: a light background, for pictures.
    """

    def __init__(self, cassettes: Iterable[str] = (), *, carried: bool = False, sky: bool = False) -> None:
        spec = mujoco.MjSpec.from_string(robot_description(cassettes))
        # Static bodies would be fused into the world, and their names lost.
        spec.compiler.fusestatic = False
        if carried:
            _put_cassette_into_gripper(spec)
        if sky:
            spec.add_texture(
                name="sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
                rgb1=[0.97, 0.97, 0.97], rgb2=[0.97, 0.97, 0.97], width=64, height=384,
            )
        self.model = spec.compile()
        self.standing: frozenset[str] | None = None
        """Docks at which cassettes count as obstacles; None: as they were made."""
        self.data = mujoco.MjData(self.model)
        self._address = {self.model.joint(k).name: int(self.model.jnt_qposadr[k]) for k in range(self.model.njnt)}
        mujoco.mj_forward(self.model, self.data)

    @cached_property
    def limits(self) -> Mapping[str, JointLimit]:
        """Limits of every moving joint by name, from the URDF."""
        return limits_of(robot_description())

    @cached_property
    def docks(self) -> tuple[str, ...]:
        """Names of the cassette docks."""
        names = (self.model.body(k).name for k in range(self.model.nbody))
        return tuple(n.removeprefix(DOCK_PREFIX) for n in names if n.startswith(DOCK_PREFIX) and "_plate" not in n)

    def set_joints(self, positions: Mapping[str, float]) -> None:
        """Move joints to positions [m or rad], those that follow with them.

        Raises:
            RobotModelError: there is no such joint.
        """
        for name, value in positions.items():
            self.data.qpos[self._place(name)] = value
            for follower, leader in MIMICS.items():
                if leader == name:
                    self.data.qpos[self._address[follower]] = value
        mujoco.mj_kinematics(self.model, self.data)

    def _place(self, joint: str) -> int:
        if joint not in self._address or joint in MIMICS:
            raise RobotModelError(
                f"the robot model has no joint {joint!r} to set; there are "
                f"{', '.join(sorted(set(self._address) - set(MIMICS)))}"
            )
        return self._address[joint]

    def pose(self, link: str) -> Array:
        """Return the pose (4, 4) of a link in workcell_base, at the present joint positions.

        Raises:
            RobotModelError: there is no such link.
        """
        try:
            body = self.data.body(link)
        except KeyError as error:
            raise RobotModelError(f"the robot model has no link {link!r}") from error
        pose = np.eye(4)
        pose[:3, :3] = body.xmat.reshape(3, 3)
        pose[:3, 3] = body.xpos
        return pose

    def contacts(self) -> list[tuple[str, str, float]]:
        """Return the pairs of links that touch, with their distance [m] (below 0: they overlap)."""
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_collision(self.model, self.data)
        found = []
        for k in range(self.data.ncon):
            contact = self.data.contact[k]
            first, second = (self.model.body(int(self.model.geom_bodyid[g])).name for g in contact.geom)
            found.append((first, second, float(contact.dist)))
        return found


def _put_cassette_into_gripper(spec: Any) -> None:
    """Hang a cassette on the tool frame, so that its grip frame lies in it."""
    cassette = mujoco.MjSpec.from_string(cassette_description())
    cassette.compiler.fusestatic = False
    tool = spec.body(TOOL)
    height = next(b.pos[2] for b in cassette.bodies if b.name == "cassette_grip")
    frame = tool.add_frame(pos=[0.0, 0.0, -float(height)])
    frame.attach_body(cassette.body("cassette_link"), "carried_", "")
