# SPDX-License-Identifier: Apache-2.0
"""Actions, scopes, conditions, substitutions and handlers, run in this process."""

import asyncio
import os
import time
from pathlib import Path

import pytest
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    GroupAction,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    SetLaunchConfiguration,
    Shutdown,
    TimerAction,
    UnregisterEventHandler,
    UnsetEnvironmentVariable,
)
from launch.conditions import IfCondition, UnlessCondition
from launch.event_handlers import (
    OnExecutionComplete,
    OnProcessExit,
    OnProcessIO,
    OnProcessStart,
    OnShutdown,
)
from launch.events import matches_action
from launch.events.process import ShutdownProcess, SignalProcess
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitution import SubstitutionFailure
from launch.substitutions import (
    AndSubstitution,
    BooleanSubstitution,
    Command,
    EnvironmentVariable,
    EqualsSubstitution,
    IfElseSubstitution,
    LaunchConfiguration,
    NotEqualsSubstitution,
    NotSubstitution,
    OrSubstitution,
    PathJoinSubstitution,
    PythonExpression,
    TextSubstitution,
    ThisLaunchFileDir,
)

import launch
from launch import LaunchContext, LaunchDescription, LaunchService


@pytest.fixture(autouse=True)
def own_logs_and_environment(tmp_path, monkeypatch):
    """Each test has its log folder; launch changes os.environ, as upstream does."""
    monkeypatch.setenv('ROS_LOG_DIR', str(tmp_path / 'log'))
    before = dict(os.environ)
    launch.logging.reset()
    yield
    launch.logging.reset()
    os.environ.clear()
    os.environ.update(before)


def run(*entities):
    """Launch entities and return the exit code."""
    service = LaunchService()
    service.include_launch_description(LaunchDescription(entities))
    return service.run()


class Notes(list):
    """Collects values of launch configurations while launching."""

    def take(self, *names):
        """Return an action that notes the configurations' values, None for one that is not set."""

        def note(context):
            self.append(tuple(context.launch_configurations.get(name) for name in names))

        return OpaqueFunction(function=note)


def perform(substitution, **configurations):
    """Return a substitution's text."""
    context = LaunchContext()
    context.launch_configurations.update(configurations)
    return context.perform_substitution(substitution)


@pytest.mark.parametrize(
    ('substitution', 'text'),
    [
        (TextSubstitution(text='a'), 'a'),
        (LaunchConfiguration('x'), 'true'),
        (LaunchConfiguration('missing', default='d'), 'd'),
        (LaunchConfiguration('missing', default=5), '5'),
        (EnvironmentVariable('NO_SUCH_VARIABLE', default_value='d'), 'd'),
        (PathJoinSubstitution(['/a', [LaunchConfiguration('x'), '.yaml']]), '/a/true.yaml'),
        (PythonExpression(["'", LaunchConfiguration('x'), "' == 'true' and floor(2.5) == 2"]), 'True'),
        (Command(['echo ', LaunchConfiguration('x')]), 'true\n'),
        (BooleanSubstitution('1'), 'true'),
        (NotSubstitution(LaunchConfiguration('x')), 'false'),
        (AndSubstitution(LaunchConfiguration('x'), 'false'), 'false'),
        (OrSubstitution(LaunchConfiguration('x'), 'false'), 'true'),
        (EqualsSubstitution(LaunchConfiguration('x'), True), 'true'),
        (EqualsSubstitution('1.0', 1), 'true'),
        (NotEqualsSubstitution('a', 'b'), 'true'),
        (IfElseSubstitution(LaunchConfiguration('x'), if_value='yes', else_value='no'), 'yes'),
    ],
)
def test_substitution(substitution, text):
    """Each gives its text."""
    assert perform(substitution, x='true') == text


@pytest.mark.parametrize(
    ('substitution', 'message'),
    [
        (LaunchConfiguration('missing'), "launch configuration 'missing' does not exist"),
        (EnvironmentVariable('NO_SUCH_VARIABLE'), "environment variable 'NO_SUCH_VARIABLE' does not exist"),
        (Command('false'), 'exit code 1'),
        (Command('sh -c "echo x >&2"'), 'stderr'),
        (BooleanSubstitution('maybe'), 'maybe'),
        (ThisLaunchFileDir(), 'outside of a launch file'),
        (PythonExpression('1 +'), '1 \\+'),
    ],
)
def test_substitution_without_a_value(substitution, message):
    """Each says what is missing."""
    with pytest.raises(SubstitutionFailure, match=message):
        perform(substitution)


