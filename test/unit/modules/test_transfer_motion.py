# SPDX-License-Identifier: Apache-2.0
"""Kinematics, jerk-limited trajectories, collision checks and hand-eye calibration of the gantry."""

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transforms3d.affines import compose
from transforms3d.euler import euler2mat

from mimedi_nodes.modules.transfer import checked_ways
from mimedi_nodes.modules.transfer.checked_ways import CheckedWays, Surroundings
from mimedi_nodes.modules.transfer.collision import CollisionChecker
from mimedi_nodes.modules.transfer.description import RobotModelError
from mimedi_nodes.modules.transfer.frames import RobotFrames
from mimedi_nodes.modules.transfer.hand_eye import CalibrationError, LabelOptics, Sighting, calibrate
from mimedi_nodes.modules.transfer.kinematics import Kinematics, Pose
from mimedi_nodes.modules.transfer.motion import GRIP_HEIGHT_M, TRAVEL_Z_MM, approach
from mimedi_nodes.modules.transfer.planning import ACCELERATION, JERK, PathError, dock_plate, plan, transfer_way
from mimedi_nodes.modules.transfer.streaming import PLANNER_BLOCKS, blocks
from mimedi_nodes.modules.transfer.workcell_model import WorkcellModel
from mimedi_sim.firmware.grbl import GrblFirmware
from mimedi_sim.plant.gantry import GantryMechanics
from mimedi_sim.plant.stations import GANTRY_SETTINGS, GANTRY_TRAVEL_MM


@pytest.fixture(scope="module")
def kinematics():
    return Kinematics(RobotFrames())


OPTICS = LabelOptics(512, 384, 2100.0)
SHARES = st.tuples(*(st.floats(0.0, 1.0) for _ in range(4)))


def pose_of(kinematics, shares):
    return Pose.of_array(kinematics.lower + np.array(shares) * (kinematics.upper - kinematics.lower))


@given(shares=SHARES)
@settings(max_examples=100, deadline=None)
def test_inverse_kinematics_undo_forward_kinematics(kinematics, shares):
    pose = pose_of(kinematics, shares)
    tool = kinematics.forward(pose)
    yaw = float(np.arctan2(tool[1, 0], tool[0, 0]))
    assert kinematics.inverse(tool[:3, 3], yaw).as_array() == pytest.approx(pose.as_array(), abs=1e-9)


def test_what_is_out_of_reach_is_refused_with_how_far(kinematics):
    with pytest.raises(RobotModelError, match="out of reach by"):
        kinematics.inverse(np.array([0.0, 1.0, 1.0]))
    with pytest.raises(RobotModelError, match="there are hatch"):
        kinematics.dock_frame("moon")


@given(first=SHARES, second=SHARES, factor=st.floats(0.05, 1.0), turns=st.booleans())
@settings(max_examples=60, deadline=None)
def test_trajectories_keep_every_limit_and_stay_on_the_line(kinematics, first, second, factor, turns):
    second = (*second[:3], first[3] if turns is False else second[3])
    start, end = pose_of(kinematics, first), pose_of(kinematics, second)
    move = plan(start, end, kinematics, factor)
    times = np.linspace(0.0, move.duration_s, 200)
    samples = [move.at(float(t)) for t in times]
    position, velocity, acceleration = (np.array([s[k] for s in samples]) for k in range(3))
    assert (np.abs(velocity) <= kinematics.speed * factor + 1e-6).all()
    assert (np.abs(acceleration) <= ACCELERATION * factor + 1e-6).all()
    if move.duration_s > 1e-3:
        step = times[1]
        assert (np.abs(np.diff(acceleration, axis=0)) / step <= JERK + 1e-3).all()
    assert (position >= kinematics.lower - 1e-6).all()
    assert (position <= kinematics.upper + 1e-6).all()
    assert position[0] == pytest.approx(start.as_array(), abs=1e-9)
    assert position[-1] == pytest.approx(end.as_array(), abs=1e-6)
    way = end.as_array() - start.as_array()
    length = float(np.linalg.norm(way))
    if length > 1e-3 and start.wrist_rad == end.wrist_rad:  # phases turn the wrist by itself
        off = position - start.as_array()
        across = off - np.outer(off @ way / length**2, way)
        assert np.abs(across).max() < 1e-6


def test_a_thousand_random_transfers_collide_with_nothing(kinematics):
    """Any dock to any free dock, other cassettes anywhere, from any pose at travel height before the modules."""
    chance = random.Random(1)
    docks = kinematics.model.docks
    for _ in range(1000):
        source, destination = chance.sample(docks, 2)
        others = [d for d in docks if d not in (source, destination) and chance.random() < 0.5]
        way = transfer_way(source, destination, GRIP_HEIGHT_M, TRAVEL_Z_MM, kinematics)
        start = Pose(chance.uniform(-60.0, 0.0), chance.uniform(-1470.0, 0.0), TRAVEL_Z_MM)
        empty = CollisionChecker([*others, source], carried=False)
        carrying = CollisionChecker(others, carried=True, may_touch=[dock_plate(source), dock_plate(destination)])
        leaving = CollisionChecker([*others, destination], carried=False)
        for checker, poses in (
            (empty, [*approach(start, way["pick"][0]), way["pick"][1]]),
            (carrying, way["carry"]),
            (leaving, way["leave"]),
        ):
            for first, second in pairwise(poses):
                checker.check(plan(first, second, kinematics))


