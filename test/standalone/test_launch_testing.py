# SPDX-License-Identifier: Apache-2.0
"""Acceptance case 14: launch tests by command and by pytest, passing, failing and hanging."""

import signal
import xml.etree.ElementTree as ElementTree

import pytest
from conftest import processes_of, wait_until

HEAD = """
import unittest
import pytest
import launch
import launch_testing
import launch_testing.actions
import launch_testing.asserts
import launch_testing.markers
from launch.actions import DeclareLaunchArgument, ExecuteProcess, RegisterEventHandler, TimerAction
from launch.event_handlers import OnProcessStart
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
"""

PASSING = HEAD + """
@pytest.mark.launch_test
def generate_test_description():
    node = Node(package='up_demo', executable='patient')
    return launch.LaunchDescription([
        node,
        DeclareLaunchArgument('word', default_value='nothing'),
        ExecuteProcess(cmd=['sh', '-c', 'echo one; echo two >&2; echo three; exec sleep 600'], name='talker'),
        RegisterEventHandler(OnProcessStart(
            target_action=node, on_start=[TimerAction(period=0.2, actions=[launch_testing.actions.ReadyToTest()])])),
    ]), {'node': node}


class TestActive(unittest.TestCase):
    def test_output(self, proc_output, node):
        proc_output.assertWaitFor('helper', node, stream='stdout')
        proc_output.assertWaitFor('two', 'talker')
        with self.assertRaises(AssertionError):
            proc_output.assertWaitFor('never', node, timeout=0.2, stream='stdout')

    def test_info(self, proc_info, node, test_args):
        proc_info.assertWaitForStartup(node, timeout=5)
        assert len(proc_info.processes()) == 2
        assert [name.partition('-')[0] for name in proc_info.process_names()] == ['patient', 'talker']
        assert dict(test_args) == {'word': 'hello'}, dict(test_args)


@launch_testing.post_shutdown_test()
class TestAfter(unittest.TestCase):
    def test_codes(self, proc_info, node):
        launch_testing.asserts.assertExitCodes(proc_info, process=node)
        assert proc_info[node].returncode == 0
        with self.assertRaises(AssertionError):
            launch_testing.asserts.assertExitCodes(proc_info, process='talker')

    def test_output(self, proc_output, node):
        launch_testing.asserts.assertInStdout(proc_output, 'ended in order', node)
        launch_testing.asserts.assertInStderr(proc_output, 'two', 'talker')
        with launch_testing.asserts.assertSequentialStdout(proc_output, 'talker') as sequence:
            sequence.assertInStdout('one')
            sequence.assertInStdout('three')
            with self.assertRaises(AssertionError):
                sequence.assertInStdout('one')
"""


@pytest.fixture
def command(launch, tmp_path):
    """A function that runs a launch test's text by `launch_test`."""

    def run(text, *arguments):
        path = tmp_path / 'test_lt.py'
        path.write_text(text)
        return launch(path, *arguments, module='launch_testing.launch_test', prefix=())

    return run


@pytest.fixture
def pytest_run(launch, tmp_path):
    """A function that runs a launch test's text by pytest with the plugin."""

    def run(text, *arguments):
        path = tmp_path / 'test_lt.py'
        path.write_text(text)
        (tmp_path / 'pytest.ini').write_text('[pytest]\n')
        plugins = ('-p', 'launch_testing.pytest_plugin', '-p', 'no:cacheprovider')
        return launch(*plugins, path, *arguments, module='pytest', prefix=(), cwd=tmp_path)

    return run


def test_command_runs_active_and_post_shutdown_tests(command, tmp_path):
    """Case 14 by launch_test."""
    report = tmp_path / 'out' / 'report.xml'
    launcher = command(PASSING, '--junit-xml', report, '--package-name', 'up_demo', 'word:=hello')
    assert launcher.finish() == 0, launcher.text
    root = ElementTree.parse(report).getroot()
    assert (root.get('tests'), root.get('failures'), root.get('errors')) == ('4', '0', '0')
    assert {case.get('name') for case in root.iter('testcase')} == {
        'test_output', 'test_info', 'test_codes'
    }
    text = launcher.text
    # launch → active tests → SIGINT → tests after the shutdown
    assert text.index('process started') < text.index('test_info') < text.index("sending signal 'SIGINT'")
    assert text.index("sending signal 'SIGINT'") < text.index('test_codes')
    assert processes_of(launcher.env) == {}


