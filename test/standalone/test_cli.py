# SPDX-License-Identifier: Apache-2.0
"""Acceptance cases 1 to 6: what `ros2 launch` and `ros2 run` say and return."""

import re

import pytest


@pytest.mark.ros
def test_show_args_prints_names_descriptions_defaults_and_choices(launch):
    """Case 1."""
    launcher = launch('up_demo', 'up.launch.py', '--show-args')
    assert launcher.finish() == 0
    assert launcher.text == (
        "Arguments (pass arguments as '<name>:=<value>'):\n"
        '\n'
        "    'rate':\n"
        '        publishing rate [Hz]\n'
        "        (default: '50.0')\n"
        '\n'
        "    'ns':\n"
        '        no description given\n'
        "        (default: '')\n"
        '\n'
        "    'auto':\n"
        "        activate by itself. One of: ['true', 'false']\n"
        "        (default: 'true')"
    )


def test_malformed_argument(launch):
    """Case 2."""
    launcher = launch('up_demo', 'up.launch.py', 'ns=x')
    assert launcher.finish() == 1
    assert launcher.text == "malformed launch argument 'ns=x', expected format '<name>:=<value>'"


@pytest.mark.ros
def test_value_outside_choices(launch):
    """Case 3."""
    launcher = launch('up_demo', 'up.launch.py', 'auto:=maybe')
    assert launcher.finish() == 1
    assert (
        'Argument "auto" provided value "maybe" is not valid. Valid options are: '
        "['true', 'false']" in launcher.text
    )
    assert 'process started' not in launcher.text


def test_missing_required_argument(launch, launch_file):
    """Case 4."""
    path = launch_file("return LaunchDescription([DeclareLaunchArgument('name', description='no default')])")
    launcher = launch(path)
    assert launcher.finish() == 1
    assert (
        "Included launch description missing required argument 'name' (description: 'no default'), given: []"
        in launcher.text
    )


def test_unknown_file_and_unknown_package(launch, demo_prefix):
    """Case 5."""
    launcher = launch('up_demo', 'nope.launch.py')
    assert launcher.finish() == 1
    assert launcher.text == (
        "file 'nope.launch.py' was not found in the share directory of package 'up_demo' which is at "
        f"'{demo_prefix}/share/up_demo'"
    )
    launcher = launch('nopkg', 'x.launch.py')
    assert launcher.finish() == 1
    assert launcher.text.startswith("Package 'nopkg' not found: \"")


def test_file_that_raises(launch, launch_file):
    """Case 6."""
    launcher = launch(launch_file("raise ValueError('boom')"))
    assert launcher.finish() == 1
    assert '[ERROR] [launch]: Caught exception in launch (see debug for traceback): ' in launcher.text
    assert 'boom' in launcher.text
    assert 'Traceback' not in launcher.text


def test_debug_shows_the_traceback(launch, launch_file):
    """The message of case 6 says: see debug."""
    launcher = launch('-d', launch_file("raise ValueError('boom')"))
    assert launcher.finish() == 1
    assert 'Traceback' in launcher.text


def test_last_of_duplicate_arguments_wins(launch, launch_file):
    """As in upstream's help text."""
    path = launch_file(
        "return LaunchDescription([DeclareLaunchArgument('a', default_value='0'),"
        " LogInfo(msg=['a is ', LaunchConfiguration('a')])])"
    )
    launcher = launch(path, 'a:=1', 'a:=2')
    assert launcher.finish() == 0
    assert '[INFO] [launch.user]: a is 2' in launcher.text


@pytest.mark.ros
def test_print_description_launches_nothing(launch):
    """-p shows the tree."""
    launcher = launch('-p', 'up_demo', 'up.launch.py')
    assert launcher.finish() == 0
    assert "LifecycleNode(package='up_demo', executable='lc_node')" in launcher.text
    assert 'process started' not in launcher.text


def test_launch_prefix_and_filter(launch, launch_file):
    """--launch-prefix goes before the commands whose executable matches the filter."""
    path = launch_file(
        "return LaunchDescription([ExecuteProcess(cmd=['echo', 'one'], output='screen'),"
        " ExecuteProcess(cmd=['printf', 'two'], output='screen')])"
    )
    launcher = launch('--launch-prefix', 'echo prefixed', '--launch-prefix-filter', 'ec', path)
    assert launcher.finish() == 0
    assert re.search(r'^\[echo-\d\] prefixed echo one$', launcher.text, re.M)
    assert re.search(r'^\[printf-\d\] two$', launcher.text, re.M)


def test_run_takes_the_place_of_the_command(launch):
    """`ros2 run` gives arguments through and returns the executable's code."""
    launcher = launch('up_demo', 'crasher', prefix=('run',))
    assert launcher.finish() == 3
    assert launcher.text == 'crashing'


@pytest.mark.parametrize(
    ('words', 'message'),
    [(('nopkg', 'x'), "Package 'nopkg' not found"), (('up_demo', 'x'), 'No executable found')],
)
def test_run_of_something_unknown(launch, words, message):
    """`ros2 run` says what is missing."""
    launcher = launch(*words, prefix=('run',))
    assert launcher.finish() == 1
    assert launcher.text == message
