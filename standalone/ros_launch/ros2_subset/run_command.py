# SPDX-License-Identifier: Apache-2.0
"""`ros2 run`: replace this process by an executable of a package."""

import argparse
import os
import shlex
import sys

from launch_ros.packages import PackageNotFoundError, find_executables

HELP = 'Run a package specific executable'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument('--prefix', help='Prefix command, which should go before the executable')
    parser.add_argument('package_name', help='Name of the ROS package')
    parser.add_argument('executable_name', help='Name of the executable')
    parser.add_argument('argv', nargs=argparse.REMAINDER, help='Pass arbitrary arguments to the executable')


def main(args: argparse.Namespace) -> int:
    """Execute it; return only if that fails.

    The executable takes this process' place, so signals and exit code are its own.

    Raises:
        RuntimeError: if the package, or exactly one such executable, does not exist.
    """
    try:
        paths = find_executables(args.package_name, args.executable_name)
    except PackageNotFoundError:
        raise RuntimeError(f"Package '{args.package_name}' not found") from None
    if not paths:
        raise RuntimeError('No executable found')
    if len(paths) > 1:
        raise RuntimeError('Multiple executables found:' + ''.join(f'\n- {path}' for path in paths))
    words = [*shlex.split(args.prefix or ''), paths[0], *args.argv]
    sys.stdout.flush()
    os.execvp(words[0], words)
