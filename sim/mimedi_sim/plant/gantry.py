# SPDX-License-Identifier: Apache-2.0
"""The gantry's mechanics: carriage, limit switches, gripper, cassettes in their docks. Lengths in mm.

Machine coordinates as GRBL has them once homed: 0 at the home switches, -travel at the other end. The motors may
believe something else: that is what lost steps are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from mimedi_sim.firmware.grbl_motion import Vector

FAR_SWITCH_MM, STOP_MM = 1.0, 3.0
"""Beyond the travel: where the far switch closes, and where the carriage stands against its buffer."""
REACH_MM = 1.0
"""The gripper takes or leaves a cassette within this distance of a dock."""

TURNED_DEG = 10.0
"""By more than this the wrist is turned away from a dock."""
WRIST_RANGE_DEG, WRIST_DEG_S = (-95.0, 95.0), 86.0
_TOUCH_MM = 1e-9


class GantryMechanics:
    """One gantry with its gripper.

    Args:
        travel_mm: of X, Y, Z. docks: name to machine position. cassettes: label to the dock where it stands.
        start: machine position at power-up, which the controller does not know.
        yaws_deg: dock to the wrist's angle at which the jaws lie along a handle there; 0 where none is named.
    """

    def __init__(
        self, travel_mm: Vector, docks: Mapping[str, Vector] | None = None, cassettes: Mapping[str, str] | None = None,
        start: Vector = (-450.0, -250.0, -40.0), yaws_deg: Mapping[str, float] | None = None,
    ) -> None:
        self.travel_mm = travel_mm
        self.docks = dict(docks or {})
        self._yaws_deg = dict(yaws_deg or {})
        self.cassettes: dict[str, str] = dict(cassettes or {})
        """Label to where the cassette is: a dock, "gripper", or "dropped"."""
        unknown = sorted(set(self.cassettes.values()) - set(self.docks))
        if unknown:
            raise ValueError(f"docks {', '.join(unknown)} do not exist; there are {', '.join(sorted(self.docks))}")
        self.position = start
        self.gripper_open = False
        self._wrist = (0.0, 0.0, 0.0)  # angle from which, angle to which [deg], process time of the command [s]
        self.powered = True
        self.blocked: set[int] = set()
        """Axes that do not move whatever their motor does."""
        self.pressed: set[int] = set()
        """Axes whose limit switch is closed wherever they are."""
        self.slip = [0.0, 0.0, 0.0]
        """Share of the steps that each axis loses."""

    def limits(self) -> str:
        """Return the letters of the axes whose limit switch is closed."""
        return "".join(
            letter
            for axis, (letter, place, travel) in enumerate(zip("XYZ", self.position, self.travel_mm, strict=True))
            if axis in self.pressed or place >= -_TOUCH_MM or place <= -travel - FAR_SWITCH_MM + _TOUCH_MM
        )

    def until_limit(self, delta: Vector) -> float | None:
        """Return the share of a motor move after which a limit switch closes; None when none does."""
        if self.pressed:
            return 0.0
        shares = []
        for axis, way in enumerate(self._real(delta)):
            place, far = self.position[axis], -self.travel_mm[axis] - FAR_SWITCH_MM
            if way > 0.0 and place < 0.0 <= place + way:
                shares.append(-place / way)
            elif way < 0.0 and place > far >= place + way:
                shares.append((far - place) / way)
        return min(shares, default=None)

    def moved(self, delta: Vector, now_s: float) -> None:
        """Follow a motor move as far as the axes do, up to their buffers."""
        real = self._real(delta)
        x, y, z = (
            min(STOP_MM, max(-travel - STOP_MM, place + way))
            for place, way, travel in zip(self.position, real, self.travel_mm, strict=True)
        )
        self.position = (x, y, z)

    def homed(self, axis: int) -> float:
        """Return how far the motor must turn until the axis' home switch closes; inf when it never will."""
        share = self._share(axis)
        return max(0.0, -self.position[axis]) / share if share > 0.0 else math.inf

    def grip(self, is_open: bool, now_s: float) -> None:
        """Open or close the gripper; a spring keeps it closed without power."""
        if is_open == self.gripper_open:
            return
        self.gripper_open = is_open
        dock = self.dock_at(self.position)
        if dock is not None and abs(self.wrist_deg(now_s) - self._yaws_deg.get(dock, 0.0)) > TURNED_DEG:
            dock = None  # across the handle the jaws find nothing, and a cassette does not fit its pins
        held = self.held()
        if is_open and held is not None:
            self.cassettes[held] = dock if dock is not None and self.label_at(dock) is None else "dropped"
        elif not is_open and dock is not None and (label := self.label_at(dock)) is not None:
            self.cassettes[label] = "gripper"

    def turn(self, share: float, now_s: float) -> None:
        """Turn the wrist's servo to a share (0..1) of its range; it goes there by itself."""
        low, high = WRIST_RANGE_DEG
        self._wrist = (self.wrist_deg(now_s), low + share * (high - low), now_s)

    def wrist_deg(self, now_s: float) -> float:
        """Return the wrist's angle [deg]."""
        start, goal, since_s = self._wrist
        way = WRIST_DEG_S * (now_s - since_s)
        return goal if abs(goal - start) <= way else start + math.copysign(way, goal - start)

    def gripped(self) -> bool:
        """Whether the gripper's sensor feels a cassette."""
        return self.held() is not None

    def held(self) -> str | None:
        """Return the label of the cassette in the gripper."""
        return next((label for label, place in self.cassettes.items() if place == "gripper"), None)

    def dock_at(self, position: Vector) -> str | None:
        """Return the dock that the gripper can reach from a position."""
        return next((name for name, place in self.docks.items() if math.dist(place, position) <= REACH_MM), None)

    def label_at(self, dock: str) -> str | None:
        """Return the label of the cassette in a dock."""
        return next((label for label, place in self.cassettes.items() if place == dock), None)

    def _share(self, axis: int) -> float:
        return 0.0 if axis in self.blocked or not self.powered else 1.0 - self.slip[axis]

    def _real(self, delta: Vector) -> Vector:
        return delta[0] * self._share(0), delta[1] * self._share(1), delta[2] * self._share(2)
