# SPDX-License-Identifier: Apache-2.0
"""What the launch file starts: all of a workcell, or the modules of one that is led from another host."""

import importlib.util
from pathlib import Path

import pytest

from launch import LaunchContext

LAUNCH_FILE = Path(__file__).parents[2] / "launch" / "workcell.launch.py"
LEADERS = {"recorder", "coordinator", "supervisor"}


def started(tmp_path, **given):
    """Return the executables that the launch file would start, each once."""
    spec = importlib.util.spec_from_file_location("workcell_launch", LAUNCH_FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    context = LaunchContext()
    values = {name: default for name, default, *_ in module.ARGUMENTS} | {"run_dir": str(tmp_path / "runs")} | given
    context.launch_configurations.update(values)
    nodes = module.start_nodes(context)
    for lock in module.LOCKS:
        lock.close()
    names = [node.node_executable for node in nodes]
    assert len(names) == len(set(names)), names
    return set(names)


def test_two_hosts_start_between_them_what_one_would(tmp_path):
    whole = started(tmp_path, hardware="serial")
    assert whole > LEADERS | {"incubator"}
    leading = started(tmp_path, hardware="serial", elsewhere="incubator")
    led = started(tmp_path, hardware="serial", part="modules", modules="incubator")
    assert led == {"incubator"}
    assert leading | led == whole
    assert not leading & led


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"part": "modules"}, "only with hardware:=serial"),
        ({"elsewhere": "incubator", "modules": "fluidics"}, "not among this workcell's modules"),
        ({"elsewhere": "oven"}, "oven"),
    ],
)
def test_a_share_that_cannot_be_is_refused(tmp_path, given, words):
    with pytest.raises(RuntimeError, match=words):
        started(tmp_path, **given)
