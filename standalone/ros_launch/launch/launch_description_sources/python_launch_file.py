# SPDX-License-Identifier: Apache-2.0
"""Launch files written in Python."""

import importlib.util
from importlib.machinery import SourceFileLoader
from types import ModuleType

from .._subset import outside
from ..launch_description import LaunchDescription
from ..launch_description_source import LaunchDescriptionSource
from ..some_substitutions_type import SomeSubstitutionsType


class InvalidPythonLaunchFileError(Exception):
    """Raised when a Python file is no launch file."""


def load_python_launch_file_as_module(path: str) -> ModuleType:
    """Execute a launch file and return its module; it is not put into sys.modules."""
    loader = SourceFileLoader('python_launch_file', path)
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def get_launch_description_from_python_launch_file(path: str) -> LaunchDescription:
    """Return what a launch file's generate_launch_description() returns.

    Raises:
        InvalidPythonLaunchFileError: if it has no such function.
    """
    module = load_python_launch_file_as_module(path)
    generate = getattr(module, 'generate_launch_description', None)
    if generate is None:
        raise InvalidPythonLaunchFileError(
            f"launch file at '{path}' does not contain the required function 'generate_launch_description()'"
        )
    description = generate()
    if not isinstance(description, LaunchDescription):
        raise InvalidPythonLaunchFileError(
            f"generate_launch_description() of '{path}' returned {description!r} instead of a LaunchDescription"
        )
    return description


class PythonLaunchDescriptionSource(LaunchDescriptionSource):
    """The description of a Python launch file."""

    def __init__(self, launch_file_path: SomeSubstitutionsType) -> None:
        """Take the path."""
        super().__init__(None, launch_file_path, 'interpreted python launch file')

    def _load(self, location: str) -> LaunchDescription:
        return get_launch_description_from_python_launch_file(location)


class AnyLaunchDescriptionSource(PythonLaunchDescriptionSource):
    """The description of a launch file in any format the subset knows: Python."""

    def _load(self, location: str) -> LaunchDescription:
        if location.endswith(('.xml', '.yaml', '.yml')):
            outside(f"launch file '{location}': its format")
        return super()._load(location)