def test_pytest_collects_the_file_as_one_item(pytest_run, tmp_path):
    """Case 14 by pytest."""
    report = tmp_path / 'report.xml'
    launcher = pytest_run(PASSING, '--junit-xml', report, '--launch-args', 'word:=hello')
    assert launcher.finish() == 0, launcher.text
    assert '1 passed' in launcher.text
    (case,) = ElementTree.parse(report).getroot().iter('testcase')
    assert case.get('name') == 'test_lt'


def test_pytest_selects_by_mark_and_leaves_other_files_alone(pytest_run, tmp_path):
    """An ordinary test file beside it is collected as ever."""
    (tmp_path / 'test_other.py').write_text('def test_plain():\n    assert True\n')
    launcher = pytest_run(PASSING, tmp_path / 'test_other.py', '--collect-only', '-q')
    assert launcher.finish() == 0, launcher.text
    assert 'test_lt.py::test_lt' in launcher.text
    assert 'test_other.py::test_plain' in launcher.text
    launcher = pytest_run(PASSING, tmp_path / 'test_other.py', '-q', '-m', 'not launch_test')
    assert launcher.finish() == 0, launcher.text
    assert '1 passed, 1 deselected' in launcher.text


def test_failing_test_fails_the_item_with_its_traceback(pytest_run):
    """What failed can be read; nothing is left running."""
    launcher = pytest_run(PASSING)  # the argument that test_info wants is not given
    assert launcher.finish() == 1
    assert "AssertionError: {}" in launcher.text
    assert 'TestActive.test_info: failed' in launcher.text
    assert '1 failed' in launcher.text
    assert processes_of(launcher.env) == {}


def test_system_that_ends_early_fails_the_test(command):
    """A crash under the tests is a failure even if the tests see nothing."""
    launcher = command(HEAD + """
def generate_test_description():
    return launch.LaunchDescription([
        Node(package='up_demo', executable='crasher'), launch_testing.actions.ReadyToTest()])

class TestActive(unittest.TestCase):
    def test_waits(self, proc_output):
        proc_output.assertWaitFor('never', timeout=1.0)
""")
    assert launcher.finish() == 1
    assert 'Processes under test stopped before tests completed' in launcher.text


def test_keep_alive_parametrize_ready_fn_and_skip(command):
    """keep_alive outlasts the processes; each parameter set is a run; ready_fn replaces ReadyToTest."""
    launcher = command(HEAD + """
@launch_testing.markers.keep_alive
@launch_testing.parametrize('word', ['red', 'green'])
def generate_test_description(word, ready_fn):
    ready_fn()
    return launch.LaunchDescription([ExecuteProcess(cmd=['echo', word], output='screen')])

class TestActive(unittest.TestCase):
    def test_word(self, proc_output, proc_info, word):
        proc_output.assertWaitFor(word, stream='stdout')
        proc_info.assertWaitForShutdown('echo')

    @unittest.skip('not now')
    def test_skipped(self):
        raise AssertionError

@launch_testing.post_shutdown_test()
class TestAfter(unittest.TestCase):
    def test_code(self, proc_info, word):
        assert [event.returncode for event in proc_info] == [0]
        assert proc_info['echo'].cmd == ['echo', word]
""")
    assert launcher.finish() == 0, launcher.text
    assert launcher.text.count('test_code (') == 2
    assert '[echo-1] red' in launcher.text
    assert '[echo-2] green' in launcher.text


def test_description_without_ready_action_is_refused(command):
    """Otherwise the tests would wait in vain."""
    launcher = command(HEAD + 'def generate_test_description():\n    return launch.LaunchDescription([])\n')
    assert launcher.finish() == 1
    assert 'ReadyToTest' in launcher.text


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_hanging_test_that_is_killed_leaves_nothing(command, number):
    """CI's timeout kills the test process: the launched system goes with it."""
    launcher = command(HEAD + """
import time
def generate_test_description():
    return launch.LaunchDescription([
        Node(package='up_demo', executable='patient', output='screen'), launch_testing.actions.ReadyToTest()])

class TestActive(unittest.TestCase):
    def test_hangs(self):
        print('hanging', flush=True)
        time.sleep(3.0)
""")
    launcher.wait_for('hanging')
    launcher.wait_for('helper')
    launcher.signal(number)
    assert launcher.finish() != 0
    wait_until(lambda: not processes_of(launcher.env), 5.0, 'end of all processes')


def test_show_args(command):
    """-s prints what the test's description declares."""
    launcher = command(PASSING, '-s')
    assert launcher.finish() == 0
    assert "'word':" in launcher.text
