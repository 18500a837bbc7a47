# SPDX-License-Identifier: Apache-2.0
"""`workcell view`: the robot model, on the screen or as a picture, by MuJoCo; no ROS needed."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..modules.transfer.workcell_model import WorkcellModel

EXIT_COULD_NOT = 2
LARGEST_PX = 4096
CLOSE_S = 10.0
"""Longest wait for the window to be gone [s]."""


def main(argv: Sequence[str]) -> int:
    """Show the model; see the module's text."""
    parser = argparse.ArgumentParser(
        prog="workcell view",
        description="Shows the workcell's robot model by MuJoCo: in a window, or off screen into a PNG with --out. "
        "Exit status: 0 closed or drawn, 1 the display was lost, 2 it could not be shown.",
        epilog="Examples: ./workcell view; ./workcell view --out workcell.png --cassettes hatch,store "
        "--joints gantry_y=0.3,gantry_z=-0.1; on a ROS 2 host: ros2 launch mimedi_workcell view.launch.py",
    )
    parser.add_argument("--out", metavar="FILE.png", help="draw off screen into a picture instead of a window")
    parser.add_argument("--size", default="1280x800", metavar="WxH", help="of the picture [px] (default %(default)s)")
    parser.add_argument("--cassettes", default="", metavar="DOCK,…", help="docks at which a cassette stands, or 'all'")
    parser.add_argument("--joints", default="", metavar="NAME=VALUE,…", help="joint positions [m or rad]")
    parser.add_argument("--azimuth", type=float, default=150.0, help="of the eye [deg] (default %(default)s)")
    parser.add_argument("--elevation", type=float, default=-25.0, help="of the eye [deg] (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="with --out: print the file and its size as JSON")
    options = parser.parse_args(list(argv))
    if options.out:
        os.environ.setdefault("MUJOCO_GL", "egl")  # must be set before MuJoCo is imported
    try:
        width, height = _size(options.size)
        model = _model(options.cassettes, options.joints)
        if options.out:
            draw(model, Path(options.out), width, height, options.azimuth, options.elevation)
            told = {"file": options.out, "width_px": width, "height_px": height}
            print(json.dumps(told, ensure_ascii=False) if options.json else options.out)
        else:
            _show(model)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        print(f"workcell view: {error}", file=sys.stderr)
        return EXIT_COULD_NOT
    return 0


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.split("x"))
    except ValueError:
        raise ValueError(f"--size {text!r}: expected WIDTHxHEIGHT in pixels, such as 1280x800") from None
    if not (16 <= width <= LARGEST_PX and 16 <= height <= LARGEST_PX):
        raise ValueError(f"--size {text}: each side from 16 to {LARGEST_PX} px")
    return width, height


def _model(cassettes: str, joints: str) -> WorkcellModel:
    from ..modules.transfer.description import RobotModelError
    from ..modules.transfer.workcell_model import WorkcellModel

    docks = WorkcellModel().docks
    chosen = list(docks) if cassettes == "all" else [name for name in cassettes.split(",") if name]
    unknown = [name for name in chosen if name not in docks]
    if unknown:
        raise ValueError(f"--cassettes: there is no dock {', '.join(unknown)}; there are {', '.join(docks)}, or all")
    model = WorkcellModel(chosen, sky=True)
    positions = {}
    for part in filter(None, joints.split(",")):
        name, _, value = part.partition("=")
        limit = model.limits.get(name)
        try:
            positions[name] = float(value)
        except ValueError:
            raise ValueError(f"--joints {part!r}: expected NAME=VALUE") from None
        if limit is not None and not limit.lower <= positions[name] <= limit.upper:
            raise ValueError(f"--joints {part}: {name} goes from {limit.lower:g} to {limit.upper:g}")
    try:
        model.set_joints(positions)
    except RobotModelError as error:
        raise ValueError(f"--joints: {error}") from error
    return model


def _camera(model: WorkcellModel, azimuth_deg: float, elevation_deg: float) -> Any:
    import mujoco

    camera = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model.model, camera)
    camera.lookat[:] = (0.0, 0.55, 0.95)
    camera.distance, camera.azimuth, camera.elevation = 3.4, azimuth_deg, elevation_deg
    return camera


def draw(model: WorkcellModel, path: Path, width: int, height: int, azimuth_deg: float, elevation_deg: float) -> None:
    """Draw off screen and write a PNG.

    Raises:
        RuntimeError: no OpenGL library for it; names what to install.
        OSError: the file cannot be written.
    """
    import cv2
    import mujoco

    # The picture must fit into the off-screen buffer, which is part of the model.
    model.model.vis.global_.offwidth, model.model.vis.global_.offheight = width, height
    _light(model)
    try:
        renderer = mujoco.Renderer(model.model, height, width)
    except Exception as error:
        raise RuntimeError(
            f"no off-screen OpenGL ({error}); apt install libegl1 libgl1-mesa-dri, or MUJOCO_GL=osmesa with libosmesa6"
        ) from error
    try:
        renderer.update_scene(model.data, _camera(model, azimuth_deg, elevation_deg))
        picture = renderer.render()
    finally:
        renderer.close()
    if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise OSError(f"{path} could not be written; does the folder exist, does the name end in .png?")


def _light(model: WorkcellModel) -> None:
    """Make the light bright enough to see into the enclosure."""
    model.model.vis.headlight.ambient[:] = 0.45
    model.model.vis.headlight.diffuse[:] = 0.5


def _show(model: WorkcellModel) -> None:
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise RuntimeError("there is no display; draw off screen with --out FILE.png")
    import mujoco.viewer

    _light(model)
    others = set(threading.enumerate())
    # Its panels would cover the workcell; Tab brings them.
    window = mujoco.viewer.launch_passive(model.model, model.data, show_left_ui=False, show_right_ui=False)
    drawing = [thread for thread in threading.enumerate() if thread not in others]
    try:
        with window.lock():
            window.cam.lookat[:] = (0.0, 0.55, 0.95)
            window.cam.distance, window.cam.azimuth, window.cam.elevation = 3.4, 150.0, -25.0
        window.sync()  # once: nothing moves here, and a window on its way out would never answer
        _wait(drawing, math.inf)
    finally:
        window.close()
        # MuJoCo ends GLFW when the interpreter ends: under a thread that still draws, that is a segmentation fault.
        _wait(drawing, CLOSE_S)


def _wait(threads: Sequence[threading.Thread], limit_s: float) -> None:
    """Wait until the threads have ended, at most limit_s [s]; a Ctrl+C is heard within a second."""
    end_s = time.monotonic() + limit_s
    for thread in threads:
        while thread.is_alive() and (left_s := end_s - time.monotonic()) > 0.0:
            thread.join(min(left_s, 1.0))
