# SPDX-License-Identifier: Apache-2.0
"""The computed environment, on the wheels and on a ROS 2 host."""

from pathlib import Path

import pytest

from standalone.bootstrap import colcon, environment
from standalone.bootstrap.errors import SetupError
from standalone.bootstrap.host import Distribution, sourced_distribution
from standalone.bootstrap.layout import Layout


@pytest.fixture
def clone(tmp_path):
    """A clone with a venv of wheels and a merged overlay."""
    site = tmp_path / ".venv/lib/python3.11/site-packages"
    for folder in (site / "ros_rclpy.libs", site / "ros_rcl.libs", tmp_path / "install/lib/python3.11/site-packages"):
        folder.mkdir(parents=True)
    return Layout(tmp_path)


def entries(env, name):
    return env[name].split(":")


def test_wheels_stand_behind_the_overlay(clone):
    env = environment.compute(clone, None, {"PATH": "/usr/bin", "LD_LIBRARY_PATH": "/own"})
    root = clone.root
    assert entries(env, "AMENT_PREFIX_PATH") == [f"{root}/install", f"{root}/.venv"]
    site = f"{root}/.venv/lib/python3.11/site-packages"
    assert entries(env, "LD_LIBRARY_PATH") == [
        f"{root}/install/lib", f"{root}/.venv/lib", f"{site}/ros_rcl.libs", f"{site}/ros_rclpy.libs", "/own",
    ]  # fmt: skip
    assert env["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] == "1"
    assert entries(env, "PATH") == [f"{root}/.venv/bin", "/usr/bin"]
    assert env["RMW_IMPLEMENTATION"] == "rmw_fastrtps_cpp"


def test_the_launch_subset_comes_last_and_only_without_the_real_one(clone):
    env = environment.compute(clone, None, {"PYTHONPATH": "/mine"})
    assert entries(env, "PYTHONPATH")[0] == f"{clone.root}/install/lib/python3.11/site-packages"
    assert entries(env, "PYTHONPATH")[-2:] == ["/mine", f"{clone.root}/standalone/ros_launch"]
    (clone.venv / "lib/python3.11/site-packages/launch/actions").mkdir(parents=True)
    assert "ros_launch" not in environment.compute(clone, None, {})["PYTHONPATH"]


def test_nesting_changes_nothing(clone):
    once = environment.compute(clone, None, {"PATH": "/usr/bin", "PYTHONPATH": "/mine"}, local_only=True)
    assert environment.compute(clone, None, once, local_only=True) == once


def test_what_the_caller_chose_is_kept(clone):
    chosen = {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp", "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}
    env = environment.compute(clone, None, chosen, local_only=True)
    assert chosen.items() <= env.items()


def test_sources_are_compiled_once_whatever_the_caller_set(clone):
    assert "PYTHONDONTWRITEBYTECODE" not in environment.compute(clone, None, {"PYTHONDONTWRITEBYTECODE": "1"})


def test_discovery_stays_local_only_where_asked(clone):
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE" not in environment.compute(clone, None, {})
    profile, discovery = "FASTRTPS_DEFAULT_PROFILES_FILE", "ROS_AUTOMATIC_DISCOVERY_RANGE"
    assert environment.compute(clone, None, {})[profile] == f"{clone.root}/launch/dds/network.xml"
    local = environment.compute(clone, None, {}, local_only=True)
    assert (local[discovery], local[profile]) == ("SYSTEM_DEFAULT", f"{clone.root}/launch/dds/loopback.xml")
    for chosen in ({"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}, {profile: "/my/profiles.xml"}):
        local = environment.compute(clone, None, chosen, local_only=True)
        assert (local[discovery], local.get(profile)) == ("LOCALHOST", chosen.get(profile))


def test_a_ros_host_sees_neither_venv_nor_standalone(clone):
    env = environment.compute(clone, Distribution("jazzy", "/usr/bin/python3"), {"AMENT_PREFIX_PATH": "/opt/ros/jazzy"})
    assert entries(env, "AMENT_PREFIX_PATH") == [f"{clone.root}/install", "/opt/ros/jazzy"]
    assert not any(".venv" in value or "standalone" in value for value in env.values())
    assert "RMW_IMPLEMENTATION" not in env


def test_an_isolated_install_is_one_prefix_a_package(clone):
    (clone.install / ".colcon_install_layout").write_text("isolated\n")
    for package in ("mimedi_msgs", "mimedi_workcell", "tf2_msgs"):
        (clone.install / package).mkdir()
    both = [clone.install / "mimedi_workcell", clone.install / "mimedi_msgs"]
    assert environment.overlay_prefixes(clone, None) == [*both, clone.install / "tf2_msgs"]
    assert environment.overlay_prefixes(clone, Distribution("jazzy", "/usr/bin/python3")) == both


@pytest.fixture
def distribution(tmp_path):
    """Variables as a distribution's setup script leaves them."""
    for name in ("bin/ros2", "bin/python3", "site/rclpy/__init__.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        path.chmod(0o755)
    return {"ROS_DISTRO": "jazzy", "PATH": str(tmp_path / "bin"), "PYTHONPATH": str(tmp_path / "site")}


def test_a_sourced_distribution_is_recognized(distribution):
    found = sourced_distribution(distribution)
    assert found == Distribution("jazzy", str(Path(distribution["PATH"], "python3")))


@pytest.mark.parametrize("lost", ["ROS_DISTRO", "PATH", "PYTHONPATH"])
def test_half_a_distribution_is_none(distribution, lost):
    assert sourced_distribution({**distribution, lost: ""}) is None


def test_a_distribution_before_jazzy_is_refused(distribution):
    with pytest.raises(SetupError, match="older than 'jazzy'"):
        sourced_distribution({**distribution, "ROS_DISTRO": "humble"})


def test_a_file_that_was_removed_from_the_source_is_forgotten_by_the_build(clone):
    source, build, share = clone.root / "config", clone.build / "mimedi_workcell", clone.install / "share"
    for folder in (source, build, share):
        folder.mkdir(parents=True)
    for name in ("kept.yaml", "removed.yaml"):
        (source / name).write_text("site: x\n")
        (build / name).symlink_to(source / name)
        (share / name).symlink_to(build / name)
    (source / "removed.yaml").unlink()
    colcon.forget_removed(build)
    colcon.forget_removed(share)
    colcon.forget_removed(clone.root / "never_built")
    assert sorted(path.name for folder in (build, share) for path in folder.iterdir()) == ["kept.yaml", "kept.yaml"]
    assert (share / "kept.yaml").read_text() == "site: x\n"