def test_group_scopes_configurations_and_environment():
    """What a group sets ends with it; unscoped it stays."""
    notes = Notes()
    os.environ['OUTER'] = '1'
    assert run(
        SetLaunchConfiguration('a', '1'),
        GroupAction(
            [
                notes.take('a', 'b'),
                SetLaunchConfiguration('a', '3'),
                SetEnvironmentVariable('INNER', 'x'),
                UnsetEnvironmentVariable('OUTER'),
                OpaqueFunction(function=lambda _: notes.append((os.environ['INNER'], os.environ.get('OUTER')))),
            ],
            launch_configurations={'b': '2'},
        ),
        notes.take('a', 'b'),
        OpaqueFunction(function=lambda _: notes.append((os.environ.get('INNER'), os.environ['OUTER']))),
        GroupAction([SetLaunchConfiguration('a', '4')], scoped=False),
        notes.take('a'),
    ) == 0
    assert notes == [('1', '2'), ('x', None), ('1', None), (None, '1'), ('4',)]


def test_group_without_forwarding_sees_only_what_it_is_given():
    """Names outside are hidden; given values may refer to them."""
    notes = Notes()
    run(
        SetLaunchConfiguration('a', '1'),
        GroupAction(
            [notes.take('a', 'b')], forwarding=False, launch_configurations={'b': LaunchConfiguration('a')}
        ),
        notes.take('a', 'b'),
    )
    assert notes == [(None, '1'), ('1', None)]


def test_include_passes_arguments_and_knows_its_place(tmp_path):
    """The included file's folder holds inside it alone; its configurations stay set, as upstream."""
    inner = tmp_path / 'inner' / 'inner.launch.py'
    inner.parent.mkdir()
    inner.write_text(
        'from launch import LaunchDescription\n'
        'from launch.actions import DeclareLaunchArgument, SetLaunchConfiguration\n'
        'from launch.substitutions import ThisLaunchFileDir\n'
        'def generate_launch_description():\n'
        "    return LaunchDescription([DeclareLaunchArgument('need'), DeclareLaunchArgument('b', default_value='2'),"
        "        SetLaunchConfiguration('place', ThisLaunchFileDir())])\n"
    )
    outer = tmp_path / 'outer.launch.py'
    outer.write_text(
        'from launch import LaunchDescription\n'
        'from launch.actions import IncludeLaunchDescription, SetLaunchConfiguration\n'
        'from launch.launch_description_sources import PythonLaunchDescriptionSource\n'
        'from launch.substitutions import ThisLaunchFileDir\n'
        'def generate_launch_description():\n'
        '    return LaunchDescription([IncludeLaunchDescription(PythonLaunchDescriptionSource('
        "[ThisLaunchFileDir(), '/inner/inner.launch.py']), launch_arguments={'need': 'given'}.items()),\n"
        "        SetLaunchConfiguration('outer_place', ThisLaunchFileDir())])\n"
    )
    notes = Notes()
    assert run(
        IncludeLaunchDescription(PythonLaunchDescriptionSource(str(outer))),
        notes.take('need', 'b', 'place', 'outer_place'),
    ) == 0
    assert notes == [('given', '2', str(inner.parent), str(tmp_path))]
    assert run(IncludeLaunchDescription(PythonLaunchDescriptionSource(str(inner)))) == 1


def test_arguments_of_includes_are_listed(tmp_path):
    """get_launch_arguments() follows includes, once for each name."""
    inner = tmp_path / 'inner.launch.py'
    inner.write_text(
        'from launch import LaunchDescription\nfrom launch.actions import DeclareLaunchArgument\n'
        'def generate_launch_description():\n'
        "    return LaunchDescription([DeclareLaunchArgument('a'), DeclareLaunchArgument('b')])\n"
    )
    description = LaunchDescription(
        [
            DeclareLaunchArgument('a', default_value='1'),
            GroupAction([IncludeLaunchDescription(str(inner))]),
            DeclareLaunchArgument('c', condition=IfCondition('true')),
        ]
    )
    assert [argument.name for argument in description.get_launch_arguments()] == ['a', 'b', 'c']


