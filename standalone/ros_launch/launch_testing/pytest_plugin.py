# SPDX-License-Identifier: Apache-2.0
"""pytest plugin: a file whose generate_test_description is marked `launch_test` is one test item."""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from ros2_subset.launch_command import parse_launch_arguments

from .loader import ENTRY, load_module, load_runs
from .runner import run_all

MARKS = ('launch_test', 'rostest')


class LaunchTestFailure(Exception):
    """Raised when a launch test has failed; the text says what."""


class LaunchTestItem(pytest.Item):
    """A whole launch test."""

    def runtest(self) -> None:
        """Run it.

        Raises:
            LaunchTestFailure: if it fails.
        """
        given = dict(parse_launch_arguments(self.config.getoption('--launch-args') or []))
        results = run_all(load_runs(load_module(str(self.path)), given))
        failed = [result.report() for result in results if not result.ok]
        if failed:
            raise LaunchTestFailure('\n'.join(failed))
        if all(result.skipped for result in results):
            pytest.skip('; '.join(result.skipped for result in results))

    def repr_failure(self, excinfo: Any, style: Any = None) -> Any:
        """Return what failed; the tests' own tracebacks tell more than this plugin's."""
        if isinstance(excinfo.value, LaunchTestFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return where the test is."""
        return self.path, 0, f'launch tests: {self.name}'


class LaunchTestModule(pytest.File):
    """The file of a launch test."""

    def collect(self) -> Iterable[pytest.Item]:
        """Return its one item, with the marks that make the file a launch test."""
        item = LaunchTestItem.from_parent(self, name=self.path.stem)
        for mark in _marks(self.path):
            item.add_marker(mark)
        return [item]


def _decorated(path: Path) -> Iterable[str]:
    text = path.read_text(encoding='utf-8')
    if ENTRY not in text:
        return
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return  # pytest's own collection reports it
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == ENTRY:
            for decorator in node.decorator_list:
                yield ast.unparse(decorator).partition('(')[0]


def _marks(path: Path) -> list[str]:
    return [mark for mark in MARKS for name in _decorated(path) if name.endswith(f'mark.{mark}')]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --launch-args."""
    parser.addoption(
        '--launch-args', nargs='*', default=[], dest='launch_args', metavar='ARG',
        help="One or more '<name>:=<value>' arguments for launch tests",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known."""
    for mark in MARKS:
        config.addinivalue_line('markers', f'{mark}: mark a {ENTRY} function as a launch test')


def pytest_pycollect_makemodule(module_path: Path, parent: Any) -> LaunchTestModule | None:
    """Take over the files of launch tests; the file is not imported for that."""
    if not _marks(module_path):
        return None
    return LaunchTestModule.from_parent(parent, path=module_path)