@pytest.mark.parametrize(
    ("poses", "touched"),
    [
        ((Pose(-10.0, -475.0, -5.0), Pose(-170.0, -475.0, -5.0)), "incubator_link"),
        ((Pose(-10.0, -744.0, -5.0), Pose(-10.0, -744.0, -350.0)), "cassette_transduction"),
        ((Pose(-10.0, -1152.0, -330.0), Pose(-10.0, -1002.0, -330.0)), "cassette_dock_store"),
    ],
)
def test_ways_into_things_are_refused_with_their_name(kinematics, poses, touched):
    standing = ("transduction",) if "transduction" in touched else ()
    carried = "dock" in touched or "incubator" in touched
    with pytest.raises(PathError, match=touched):
        CollisionChecker(standing, carried=carried).check(plan(*poses, kinematics))



# -- hand-eye ---------------------------------------------------------------------------------------------------


def sightings(optics, camera, noise_px, seed=0):
    random_ = np.random.default_rng(seed)
    found = []
    for fiducial in ((0.2, -0.5, 0.06), (0.2, 0.1, 0.06), (0.2, 0.5, 0.06)):
        for _ in range(5):
            carriage = np.array(fiducial) - camera[:3, 3]
            carriage[:2] += random_.uniform(-0.06, 0.06, 2)
            carriage[2] = 0.55
            pixel = optics.project((np.array(fiducial) - carriage)[None, :], camera)[0]
            found.append(Sighting(fiducial, tuple(carriage), tuple(pixel + random_.normal(0.0, noise_px, 2))))
    return found


def true_camera():
    drawn = compose([0.115, 0.0, -0.15], euler2mat(np.pi, 0.0, -np.pi / 2), np.ones(3))
    off = compose([0.001, -0.0007, 0.0004], euler2mat(0.004, -0.003, 0.006), np.ones(3))
    return drawn, drawn @ off


@pytest.mark.parametrize("seed", range(5))
def test_the_camera_is_found_where_it_sits(seed):
    optics = OPTICS
    drawn, camera = true_camera()
    found = calibrate(sightings(optics, camera, 0.2, seed), optics)
    assert found.residual_px < 0.5
    label = np.array([[0.115, 0.0, -0.49]])
    assert optics.project(label, found.pose) == pytest.approx(optics.project(label, camera), abs=0.5)
    shift, turn = found.deviation(drawn)
    assert 0.0005 < shift < 0.006
    assert turn == pytest.approx(np.sqrt(0.004**2 + 0.003**2 + 0.006**2), rel=0.4)


def test_mixed_up_fiducials_and_too_few_views_are_refused():
    optics = OPTICS
    _, camera = true_camera()
    good = sightings(optics, camera, 0.2)
    with pytest.raises(CalibrationError, match="at least 8"):
        calibrate(good[:5], optics)
    swapped = [Sighting(s.fiducial_m, s.carriage_m, good[-1 - k].pixel) for k, s in enumerate(good)]
    with pytest.raises(CalibrationError, match="residual"):
        calibrate(swapped, optics)
    same = [Sighting(s.fiducial_m, good[0].carriage_m, s.pixel) for s in good[:1]] * 9
    with pytest.raises(CalibrationError, match="line"):
        calibrate(same, optics)


# -- frames without MuJoCo, and ways that were checked before ------------------------------------------------------


@given(shares=SHARES)
@settings(max_examples=20, deadline=None)
def test_frames_from_the_urdf_are_those_of_mujoco(kinematics, mujoco_kinematics, shares):
    pose = pose_of(kinematics, shares)
    for link in ("gripper_tcp", "gantry_x_link", "label_camera_optical", "gripper_back_link", "cassette_dock_store"):
        for each in (kinematics, mujoco_kinematics):
            each.model.set_joints(each.joints(pose))
        assert kinematics.model.pose(link) == pytest.approx(mujoco_kinematics.model.pose(link), abs=1e-12)
    assert set(kinematics.model.docks) == set(mujoco_kinematics.model.docks)


@pytest.fixture(scope="module")
def mujoco_kinematics():
    return Kinematics(WorkcellModel())


FREE = (Pose(-10.0, -475.0, -5.0), Pose(-10.0, -744.0, -5.0))
INTO = (Pose(-10.0, -744.0, -5.0), Pose(-10.0, -744.0, -350.0))
AROUND = Surroundings(frozenset({"transduction"}), False)


