# SPDX-License-Identifier: Apache-2.0
"""The robot model: expanded by xacro, read by an independent parser, checked against physics and configuration."""

import math
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import xacro
from urdf_parser_py.urdf import URDF, Box, Cylinder

from mimedi_nodes.records.yaml_text import load

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "urdf" / "workcell.urdf.xacro"
CHAMBER_M3 = 0.020  # PHYSICS 6, V of the gas model
ENCLOSURE_M3 = 0.8  # PHYSICS 7, V of the particle model


def config(path):
    return load((ROOT / "config" / path).read_text(encoding="utf-8"))


MODULES = tuple(name for name, entry in config("modules.yaml").items() if not isinstance(entry, dict))  # of every site
ELSEWHERE = ("enclosure", "transfer", "analytics")
ANALYSERS = ("analytics_link", "force_microscope_link", "spr_reader_link", "plate_reader_link", "cytometer_link")


def expand(prefix=""):
    return xacro.process_file(str(MODEL), mappings={"prefix": prefix}).toxml()


def rotation(rpy):
    """Rotation matrix of fixed-axis roll, pitch, yaw, as URDF defines it."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def transform(origin):
    pose = np.eye(4)
    if origin is not None:
        pose[:3, :3] = rotation(np.array(origin.rpy or (0.0, 0.0, 0.0), float))
        pose[:3, 3] = origin.xyz or (0.0, 0.0, 0.0)
    return pose


class Model:
    """The parsed model with the pose (4, 4) of each link in the root's frame [m]."""

    def __init__(self, prefix=""):
        self.prefix = prefix
        self.text = expand(prefix)
        self.robot = URDF.from_xml_string(self.text)
        self.links = {link.name: link for link in self.robot.links}
        self.root = self.robot.get_root()
        self.pose = {self.root: np.eye(4)}
        children = {}
        for joint in self.robot.joints:
            children.setdefault(joint.parent, []).append(joint)
        waiting = [self.root]
        while waiting:
            parent = waiting.pop()
            for joint in children.get(parent, ()):
                self.pose[joint.child] = self.pose[parent] @ transform(joint.origin)
                waiting.append(joint.child)

    def at(self, name):
        return self.pose[self.prefix + name][:3, 3]

    def extent(self, name):
        """Lower and upper corner [m] of the link's collision bodies; all stand upright in this model."""
        corners = []
        for body in self.links[self.prefix + name].collisions:
            pose = self.pose[self.prefix + name] @ transform(body.origin)
            assert np.allclose(pose[:3, :3], np.eye(3))
            corners += [pose[:3, 3] - size(body.geometry) / 2, pose[:3, 3] + size(body.geometry) / 2]
        return np.min(corners, axis=0), np.max(corners, axis=0)


def size(geometry):
    if isinstance(geometry, Box):
        return np.array(geometry.size)
    assert isinstance(geometry, Cylinder)
    return np.array([2 * geometry.radius, 2 * geometry.radius, geometry.length])


@pytest.fixture(scope="module")
def model():
    return Model()


def test_one_tree_from_the_base_with_no_name_twice(model):
    names = [element.get("name") for element in ET.fromstring(model.text).iter("link")]
    assert len(names) == len(set(names))
    assert model.root == "workcell_base"
    assert set(model.pose) == set(names)
    assert len(model.robot.joints) == len(names) - 1
    assert model.links["workcell_base"].inertial is None


def test_every_module_of_the_configuration_stands_on_the_deck(model):
    # The enclosure is the room itself, transfer is the gantry above, the analysers stand on their own bench beside it.
    for module in (*(m for m in MODULES if m not in ELSEWHERE), "contamination_watch"):
        x, y, z = model.at(f"{module}_link")
        assert z == pytest.approx(model.at("deck_link")[2])
        low, high = model.extent("deck_link")
        mine_low, mine_high = model.extent(f"{module}_link")
        assert (mine_low[:2] >= low[:2]).all(), module
        assert (mine_high[:2] <= high[:2]).all(), module
        assert 0.85 <= z <= 1.1  # where one works standing up
        assert (x, y) == pytest.approx((mine_low[:2] + mine_high[:2]) / 2)


def test_there_is_a_dock_for_each_vessel_of_the_site_and_no_other(model):
    docks = {name.removeprefix("dock_") for name in model.links if name.startswith("dock_")}
    assert docks == set(config("site/demo.yaml")["vessels"])
    places = [tuple(np.round(model.at(f"dock_{vessel}"), 6)) for vessel in docks]
    assert len(set(places)) == len(places)


def test_docks_are_upright_and_inside_the_enclosure_or_in_the_bay_below(model):
    low, high = model.extent("stand_link")
    for name in model.links:
        if name.startswith("dock_"):
            assert np.allclose(model.pose[name][:3, :3], np.eye(3)), name
            point = model.at(name)
            assert (point[:2] > low[:2]).all(), name
            assert (point[:2] < high[:2]).all(), name
            in_bay = low[2] < point[2] < high[2]
            inside = model.at("deck_link")[2] <= point[2] < model.extent("enclosure_plenum_link")[0][2]
            assert in_bay or inside, name


