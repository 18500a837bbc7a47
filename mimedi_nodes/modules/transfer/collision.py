# SPDX-License-Identifier: Apache-2.0
"""Collision check of whole ways against everything that stands in the workcell, by MuJoCo, which this imports."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from .frames import RobotFrames
from .instruments import JAW_HOLDS
from .kinematics import Kinematics, Pose
from .planning import Move, PathError
from .workcell_model import MOVING_LINKS, WorkcellModel

CLEARANCE_M = 0.002
"""Nearest that anything may come to anything that it is not meant to touch."""
STEP_M, STEP_RAD = 0.008, 0.05
"""Distance of the poses on the way that are checked: less than the thinnest part that moves, a jaw of 10 mm."""
CARRIED_LINKS = ("carried_cassette_link", "carried_cassette_handle_link")
JAW_OPEN = 0.010
"""Jaw joint [m]."""


class CollisionChecker:
    """Checks ways against everything that stands in the workcell.

    Args:
        cassettes: docks where cassettes stand (without the one that is carried).
        carried: whether one is carried.
        may_touch: links that the carried cassette may touch: the plates that it leaves and reaches.
    """

    def __init__(self, cassettes: Iterable[str], *, carried: bool, may_touch: Iterable[str] = ()) -> None:
        self._model = model = _model(carried)
        self.kinematics = Kinematics(model)
        self._moving = {*MOVING_LINKS, *CARRIED_LINKS}
        self._stand = frozenset(cassettes)
        self._carried, self._may_touch = carried, set(may_touch)

    def first_touch(self, pose: Pose, door_rad: float = 0.0) -> str:
        """Return what would come nearer than `CLEARANCE_M` at a pose; empty when nothing does."""
        _let_stand(self._model, self._stand)
        joints = {**self.kinematics.joints(pose), "main_door": door_rad}
        self._model.set_joints({**joints, "gripper_front": JAW_HOLDS if self._carried else JAW_OPEN})
        for first, second, distance in self._model.contacts():
            if distance > CLEARANCE_M:
                continue
            mine, other = (first, second) if first in self._moving else (second, first)
            if mine.startswith("carried_") and other in self._may_touch:
                continue
            return f"{mine} comes within {1e3 * distance:.1f} mm of {other}"
        return ""

    def check(self, move: Move) -> None:
        """Look at the whole way; raises PathError naming place and link."""
        start, end = move.start.as_array(), move.end.as_array()
        way = np.abs(end - start)
        steps = max(1, int(np.ceil(max(float(np.linalg.norm(way[:3])) / STEP_M, way[3] / STEP_RAD))))
        for k in range(steps + 1):
            pose = Pose.of_array(start + (end - start) * (k / steps))
            if touched := self.first_touch(pose):
                raise PathError(f"{touched} at {tuple(round(v, 1) for v in pose.position_mm)} mm")


@lru_cache(maxsize=2)
def _model(carried: bool) -> WorkcellModel:
    """Return the model with a cassette at every dock, read once; `_let_stand` tells which of them are there."""
    model = WorkcellModel(RobotFrames().docks, carried=carried)
    inner = model.model
    inner.geom_margin[:] = CLEARANCE_M  # MuJoCo tells contacts from this distance on
    moving = {inner.body(name).id for name in (*MOVING_LINKS, *(CARRIED_LINKS if carried else ()))}
    # What moves is looked at against what stands, and nothing else.
    for geom, body in enumerate(inner.geom_bodyid):
        inner.geom_contype[geom], inner.geom_conaffinity[geom] = (1, 0) if int(body) in moving else (0, 1)
    return model


def _let_stand(model: WorkcellModel, docks: frozenset[str]) -> None:
    """Let cassettes be at these docks and nowhere else."""
    if model.standing == docks:
        return
    inner, model.standing = model.model, docks
    for dock in model.docks:
        for link in (f"cassette_{dock}_link", f"cassette_{dock}_handle_link"):
            inner.geom_conaffinity[inner.body(link).geomadr[0]] = int(dock in docks)
