# SPDX-License-Identifier: Apache-2.0
"""Straight moves with trapezoidal speed: where a move is at any time, exactly. Lengths in mm, times in s."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

Vector = tuple[float, float, float]
AXES = "XYZ"


class Mechanics(Protocol):
    """What hangs on the motors: it follows the steps, or loses them."""

    def limits(self) -> str:
        """Return the letters of the axes whose limit switch is closed."""
        ...

    def until_limit(self, delta: Vector) -> float | None:
        """Return the share (0..1] of a motor move [mm] after which a limit switch closes; None when none does."""
        ...

    def moved(self, delta: Vector, now_s: float) -> None:
        """Follow a motor move [mm]."""
        ...

    def homed(self, axis: int) -> float:
        """Return how far [mm] the axis must move, + towards its home switch, until that closes; inf when blocked."""
        ...

    def grip(self, is_open: bool, now_s: float) -> None:
        """Open or close the gripper."""
        ...

    def turn(self, share: float, now_s: float) -> None:
        """Turn the wrist's servo: duty of the spindle output, 0..1 of its range."""
        ...

    def gripped(self) -> bool:
        """Whether the gripper's sensor feels something."""
        ...


def difference(end: Vector, start: Vector) -> Vector:
    """Return end - start."""
    return end[0] - start[0], end[1] - start[1], end[2] - start[2]


def along(start: Vector, delta: Vector, share: float) -> Vector:
    """Return start + share x delta."""
    return start[0] + share * delta[0], start[1] + share * delta[1], start[2] + share * delta[2]


@dataclass(frozen=True)
class Profile:
    """Speed over time of a way: from rest with constant acceleration, at top speed, to rest; or braking only.

    Args: length_mm of the way; speed_mm_s at most; acceleration_mm_s2; braking_from_mm_s: begin at that speed and only
    brake (the length is then what braking takes).
    """

    length_mm: float
    speed_mm_s: float
    acceleration_mm_s2: float
    braking_from_mm_s: float = 0.0

    @property
    def top_mm_s(self) -> float:
        """Speed that is reached: the way may be too short for the wanted one."""
        return min(self.speed_mm_s, math.sqrt(self.length_mm * self.acceleration_mm_s2))

    @property
    def duration_s(self) -> float:
        """Time from start to rest."""
        if self.braking_from_mm_s > 0.0:
            return self.braking_from_mm_s / self.acceleration_mm_s2
        if self.length_mm <= 0.0:
            return 0.0
        top = self.top_mm_s
        return self.length_mm / top + top / self.acceleration_mm_s2

    def at(self, time_s: float) -> tuple[float, float]:
        """Return (way gone, speed) [mm, mm/s] a time after the start."""
        a, total = self.acceleration_mm_s2, self.duration_s
        t = min(max(time_s, 0.0), total)
        if self.braking_from_mm_s > 0.0:
            return self.braking_from_mm_s * t - 0.5 * a * t * t, self.braking_from_mm_s - a * t
        if total == 0.0:
            return self.length_mm, 0.0
        top = self.top_mm_s
        ramp = top / a
        if t < ramp:
            return 0.5 * a * t * t, a * t
        if t <= total - ramp:
            return 0.5 * a * ramp * ramp + top * (t - ramp), top
        left = total - t
        return self.length_mm - 0.5 * a * left * left, a * left

    def time_at(self, way_mm: float) -> float:
        """Return when a way is gone [s]; raises ValueError beyond the end."""
        if not 0.0 <= way_mm <= self.length_mm * (1.0 + 1e-12):
            raise ValueError(f"way_mm is {way_mm}; allowed: 0..{self.length_mm}")
        a = self.acceleration_mm_s2
        if self.braking_from_mm_s > 0.0:
            root = max(0.0, self.braking_from_mm_s**2 - 2.0 * a * way_mm)
            return (self.braking_from_mm_s - math.sqrt(root)) / a
        top = self.top_mm_s
        ramp_mm = 0.5 * top * top / a
        if way_mm <= ramp_mm:
            return math.sqrt(2.0 * way_mm / a)
        if way_mm <= self.length_mm - ramp_mm:
            return top / a + (way_mm - ramp_mm) / top
        return self.duration_s - math.sqrt(2.0 * max(0.0, self.length_mm - way_mm) / a)


def braking(speed_mm_s: float, acceleration_mm_s2: float) -> Profile:
    """Return the profile of braking to rest."""
    return Profile(
        speed_mm_s**2 / (2.0 * acceleration_mm_s2), speed_mm_s, acceleration_mm_s2, braking_from_mm_s=speed_mm_s
    )


@dataclass(frozen=True)
class Move:
    """One straight move of the motors: from start by delta [mm], under a profile along the way."""

    start: Vector
    delta: Vector
    profile: Profile
    begun_s: float

    @property
    def end_s(self) -> float:
        """Process time [s] of its end."""
        return self.begun_s + self.profile.duration_s

    @property
    def length_mm(self) -> float:
        """Length of the whole way."""
        return math.hypot(*self.delta)

    def share_at(self, time_s: float) -> float:
        """Return the share of delta that is gone."""
        length = self.length_mm
        return 1.0 if length == 0.0 else min(1.0, self.profile.at(time_s - self.begun_s)[0] / length)

    def position_at(self, time_s: float) -> Vector:
        """Return where the motors are [mm]."""
        return along(self.start, self.delta, self.share_at(time_s))

    def speed_at(self, time_s: float) -> float:
        """Return the speed along the way [mm/s]."""
        return self.profile.at(time_s - self.begun_s)[1]


def limited(value: float, delta: Vector, per_axis: Vector) -> float:
    """Return the largest value (speed, acceleration) along a way that no axis' own limit forbids."""
    length = math.hypot(*delta)
    for part, limit in zip(delta, per_axis, strict=True):
        if abs(part) > 1e-12:
            value = min(value, limit * length / abs(part))
    return value
