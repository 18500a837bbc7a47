# SPDX-License-Identifier: Apache-2.0
"""Values taken from the launch, the environment, the file system."""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ..some_substitutions_type import SomeSubstitutionsType
from ..substitution import Substitution, SubstitutionFailure
from ..utilities import normalize_to_list_of_substitutions, perform_substitutions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..launch_context import LaunchContext


def describe_all(substitutions: list[Substitution]) -> str:
    """Return the descriptions joined as an expression."""
    return ' + '.join(substitution.describe() for substitution in substitutions)


class LaunchConfiguration(Substitution):
    """The value of a launch configuration."""

    def __init__(
        self, variable_name: SomeSubstitutionsType, *, default: object | None = None
    ) -> None:
        """Take the name, and the value used where the configuration is not set."""
        self._name = normalize_to_list_of_substitutions(variable_name)
        self._default: list[Substitution] | None = None
        if default is not None:
            if isinstance(default, (int, float)):
                default = str(default)
            self._default = normalize_to_list_of_substitutions(default)  # type: ignore[arg-type]

    @property
    def variable_name(self) -> list[Substitution]:
        """Return the name."""
        return self._name

    def describe(self) -> str:
        """Return the call that makes the substitution."""
        return f'LaunchConfig({describe_all(self._name)})'

    def perform(self, context: 'LaunchContext') -> str:
        """Return the value.

        Raises:
            SubstitutionFailure: if it is not set and has no default.
        """
        name = perform_substitutions(context, self._name)
        if name in context.launch_configurations:
            return context.launch_configurations[name]
        if self._default is None:
            raise SubstitutionFailure(f"launch configuration '{name}' does not exist")
        return perform_substitutions(context, self._default)


class EnvironmentVariable(Substitution):
    """The value of an environment variable."""

    def __init__(
        self, name: SomeSubstitutionsType, *, default_value: SomeSubstitutionsType | None = None
    ) -> None:
        """Take the name, and the value used where the variable is not set."""
        self._name = normalize_to_list_of_substitutions(name)
        self._default = None if default_value is None else normalize_to_list_of_substitutions(default_value)

    @property
    def name(self) -> list[Substitution]:
        """Return the name."""
        return self._name

    def describe(self) -> str:
        """Return the call that makes the substitution."""
        return f'EnvVar({describe_all(self._name)})'

    def perform(self, context: 'LaunchContext') -> str:
        """Return the value.

        Raises:
            SubstitutionFailure: if it is not set and has no default.
        """
        name = perform_substitutions(context, self._name)
        if name in context.environment:
            return context.environment[name]
        if self._default is None:
            raise SubstitutionFailure(f"environment variable '{name}' does not exist")
        return perform_substitutions(context, self._default)


class PathJoinSubstitution(Substitution):
    """Path components joined by the separator."""

    def __init__(self, substitutions: 'Iterable[SomeSubstitutionsType]') -> None:
        """Take the components; each may itself be a list of substitutions."""
        self._components = [normalize_to_list_of_substitutions(component) for component in substitutions]

    def describe(self) -> str:
        """Return the call that makes the substitution."""
        return 'PathJoin(' + ', '.join(describe_all(component) for component in self._components) + ')'

    def perform(self, context: 'LaunchContext') -> str:
        """Return the path."""
        return os.path.join(*[perform_substitutions(context, component) for component in self._components])


class ThisLaunchFileDir(Substitution):
    """The folder of the launch file being read."""

    def describe(self) -> str:
        """Return the call that makes the substitution."""
        return 'ThisLaunchFileDir()'

    def perform(self, context: 'LaunchContext') -> str:
        """Return the folder.

        Raises:
            SubstitutionFailure: outside a launch file.
        """
        folder = context.get_locals_as_dict().get('current_launch_file_directory')
        if folder is None:
            raise SubstitutionFailure('ThisLaunchFileDir used outside of a launch file (in a script)')
        return str(folder)


class ThisLaunchFile(Substitution):
    """The path of the launch file being read."""

    def describe(self) -> str:
        """Return the call that makes the substitution."""
        return 'ThisLaunchFile()'

    def perform(self, context: 'LaunchContext') -> str:
        """Return the path.

        Raises:
            SubstitutionFailure: outside a launch file.
        """
        path = context.get_locals_as_dict().get('current_launch_file_path')
        if path is None:
            raise SubstitutionFailure('ThisLaunchFile used outside of a launch file (in a script)')
        return str(Path(path))


class FindExecutable(Substitution):
    """The path of a program found on PATH."""

    def __init__(self, *, name: SomeSubstitutionsType) -> None:
        """Take the name."""
        self._name = normalize_to_list_of_substitutions(name)

    def describe(self) -> str:
        """Return the call that makes the substitution."""
        return f'FindExec({describe_all(self._name)})'

    def perform(self, context: 'LaunchContext') -> str:
        """Return the path.

        Raises:
            SubstitutionFailure: if there is no such program.
        """
        name = perform_substitutions(context, self._name)
        path = shutil.which(name)
        if path is None:
            raise SubstitutionFailure(f"executable '{name}' not found on the PATH")
        return path
