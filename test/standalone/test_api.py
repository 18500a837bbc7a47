# SPDX-License-Identifier: Apache-2.0
"""The names that the subset promises, with upstream's arguments and defaults."""

import importlib
import inspect

import pytest

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

SIGNATURES = {
    'launch.LaunchDescription': {'initial_entities': None},
    'launch.LaunchService': {'argv': None, 'noninteractive': False, 'debug': False},
    'launch.actions.DeclareLaunchArgument': {'default_value': None, 'description': None, 'choices': None},
    'launch.actions.IncludeLaunchDescription': {'launch_arguments': None},
    'launch.actions.GroupAction': {'scoped': True, 'forwarding': True, 'launch_configurations': None},
    'launch.actions.ExecuteProcess': {
        'prefix': None, 'name': None, 'cwd': None, 'env': None, 'additional_env': None
    },
    'launch.actions.ExecuteLocal': {
        'shell': False, 'emulate_tty': False, 'output': 'log', 'output_format': '[{name}] {line}',
        'cached_output': False, 'log_cmd': False, 'on_exit': None, 'respawn': False, 'respawn_delay': None,
        'respawn_max_retries': -1,
    },
    'launch.actions.OpaqueFunction': {'args': None, 'kwargs': None},
    'launch.actions.Shutdown': {'reason': 'reason not given'},
    'launch.substitutions.LaunchConfiguration': {'default': None},
    'launch.substitutions.EnvironmentVariable': {'default_value': None},
    'launch_ros.actions.Node': {
        'package': None, 'name': None, 'namespace': None, 'exec_name': None, 'parameters': None,
        'remappings': None, 'ros_arguments': None, 'arguments': None,
    },
    'launch_ros.event_handlers.OnStateTransition': {
        'target_lifecycle_node': None, 'goal_state': None, 'start_state': None, 'transition': None
    },
    'launch_ros.parameter_descriptions.ParameterFile': {'allow_substs': False},
    'launch_ros.parameter_descriptions.ParameterValue': {'value_type': None},
}  # fmt: skip


@pytest.mark.parametrize('module', NAMES)
def test_names_are_there(module):
    """All of them."""
    imported = importlib.import_module(module)
    assert [name for name in NAMES[module].split() if not hasattr(imported, name)] == []


@pytest.mark.parametrize('path', SIGNATURES)
def test_defaults_are_those_of_upstream(path):
    """Keyword by keyword."""
    module, _, name = path.rpartition('.')
    parameters = inspect.signature(getattr(importlib.import_module(module), name).__init__).parameters
    assert {key: parameters[key].default for key in SIGNATURES[path]} == SIGNATURES[path]


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

    from launch import LaunchContext

    with pytest.raises(ImportError, match='outside the stand-alone launch subset'):
        AnyLaunchDescriptionSource(str(tmp_path / 'a.launch.xml')).get_launch_description(LaunchContext())
