# SPDX-License-Identifier: Apache-2.0
"""The command line `ros2 launch|run|lifecycle`."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from . import launch_command, lifecycle_command, run_command

COMMANDS = {'launch': launch_command, 'lifecycle': lifecycle_command, 'run': run_command}
EPILOG = 'This is the stand-alone subset: a ROS 2 distribution has the other commands.'


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit code; errors go to stderr with exit code 1."""
    parser = argparse.ArgumentParser(
        prog='ros2', description='ros2 is an extensible command-line tool for ROS 2.', epilog=EPILOG
    )
    subparsers = parser.add_subparsers(title='Commands', metavar='Command', dest='command')
    for name, command in COMMANDS.items():
        command_parser = subparsers.add_parser(name, help=command.HELP, description=command.HELP)
        command.add_arguments(command_parser)
    args, extra = parser.parse_known_args(argv)
    # Launch arguments may come after options, where argparse no longer takes them.
    misplaced = [word for word in extra if word.startswith('-') or args.command != 'launch']
    if misplaced:
        parser.error(f'unrecognized arguments: {" ".join(misplaced)}')
    if args.command == 'launch':
        args.launch_arguments += extra
    if args.command is None:
        parser.print_help()
        return 0
    try:
        code: int = COMMANDS[args.command].main(args)
        sys.stdout.flush()
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # `| head` has read enough. What is still buffered goes nowhere, or the interpreter would tell of it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    return code
