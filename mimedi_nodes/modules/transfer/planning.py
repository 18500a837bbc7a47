# SPDX-License-Identifier: Apache-2.0
"""Ways between poses: straight and jerk-limited. Whether they are free is for collision.py to say.

Trajectories: Berscheid & Kröger 2021, Jerk-limited real-time trajectory generation (ruckig), for the way along the
line: it stays straight, and the axis that is nearest to a limit sets the pace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ruckig import InputParameter, Result, Ruckig, Trajectory

from ...process.errors import WorkcellError
from .description import DOCK_PREFIX, Array
from .kinematics import Kinematics, Pose

CONTROLLER_ACCELERATION = np.array([1.5, 1.5, 0.8])
"""Of x, y, z [m/s²]: the controller's settings $120 to $122."""
ACCELERATION = np.array([*0.8 * CONTROLLER_ACCELERATION, 6.0])
"""Of x, y, z [m/s²] and wrist [rad/s²]: the controller keeps a fifth to follow the plan with."""
JERK = np.array([15.0, 15.0, 8.0, 60.0])
"""[m/s³, rad/s³]: full acceleration after a tenth of a second; liquid in half-full bags then does not slap [C]."""
TURN_Y_MM = (-1400.0, -60.0)
"""Where along the row a cassette may turn."""


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
    def phases_s(self) -> tuple[float, float, float]:
        """How long it gets faster, keeps its speed and gets slower [s]; the first and the last are equal."""
        constant_s = float(self.trajectory.profiles[0][0].t[3])
        ramp_s = 0.5 * (self.duration_s - constant_s)
        return ramp_s, constant_s, ramp_s


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