def test_nothing_in_the_enclosure_overlaps_or_sticks_out(model):
    bodies = [
        name
        for name, link in model.links.items()
        if link.collisions and not name.startswith(("enclosure_", "stand_", "deck_")) and name not in ANALYSERS
    ]
    assert len(bodies) >= len(MODULES)
    within = {"culture_vessel_link": "incubator_link"}
    front, back = model.extent("enclosure_front_link")[0], model.extent("enclosure_back_link")[1]
    left, right = model.extent("enclosure_left_link")[0], model.extent("enclosure_right_link")[1]
    top = model.extent("enclosure_plenum_link")[0]
    for name in bodies:
        low, high = model.extent(name)
        assert back[0] < low[0] < high[0] < front[0], name
        assert right[1] < low[1] < high[1] < left[1], name
        assert high[2] < top[2], name
    for one, other in combinations(bodies, 2):
        if within.get(one) == other or within.get(other) == one:
            continue
        (low, high), (other_low, other_high) = model.extent(one), model.extent(other)
        depth = np.minimum(high, other_high) - np.maximum(low, other_low)
        assert depth.min() < 1e-9, f"{one} and {other} overlap by {1000 * depth.min():.1f} mm"


def test_enclosure_and_chamber_have_the_volumes_of_their_models(model):
    front, back = model.extent("enclosure_front_link")[0][0], model.extent("enclosure_back_link")[1][0]
    left, right = model.extent("enclosure_left_link")[0][1], model.extent("enclosure_right_link")[1][1]
    top, floor = model.extent("enclosure_plenum_link")[0][2], model.at("deck_link")[2]
    assert (front - back) * (left - right) * (top - floor) == pytest.approx(ENCLOSURE_M3, rel=0.02)
    settings = {
        element.get("name"): element.get("value")
        for element in ET.parse(MODEL.parent / "incubator.xacro").iter("{http://www.ros.org/wiki/xacro}property")
    }
    chamber = np.array([float(settings[f"incubator_chamber_{axis}"]) for axis in "xyz"])
    assert chamber.prod() == pytest.approx(CHAMBER_M3, rel=0.03)
    middle = model.at("incubator_chamber") + np.array([0.0, 0.0, chamber[2] / 2])
    low, high = model.extent("incubator_link")
    assert (middle - chamber / 2 > low).all()
    assert (middle + chamber / 2 < high).all()
    vessel_low, vessel_high = model.extent("culture_vessel_link")
    assert (vessel_low >= middle - chamber / 2 - 1e-12).all()
    assert (vessel_high <= middle + chamber / 2).all()


def test_vessels_hold_what_the_site_says(model):
    for vessel, fill in (("activation_vessel", 0.95), ("culture_vessel", 0.95)):
        body = model.links[f"{vessel}_link"].collisions[0].geometry
        litres = math.pi * body.radius**2 * body.length * 1000.0
        capacity = config("site/demo.yaml")["vessels"][vessel]["capacity_ul"] * 1e-6
        assert litres * fill >= capacity


def test_every_body_has_the_inertia_of_its_solid(model):
    solid = [link for link in model.robot.links if link.collisions]
    assert {link.name for link in solid} == {link.name for link in model.robot.links if link.inertial}
    assert {link.name for link in solid} == {link.name for link in model.robot.links if link.visuals}
    for link in solid:
        (body,) = link.collisions
        mass, given = link.inertial.mass, link.inertial.inertia
        assert 0.01 < mass < 200.0, link.name
        assert list(link.inertial.origin.xyz) == pytest.approx(list(body.origin.xyz)), link.name
        if isinstance(body.geometry, Box):
            x, y, z = body.geometry.size
            expected = [mass / 12 * (y * y + z * z), mass / 12 * (x * x + z * z), mass / 12 * (x * x + y * y)]
        else:
            radius, length = body.geometry.radius, body.geometry.length
            across = mass / 12 * (3 * radius**2 + length**2)
            expected = [across, across, mass / 2 * radius**2]
        assert [given.ixx, given.iyy, given.izz] == pytest.approx(expected), link.name
        assert (given.ixy, given.ixz, given.iyz) == (0, 0, 0)
        largest = max(expected)
        assert sum(expected) - largest >= largest * (1 - 1e-9), f"{link.name}: no body has such moments"


def test_the_whole_weighs_what_four_people_can_install(model):
    total = sum(link.inertial.mass for link in model.robot.links if link.inertial)
    bench = sum(model.links[name].inertial.mass for name in ANALYSERS)
    assert 150.0 < total - bench < 400.0
    assert bench < 200.0


@pytest.mark.parametrize(
    ("camera", "target", "distance_m"),
    [("microscope", "imaging_channel", 0.004), ("sorter_camera", "sorter_channel_outlet", 0.010)],
)
def test_the_optical_frames_look_down_on_their_channels(model, camera, target, distance_m):
    axes = model.pose[f"{camera}_optical"][:3, :3]
    assert axes[:, 2] == pytest.approx([0, 0, -1])  # view
    assert axes[:, 0] == pytest.approx([0, 1, 0])  # right in the picture: the flow
    assert axes[:, 1] == pytest.approx([1, 0, 0])  # down in the picture
    seen = np.linalg.inv(model.pose[f"{camera}_optical"]) @ np.append(model.at(target), 1.0)
    assert seen[:3] == pytest.approx([0.0, 0.0, distance_m])  # on the axis, at the working distance


def test_a_prefix_goes_before_every_name_and_changes_nothing_else():
    plain, prefixed = Model(), Model("cell_a_")
    assert set(prefixed.links) == {f"cell_a_{name}" for name in plain.links}
    assert all(joint.name.startswith("cell_a_") for joint in prefixed.robot.joints)
    for name, pose in plain.pose.items():
        assert np.array_equal(prefixed.pose[f"cell_a_{name}"], pose)


def test_the_model_needs_no_files_beside_itself(model):
    assert "package://" not in model.text
    assert "file://" not in model.text
    used = {visual.material.name for link in model.robot.links for visual in link.visuals}
    assert {material.name for material in model.robot.materials} >= used
