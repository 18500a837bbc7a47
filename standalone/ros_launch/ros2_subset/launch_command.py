# SPDX-License-Identifier: Apache-2.0
"""`ros2 launch`: find a launch file, show it or run it."""

import argparse
import os
import signal
import sys
import traceback
from pathlib import Path

from launch.actions import IncludeLaunchDescription, SetLaunchConfiguration
from launch.launch_description_sources import AnyLaunchDescriptionSource
from launch.logging import get_logger, launch_config
from launch_ros.packages import PackageNotFoundError, package_share

from launch import LaunchDescription, LaunchIntrospector, LaunchService

HELP = 'Run a launch file'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        '-n', '--noninteractive', default=not sys.stdin.isatty(), action='store_true',
        help='Run the launch system non-interactively, with no terminal associated',
    )
    parser.add_argument(
        '-d', '--debug', default=False, action='store_true',
        help='Put the launch system in debug mode, provides more verbose output.',
    )
    show = parser.add_mutually_exclusive_group()
    show.add_argument(
        '-p', '--print', '--print-description', dest='print_description', default=False, action='store_true',
        help='Print the launch description to the console without launching it.',
    )
    show.add_argument(
        '-s', '--show-args', '--show-arguments', dest='show_args', default=False, action='store_true',
        help='Show arguments that may be given to the launch file.',
    )
    parser.add_argument(
        '-a', '--show-all-subprocesses-output', default=False, action='store_true',
        help="Show all launched subprocesses' output by overriding their output configuration.",
    )
    parser.add_argument('--launch-prefix', help='Prefix command, which should go before all executables.')
    parser.add_argument(
        '--launch-prefix-filter',
        help='Regex pattern for filtering which executables the --launch-prefix is applied to.',
    )
    parser.add_argument(
        '--fail-on-error', default=False, action='store_true',
        help='Exit with 1 if a required process failed (not in upstream).',
    )
    parser.add_argument('package_name', help='Name of the ROS package which contains the launch file')
    parser.add_argument('launch_file_name', nargs='?', help='Name of the launch file')
    parser.add_argument(
        'launch_arguments',
        nargs='*',
        help="Arguments to the launch file; '<name>:=<value>' (for duplicates, last one wins)",
    )


def find_launch_file(package: str, file_name: str) -> str:
    """Return the path of a launch file anywhere below a package's share folder.

    Raises:
        RuntimeError: if the package, or exactly one such file, does not exist.
    """
    try:
        share = package_share(package)
    except PackageNotFoundError as error:
        raise RuntimeError(f"Package '{package}' not found: {error}") from None
    # Followed links: symlink installs link single files or whole folders.
    found = [
        os.path.join(folder, file_name)
        for folder, _, names in os.walk(share, followlinks=True)
        if file_name in names
    ]
    if not found:
        raise RuntimeError(
            f"file '{file_name}' was not found in the share directory of package '{package}' "
            f"which is at '{share}'"
        )
    if len(found) > 1:
        raise RuntimeError(
            f"file '{file_name}' was found more than once in the share directory of package '{package}': {found}"
        )
    return found[0]


def parse_launch_arguments(words: list[str]) -> list[tuple[str, str]]:
    """Return (name, value) of `name:=value` words; of duplicates the last wins.

    Raises:
        RuntimeError: for a word of another form.
    """
    parsed: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition(':=')
        if not sign or not name:
            raise RuntimeError(f"malformed launch argument '{word}', expected format '<name>:=<value>'")
        parsed[name] = value
    return list(parsed.items())


def format_arguments(description: LaunchDescription) -> str:
    """Return the declared arguments as text."""
    lines = ["Arguments (pass arguments as '<name>:=<value>'):"]
    arguments = description.get_launch_arguments()
    for argument in arguments:
        lines += ['', f"    '{argument.name}':"]
        text = argument.description
        if argument.choices is not None:
            text = f'{text.rstrip(".")}. One of: {argument.choices}'
        lines += [f'        {line}' for line in text.splitlines()]
        if argument.default_value is not None:
            default = ' + '.join(part.describe() for part in argument.default_value)
            lines.append(f'        (default: {default})')
    if not arguments:
        lines += ['', '  No arguments.']
    return '\n'.join(lines)


def main(args: argparse.Namespace) -> int:
    """Run the command and return the exit code.

    Raises:
        RuntimeError: if the file cannot be found or an argument is malformed.
    """
    words = list(args.launch_arguments)
    if os.path.isfile(args.package_name):
        path = args.package_name
        if args.launch_file_name is not None:
            words.insert(0, args.launch_file_name)
    elif args.launch_file_name is None:
        raise RuntimeError(
            f"No launch file '{args.package_name}' exists; expected a file, or a package and a launch file name"
        )
    else:
        path = find_launch_file(args.package_name, args.launch_file_name)
    arguments = parse_launch_arguments(words)
    path = str(Path(path).absolute())
    if args.show_args or args.print_description:
        return _show(path, args)
    return _launch(path, arguments, args)


def _show(path: str, args: argparse.Namespace) -> int:
    from launch import LaunchContext

    if args.debug:
        launch_config.level = 'DEBUG'
    try:
        description = AnyLaunchDescriptionSource(path).get_launch_description(LaunchContext())
    except Exception as error:  # noqa: BLE001 - a launch file is user code
        get_logger('launch').debug(traceback.format_exc())
        raise RuntimeError(f'Caught exception in launch (see debug for traceback): {error}') from error
    if args.show_args:
        print(format_arguments(description))
    else:
        print(LaunchIntrospector().format_launch_description(description))
    return 0


def _launch(path: str, arguments: list[tuple[str, str]], args: argparse.Namespace) -> int:
    # Before the service takes over: a background job of a shell ignores SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if args.show_all_subprocesses_output:
        os.environ['OVERRIDE_LAUNCH_PROCESS_OUTPUT'] = 'both'
    service = LaunchService(noninteractive=args.noninteractive, debug=args.debug)
    service.fail_on_error = args.fail_on_error
    logger = get_logger('launch')
    logger.info(f'All log files can be found below {launch_config.log_dir}')
    logger.info(f"Default logging verbosity is set to {'DEBUG' if args.debug else 'INFO'}")
    description = LaunchDescription()
    for option in ('launch_prefix', 'launch_prefix_filter'):
        value = getattr(args, option)
        if value is not None:
            description.add_action(SetLaunchConfiguration(option.replace('_', '-'), value))
    description.add_action(
        IncludeLaunchDescription(AnyLaunchDescriptionSource(path), launch_arguments=arguments)
    )
    service.include_launch_description(description)
    return service.run()
