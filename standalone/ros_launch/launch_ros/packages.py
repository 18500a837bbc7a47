# SPDX-License-Identifier: Apache-2.0
"""Where packages are: the ament index below AMENT_PREFIX_PATH."""

import os
from pathlib import Path


class PackageNotFoundError(KeyError):
    """Raised when no prefix holds the package."""


def prefixes() -> list[str]:
    """Return the existing prefixes of AMENT_PREFIX_PATH, overlay first."""
    return [path for path in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if os.path.isdir(path)]


def package_prefix(name: str) -> str:
    """Return the prefix that a package is installed in.

    Raises:
        PackageNotFoundError: if there is none.
    """
    for prefix in prefixes():
        if Path(prefix, 'share', 'ament_index', 'resource_index', 'packages', name).is_file():
            return prefix
    raise PackageNotFoundError(f"package '{name}' not found, searching: {prefixes()}")


def package_share(name: str) -> str:
    """Return the share folder of a package.

    Raises:
        PackageNotFoundError: if the package is not installed.
    """
    return os.path.join(package_prefix(name), 'share', name)


def executables(package: str) -> list[str]:
    """Return the paths of a package's executables, sorted."""
    folder = Path(package_prefix(package), 'lib', package)
    if not folder.is_dir():
        return []
    return sorted(
        str(path) for path in folder.rglob('*') if path.is_file() and os.access(path, os.X_OK)
    )


def find_executables(package: str, executable: str) -> list[str]:
    """Return the paths of the package's executables that have this file name."""
    return [path for path in executables(package) if os.path.basename(path) == executable]
