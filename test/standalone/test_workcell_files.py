# SPDX-License-Identifier: Apache-2.0
"""The project's launch files and launch tests stay inside the subset, so that they run on every host.

Read as text, not executed: nothing of the workcell needs to be installed.
"""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ('launch', 'launch_ros', 'launch_testing')


def workcell_files():
    """Return the launch files, and the test files that describe a launch."""
    tests = [
        path
        for path in (ROOT / 'test').rglob('*.py')
        if 'standalone' not in path.parts and 'generate_test_description' in path.read_text(encoding='utf-8')
    ]
    return sorted([*(ROOT / 'launch').rglob('*.py'), *tests])


def resolve(module, names):
    """Return the object that dotted names reach from a module, importing submodules as Python would."""
    found = importlib.import_module(module)
    for name in names:
        if inspect.ismodule(found) and not hasattr(found, name):
            found = importlib.import_module(f'{found.__name__}.{name}')
        else:
            found = getattr(found, name)
    return found


def accepted_keywords(target):
    """Return the keywords a callable takes, through **kwargs up the classes; None: any."""
    if not inspect.isclass(target):
        kinds = inspect.signature(target).parameters.values()
        return None if any(p.kind is p.VAR_KEYWORD for p in kinds) else {p.name for p in kinds}
    keywords = set()
    for cls in target.__mro__:
        if '__init__' not in vars(cls):
            continue
        parameters = inspect.signature(cls.__init__).parameters.values()
        keywords |= {p.name for p in parameters}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return keywords


def outside(text):
    """Return what a file uses of the launch packages that the subset does not have."""
    tree = ast.parse(text)
    known, problems = {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split('.')[0] in PACKAGES:
            for alias in node.names:
                try:
                    known[alias.asname or alias.name] = resolve(node.module, [alias.name])
                except (ImportError, AttributeError) as error:
                    problems.append(f'line {node.lineno}: {error}')
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split('.')[0] in PACKAGES:
                    try:
                        module = importlib.import_module(alias.name)
                    except ImportError as error:
                        problems.append(f'line {node.lineno}: {error}')
                        continue
                    top = alias.name.split('.')[0]
                    known[alias.asname or top] = module if alias.asname else importlib.import_module(top)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            problems += wrong_call(node, known)
    return problems


def wrong_call(node, known):
    """Return what is wrong with a call of something from the launch packages."""
    names, function = [], node.func
    while isinstance(function, ast.Attribute):
        names.insert(0, function.attr)
        function = function.value
    if not isinstance(function, ast.Name) or function.id not in known:
        return []
    written = '.'.join([function.id, *names])
    target = known[function.id]
    try:
        for name in names:
            target = getattr(target, name)
    except (ImportError, AttributeError) as error:
        return [f'line {node.lineno}: {written}: {error}']
    accepted = accepted_keywords(target)
    if accepted is None:
        return []
    return [
        f"line {node.lineno}: {written} takes no '{keyword.arg}'"
        for keyword in node.keywords
        if keyword.arg is not None and keyword.arg not in accepted
    ]


def test_workcell_files_use_nothing_outside_the_subset():
    """Every import and every keyword of every file."""
    problems = {
        str(path.relative_to(ROOT)): found
        for path in workcell_files()
        if (found := outside(path.read_text(encoding='utf-8')))
    }
    assert problems == {}


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('from launch.actions import ForLoop', 'ForLoop'),
        ('from launch_ros.actions import ComposableNodeContainer', 'ComposableNodeContainer'),
        ('import launch_xml\nimport launch.frontend', 'frontend'),
        ("from launch_ros.actions import Node\nNode(executable='a', autostart=True)", "no 'autostart'"),
        ('import launch\nlaunch.actions.TimerAction(period=1.0, actions=[], speed=2)', "no 'speed'"),
        ('import launch\nlaunch.actions.ForEach()', 'ForEach'),
    ],
)
def test_the_check_finds_what_is_outside(text, problem):
    """A check that finds nothing in bad files would prove nothing."""
    assert any(problem in found for found in outside(text)), outside(text)


def test_the_check_accepts_the_demo():
    """Keywords of base classes included."""
    demo = Path(__file__).parent / 'demo' / 'up.launch.py'
    assert outside(demo.read_text(encoding='utf-8')) == []
    assert outside("from launch_ros.actions import Node\nNode(executable='a', respawn=True, condition=None)") == []
