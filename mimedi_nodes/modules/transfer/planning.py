# SPDX-License-Identifier: Apache-2.0
"""Ways between poses: straight, jerk-limited, checked for collisions before anything moves.

Trajectories: Berscheid & Kröger 2021, Jerk-limited real-time trajectory generation (ruckig), for the way along the
line: it stays straight, and the axis that is nearest to a limit sets the pace. The controller drives its own trapezoid
over the same line at the trajectory's peak speed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from ruckig import InputParameter, Result, Ruckig, Trajectory

from ...process.errors import WorkcellError
from .kinematics import Kinematics, Pose
from .workcell_model import DOCK_PREFIX, MOVING_LINKS, Array, WorkcellModel

ACCELERATION = np.array([1.5, 1.5, 0.8, 6.0])
"""Of x, y, z [m/s²] and wrist [rad/s²]; the first three are the controller's settings $120 to $122."""
JERK = np.array([15.0, 15.0, 8.0, 60.0])
"""[m/s³, rad/s³]: full acceleration after a tenth of a second; liquid in half-full bags then does not slap [C]."""
TURN_Y_MM = (-1400.0, -60.0)
"""Where along the row a cassette may turn."""
MOST_FEED_MM_MIN = 30_000.0
"""Of the controller."""
CLEARANCE_M = 0.002
"""Nearest that anything may come to anything that it is not meant to touch."""
STEP_M, STEP_RAD = 0.008, 0.05
"""Distance of the poses on the way that are checked: less than the thinnest part that moves, a jaw of 10 mm."""
CARRIED_LINKS = ("carried_cassette_link", "carried_cassette_handle_link")
JAW_OPEN, JAW_HOLDS = 0.010, 0.0015
"""Jaw joint [m]: open, and closed on a handle."""


class PathError(WorkcellError):
    """A way cannot be gone; says where and what would be touched."""


@dataclass(frozen=True)
class Move:
    """One straight move with its jerk-limited time law."""

    start: Pose
    end: Pose
    trajectory: Trajectory

    @property
    def duration_s(self) -> float:
        """Duration [s]."""
        return float(self.trajectory.duration)

    def at(self, time_s: float) -> tuple[Array, Array, Array]:
        """Return positions, velocities and accelerations [m, rad] at a time [s]."""
        (share,), (rate,), (change,) = self.trajectory.at_time(time_s)
        start = self.start.as_array()
        way = self.end.as_array() - start
        return start + share * way, rate * way, change * way

    @property
    def feed_mm_min(self) -> float:
        """Peak speed along the way [mm/min], for the controller."""
        half = self.at(0.5 * self.duration_s)[1][:3]
        return min(MOST_FEED_MM_MIN, max(10.0, 60e3 * float(np.linalg.norm(half))))


def plan(start: Pose, end: Pose, kinematics: Kinematics, speed_factor: float = 1.0) -> Move:
    """Return the jerk-limited straight move between two poses at rest.

    Raises:
        PathError: an end lies beyond the limits.
    """
    for name, pose in (("start", start), ("end", end)):
        if not kinematics.is_within(pose):
            raise PathError(f"the {name} {pose} lies beyond the limits of the joints")
    way = np.abs(end.as_array() - start.as_array())
    moves = way > 1e-9
    given = InputParameter(1)
    given.current_position, given.target_position = [0.0], [1.0 if moves.any() else 0.0]

    def most(limit: Array) -> list[float]:
        return [float(np.min(limit[moves] / way[moves])) if moves.any() else 1.0]

    given.max_velocity = most(kinematics.speed * speed_factor)
    given.max_acceleration, given.max_jerk = most(ACCELERATION * speed_factor), most(JERK)
    trajectory = Trajectory(1)
    result = Ruckig(1).calculate(given, trajectory)
    if result != Result.Working:
        raise PathError(f"no trajectory from {start} to {end}: {result.name}")
    return Move(start, end, trajectory)


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
    model = WorkcellModel(WorkcellModel().docks, carried=carried)
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


def transfer_way(
    source: str, destination: str, grip_height_m: float, travel_z_mm: float, kinematics: Kinematics
) -> Mapping[str, Sequence[Pose]]:
    """Return the poses of a transfer: `pick` down, `carry` up, turned, over and down, `leave` up."""
    pick, place = kinematics.at_dock(source, grip_height_m), kinematics.at_dock(destination, grip_height_m)
    above, over = pick.at_height(travel_z_mm), place.at_height(travel_z_mm)
    return {"pick": (above, pick), "carry": (pick, *turning(above, over), over, place), "leave": (place, over)}


def turning(start: Pose, end: Pose) -> tuple[Pose, ...]:
    """Return the poses from a pose to where the wrist has the end's angle, away from the walls at either side."""
    if start.wrist_rad == end.wrist_rad:
        return (start,)
    y_mm = min(TURN_Y_MM[1], max(TURN_Y_MM[0], start.y_mm))
    place = Pose(start.x_mm, y_mm, start.z_mm, start.wrist_rad)
    return (start, place, Pose(start.x_mm, y_mm, start.z_mm, end.wrist_rad))


def dock_plate(dock: str) -> str:
    """Return the link on which a cassette at a dock stands."""
    return f"{DOCK_PREFIX}{dock}_plate"
