# SPDX-License-Identifier: Apache-2.0
"""Places of packages and of their executables."""

from typing import TYPE_CHECKING

from launch.some_substitutions_type import SomeSubstitutionsType
from launch.substitution import Substitution, SubstitutionFailure
from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

from ..packages import find_executables, package_prefix, package_share

if TYPE_CHECKING:
    from launch.launch_context import LaunchContext


class FindPackage(Substitution):
    """Base of the substitutions for a place of one package."""

    def __init__(self, package: SomeSubstitutionsType) -> None:
        """Take the package's name."""
        self._package = normalize_to_list_of_substitutions(package)

    def describe(self) -> str:
        """Return the call that makes the substitution."""
        name = ' + '.join(part.describe() for part in self._package)
        return f'{type(self).__name__}(pkg={name})'

    def find(self, package_name: str) -> str:
        """Return the place."""
        raise NotImplementedError(f'{type(self).__name__} does not implement find()')

    def perform(self, context: 'LaunchContext') -> str:
        """Return the place.

        Raises:
            PackageNotFoundError: if the package is not installed.
        """
        return self.find(perform_substitutions(context, self._package))


class FindPackagePrefix(FindPackage):
    """The prefix that a package is installed in."""

    def find(self, package_name: str) -> str:
        """Return the prefix."""
        return package_prefix(package_name)


class FindPackageShare(FindPackage):
    """The share folder of a package."""

    def find(self, package_name: str) -> str:
        """Return the folder."""
        return package_share(package_name)


class ExecutableInPackage(Substitution):
    """The path of an executable of a package."""

    def __init__(self, executable: SomeSubstitutionsType, package: SomeSubstitutionsType) -> None:
        """Take both names."""
        self._executable = normalize_to_list_of_substitutions(executable)
        self._package = normalize_to_list_of_substitutions(package)

    def describe(self) -> str:
        """Return the call that makes the substitution."""
        package = ' + '.join(part.describe() for part in self._package)
        executable = ' + '.join(part.describe() for part in self._executable)
        return f'ExecInPkg(pkg={package}, exec={executable})'

    def perform(self, context: 'LaunchContext') -> str:
        """Return the path.

        Raises:
            PackageNotFoundError: if the package is not installed.
            SubstitutionFailure: unless exactly one file has this name.
        """
        package = perform_substitutions(context, self._package)
        executable = perform_substitutions(context, self._executable)
        paths = find_executables(package, executable)
        if not paths:
            raise SubstitutionFailure(
                f"executable '{executable}' not found on the libexec directory "
                f"'{package_prefix(package)}/lib/{package}'"
            )
        if len(paths) > 1:
            raise SubstitutionFailure(
                f"more than one executable named '{executable}' in package '{package}': {paths}"
            )
        return paths[0]
