# SPDX-License-Identifier: Apache-2.0
"""Frames for TF held to MuJoCo's kinematics, and the picture that `./workcell view` draws."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transforms3d.quaternions import quat2mat

from mimedi_nodes.commands.view import main
from mimedi_nodes.modules.transfer.description import RobotModelError, robot_description
from mimedi_nodes.modules.transfer.frames import Frames
from mimedi_nodes.modules.transfer.workcell_model import MIMICS, WorkcellModel

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model():
    return WorkcellModel(("store",))


@pytest.fixture(scope="module")
def frames():
    return Frames(robot_description(("store",)))


def poses(frames, positions):
    """Compose TF's transforms down the tree: link → pose (4, 4)."""
    edges = {t.child: t for t in (*frames.fixed(), *frames.moving(positions))}
    found = {"workcell_base": np.eye(4)}

    def pose(link):
        if link not in found:
            edge = edges[link]
            step = np.eye(4)
            x, y, z, w = edge.rotation_xyzw
            step[:3, :3], step[:3, 3] = quat2mat((w, x, y, z)), edge.translation_m
            found[link] = pose(edge.parent) @ step
        return found[link]

    return {link: pose(link) for link in edges}


@given(shares=st.lists(st.floats(0.0, 1.0), min_size=8, max_size=8))
@settings(max_examples=40, deadline=None)
def test_frames_agree_with_mujoco_wherever_the_joints_are(model, frames, shares):
    assert set(frames.movable) == set(model.limits) - set(MIMICS)
    positions = {
        name: model.limits[name].lower + share * (model.limits[name].upper - model.limits[name].lower)
        for name, share in zip(frames.movable, shares, strict=True)
    }
    model.set_joints(positions)
    for link, pose in poses(frames, positions).items():
        assert np.allclose(pose, model.pose(link), atol=1e-9), link


def test_a_joint_or_link_that_is_not_there_is_named_with_those_that_are(model):
    with pytest.raises(RobotModelError, match=r"gantry_q.*there are.*gantry_x"):
        model.set_joints({"gantry_q": 0.0})
    with pytest.raises(RobotModelError, match="gantry_z2"):
        model.set_joints({"gantry_z2": 0.0})  # it follows, it is not set
    with pytest.raises(RobotModelError, match="nowhere"):
        model.pose("nowhere")


def test_the_picture_shows_where_the_gantry_is(tmp_path):
    pictures = []
    for y in (-0.5, 0.5):
        path = tmp_path / f"{y}.png"
        # A process of its own: MuJoCo chooses its OpenGL when it is imported first.
        done = subprocess.run(
            [sys.executable, "-m", "mimedi_nodes.commands", "view", "--out", str(path), "--size", "320x200",
             "--joints", f"gantry_y={y}", "--json"],
            cwd=ROOT, env={**os.environ, "MUJOCO_GL": "egl"}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        if "no off-screen OpenGL" in done.stderr:
            pytest.skip(done.stderr)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"file": str(path), "width_px": 320, "height_px": 200}
        pictures.append(cv2.imread(str(path)))
        assert pictures[-1].shape == (200, 320, 3)
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 50
    assert np.mean(pictures[0] != pictures[1]) < 0.2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--joints", "gantry_y=2"], "from -0.74 to 0.73"),
        (["--joints", "gantry_y"], "NAME=VALUE"),
        (["--cassettes", "moon"], "there are hatch"),
        (["--size", "big"], "1280x800"),
        (["--size", "8x8"], "from 16 to 4096"),
    ],
)
def test_wrong_options_are_refused_with_what_is_allowed(arguments, said, capsys):
    assert main(["--out", "/nowhere/x.png", *arguments]) == 2
    assert said in capsys.readouterr().err


NO_SCREEN = [tool for tool in ("Xvfb", "xdotool") if shutil.which(tool) is None]


@pytest.mark.skipif(bool(NO_SCREEN), reason=f"no virtual screen: apt-get install xvfb xdotool ({NO_SCREEN})")
def test_the_window_shows_the_workcell_and_is_closed_by_its_key(tmp_path):
    """On a virtual X server: the picture on its screen has many shades; Ctrl+Q ends the command with status 0."""
    deadline_s = time.monotonic() + 60.0
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "1024x768x24", "-nolisten", "tcp", "-fbdir", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    view = None
    try:
        where = {**os.environ, "DISPLAY": f":{server.stdout.readline().strip()}"}
        view = subprocess.Popen([sys.executable, "-m", "mimedi_nodes.commands", "view"], cwd=ROOT, env=where)
        shades = 0
        while shades < 100:
            assert view.poll() is None, f"it ended with {view.returncode}"
            assert time.monotonic() < deadline_s, f"{shades} shades on the screen"
            time.sleep(0.3)
            shades = len(np.unique(np.fromfile(tmp_path / "Xvfb_screen0", np.uint8)[-1024 * 768 * 4 :]))
        while view.poll() is None:
            assert time.monotonic() < deadline_s, "it did not end"
            # The window may be gone before xdotool has heard that its key was taken.
            subprocess.run(
                ["xdotool", "search", "--name", "MuJoCo", "key", "ctrl+q"], env=where, capture_output=True,
                timeout=10.0, check=False,
            )  # fmt: skip
            time.sleep(0.3)
        assert view.returncode == 0
    finally:
        if view is not None and view.poll() is None:
            view.kill()
            view.wait()
        server.terminate()
        server.wait()
