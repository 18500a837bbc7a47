# SPDX-License-Identifier: Apache-2.0
"""The instruments of the transfer: gantry with gripper, and the label camera on its carriage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ...instruments.gantry import Gantry
from ...instruments.link import Link
from ..camera import Camera
from ..site import Site
from .frames import RobotFrames
from .hand_eye import HandEye, LabelOptics
from .kinematics import Kinematics

LINE, CAMERA = "gantry", "label_camera"


@dataclass
class TransferInstruments:
    """Gantry and label camera; `occupied` is what is known of the docks: dock → label.

    It begins with what the site says and is put right by every label that is read; before anything is picked or put
    down, the camera looks.
    """

    link: Link
    gantry: Gantry
    camera: Camera
    occupied: dict[str, str] = field(default_factory=dict)
    optics: LabelOptics = field(default_factory=LabelOptics)
    hand_eye: HandEye | None = None

    @cached_property
    def kinematics(self) -> Kinematics:
        """Kinematics of the robot model, read when first used."""
        return Kinematics(RobotFrames())

    async def connect(self) -> None:
        """Open the line and identify the controller; moves nothing."""
        await self.link.open()
        # GRBL tells its version at rest only; held on its way, its status must do.
        if (await self.gantry.state()).state in ("Idle", "Alarm"):
            await self.gantry.identify()

    async def disconnect(self) -> None:
        """Close the line; the gripper's spring holds what it holds."""
        await self.link.close()

    async def telemetry(self) -> Mapping[str, tuple[float, str]]:
        """Read position and gripper."""
        state = await self.gantry.state()
        x, y, z = state.position_mm
        return {
            "gantry_x_mm": (x, "mm"), "gantry_y_mm": (y, "mm"), "gantry_z_mm": (z, "mm"),
            "gripped": (float(state.gripped), "1"),
        }


def build(site: Site, links: Mapping[str, Link], extras: Mapping[str, Any]) -> TransferInstruments:
    """Make the drivers from the site file."""
    return TransferInstruments(links[LINE], Gantry(links[LINE], LINE), extras[CAMERA], dict(site.cassettes))
