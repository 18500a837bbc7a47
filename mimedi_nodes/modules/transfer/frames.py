# SPDX-License-Identifier: Apache-2.0
"""The frames of a robot model: transforms from parent to child, as TF has them, and poses in the world; no ROS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from xml.etree import ElementTree

import numpy as np
from transforms3d.axangles import axangle2mat
from transforms3d.euler import euler2mat
from transforms3d.quaternions import mat2quat

from .description import DOCK_PREFIX, FIDUCIAL_PREFIX, Array, RobotModelError, robot_description


@dataclass(frozen=True)
class Transform:
    """Pose of `child` in `parent`: translation [m] and unit quaternion (x, y, z, w)."""

    parent: str
    child: str
    translation_m: tuple[float, float, float]
    rotation_xyzw: tuple[float, float, float, float]


@dataclass(frozen=True)
class _Joint:
    name: str
    kind: str
    parent: str
    child: str
    origin: Array
    axis: Array
    mimic: tuple[str, float, float] | None


@dataclass(frozen=True)
class JointLimit:
    """Range [m or rad] and greatest speed [m/s or rad/s] of a joint."""

    lower: float
    upper: float
    velocity: float


@lru_cache(maxsize=4)
def limits_of(urdf: str) -> Mapping[str, JointLimit]:
    """Return the limits of every joint that has some, by name."""
    found = {}
    for joint in ElementTree.fromstring(urdf).iter("joint"):
        limit = joint.find("limit")
        if limit is not None:
            values = {key: float(text) for key, text in limit.attrib.items()}
            found[joint.attrib["name"]] = JointLimit(values["lower"], values["upper"], values["velocity"])
    return MappingProxyType(found)


class Frames:
    """The joints of a URDF.

    Args:
        urdf: expanded robot description.

    Raises:
        ValueError: a joint is of a kind that this does not move.
    """

    def __init__(self, urdf: str) -> None:
        self._joints = _joints_of(urdf)

    @property
    def movable(self) -> tuple[str, ...]:
        """Names of the joints that move by themselves, in the model's order."""
        return tuple(j.name for j in self._joints if j.kind != "fixed" and j.mimic is None)

    def fixed(self) -> list[Transform]:
        """Return the transforms that never change."""
        return [_transform(j, j.origin) for j in self._joints if j.kind == "fixed"]

    def moving(self, positions: Mapping[str, float]) -> list[Transform]:
        """Return the transforms of all other joints, at positions [m or rad]; a joint not named is at 0."""
        found = []
        for joint in self._joints:
            if joint.kind == "fixed":
                continue
            found.append(_transform(joint, _moved(joint, positions)))
        return found

    def pose(self, link: str, positions: Mapping[str, float]) -> Array:
        """Return the pose (4, 4) of a link in the root's frame, at joint positions [m or rad]; 0 for those not named.

        Raises:
            KeyError: there is no such link.
        """
        if link != self._root and link not in self._above:
            raise KeyError(link)
        found = np.eye(4)
        while (joint := self._above.get(link)) is not None:
            found = _moved(joint, positions) @ found
            link = joint.parent
        return found

    @cached_property
    def _above(self) -> dict[str, _Joint]:
        return {joint.child: joint for joint in self._joints}

    @cached_property
    def _root(self) -> str:
        return next(joint.parent for joint in self._joints if joint.parent not in self._above)

    @property
    def links(self) -> tuple[str, ...]:
        """Names of all links."""
        return (self._root, *self._above)


