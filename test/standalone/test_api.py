# SPDX-License-Identifier: Apache-2.0
"""The names that the subset promises, with upstream's arguments and defaults."""

import argparse
import importlib
import inspect

import pytest
from launch.substitutions import LaunchConfiguration

from launch import LaunchContext

NAMES = {
    'launch': 'LaunchDescription LaunchService LaunchContext LaunchDescriptionSource LaunchDescriptionEntity '
    'Action Condition Event EventHandler Substitution SomeSubstitutionsType LaunchIntrospector',
    'launch.actions': 'DeclareLaunchArgument SetLaunchConfiguration IncludeLaunchDescription GroupAction '
    'ExecuteProcess ExecuteLocal LogInfo OpaqueFunction TimerAction EmitEvent RegisterEventHandler '
    'UnregisterEventHandler SetEnvironmentVariable UnsetEnvironmentVariable Shutdown',
    'launch.substitutions': 'TextSubstitution LaunchConfiguration EnvironmentVariable PathJoinSubstitution '
    'PythonExpression ThisLaunchFileDir Command IfElseSubstitution EqualsSubstitution NotEqualsSubstitution '
    'BooleanSubstitution AndSubstitution OrSubstitution NotSubstitution',
    'launch.conditions': 'IfCondition UnlessCondition',
    'launch.event_handlers': 'OnProcessStart OnProcessExit OnProcessIO OnShutdown OnExecutionComplete',
    'launch.events': 'Shutdown matches_action',
    'launch.events.process': 'ProcessStarted ProcessExited ShutdownProcess SignalProcess',
    'launch.launch_description_sources': 'PythonLaunchDescriptionSource',
    'launch.logging': 'get_logger launch_config',
    'launch_ros.actions': 'Node LifecycleNode SetParameter PushRosNamespace SetRemap',
    'launch_ros.events.lifecycle': 'ChangeState StateTransition matches_node_name',
    'launch_ros.event_handlers': 'OnStateTransition',
    'launch_ros.substitutions': 'FindPackageShare FindPackagePrefix ExecutableInPackage',
    'launch_ros.parameter_descriptions': 'ParameterFile ParameterValue',
    'launch_testing': 'parametrize post_shutdown_test',
    'launch_testing.actions': 'ReadyToTest',
    'launch_testing.markers': 'keep_alive',
    'launch_testing.util': 'KeepAliveProc',
    'launch_testing.asserts': 'assertExitCodes assertInStdout assertInStderr assertSequentialStdout EXIT_OK '
    'EXIT_SIGINT EXIT_SIGQUIT EXIT_SIGKILL EXIT_SIGSEGV',
}

