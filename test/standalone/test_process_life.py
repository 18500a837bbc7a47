# SPDX-License-Identifier: Apache-2.0
"""Acceptance cases 8, 9, 10 and 15, and that nothing is left over, however a launch ends."""

import os
import re
import signal

import pytest
from conftest import processes_of, wait_until

PATIENT = "Node(package='up_demo', executable='patient', output='screen')"
STUBBORN = (
    "Node(package='up_demo', executable='stubborn', output='screen', "
    "sigterm_timeout='{}', sigkill_timeout='{}')"
)


def test_signals_escalate_after_their_timeouts(launch, launch_file):
    """Case 8."""
    launcher = launch(launch_file(f'return LaunchDescription([{STUBBORN.format(1.0, 1.0)}])'))
    launcher.wait_for('ignoring')
    launcher.signal(signal.SIGINT)
    assert launcher.finish() == 0
    to_int = launcher.time_of("sending signal 'SIGINT'")
    assert launcher.time_of("sending signal 'SIGTERM'") - to_int == pytest.approx(1.0, abs=0.25)
    assert launcher.time_of("sending signal 'SIGKILL'") - to_int == pytest.approx(2.0, abs=0.25)
    assert (
        "[ERROR] [stubborn-1]: process[stubborn-1] failed to terminate '1.0' seconds after receiving "
        "'SIGINT', escalating to 'SIGTERM'" in launcher.text
    )
    assert (
        "process[stubborn-1] failed to terminate '2.0' seconds after receiving 'SIGTERM', "
        "escalating to 'SIGKILL'" in launcher.text
    )
    assert re.search(r'process has died \[pid \d+, exit code -9, cmd ', launcher.text)


def test_timeouts_may_be_launch_configurations(launch, launch_file):
    """`sigterm_timeout:=…` holds for all processes that say nothing else."""
    launcher = launch(
        launch_file("return LaunchDescription([Node(package='up_demo', executable='stubborn', output='screen')])"),
        'sigterm_timeout:=0.1',
        'sigkill_timeout:=0.1',
    )
    launcher.wait_for('ignoring')
    launcher.signal(signal.SIGINT)
    assert launcher.finish(timeout_s=4.0) == 0


def test_respawn_after_its_delay_as_often_as_allowed(launch, launch_file):
    """Case 9; the crasher is the second process, so its index is 2 both times."""
    launcher = launch(
        launch_file(
            "return LaunchDescription([ExecuteProcess(cmd=['true']), Node(package='up_demo', "
            "executable='crasher', respawn=True, respawn_delay=0.5, respawn_max_retries=1)])"
        )
    )
    assert launcher.finish() == 0
    assert len(re.findall(r'\[INFO\] \[crasher-2\]: process started with pid', launcher.text)) == 2
    died = r"\[ERROR\] \[crasher-2\]: process has died \[pid \d+, exit code 3, cmd '.*/crasher --ros-args'\]\.$"
    assert len(re.findall(died, launcher.text, re.M)) == 2
    died_s = launcher.time_of(r'crasher-2\]: process has died')
    assert launcher.time_of(r'crasher-2\]: process started', 1) - died_s == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(('flags', 'code'), [((), 0), (('--fail-on-error',), 1)])
def test_end_of_a_required_process_ends_the_rest(launch, launch_file, flags, code):
    """Case 10; a failing exit code only where the caller asks for it."""
    body = (
        "return LaunchDescription([Node(package='up_demo', executable='crasher', "
        f"on_exit=Shutdown(reason='crashed')), {PATIENT}])"
    )
    launcher = launch(*flags, launch_file(body))
    assert launcher.finish() == code
    assert '[INFO] [launch]: process[crasher-1] was required: shutting down launched system' in launcher.text
    assert "[INFO] [patient-2]: sending signal 'SIGINT' to process[patient-2]" in launcher.text


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_ending_signal_ends_all_in_order(launch, launch_file, number):
    """Case 15, on purpose unlike upstream: SIGTERM leaves no orphan either."""
    launcher = launch(launch_file(f'return LaunchDescription([{PATIENT}])'))
    launcher.wait_for('helper')
    # Launcher, guardian, node, the node's helper; a process shows no environment while it execs.
    wait_until(lambda: len(processes_of(launcher.env)) == 4, 5.0, 'four processes')
    launcher.signal(number)
    assert launcher.finish() == 0
    assert '[patient-1] ended in order' in launcher.text
    assert re.search(r'\[INFO\] \[patient-1\]: process has finished cleanly \[pid \d+\]', launcher.text)
    assert processes_of(launcher.env) == {}