def test_conditions_decide_and_refuse_other_texts(capsys):
    """If, Unless, and neither true nor false."""
    notes = Notes()
    run(
        SetLaunchConfiguration('on', 'True'),
        SetLaunchConfiguration('a', '1', condition=IfCondition(LaunchConfiguration('on'))),
        SetLaunchConfiguration('b', '1', condition=UnlessCondition(LaunchConfiguration('on'))),
        notes.take('a', 'b'),
    )
    assert notes == [('1', None)]
    assert run(LogInfo(msg='x', condition=IfCondition('maybe'))) == 1
    assert "but got 'maybe'" in capsys.readouterr().out


def test_choices_are_checked_when_declared():
    """A default outside the choices, and no choice at all."""
    with pytest.raises(ValueError, match='not in provided choices'):
        DeclareLaunchArgument('a', default_value='x', choices=['y'])
    with pytest.raises(ValueError, match='empty'):
        DeclareLaunchArgument('a', choices=[])


def test_timer_waits_its_period_and_shutdown_cancels_it():
    """The second timer never fires."""
    notes = []
    started_s = time.monotonic()
    assert run(
        TimerAction(
            period=0.2,
            actions=[OpaqueFunction(function=lambda _: notes.append(time.monotonic() - started_s)), Shutdown()],
        ),
        TimerAction(period=30.0, actions=[OpaqueFunction(function=lambda _: notes.append('late'))]),
    ) == 0
    assert notes == [pytest.approx(0.2, abs=0.1)]


def test_handlers_see_start_output_exit_completion_and_shutdown():
    """In this order, with the events' fields."""
    seen = []
    process = ExecuteProcess(cmd=['sh', '-c', 'echo out; echo err >&2; exit 4'], name='talker')
    timer = TimerAction(period=0.05, actions=[])
    run(
        RegisterEventHandler(
            OnProcessStart(target_action=process, on_start=lambda event, _: seen.append(('start', event.pid)))
        ),
        RegisterEventHandler(
            OnProcessIO(
                target_action=process,
                on_stdout=lambda event: seen.append(('out', event.text)),
                on_stderr=lambda event: seen.append(('err', event.text)),
            )
        ),
        RegisterEventHandler(
            OnProcessExit(target_action=process, on_exit=lambda event, _: seen.append(('exit', event.returncode)))
        ),
        RegisterEventHandler(
            OnExecutionComplete(target_action=timer, on_completion=lambda *_: seen.append(('completed',)))
        ),
        RegisterEventHandler(OnShutdown(on_shutdown=lambda event, _: seen.append(('shutdown', event.reason)))),
        timer,
        process,
    )
    pid = process.process_details['pid']
    without_timer = [item for item in seen if item != ('completed',)]
    assert ('completed',) in seen
    assert without_timer[0] == ('start', pid)
    assert set(without_timer[1:3]) == {('out', b'out\n'), ('err', b'err\n')}
    assert without_timer[3:] == [('exit', 4), ('shutdown', 'idle')]
    assert process.return_code == 4


def test_unregistered_and_handle_once_handlers_stay_silent():
    """A handler that has left, and one that leaves by itself."""
    seen = []
    gone = OnProcessStart(on_start=lambda *_: seen.append('gone'))
    once = OnProcessStart(on_start=lambda *_: seen.append('once'), handle_once=True)
    run(
        RegisterEventHandler(gone),
        RegisterEventHandler(once),
        UnregisterEventHandler(gone),
        ExecuteProcess(cmd=['true']),
        ExecuteProcess(cmd=['true']),
    )
    assert seen == ['once']


def test_events_end_and_signal_single_processes():
    """ShutdownProcess and SignalProcess reach the process that the matcher picks."""
    first = ExecuteProcess(cmd=['sleep', '600'])
    second = ExecuteProcess(
        cmd=['sh', '-c', 'trap "exit 7" USR1; echo ready; while :; do sleep 0.05; done'], name='trapper'
    )
    run(
        RegisterEventHandler(
            OnProcessIO(
                target_action=second,
                on_stdout=lambda _: [
                    EmitEvent(event=ShutdownProcess(process_matcher=matches_action(first))),
                    EmitEvent(event=SignalProcess(signal_number='SIGUSR1', process_matcher=matches_action(second))),
                ],
            )
        ),
        first,
        second,
    )
    assert (first.return_code, second.return_code) == (-2, 7)