# As in upstream's public documentation; '**' stands for the keywords that go on to the base class.
SIGNATURES = {
    'launch.LaunchDescription': 'initial_entities=None',
    'launch.LaunchDescription.add_action': 'action',
    'launch.LaunchDescription.add_entity': 'entity',
    'launch.LaunchDescription.get_launch_arguments': 'conditional_inclusion=False',
    'launch.LaunchService': '*, argv=None, noninteractive=False, debug=False',
    'launch.LaunchService.include_launch_description': 'launch_description',
    'launch.LaunchService.run': '*, shutdown_when_idle=True',
    'launch.LaunchService.run_async': '*, shutdown_when_idle=True',
    'launch.LaunchService.emit_event': 'event',
    'launch.LaunchService.shutdown': 'force_sync=False',
    'launch.LaunchContext': '*, argv=None, noninteractive=False',
    'launch.LaunchContext.perform_substitution': 'substitution',
    'launch.Action': '*, condition=None',
    'launch.actions.DeclareLaunchArgument': 'name, *, default_value=None, description=None, choices=None, **',
    'launch.actions.SetLaunchConfiguration': 'name, value, **',
    'launch.actions.IncludeLaunchDescription': 'launch_description_source, *, launch_arguments=None, **',
    'launch.actions.GroupAction': 'actions, *, scoped=True, forwarding=True, launch_configurations=None, **',
    'launch.actions.ExecuteProcess': '*, cmd, prefix=None, name=None, cwd=None, env=None, additional_env=None, **',
    'launch.actions.ExecuteLocal': "*, shell=False, sigterm_timeout=$(5), sigkill_timeout=$(5), emulate_tty=False, "
    "output='log', output_format='[{name}] {line}', cached_output=False, log_cmd=False, on_exit=None, "
    'respawn=False, respawn_delay=None, respawn_max_retries=-1, **',
    'launch.actions.LogInfo': '*, msg, **',
    'launch.actions.OpaqueFunction': '*, function, args=None, kwargs=None, **',
    'launch.actions.TimerAction': '*, period, actions, cancel_on_shutdown=True, **',
    'launch.actions.EmitEvent': '*, event, **',
    'launch.actions.RegisterEventHandler': 'event_handler, **',
    'launch.actions.UnregisterEventHandler': 'event_handler, **',
    'launch.actions.SetEnvironmentVariable': 'name, value, **',
    'launch.actions.UnsetEnvironmentVariable': 'name, **',
    'launch.actions.Shutdown': "*, reason='reason not given', **",
    'launch.substitutions.TextSubstitution': '*, text',
    'launch.substitutions.LaunchConfiguration': 'variable_name, *, default=None',
    'launch.substitutions.EnvironmentVariable': 'name, *, default_value=None',
    'launch.substitutions.PathJoinSubstitution': 'substitutions',
    'launch.substitutions.PythonExpression': "expression, python_modules=('math',)",
    'launch.substitutions.ThisLaunchFileDir': '',
    'launch.substitutions.Command': "command, *, on_stderr='fail'",
    'launch.substitutions.IfElseSubstitution': "condition, if_value='', else_value=''",
    'launch.substitutions.EqualsSubstitution': 'left, right',
    'launch.substitutions.NotEqualsSubstitution': 'left, right',
    'launch.substitutions.BooleanSubstitution': 'value',
    'launch.substitutions.AndSubstitution': 'left, right',
    'launch.substitutions.OrSubstitution': 'left, right',
    'launch.substitutions.NotSubstitution': 'value',
    'launch.conditions.IfCondition': 'predicate_expression',
    'launch.conditions.UnlessCondition': 'predicate_expression',
    'launch.event_handlers.OnProcessStart': '*, target_action=None, on_start, **',
    'launch.event_handlers.OnProcessExit': '*, target_action=None, on_exit, **',
    'launch.event_handlers.OnProcessIO': '*, target_action=None, on_stdin=None, on_stdout=None, on_stderr=None, **',
    'launch.event_handlers.OnShutdown': '*, on_shutdown, **',
    'launch.event_handlers.OnExecutionComplete': '*, target_action=None, on_completion, **',
    'launch.events.Shutdown': "*, reason='reason not given', due_to_sigint=False",
    'launch.events.matches_action': 'target_action',
    'launch.events.process.ProcessStarted': '*, action, name, cmd, cwd, env, pid',
    'launch.events.process.ProcessExited': '*, returncode, **',
    'launch.events.process.ShutdownProcess': '*, process_matcher',
    'launch.events.process.SignalProcess': '*, signal_number, process_matcher',
    'launch.launch_description_sources.PythonLaunchDescriptionSource': 'launch_file_path',
    'launch.logging.get_logger': 'name=None',
    'launch_ros.actions.Node': '*, executable, package=None, name=None, namespace=None, exec_name=None, '
    'parameters=None, remappings=None, ros_arguments=None, arguments=None, **',
    'launch_ros.actions.LifecycleNode': '*, name, namespace, **',
    'launch_ros.actions.SetParameter': 'name, value, **',
    'launch_ros.actions.PushRosNamespace': 'namespace, **',
    'launch_ros.actions.SetRemap': 'src, dst, **',
    'launch_ros.events.lifecycle.ChangeState': '*, lifecycle_node_matcher, transition_id',
    'launch_ros.events.lifecycle.StateTransition': '*, action, msg',
    'launch_ros.events.lifecycle.matches_node_name': 'node_name',
    'launch_ros.event_handlers.OnStateTransition': '*, entities, target_lifecycle_node=None, transition=None, '
    'start_state=None, goal_state=None, handle_once=False, **',
    'launch_ros.substitutions.FindPackageShare': 'package',
    'launch_ros.substitutions.FindPackagePrefix': 'package',
    'launch_ros.substitutions.ExecutableInPackage': 'executable, package',
    'launch_ros.parameter_descriptions.ParameterFile': 'param_file, *, allow_substs=False',
    'launch_ros.parameter_descriptions.ParameterValue': 'value, *, value_type=None',
    'launch_testing.parametrize': 'argnames, argvalues',
    'launch_testing.post_shutdown_test': '',
    'launch_testing.actions.ReadyToTest': '**',
    'launch_testing.markers.keep_alive': 'test_description',
    'launch_testing.io_handler.ActiveIoHandler.assertWaitFor': 'expected_output, process=None, cmd_args=None, *, '
    "strict_proc_matching=True, output_filter=None, timeout=10, stream='stderr', strip_ansi_escape_sequences=True",
    'launch_testing.proc_info_handler.ActiveProcInfoHandler.assertWaitForStartup': 'process, cmd_args=None, *, '
    'timeout=10',
    'launch_testing.proc_info_handler.ActiveProcInfoHandler.assertWaitForShutdown': 'process, cmd_args=None, *, '
    'timeout=10',
    'launch_testing.proc_info_handler.ActiveProcInfoHandler.processes': '',
    'launch_testing.proc_info_handler.ActiveProcInfoHandler.process_names': '',
    'launch_testing.asserts.assertExitCodes': 'proc_info, allowable_exit_codes=(0,), process=None, cmd_args=None, '
    '*, strict_proc_matching=True',
    'launch_testing.asserts.assertInStdout': 'proc_output, expected_output, process, cmd_args=None, *, '
    'output_filter=None, strict_proc_matching=True, strip_ansi_escape_sequences=True',
    'launch_testing.asserts.assertInStderr': 'proc_output, expected_output, process, cmd_args=None, *, '
    'output_filter=None, strict_proc_matching=True, strip_ansi_escape_sequences=True',
    'launch_testing.asserts.assertSequentialStdout': 'proc_output, process, cmd_args=None',
}  # fmt: skip
ATTRIBUTES = {
    'launch.LaunchService': 'context event_loop',
    'launch.LaunchContext': 'environment locals',
    'launch.actions.ExecuteLocal': 'return_code process_details',
    'launch.events.process.ProcessExited': 'execute_process_action',
    'launch.logging.LaunchConfig': 'level log_dir',
}
# Names of which every one with a signature must stand in the table: none is forgotten.
WITHOUT_SIGNATURE = {
    'launch.LaunchDescriptionEntity', 'launch.Event', 'launch.Substitution', 'launch.SomeSubstitutionsType',
    'launch.LaunchIntrospector', 'launch.LaunchDescriptionSource', 'launch.Condition', 'launch.EventHandler',
    'launch.logging.launch_config', 'launch_testing.util.KeepAliveProc',
}  # fmt: skip
OPTIONS = {
    'launch': '-n --noninteractive -d --debug -p --print --print-description -s --show-args --show-arguments '
    '-a --show-all-subprocesses-output --launch-prefix --launch-prefix-filter',
    'run': '--prefix',
}


