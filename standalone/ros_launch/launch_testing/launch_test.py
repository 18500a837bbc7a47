# SPDX-License-Identifier: Apache-2.0
"""The command `launch_test FILE`."""

import argparse
import os
import sys
from collections.abc import Sequence

from ros2_subset.launch_command import format_arguments, parse_launch_arguments

from .junitxml import to_xml
from .loader import LaunchTestFileError, load_module, load_runs
from .runner import run_all


def build_parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    parser = argparse.ArgumentParser(prog='launch_test', description='Launch integration testing tool.')
    parser.add_argument('test_file', help='Path to the launch test')
    parser.add_argument('-v', '--verbose', action='store_true', default=False, help='Run with verbose output')
    parser.add_argument(
        '-s', '--show-args', '--show-arguments', action='store_true', default=False,
        help='Show arguments that may be given to the launch test.',
    )
    parser.add_argument('--package-name', default=None, help='Package the test belongs to; names the results')
    parser.add_argument('--junit-xml', default=None, help='Write JUnit XML style output to the given file')
    parser.add_argument(
        'launch_arguments', nargs='*',
        help="Arguments in '<name>:=<value>' format (for duplicates, last one wins)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a launch test; return 0 if it succeeded, 1 if it failed, 2 for a wrong call."""
    parser = build_parser()
    args = parser.parse_intermixed_args(argv)
    if not os.path.isfile(args.test_file):
        parser.error(f"Test file '{args.test_file}' does not exist")
    try:
        given = dict(parse_launch_arguments(args.launch_arguments))
        runs = load_runs(load_module(args.test_file), given)
    except (RuntimeError, LaunchTestFileError) as error:
        parser.error(str(error))
    if args.show_args:
        description, _, _ = runs[0].description(lambda: None)
        print(format_arguments(description))
        return 0
    results = run_all(runs, debug=args.verbose)
    if args.junit_xml:
        os.makedirs(os.path.dirname(os.path.abspath(args.junit_xml)), exist_ok=True)
        name = f'{args.package_name}.launch_tests' if args.package_name else 'launch_tests'
        to_xml(name, results).write(args.junit_xml, encoding='utf-8', xml_declaration=True)
    return 0 if all(result.ok for result in results) else 1


if __name__ == '__main__':
    sys.exit(main())