def test_sigint_works_where_the_shell_had_it_ignored(launch, launch_file):
    """A background job of a shell script starts with SIGINT ignored."""
    launcher = launch(
        launch_file(f'return LaunchDescription([{PATIENT}])'),
        prepare=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    launcher.wait_for('helper')
    launcher.signal(signal.SIGINT)
    assert launcher.finish() == 0
    assert '[patient-1] ended in order' in launcher.text


def test_death_of_the_launcher_ends_all(launch, launch_file):
    """SIGKILL cannot be handled: the guardian ends what is left, a stubborn process included."""
    launcher = launch(launch_file(f'return LaunchDescription([{PATIENT}, {STUBBORN.format(0.3, 0.3)}])'))
    launcher.wait_for('helper')
    launcher.wait_for('ignoring')
    launcher.signal(signal.SIGKILL)
    assert launcher.finish() == -signal.SIGKILL
    wait_until(lambda: not processes_of(launcher.env), 5.0, f'end of {processes_of(launcher.env)}')


def test_exception_during_the_launch_ends_all(launch, launch_file):
    """A launch file that fails late takes down what it had started."""
    launcher = launch(
        launch_file(
            "def fail(context):\n    raise RuntimeError('late')\n"
            f'return LaunchDescription([{PATIENT}, TimerAction(period=0.7, actions=[OpaqueFunction(function=fail)])])'
        )
    )
    assert launcher.finish() == 1
    assert 'Caught exception in launch (see debug for traceback): late' in launcher.text
    assert "sending signal 'SIGINT' to process[patient-1]" in launcher.text
    assert processes_of(launcher.env) == {}


def test_helpers_that_a_dead_process_left_behind_are_swept(launch, launch_file):
    """A process that is killed alone leaves its helper; it goes at the end of the launch."""
    launcher = launch(launch_file(f'return LaunchDescription([{PATIENT}, ExecuteProcess(cmd=["sleep", "600"])])'))
    match = launcher.wait_for(r'helper (\d+)')
    os.kill(int(launcher.wait_for(r'patient-1\]: process started with pid \[(\d+)\]')[1]), signal.SIGKILL)
    launcher.wait_for('exit code -9')
    assert int(match[1]) in processes_of(launcher.env)
    launcher.signal(signal.SIGINT)
    assert launcher.finish() == 0
    assert processes_of(launcher.env) == {}


def test_shell_commands_are_signalled_with_all_their_parts(launch, launch_file):
    """A shell passes no signal on: its whole group gets it."""
    launcher = launch(
        launch_file('return LaunchDescription([ExecuteProcess(cmd=["sleep 600 & sleep 601; wait"], shell=True)])')
    )
    launcher.wait_for('process started')

    # By name: a shell's child that has not yet executed its program loses the signal.
    def sleeps():
        return {command.strip() for command in processes_of(launcher.env).values()} >= {'sleep 600', 'sleep 601'}

    wait_until(sleeps, 5.0, 'both sleeps')
    launcher.signal(signal.SIGINT)
    assert launcher.finish(timeout_s=4.0) == 0
    assert processes_of(launcher.env) == {}


def test_program_that_cannot_be_started(launch, launch_file):
    """It is reported and does not keep the rest from running."""
    launcher = launch(
        launch_file(
            "return LaunchDescription([ExecuteProcess(cmd=['/no/such/program']),"
            " ExecuteProcess(cmd=['echo', 'other'], output='screen')])"
        )
    )
    assert launcher.finish() == 0
    assert '[ERROR] [program-1]: exception occurred while executing process' in launcher.text
    assert '[echo-2] other' in launcher.text