def resolve(path):
    """Return what a dotted path names: in a module, or an attribute of a class in one."""
    module, _, name = path.rpartition('.')
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError:
        return getattr(resolve(module), name)


def signature_text(target):
    """Return a signature without self and annotations; `$(5)` is a launch configuration with that default."""
    words, keyword_only = [], False
    for parameter in inspect.signature(target.__init__ if inspect.isclass(target) else target).parameters.values():
        if parameter.name == 'self' or parameter.kind is parameter.VAR_POSITIONAL:
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            words.append('**')
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            words.append('*')
            keyword_only = True
        default = parameter.default
        if isinstance(default, LaunchConfiguration):
            # One that is not set: what is left is the default.
            default_text = f'=$({LaunchContext().perform_substitution(default)})'
        else:
            default_text = '' if default is parameter.empty else f'={default!r}'
        words.append(parameter.name + default_text)
    return ', '.join(words)


@pytest.mark.parametrize('module', NAMES)
def test_names_are_there(module):
    """All of them."""
    imported = importlib.import_module(module)
    assert [name for name in NAMES[module].split() if not hasattr(imported, name)] == []


def test_no_name_is_left_out_of_the_table():
    """Every class and function above has its arguments below."""
    everything = {f'{module}.{name}' for module, names in NAMES.items() for name in names.split()}
    callables = {path for path in everything - WITHOUT_SIGNATURE if not isinstance(resolve(path), int)}
    assert callables - SIGNATURES.keys() == set()


