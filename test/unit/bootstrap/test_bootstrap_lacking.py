# SPDX-License-Identifier: Apache-2.0
"""Interface packages that the wheels lack are built there, and a ROS 2 host never sees them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from standalone.bootstrap import keys
from standalone.bootstrap.host import Distribution
from standalone.bootstrap.layout import LACKING_INTERFACES, Layout
from standalone.bootstrap.provision import Provisioner

ROOT = Path(__file__).resolve().parents[3]


def step_names(layout, distribution):
    return [step.name for step in Provisioner(layout, distribution, {}).plan(overlay=True)]


@pytest.fixture
def clone(tmp_path):
    """A clone before its first set-up."""
    layout = Layout(tmp_path)
    layout.lock_file.parent.mkdir(parents=True)
    layout.lock_file.write_text("")
    return layout


def test_they_are_built_on_the_wheels_and_not_on_a_distribution(clone):
    assert {*LACKING_INTERFACES} <= {*step_names(clone, None)}
    assert not {*LACKING_INTERFACES} & {*step_names(clone, Distribution("jazzy", sys.executable))}


def test_one_that_the_wheels_have_by_now_is_left_to_them(clone):
    (clone.venv / "share" / "tf2_msgs").mkdir(parents=True)
    assert "tf2_msgs" not in step_names(clone, None)


def test_each_is_built_again_only_for_its_own_changes(clone):
    field = clone.root / "standalone/tf2_msgs/msg/A.msg"
    field.parent.mkdir(parents=True)
    before = keys.interfaces_key(clone, "base", "tf2_msgs"), keys.interfaces_key(clone, "base")
    field.write_text("int8 a\n")
    after = keys.interfaces_key(clone, "base", "tf2_msgs"), keys.interfaces_key(clone, "base")
    assert before[0] != after[0]
    assert before[1] == after[1]


def colcon_list(folder, *base_paths):
    """`colcon list` as {package: type}."""
    env = {name: value for name, value in os.environ.items() if name != "COLCON_DEFAULTS_FILE"}
    answer = subprocess.run(
        [sys.executable, "-m", "colcon", "--log-base", os.devnull, "list", "--base-paths", *base_paths],
        cwd=folder, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {row.split("\t")[0]: row.split("\t")[2].strip("()") for row in answer.stdout.splitlines()}


def test_colcon_finds_them_only_when_it_is_given_their_folder():
    # A workspace's build finds neither through the clone nor through standalone/: it would hide the distribution's.
    assert not {*LACKING_INTERFACES} & {*colcon_list(ROOT, ".", "standalone")}
    folders = [f"standalone/{name}" for name in LACKING_INTERFACES]
    assert colcon_list(ROOT, *folders) == dict.fromkeys(LACKING_INTERFACES, "ros.ament_cmake")