def test_on_exit_takes_a_function_and_env_is_given():
    """on_exit may be callable; env replaces, additional_env adds; cwd holds."""
    codes = []
    os.environ['PARENT'] = 'p'

    def command(**kwargs):
        return ExecuteProcess(
            cmd=['/bin/sh', '-c', 'test "$PARENT$OWN$PWD" = "$WANTED"'],
            on_exit=lambda event, _context: codes.append(event.returncode),
            **kwargs,
        )

    run(
        command(cwd='/', additional_env={'OWN': LaunchConfiguration('own', default='o'), 'WANTED': 'po/'}),
        command(cwd='/', env={'OWN': 'o', 'WANTED': 'o/'}),
    )
    assert codes == [0, 0]


SAYING = 'echo out; printf err >&2'


@pytest.mark.parametrize(
    ('output', 'screen', 'log', 'own'),
    [
        ('screen', {'out', 'err'}, set(), set()),
        ('log', {'err'}, {'out', 'err'}, set()),
        ('both', {'out', 'err'}, {'out', 'err'}, set()),
        ('own_log', set(), set(), {'', '-stdout', '-stderr'}),
        ('full', {'out', 'err'}, {'out', 'err'}, {'', '-stdout', '-stderr'}),
        ({'stdout': 'screen', 'stderr': 'log'}, {'out'}, {'err'}, set()),
    ],
)
def test_output_modes(capsys, output, screen, log, own):
    """Each mode writes where it says; a last line without newline counts."""
    process = ExecuteProcess(cmd=['sh', '-c', SAYING], name='sayer', output=output)
    run(process)
    name = process.process_details['name']
    folder = Path(launch.logging.launch_config.log_dir)
    shown = capsys.readouterr().out
    assert {word for word in ('out', 'err') if f'[{name}] {word}\n' in shown} == screen
    logged = (folder / 'launch.log').read_text()
    assert {word for word in ('out', 'err') if f' [{name}] {word}\n' in logged} == log
    assert {path.stem.removeprefix(name) for path in folder.glob(f'{name}*.log')} == own
    assert (folder.parent / 'latest').resolve() == folder.resolve()


def test_cached_output_comes_at_the_end_and_tty_is_emulated(capsys):
    """cached_output keeps lines together; emulate_tty gives a terminal; output_format is used."""
    run(
        ExecuteProcess(
            cmd=['sh', '-c', 'test -t 1 && echo terminal; echo second'],
            output='screen',
            cached_output=True,
            emulate_tty=True,
            output_format='{this.process_description.final_name}|{line}',
            name='tty',
        )
    )
    lines = capsys.readouterr().out.splitlines()
    shown = [line.partition('|')[2] for line in lines if '|' in line]
    assert shown == ['terminal', 'second']


def test_log_folder_is_named_by_time_host_and_process():
    """YYYY-mm-dd-HH-MM-SS-ffffff-HOST-PID."""
    run(LogInfo(msg='x'))
    folder = Path(launch.logging.launch_config.log_dir)
    assert len(folder.name.split('-')[:7]) == 7
    assert folder.name.endswith(f'-{os.getpid()}')
    assert '[INFO] [launch.user] x' in (folder / 'launch.log').read_text()


def test_shutdown_from_another_thread_and_no_idle_shutdown():
    """With shutdown_when_idle=False the service waits until it is told."""
    import threading

    service = LaunchService()
    timer = threading.Timer(0.2, service.shutdown)
    started_s = time.monotonic()
    timer.start()
    assert service.run(shutdown_when_idle=False) == 0
    assert time.monotonic() - started_s >= 0.2


def test_service_runs_again_and_a_cancelled_one_leaves_no_process():
    """The same service may run twice; cancelling its task ends the children."""
    service = LaunchService()
    for _ in range(2):
        service.include_launch_description(LaunchDescription([ExecuteProcess(cmd=['true'])]))
        assert service.run() == 0

    process = ExecuteProcess(cmd=['sleep', '600'])
    service = LaunchService()

    async def cancel_when_started():
        started = asyncio.Event()
        on_start = RegisterEventHandler(OnProcessStart(on_start=lambda *_: started.set()))
        service.include_launch_description(LaunchDescription([on_start, process]))
        task = asyncio.create_task(service.run_async())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel_when_started())
    with pytest.raises(ProcessLookupError):
        os.killpg(process.process_details['pid'], 0)


def test_shutdown_at_the_moment_of_the_start_starts_nothing():
    """An action whose process is not yet running when the shutdown comes does not start it any more."""
    process = ExecuteProcess(cmd=['sleep', '600'])
    started_s = time.monotonic()
    assert run(process, Shutdown(reason='at once')) == 0
    assert time.monotonic() - started_s < 3.0
    assert process.return_code in (None, -2)