@pytest.mark.parametrize('path', SIGNATURES)
def test_arguments_and_defaults_are_those_of_upstream(path):
    """Names, order, keyword-only or not, defaults."""
    target = resolve(path)
    if inspect.isclass(target) and target.__init__ is object.__init__:
        assert SIGNATURES[path] == ''
    else:
        assert signature_text(target) == SIGNATURES[path]


@pytest.mark.parametrize('path', ATTRIBUTES)
def test_attributes_are_there(path):
    """Those that launch files read."""
    assert [name for name in ATTRIBUTES[path].split() if not hasattr(resolve(path), name)] == []


def test_launch_configurations_are_a_dictionary():
    """Read and set by opaque functions."""
    assert LaunchContext().launch_configurations == {}


ACTIONS = [f'{module}.{name}' for module in ('launch.actions', 'launch_ros.actions') for name in NAMES[module].split()]


@pytest.mark.parametrize('path', ACTIONS)
def test_every_action_takes_a_condition(path):
    """Through all base classes."""
    action = resolve(path)
    accepted = set()
    for cls in action.__mro__[:-1]:
        if '__init__' in vars(cls):
            parameters = inspect.signature(cls.__init__).parameters
            accepted |= parameters.keys()
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
                break
    assert 'condition' in accepted


@pytest.mark.parametrize('name', OPTIONS)
def test_command_options_are_those_of_upstream(name):
    """What upstream's `ros2 launch --help` and `ros2 run --help` list, and --fail-on-error."""
    from ros2_subset.cli import COMMANDS

    parser = argparse.ArgumentParser(add_help=False)
    COMMANDS[name].add_arguments(parser)
    options = {option for action in parser._actions for option in action.option_strings}
    assert options - {'--fail-on-error'} == set(OPTIONS[name].split())


def test_launch_test_options_are_those_of_upstream():
    """Those of `launch_test --help`."""
    from launch_testing.launch_test import build_parser

    options = {option for action in build_parser()._actions for option in action.option_strings}
    wanted = '-h --help -v --verbose -s --show-args --show-arguments --package-name --junit-xml'
    assert options == set(wanted.split())


@pytest.mark.parametrize(
    ('module', 'name'),
    [('launch.actions', 'ForLoop'), ('launch_ros.actions', 'ComposableNodeContainer'), ('launch', 'Frontend')],
)
def test_what_is_outside_says_so(module, name):
    """Not merely 'cannot import'."""
    with pytest.raises(ImportError, match=f'{module}.{name} is outside the stand-alone launch subset'):
        exec(f'from {module} import {name}')


def test_launch_file_of_another_format_says_so(tmp_path):
    """launch_xml and launch_yaml are outside."""
    from launch.launch_description_sources import AnyLaunchDescriptionSource

    with pytest.raises(ImportError, match='outside the stand-alone launch subset'):
        AnyLaunchDescriptionSource(str(tmp_path / 'a.launch.xml')).get_launch_description(LaunchContext())
