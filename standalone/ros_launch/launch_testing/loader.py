# SPDX-License-Identifier: Apache-2.0
"""From a launch test file to the runs that it describes."""

import importlib.util
import inspect
import os
import sys
import unittest
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from launch import LaunchDescription

from .markers import KEEP_ALIVE
from .parametrize import PARAMETERS
from .post_shutdown import is_post_shutdown

ENTRY = 'generate_test_description'


class LaunchTestFileError(Exception):
    """Raised for a file that is not a launch test."""


@dataclass
class TestRun:
    """One launch of the described system with its tests."""

    __test__ = False  # not itself a test, whatever its name says to pytest

    name: str
    module: ModuleType
    generate: Callable[..., Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    test_args: Mapping[str, str] = field(default_factory=dict)

    @property
    def keep_alive(self) -> bool:
        """Return whether the launch goes on without processes."""
        return bool(getattr(self.generate, KEEP_ALIVE, False))

    def describe(self) -> str:
        """Return the name with the parameters."""
        if not self.parameters:
            return self.name
        return f'{self.name}[{", ".join(f"{key}={value}" for key, value in self.parameters.items())}]'

    def description(self, ready_fn: Callable[[], None]) -> tuple[LaunchDescription, dict[str, Any], bool]:
        """Return the launch description, what it gives to the tests, and whether it calls `ready_fn` itself.

        Raises:
            LaunchTestFileError: if the function returns something else.
        """
        offered = {**self.parameters, 'ready_fn': ready_fn, 'test_args': self.test_args}
        names = inspect.signature(self.generate).parameters
        result = self.generate(**{name: value for name, value in offered.items() if name in names})
        context: dict[str, Any] = {}
        if isinstance(result, tuple):
            result, context = result
        if not isinstance(result, LaunchDescription) or not isinstance(context, Mapping):
            raise LaunchTestFileError(
                f'{ENTRY}() must return a LaunchDescription or a tuple (LaunchDescription, dict), '
                f'got {result!r}'
            )
        return result, {**self.parameters, **context}, 'ready_fn' in names

    def suite(self, *, post_shutdown: bool) -> unittest.TestSuite:
        """Return the tests that run while the system runs, or those that run after it has ended."""
        loader = unittest.TestLoader()
        suite = unittest.TestSuite()
        for value in vars(self.module).values():
            # Imported base classes bring no tests of their own.
            if (
                inspect.isclass(value)
                and issubclass(value, unittest.TestCase)
                and value.__module__ == self.module.__name__
                and is_post_shutdown(value) == post_shutdown
            ):
                suite.addTests(loader.loadTestsFromTestCase(value))
        return suite


def load_module(path: str) -> ModuleType:
    """Import a launch test file under its own name, its folder on sys.path as pytest does."""
    folder, name = os.path.dirname(os.path.abspath(path)), Path(path).stem
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise LaunchTestFileError(f"'{path}' cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def load_runs(module: ModuleType, test_args: Mapping[str, str]) -> list[TestRun]:
    """Return the runs of a module, one for each parameter set.

    Raises:
        LaunchTestFileError: if the module is not a launch test.
    """
    generate = getattr(module, ENTRY, None)
    if generate is None:
        raise LaunchTestFileError(
            f"Test file '{module.__file__}' is missing the {ENTRY} function"
        )
    return [
        TestRun(module.__name__, module, generate, parameters, test_args)
        for parameters in getattr(generate, PARAMETERS, [{}])
    ]
