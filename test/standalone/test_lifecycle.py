# SPDX-License-Identifier: Apache-2.0
"""Acceptance cases 7, 11, 12 and 13: a real rclpy lifecycle node under launch."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import existing, processes_of, shared_memory_of, wait_until

pytestmark = pytest.mark.ros
PROBE = Path(__file__).parent / 'demo' / 'probe.py'


def probe(launcher, *words):
    """Return the lines that the probe prints about the launcher's graph."""
    done = subprocess.run(
        [sys.executable, PROBE, *map(str, words)], env=launcher.env, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split('\n')


def test_handlers_bring_the_node_up_and_sigint_ends_it(launch):
    """Cases 12 and 7."""
    launcher = launch('up_demo', 'up.launch.py')
    launcher.wait_for(r'\[launch.user\]: now active')
    # What the node prints and what the launcher hears of its state come by two ways: each has its own order.
    for told in ('configured', r'\[INFO\] \[launch.user\]: now inactive'):
        times = [launcher.time_of(pattern) for pattern in ('created', told, 'activated')]
        assert times == sorted(times)
    # The file gives lc_node 20.0, the dictionary after it 50.0.
    assert 'configured rate=50.0 label=from_file' in launcher.text
    memory = shared_memory_of(launcher.env)
    assert len(memory) == 2  # node and launcher do use shared memory, so the check below means something
    launcher.signal(signal.SIGINT)
    assert launcher.finish() == 0
    assert '[WARNING] [launch]: user interrupted with ctrl-c (SIGINT)' in launcher.text
    assert "[INFO] [lc_node-1]: sending signal 'SIGINT' to process[lc_node-1]" in launcher.text
    assert re.search(r'\[INFO\] \[lc_node-1\]: process has finished cleanly \[pid \d+\]', launcher.text)
    assert processes_of(launcher.env) == {}
    assert existing(memory) == []


def test_death_of_the_launcher_ends_nodes_and_shared_memory(launch):
    """Also the launcher's own DDS segments go when it is killed."""
    launcher = launch('up_demo', 'up.launch.py')
    launcher.wait_for(r'\[lc_node\]: activated')
    memory = shared_memory_of(launcher.env)
    assert len(memory) == 2
    launcher.signal(signal.SIGKILL)
    launcher.finish()
    wait_until(lambda: not processes_of(launcher.env), 8.0, 'end of all processes')
    assert existing(memory) == []


def test_namespace_remap_rate_and_parameters_arrive(launch, demo_prefix):
    """Case 11, with the exact command line of the node."""
    launcher = launch('up_demo', 'up.launch.py', 'ns:=/cell', 'rate:=5.0')
    launcher.wait_for(r'\[cell\.lc_node\]: activated')
    words = launcher.wait_for(r"created (\[.*\])")[1]
    assert re.fullmatch(
        r"\['--ros-args', '-r', '__node:=lc_node', '-r', '__ns:=/cell', '--params-file', "
        rf"'{re.escape(str(demo_prefix))}/share/up_demo/config/params.yaml', '--params-file', "
        r"'[^']*/launch_params_\w+', '-r', 'chatter:=talk'\]",
        words,
    )
    parameter_file = Path(re.search(r"'([^']*/launch_params_\w+)'", words)[1])
    assert parameter_file.read_text() == '/cell/lc_node:\n  ros__parameters:\n    rate: 5.0\n'
    rate_hz, *parameters = probe(launcher, '/cell/talk', '/cell/lc_node', 'rate', 'label')
    assert float(rate_hz) == pytest.approx(5.0, rel=0.1)
    assert parameters[:2] == ['5.0', 'from_file']
    launcher.signal(signal.SIGINT)
    assert launcher.finish() == 0
    assert not parameter_file.exists()


def test_transition_from_outside_and_an_impossible_one(launch):
    """Case 13, `ros2 lifecycle set`."""
    launcher = launch('up_demo', 'up.launch.py')
    launcher.wait_for(r'\[lc_node\]: activated')

    def lifecycle(*words):
        command = launch(*words, env=launcher.env, prefix=('lifecycle',))
        return command.finish(), command.text

    assert lifecycle('set', '/lc_node', 'deactivate') == (0, 'Transitioning successful')
    assert lifecycle('get', 'lc_node') == (0, 'inactive [2]')
    code, text = lifecycle('set', '/lc_node', 'deactivate')
    assert code == 1
    first, *available = text.splitlines()
    assert first == 'Unknown transition requested, available ones are:'
    assert sorted(available) == ['- activate [3]', '- cleanup [2]', '- shutdown [6]']
    # The refused one changed nothing; by number as well as by label.
    assert lifecycle('set', '/lc_node', '2') == (0, 'Transitioning successful')
    assert lifecycle('get', '/lc_node') == (0, 'unconfigured [1]')
    # Deactivation also ends in 'inactive': start_state='configuring' kept the handler from firing again.
    assert launcher.text.count('now inactive') == 1


def test_impossible_transition_asked_by_launch_is_an_error_line(launch, launch_file):
    """ChangeState that the node refuses says which transition, which node and its state."""
    launcher = launch(
        launch_file(
            "from launch_ros.events.lifecycle import ChangeState, matches_node_name\n"
            "node = LifecycleNode(package='up_demo', executable='lc_node', name='n', namespace='a')\n"
            "ask = EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_node_name('/a/n'), transition_id=3))\n"
            'return LaunchDescription([node, ask])'
        )
    )
    launcher.wait_for(
        r"\[ERROR\] \[launch_ros\]: Failed to make transition 'TRANSITION_ACTIVATE' for LifecycleNode '/a/n'"
    )
    assert "available were ['configure', 'shutdown']" in launcher.text
    launcher.signal(signal.SIGTERM)
    assert launcher.finish() == 0
    assert processes_of(launcher.env) == {}


def test_group_gives_namespace_parameters_and_remaps_to_its_nodes(launch, launch_file):
    """PushRosNamespace, SetParameter and SetRemap hold inside their group only."""
    launcher = launch(
        launch_file(
            "def node(name):\n"
            "    return Node(package='up_demo', executable='patient', exec_name=name, output='screen',"
            " arguments=['own'])\n"
            "return LaunchDescription([GroupAction([PushRosNamespace('cell'), SetParameter('use_sim_time', True),"
            " SetParameter('text', 'a b'), SetRemap('/clock', 'clock'),"
            " GroupAction([PushRosNamespace('inner'), node('a')])]), node('b')])"
        )
    )
    inner = launcher.wait_for(r'\[a-1\] helper \d+ arguments (.*)')[1]
    assert inner == (
        "['own', '--ros-args', '-r', '__ns:=/cell/inner', '-p', 'use_sim_time:=true', '-p', 'text:=a b', "
        "'-r', '/clock:=clock']"
    )
    assert launcher.wait_for(r'\[b-2\] helper \d+ arguments (.*)')[1] == "['own', '--ros-args']"
