# SPDX-License-Identifier: Apache-2.0
"""However a launch ends, no process and no shared memory of its nodes is left: both are counted.

Each launch runs a lifecycle node (DDS with shared memory, in the node and in the launcher), a process with a
helper, and one that ignores SIGINT and SIGTERM.
"""

import os
import signal

import pytest
from conftest import existing, processes_of, shared_memory_of, wait_until

pytestmark = pytest.mark.ros

PROCESSES = 6  # launcher, guardian, node, process, its helper, the stubborn one
SEGMENTS = 2  # the node's and the launcher's
SYSTEM = """
from launch_ros.actions import LifecycleNode, Node
from launch_ros.events.lifecycle import ChangeState
from launch.actions import EmitEvent, ExecuteProcess, OpaqueFunction, TimerAction
from launch.events import matches_action

def fail(context):
    raise RuntimeError('late')

def system():
    node = LifecycleNode(package='up_demo', executable='lc_node', name='n', namespace='', output='screen')
    return [
        node,
        EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=1)),
        Node(package='up_demo', executable='patient', output='screen'),
        Node(package='up_demo', executable='stubborn', output='screen', sigterm_timeout='0.3', sigkill_timeout='0.3'),
    ]
"""
LAUNCH_FILE = SYSTEM + """
from launch import LaunchDescription

def generate_launch_description():
    return LaunchDescription([*system(), {more}])
"""
TEST_FILE = SYSTEM + """
import time
import unittest
from pathlib import Path
import launch_testing.actions
from launch import LaunchDescription

def generate_test_description():
    return LaunchDescription([*system(), {ready}])

class TestActive(unittest.TestCase):
    def test_it(self, proc_output):
        for text in ('configured', 'helper', 'ignoring'):
            proc_output.assertWaitFor(text, stream='stdout')
        Path({gate!r}).read_text()  # until it is opened from outside
        {end}
"""


@pytest.fixture
def gate(tmp_path):
    """A pipe whose reader waits until `open_gate` comes."""
    path = tmp_path / 'gate'
    os.mkfifo(path)
    return str(path)


def open_gate(gate):
    """Let the reader of the gate go on; the reader has come, or comes soon."""

    def opened():
        try:
            os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # ENXIO: nobody reads yet
            return False
        return True

    wait_until(opened, 10.0, 'reader of the gate')


def wait_until_up(launcher, processes=PROCESSES):
    """Wait for the whole system; return its shared memory files."""
    for pattern in ('configured', r'\] helper', r'\] ignoring'):
        launcher.wait_for(pattern)
    # A process shows no environment while it execs.
    wait_until(lambda: len(processes_of(launcher.env)) == processes, 5.0, f'{processes} processes')
    memory = shared_memory_of(launcher.env)
    assert len(memory) == SEGMENTS
    return memory


def assert_nothing_left(launcher, memory):
    """No process of the launch, and none of the files it had mapped."""
    wait_until(lambda: not processes_of(launcher.env), 6.0, f'end of {processes_of(launcher.env)}')
    assert existing(memory) == []


@pytest.mark.parametrize(
    ('number', 'code'), [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGKILL, -9)]
)
def test_after_a_signal_to_the_launcher(launch, tmp_path, number, code):
    """SIGKILL leaves it to the guardian."""
    path = tmp_path / 'case.launch.py'
    path.write_text(LAUNCH_FILE.format(more=''))
    launcher = launch(path)
    memory = wait_until_up(launcher)
    launcher.signal(number)
    assert launcher.finish() == code
    assert_nothing_left(launcher, memory)


def test_after_an_exception_in_the_launch_file(launch, tmp_path, gate):
    """One that comes when all is running."""
    path = tmp_path / 'case.launch.py'
    failing = f"ExecuteProcess(cmd=['cat', {gate!r}], on_exit=[OpaqueFunction(function=fail)])"
    path.write_text(LAUNCH_FILE.format(more=failing))
    launcher = launch(path)
    memory = wait_until_up(launcher, PROCESSES + 1)
    open_gate(gate)
    assert launcher.finish() == 1
    assert 'Caught exception in launch (see debug for traceback): late' in launcher.text
    assert_nothing_left(launcher, memory)


@pytest.mark.parametrize(
    ('end', 'said'),
    [
        ("self.fail('on purpose')", 'on purpose'),
        ("proc_output.assertWaitFor('never', timeout=0.5, stream='stdout')", 'AssertionError'),
        ('time.sleep(600)', None),
    ],
    ids=['fails', 'times out', 'hangs until it is killed'],
)
@pytest.mark.parametrize('command', ['launch_test', 'pytest'])
def test_after_a_test(launch, tmp_path, gate, command, end, said):
    """By the command and by pytest; a hanging one is killed, as CI's timeout does."""
    path = tmp_path / 'test_lt.py'
    path.write_text(TEST_FILE.format(ready='launch_testing.actions.ReadyToTest()', gate=gate, end=end))
    if command == 'pytest':
        (tmp_path / 'pytest.ini').write_text('[pytest]\n')
        mark = 'import pytest\n' + path.read_text()
        path.write_text(mark.replace('def generate_test', '@pytest.mark.launch_test\ndef generate_test'))
        options = ('-s', '-p', 'launch_testing.pytest_plugin', '-p', 'no:cacheprovider')
        launcher = launch(*options, path, module='pytest', prefix=(), cwd=tmp_path)
    else:
        launcher = launch(path, module='launch_testing.launch_test', prefix=())
    memory = wait_until_up(launcher)
    open_gate(gate)
    if said is None:
        launcher.signal(signal.SIGKILL)
        assert launcher.finish() == -signal.SIGKILL
    else:
        assert launcher.finish() == 1
        assert said in launcher.text
    assert_nothing_left(launcher, memory)


def test_after_a_system_that_never_gets_ready(launch, tmp_path, gate):
    """The runner itself times out; the description has a ReadyToTest that comes too late."""
    path = tmp_path / 'test_lt.py'
    late = 'TimerAction(period=600.0, actions=[launch_testing.actions.ReadyToTest()])'
    path.write_text('import launch_testing.runner\nlaunch_testing.runner.READY_TIMEOUT_S = 8.0\n'
                    + TEST_FILE.format(ready=late, gate=gate, end='pass'))  # fmt: skip
    launcher = launch(path, module='launch_testing.launch_test', prefix=())
    memory = wait_until_up(launcher)
    assert launcher.finish() == 1
    assert 'Timed out after 8 s waiting for processes to start up' in launcher.text
    assert_nothing_left(launcher, memory)
