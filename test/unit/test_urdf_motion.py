# SPDX-License-Identifier: Apache-2.0
"""The moving parts of the robot model, read by two more parsers: MuJoCo's and, where it is installed, SDFormat's."""

import ctypes
import ctypes.util
import subprocess
import sys
from pathlib import Path

import mujoco
import numpy as np
import pytest
import xacro
from urdf_parser_py.urdf import URDF

ROOT = Path(__file__).resolve().parents[2]
DOCKS = ("hatch", "fluidics", "store", "acoustic_sorter", "transduction", "incubator", "vision_qc",
         "contamination_watch")  # fmt: skip
SLAS_FOOTPRINT_M = (0.08548, 0.12776)  # ANSI SLAS 1-2004


def expand(cassettes=""):
    return xacro.process_file(
        str(ROOT / "urdf" / "workcell.urdf.xacro"), mappings={"cassettes": cassettes}
    ).toxml()


@pytest.fixture(scope="module")
def text():
    return expand(" ".join(DOCKS))


@pytest.fixture(scope="module")
def physics(text):
    """MuJoCo's model and data; bodies keep their names only when static ones are not fused."""
    spec = mujoco.MjSpec.from_string(text)
    spec.compiler.fusestatic = False
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def test_mujoco_reads_the_same_links_joints_and_masses(text, physics):
    model, _ = physics
    robot = URDF.from_xml_string(text)
    bodies = {model.body(k).name for k in range(1, model.nbody)}
    assert bodies == {link.name for link in robot.links}
    moving = {joint.name for joint in robot.joints if joint.type != "fixed"}
    assert {model.joint(k).name for k in range(model.njnt)} == moving
    assert sum(model.body_mass) == pytest.approx(sum(link.inertial.mass for link in robot.links if link.inertial))


def test_every_moving_joint_has_finite_limits_and_a_speed(text):
    robot = URDF.from_xml_string(text)
    moving = [joint for joint in robot.joints if joint.type != "fixed"]
    assert len(moving) == 10
    for joint in moving:
        assert joint.limit.lower <= 0.0 <= joint.limit.upper, joint.name
        assert joint.limit.upper > joint.limit.lower, joint.name
        assert 0.0 < joint.limit.velocity <= 1.5, joint.name  # m/s or rad/s, EN ISO 10218-1's reduced speed is 0.25 m/s
        assert joint.limit.effort > 0.0, joint.name


def test_cassettes_stand_at_their_docks_in_the_footprint_of_a_microplate(physics):
    model, data = physics
    for dock in DOCKS:
        grip = data.body(f"cassette_{dock}_grip").xpos - data.body(f"cassette_dock_{dock}").xpos
        assert grip == pytest.approx([0.0, 0.0, 0.072], abs=1e-9)
        body = model.body(f"cassette_{dock}_link")
        half = model.geom_size[body.geomadr[0]]
        assert tuple(2 * half[:2]) == pytest.approx(SLAS_FOOTPRINT_M)


def test_nothing_touches_at_home_with_a_cassette_at_every_dock(physics):
    model, data = physics
    for k in range(data.ncon):
        first, second = (model.body(model.geom_bodyid[g]).name for g in data.contact[k].geom)
        # What stands on something touches it; nothing else does.
        assert data.contact[k].dist > -1e-6 or {first, second} == {"incubator_link", "culture_vessel_link"}


def test_the_tool_reaches_every_cassette_within_the_limits(physics):
    model, data = physics
    ranges = {model.joint(k).name: model.joint(k).range for k in range(model.njnt)}
    tool = data.body("gripper_tcp").xpos.copy()
    for dock in DOCKS:
        x, y, z = data.body(f"cassette_{dock}_grip").xpos - tool
        for joint, value in (("gantry_x", x), ("gantry_y", y), ("gantry_z", z / 2)):
            assert ranges[joint][0] < value < ranges[joint][1], (dock, joint)


def test_the_label_camera_looks_down_and_reaches_every_label(physics):
    model, data = physics
    camera = data.body("label_camera_optical")
    assert camera.xmat.reshape(3, 3)[:, 2] == pytest.approx([0.0, 0.0, -1.0])
    for dock in DOCKS:
        x, y, _ = data.body(f"cassette_{dock}_label").xpos - camera.xpos
        assert model.joint("gantry_x").range[0] < x < model.joint("gantry_x").range[1], dock
        assert model.joint("gantry_y").range[0] < y < model.joint("gantry_y").range[1], dock


def test_the_second_slide_follows_the_first(text):
    robot = URDF.from_xml_string(text)
    mimics = {joint.name: joint.mimic.joint for joint in robot.joints if joint.mimic}
    assert mimics == {"gantry_z2": "gantry_z", "gripper_back": "gripper_front"}


def sdformat():
    """Return Debian's libsdformat with its command `check`, or None."""
    for name in ("libsdformat12.so.12", "libsdformat13.so.13", "libsdformat14.so.14"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


needs_sdformat = pytest.mark.skipif(sdformat() is None, reason="no SDFormat parser: apt install libsdformat12-12")


def check_with_sdformat(path):
    """Run the library's `gz sdf --check` in a process of its own, since it prints; returns status and text."""
    code = (
        "import ctypes, sys\n"
        f"library = ctypes.CDLL({sdformat()._name!r})\n"
        "sys.exit(library.cmdCheck(sys.argv[1].encode()) != 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@needs_sdformat
def test_gazebos_parser_reads_the_robot_model(text, tmp_path):
    path = tmp_path / "workcell.urdf"
    path.write_text(text)
    status, said = check_with_sdformat(path)
    assert status == 0, said
    broken = tmp_path / "broken.urdf"
    broken.write_text(text.replace('<child link="gantry_y_link"/>', '<child link="nowhere"/>'))
    assert check_with_sdformat(broken)[0] != 0


@needs_sdformat
def test_gazebos_parser_reads_the_world():
    status, said = check_with_sdformat(ROOT / "sim" / "gazebo" / "workcell.world.sdf")
    assert status == 0, said
    assert "Warning" not in said, said


def test_jaws_hold_the_handle_before_they_are_closed(physics):
    """The jaws' travel spans from wider than the handle to narrower."""
    model, data = physics
    handle = model.geom_size[model.body("cassette_store_handle_link").geomadr[0]][0]
    finger = model.geom_size[model.body("gripper_front_link").geomadr[0]][0]
    inner = data.body("gripper_front_link").xpos[0] - data.body("gripper_tcp").xpos[0] - finger
    travel = model.joint("gripper_front").range
    assert inner + travel[0] < handle < inner + travel[1] - 0.002
    assert np.isfinite([handle, finger, inner]).all()
