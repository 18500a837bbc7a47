# SPDX-License-Identifier: Apache-2.0
"""The frames of a robot model as transforms from parent to child: what TF carries. Without ROS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from transforms3d.axangles import axangle2mat
from transforms3d.euler import euler2mat
from transforms3d.quaternions import mat2quat

Array = NDArray[np.float64]


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


class Frames:
    """The joints of a URDF.

    Args:
        urdf: expanded robot description.

    Raises:
        ValueError: a joint is of a kind that this does not move.
    """

    def __init__(self, urdf: str) -> None:
        self._joints = [_read(element) for element in ElementTree.fromstring(urdf).findall("joint")]

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
            value = positions.get(joint.name, 0.0)
            if joint.mimic is not None:
                leader, factor, offset = joint.mimic
                value = factor * positions.get(leader, 0.0) + offset
            motion = np.eye(4)
            if joint.kind == "prismatic":
                motion[:3, 3] = value * joint.axis
            else:
                motion[:3, :3] = axangle2mat(joint.axis, value, is_normalized=True)
            found.append(_transform(joint, joint.origin @ motion))
        return found


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
    return _Joint(name, kind, parent.attrib["link"], child.attrib["link"], origin, axis / np.linalg.norm(axis), mimic)


def _numbers(text: str) -> Array:
    return np.array([float(part) for part in text.split()])


def _transform(joint: _Joint, pose: Array) -> Transform:
    w, x, y, z = (float(v) for v in mat2quat(pose[:3, :3]))
    tx, ty, tz = (float(v) for v in pose[:3, 3])
    return Transform(joint.parent, joint.child, (tx, ty, tz), (x, y, z, w))