def test_a_way_is_checked_once_and_then_known(kinematics, tmp_path):
    for checked in (1, 0):
        ways = CheckedWays(tmp_path)
        ways.check([plan(*FREE, kinematics)], AROUND)
        assert ways.checked == checked


def test_another_neighbour_another_end_or_another_model_are_checked_anew(kinematics, tmp_path, monkeypatch):
    CheckedWays(tmp_path).check([plan(*FREE, kinematics)], AROUND)
    further = Pose(-10.0, -744.001, -5.0)
    for ends, around in (
        (FREE, Surroundings(frozenset({"store"}), False)),
        (FREE, Surroundings(frozenset({"transduction"}), True)),
        ((FREE[0], further), AROUND),
    ):
        ways = CheckedWays(tmp_path)
        ways.check([plan(*ends, kinematics)], around)
        assert ways.checked == 1
    monkeypatch.setattr(checked_ways, "_basis", lambda: "another model")
    ways = CheckedWays(tmp_path)
    ways.check([plan(*FREE, kinematics)], AROUND)
    assert ways.checked == 1


def test_a_way_that_collides_is_refused_every_time_and_a_damaged_file_frees_nothing(kinematics, tmp_path):
    CheckedWays(tmp_path).check([plan(*FREE, kinematics)], AROUND)
    (file,) = tmp_path.iterdir()
    known = file.read_text().split()[0]
    file.write_bytes(b"\xff\x00 free all\n" + known[:40].encode())
    for _ in range(2):
        ways = CheckedWays(tmp_path)
        with pytest.raises(PathError, match="cassette_transduction"):
            ways.check([plan(*INTO, kinematics)], AROUND)
    ways.check([plan(*FREE, kinematics)], AROUND)
    assert ways.checked == 1


# -- the plan as the controller drives it ---------------------------------------------------------------------------

WAYS = {
    "along the row": ((-10.0, -1400.0, -5.0), (-10.0, -100.0, -5.0), 1.0),
    "down": ((-10.0, -1002.0, -5.0), (-10.0, -1002.0, -306.0), 1.0),
    "a centimetre": ((-10.0, -1400.0, -5.0), (-10.0, -1390.0, -5.0), 1.0),
    "aslant and slow": ((-10.0, -1400.0, -5.0), (-60.0, -1300.0, -5.0), 0.3),
}


def driven(ways, start):
    """Return the position [mm] at a time [s] of the twin's controller that was sent straight ways."""
    mechanics = GantryMechanics(GANTRY_TRAVEL_MM)
    mechanics.position = start
    firmware = GrblFirmware(mechanics, GANTRY_SETTINGS)
    firmware.receive(b"$X\n", 0.0)
    firmware._position = firmware._planned = start  # as if it had been homed and sent there
    for (x, y, z), feed in ways:
        answer = firmware.receive(f"G90G21G94G53G1X{x:.3f}Y{y:.3f}Z{z:.3f}F{feed:.1f}\n".encode(), 0.0)
        assert answer.endswith(b"ok\r\n"), answer
    return firmware


def followed(firmware, move, step_s=0.002):
    """Return the largest distance [mm] from the plan, the top speed [mm/s] and when it arrives [s]."""
    times = np.arange(0.0, 1.3 * move.duration_s, step_s)
    real = []
    for time_s in times:
        firmware.advance_to(float(time_s))
        real.append(firmware.position(float(time_s)))
    planned_ = [1e3 * move.at(min(float(t), move.duration_s))[0][:3] for t in times]
    away = np.linalg.norm(np.array(real) - planned_, axis=1)
    speed = np.linalg.norm(np.diff(real, axis=0), axis=1) / step_s
    left = np.linalg.norm(np.array(real) - move.end.position_mm, axis=1)
    return float(away.max()), float(speed.max()), float(times[int(np.argmax(left < 1e-3))])


@pytest.mark.parametrize("name", WAYS)
def test_the_controller_drives_what_was_planned_and_no_trapezoid_of_its_own(kinematics, name):
    start, end, factor = WAYS[name]
    move = plan(Pose(*start), Pose(*end), kinematics, factor)
    ways = blocks(move)
    assert len(ways) <= PLANNER_BLOCKS
    assert ways[-1][0] == pytest.approx(end, abs=1e-6)
    peak_mm_s = 1e3 * max(float(np.linalg.norm(move.at(t)[1][:3])) for t in np.linspace(0.0, move.duration_s, 400))
    away_mm, top_mm_s, arrives_s = followed(driven(ways, start), move)
    assert away_mm < 2.0
    assert top_mm_s < 1.002 * peak_mm_s
    assert arrives_s == pytest.approx(move.duration_s, abs=0.025)
    own_mm, _, _ = followed(driven([(end, 60.0 * peak_mm_s)], start), move)
    assert own_mm > 2.0 * away_mm
