# SPDX-License-Identifier: Apache-2.0
"""The instruments of the transfer: gantry with gripper, and the label camera on its carriage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ...instruments.gantry import Gantry
from ...instruments.wire.link import Link
from ...process.calibrations import CalibrationBook
from ...vision.camera.frame import CameraHealth
from ..camera import Camera
from ..site import Site
from .frames import RobotFrames
from .hand_eye import HandEye, HandEyeFile, LabelOptics
from .kinematics import Kinematics, Pose
from .whereabouts import Whereabouts

LINE, CAMERA = "gantry", "label_camera"
JAW_HOLDS = 0.0015
"""Jaw joint [m], closed on a handle."""


@dataclass
class TransferInstruments:
    """Gantry and label camera, and what is known of cassettes, wrist and the camera's place."""

    link: Link
    gantry: Gantry
    camera: Camera
    optics: LabelOptics
    whereabouts: Whereabouts
    hand_eye_file: HandEyeFile
    calibrations: CalibrationBook
    on_joints: Callable[[Mapping[str, float]], None] = lambda positions: None
    """Shown the joint positions [m or rad] whenever they are read."""
    camera_health: CameraHealth = field(default_factory=CameraHealth)
    wrist_told: bool = False
    """Whether the wrist was told its angle since the line was opened."""

    @cached_property
    def robot(self) -> RobotFrames:
        """The robot model, read when first used."""
        return RobotFrames()

    @cached_property
    def kinematics(self) -> Kinematics:
        """Its kinematics."""
        return Kinematics(self.robot)

    @property
    def hand_eye(self) -> HandEye | None:
        """Where the label camera was found to sit; None while it counts as drawn."""
        return self.hand_eye_file.known

    async def connect(self) -> None:
        """Open the line and identify the controller; moves nothing."""
        self.wrist_told = False
        await self.link.open()
        # GRBL tells its version at rest only; held on its way, its status must do. After a limit switch it hears
        # nothing but a reset, which leaves it locked: only homing sets it free.
        state = (await self.gantry.state()).state
        if state == "Alarm":
            await self.gantry.reset()
        if state in ("Idle", "Alarm"):
            await self.gantry.identify()
        await self.camera.set_capture(False)

    async def disconnect(self) -> None:
        """Close the line; the gripper's spring holds what it holds."""
        await self.link.close()

    async def telemetry(self) -> Mapping[str, tuple[float, str]]:
        """Read position and gripper; the wrist is what it was last told."""
        if self.gantry.homing:
            return {"homed": (0.0, "1")}
        state = await self.gantry.state()
        x, y, z = state.position_mm
        joints = self.kinematics.joints(Pose(x, y, z, self.whereabouts.wrist_rad))
        self.on_joints({**joints, "gripper_front": JAW_HOLDS if state.gripped else 0.0})
        return {
            "gantry_x_mm": (x, "mm"), "gantry_y_mm": (y, "mm"), "gantry_z_mm": (z, "mm"),
            "wrist_rad": (self.whereabouts.wrist_rad, "rad"), "gripped": (float(state.gripped), "1"),
            "homed": (float(state.state not in ("Alarm", "Home")), "1"),
        }


def build(site: Site, links: Mapping[str, Link], extras: Mapping[str, Any]) -> TransferInstruments:
    """Make the drivers from the site file.

    `extras` must hold the label camera; it may hold `transfer_state` (returns the folder where the whereabouts and the
    camera's place are kept; in memory without), `whereabouts` (as somebody else keeps them), `calibrations`
    (CalibrationBook), `on_joints`, and `on_cassettes` (shown place → label whenever one changes).
    """
    folder: Path | None = extras["transfer_state"]() if "transfer_state" in extras else None
    optics = LabelOptics(site.label_camera.width_px, site.label_camera.height_px, site.label_camera.focal_px)
    whereabouts: Whereabouts = (
        extras["whereabouts"]
        if "whereabouts" in extras
        else Whereabouts(site.cassettes, None if folder is None else folder / "cassettes.json")
    )
    show: Callable[[Mapping[str, str]], None] = extras.get("on_cassettes", lambda places: None)
    whereabouts.changed = lambda: show(whereabouts.places)
    whereabouts.changed()
    return TransferInstruments(
        links[LINE],
        Gantry(links[LINE], LINE),
        extras[CAMERA],
        optics,
        whereabouts,
        HandEyeFile(None if folder is None else folder / "label_camera.json"),
        extras["calibrations"] if "calibrations" in extras else CalibrationBook(None),
        extras.get("on_joints", lambda positions: None),
    )
