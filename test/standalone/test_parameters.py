# SPDX-License-Identifier: Apache-2.0
"""Parameters as a launch file gives them, and as the node's file has them."""

from pathlib import Path
from typing import List  # noqa: UP035 - as launch files write it

import pytest
import yaml
from launch.substitutions import LaunchConfiguration, TextSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterFile, ParameterValue
from launch_ros.parameters import evaluate_dictionary, evaluate_value, normalize_parameters

from launch import LaunchContext


@pytest.fixture
def context():
    """A context with some configurations."""
    context = LaunchContext()
    context.launch_configurations.update(rate='5.0', flag='true', word='12', folder='/x')
    return context


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        (1, 1),
        (2.5, 2.5),
        (True, True),
        ('5.0', '5.0'),  # plain text stays text
        (LaunchConfiguration('rate'), 5.0),  # text of substitutions is read as YAML
        (LaunchConfiguration('flag'), True),
        ([LaunchConfiguration('folder'), '/y.yaml'], '/x/y.yaml'),
        ([1, 2], [1, 2]),
        ([1, 2.5], [1.0, 2.5]),
        (['a', 'b'], ['a', 'b']),
        ([[LaunchConfiguration('word'), 'a'], 'b'], ['12a', 'b']),
        (ParameterValue(LaunchConfiguration('word'), value_type=str), '12'),
        (ParameterValue(LaunchConfiguration('word'), value_type=float), 12.0),
        (ParameterValue(LaunchConfiguration('word'), value_type=int), 12),
        (ParameterValue(TextSubstitution(text='[1, 2]'), value_type=List[int]), [1, 2]),  # noqa: UP006
        (ParameterValue([True, False], value_type=list[bool]), [True, False]),
    ],
)
def test_value(context, value, expected):
    """Each becomes what the node reads, of the same type."""
    result = evaluate_value(value, context)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ('value', 'error'),
    [
        (ParameterValue('word', value_type=int), ValueError),
        (ParameterValue('true', value_type=int), ValueError),
        ([1, 'a'], TypeError),
        (object(), TypeError),
    ],
)
def test_value_of_the_wrong_type(context, value, error):
    """Refused, not guessed."""
    with pytest.raises(error):
        evaluate_value(value, context)


def test_nested_names_are_joined_by_dots(context):
    """As ROS names parameters."""
    nested = {'a': {'b': 1, LaunchConfiguration('word'): {'c': LaunchConfiguration('rate')}}}
    assert evaluate_dictionary(nested, context) == {'a.b': 1, 'a.12.c': 5.0}


@pytest.mark.parametrize('wrong', ['file.yaml', {'a': 1}, [3]])
def test_parameters_must_be_a_list_of_files_and_dictionaries(wrong):
    """A lone file or dictionary is a mistake that upstream refuses too."""
    with pytest.raises(TypeError):
        normalize_parameters(wrong)


def command_of(node, context):
    """Return the words of a node's command after the executable."""
    return node.resolve_command(context)[1][1:]


def test_parameter_file_of_a_node_without_name_holds_for_all(context):
    """The key is /** unless launch knows name and namespace."""
    words = command_of(Node(executable='/bin/true', parameters=[{'rate': LaunchConfiguration('rate')}]), context)
    assert words[:2] == ['--ros-args', '--params-file']
    path = Path(words[2])
    assert path.name.startswith('launch_params_')
    assert yaml.safe_load(path.read_text()) == {'/**': {'ros__parameters': {'rate': 5.0}}}
    path.unlink()


def test_order_of_the_command_line(context):
    """Own arguments, --ros-args, ROS arguments, name, namespace, files in order, remaps."""
    node = Node(
        executable='/bin/true',
        name='n',
        namespace='ns',
        arguments=['-x', LaunchConfiguration('word')],
        ros_arguments=['--log-level', 'debug'],
        parameters=['/a.yaml', [LaunchConfiguration('folder'), '/b.yaml'], ParameterFile('/c.yaml')],
        remappings=[('a', 'b'), ('/clock', 'clock')],
    )
    assert command_of(node, context) == [
        '-x', '12', '--ros-args', '--log-level', 'debug', '-r', '__node:=n', '-r', '__ns:=/ns',
        '--params-file', '/a.yaml', '--params-file', '/x/b.yaml', '--params-file', '/c.yaml',
        '-r', 'a:=b', '-r', '/clock:=clock',
    ]  # fmt: skip
    assert node.node_name == '/ns/n'


def test_substitutions_inside_a_parameter_file(tmp_path, context):
    """Only where allowed; unknown forms are refused."""
    path = tmp_path / 'p.yaml'
    path.write_text('/**: {ros__parameters: {rate: $(var rate), other: $(var none 7)}}')
    assert ParameterFile(str(path)).evaluate(context) == path
    parameter_file = ParameterFile(str(path), allow_substs=True)
    replaced = parameter_file.evaluate(context)
    assert yaml.safe_load(replaced.read_text()) == {'/**': {'ros__parameters': {'rate': 5.0, 'other': 7}}}
    parameter_file.cleanup()
    assert not replaced.exists()
    path.write_text('a: $(anon x)')
    with pytest.raises(RuntimeError, match='outside the stand-alone launch subset'):
        ParameterFile(str(path), allow_substs=True).evaluate(context)
