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
    """Speed over time of a way: constant acceleration from the entry speed, top speed, braking to the exit speed.

    Args: length_mm of the way; speed_mm_s at most; acceleration_mm_s2; entry_mm_s and exit_mm_s at its ends, which the
    way must be long enough for: |exit² - entry²| <= 2 acceleration length.
    """

    length_mm: float
    speed_mm_s: float
    acceleration_mm_s2: float
    entry_mm_s: float = 0.0
    exit_mm_s: float = 0.0

    @property
    def top_mm_s(self) -> float:
        """Speed that is reached: the way may be too short for the wanted one."""
        ends = 0.5 * (self.entry_mm_s**2 + self.exit_mm_s**2)
        reachable = math.sqrt(self.length_mm * self.acceleration_mm_s2 + ends)
        return min(max(self.speed_mm_s, self.entry_mm_s, self.exit_mm_s), reachable)

    def _parts(self) -> tuple[float, float, float, float, float, float]:
        """Return times and ways of speeding up, cruising, braking."""
        top, a = self.top_mm_s, self.acceleration_mm_s2
        up_s, down_s = (top - self.entry_mm_s) / a, (top - self.exit_mm_s) / a
        up, down = 0.5 * (top + self.entry_mm_s) * up_s, 0.5 * (top + self.exit_mm_s) * down_s
        cruise = max(0.0, self.length_mm - up - down)
        return up_s, cruise / top if top > 0.0 else 0.0, down_s, up, cruise, down

    @property
    def duration_s(self) -> float:
        """Time from start to end."""
        up_s, cruise_s, down_s, *_ = self._parts()
        return up_s + cruise_s + down_s

    def at(self, time_s: float) -> tuple[float, float]:
        """Return (way gone, speed) [mm, mm/s] a time after the start."""
        up_s, cruise_s, down_s, up, _, _ = self._parts()
        a, t = self.acceleration_mm_s2, max(time_s, 0.0)
        if t < up_s:
            return self.entry_mm_s * t + 0.5 * a * t * t, self.entry_mm_s + a * t
        if t < up_s + cruise_s:
            return up + self.top_mm_s * (t - up_s), self.top_mm_s
        left = max(0.0, up_s + cruise_s + down_s - t)
        return self.length_mm - self.exit_mm_s * left - 0.5 * a * left * left, self.exit_mm_s + a * left

    def time_at(self, way_mm: float) -> float:
        """Return when a way is gone [s]; raises ValueError beyond the end."""
        if not 0.0 <= way_mm <= self.length_mm * (1.0 + 1e-12):
            raise ValueError(f"way_mm is {way_mm}; allowed: 0..{self.length_mm}")
        up_s, cruise_s, down_s, up, cruise, _ = self._parts()
        a = self.acceleration_mm_s2
        if way_mm < up:
            return (math.sqrt(self.entry_mm_s**2 + 2.0 * a * way_mm) - self.entry_mm_s) / a
        if way_mm < up + cruise:
            return up_s + (way_mm - up) / self.top_mm_s
        left = max(0.0, self.length_mm - way_mm)
        return up_s + cruise_s + down_s - (math.sqrt(self.exit_mm_s**2 + 2.0 * a * left) - self.exit_mm_s) / a


def junction_speed_mm_s(before: Vector, after: Vector, acceleration_mm_s2: float, deviation_mm: float) -> float:
    """Return the speed at which a corner between two unit vectors may be taken; inf straight on, 0 straight back.

    v² = a d sin(t/2)/(1 - sin(t/2)), t the angle between the ways. Source: S. K. Jeon, grbl/planner.c (junction
    deviation).
    """
    cosine = -sum(a * b for a, b in zip(before, after, strict=True))
    if cosine > 0.999999:
        return 0.0
    if cosine < -0.999999:
        return math.inf
    half = math.sqrt(0.5 * (1.0 - cosine))
    return math.sqrt(acceleration_mm_s2 * deviation_mm * half / (1.0 - half))


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