class RobotFrames:
    """The workcell's links with the gantry at some position, from the URDF alone: what kinematics need."""

    def __init__(self) -> None:
        self._frames = Frames(robot_description())
        self._positions: dict[str, float] = {}
        self.limits = limits_of(robot_description())
        """Limits of every moving joint by name."""

    @cached_property
    def docks(self) -> tuple[str, ...]:
        """Names of the cassette docks."""
        own = (link.removeprefix(DOCK_PREFIX) for link in self._frames.links if link.startswith(DOCK_PREFIX))
        return tuple(name for name in own if not name.endswith("_plate"))

    @cached_property
    def fiducials(self) -> Mapping[str, str]:
        """Text of each fiducial on the deck to the link where it lies."""
        own = (link for link in self._frames.links if link.startswith(FIDUCIAL_PREFIX) and not link.endswith("_link"))
        return {link.upper().replace("_", "-"): link for link in own}

    def set_joints(self, positions: Mapping[str, float]) -> None:
        """Move joints to positions [m or rad], those that follow with them; raises RobotModelError for no joint."""
        unknown = sorted(set(positions) - set(self._frames.movable))
        if unknown:
            raise RobotModelError(
                f"the robot model has no joint {', '.join(unknown)} to set; there are "
                f"{', '.join(sorted(self._frames.movable))}"
            )
        self._positions.update(positions)

    def pose(self, link: str) -> Array:
        """Return the pose (4, 4) of a link in workcell_base; raises RobotModelError for no link."""
        try:
            return self._frames.pose(link, self._positions)
        except KeyError as error:
            raise RobotModelError(f"the robot model has no link {link!r}") from error


def _moved(joint: _Joint, positions: Mapping[str, float]) -> Array:
    """Return the pose of a joint's child in its parent."""
    if joint.kind == "fixed":
        return joint.origin
    value = positions.get(joint.name, 0.0)
    if joint.mimic is not None:
        leader, factor, offset = joint.mimic
        value = factor * positions.get(leader, 0.0) + offset
    motion = np.eye(4)
    if joint.kind == "prismatic":
        motion[:3, 3] = value * joint.axis
    else:
        motion[:3, :3] = axangle2mat(joint.axis, value, is_normalized=True)
    moved: Array = joint.origin @ motion
    return moved


@lru_cache(maxsize=4)
def _joints_of(urdf: str) -> tuple[_Joint, ...]:
    """Return the joints of a URDF; whoever needs the robot's frames needs the same ones."""
    return tuple(_read(element) for element in ElementTree.fromstring(urdf).findall("joint"))


def _read(element: ElementTree.Element) -> _Joint:
    name, kind = element.attrib["name"], element.attrib["type"]
    if kind not in ("fixed", "prismatic", "revolute", "continuous"):
        raise ValueError(f"joint {name}: type {kind!r} is not one of fixed, prismatic, revolute, continuous")
    origin = np.eye(4)
    place = element.find("origin")
    if place is not None:
        origin[:3, 3] = _numbers(place.get("xyz", "0 0 0"))
        # URDF: roll, pitch, yaw about fixed axes.
        origin[:3, :3] = euler2mat(*_numbers(place.get("rpy", "0 0 0")), axes="sxyz")
    axis_element, mimic_element = element.find("axis"), element.find("mimic")
    axis = _numbers("1 0 0" if axis_element is None else axis_element.get("xyz", "1 0 0"))
    mimic = None
    if mimic_element is not None:
        mimic = (
            mimic_element.attrib["joint"],
            float(mimic_element.get("multiplier", "1")),
            float(mimic_element.get("offset", "0")),
        )
    parent, child = element.find("parent"), element.find("child")
    if parent is None or child is None:
        raise ValueError(f"joint {name}: parent or child is missing")
    origin.flags.writeable = False  # every robot model has the same joints
    return _Joint(name, kind, parent.attrib["link"], child.attrib["link"], origin, axis / np.linalg.norm(axis), mimic)


def _numbers(text: str) -> Array:
    return np.array([float(part) for part in text.split()])


def _transform(joint: _Joint, pose: Array) -> Transform:
    w, x, y, z = (float(v) for v in mat2quat(pose[:3, :3]))
    tx, ty, tz = (float(v) for v in pose[:3, 3])
    return Transform(joint.parent, joint.child, (tx, ty, tz), (x, y, z, w))
