# SPDX-License-Identifier: Apache-2.0
"""What processes have written."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..output_matching import Expected, OutputFilter, build_matcher, joined, position_after
from ..util.processes import resolveProcesses


def _assert_in(
    stream: str,
    proc_output: Any,
    expected_output: Expected,
    process: Any,
    cmd_args: Any,
    output_filter: OutputFilter | None,
    strict_proc_matching: bool,
    strip_ansi_escape_sequences: bool,
) -> None:
    actions = resolveProcesses(
        proc_output, process=process, cmd_args=cmd_args, strict_proc_matching=strict_proc_matching
    )
    matches = build_matcher(expected_output, output_filter, strip_ansi_escape_sequences)
    written = {
        (action.process_details or {}).get('name'): joined(proc_output[action], stream) for action in actions
    }
    if not any(matches(text) for text in written.values()):
        raise AssertionError(f'Did not find {expected_output!r} in the {stream} of {written}')


def assertInStdout(
    proc_output: Any,
    expected_output: Expected,
    process: Any,
    cmd_args: Any = None,
    *,
    output_filter: OutputFilter | None = None,
    strict_proc_matching: bool = True,
    strip_ansi_escape_sequences: bool = True,
) -> None:
    """Check that a process has written the expected text on its standard output.

    Raises:
        AssertionError: if it has not.
        NoMatchingProcessException: if no process matches.
    """
    _assert_in(
        'stdout', proc_output, expected_output, process, cmd_args, output_filter, strict_proc_matching,
        strip_ansi_escape_sequences,
    )


def assertInStderr(
    proc_output: Any,
    expected_output: Expected,
    process: Any,
    cmd_args: Any = None,
    *,
    output_filter: OutputFilter | None = None,
    strict_proc_matching: bool = True,
    strip_ansi_escape_sequences: bool = True,
) -> None:
    """Check that a process has written the expected text on its standard error.

    Raises:
        AssertionError: if it has not.
        NoMatchingProcessException: if no process matches.
    """
    _assert_in(
        'stderr', proc_output, expected_output, process, cmd_args, output_filter, strict_proc_matching,
        strip_ansi_escape_sequences,
    )


class SequentialTextChecker:
    """Finds texts one after the other."""

    def __init__(self, text: str) -> None:
        """Take the text to search."""
        self._text = text
        self._position = 0

    def assertInText(self, msg: str | re.Pattern[str]) -> bool:
        """Check that `msg` comes after what was found last.

        Raises:
            AssertionError: if it does not.
        """
        found = position_after(self._text, [msg], self._position)
        if found is None:
            raise AssertionError(f"'{msg}' not found in the rest of the output: '{self._text[self._position:]}'")
        self._position = found
        return True


class _SequentialStdout:
    def __init__(self, checker: SequentialTextChecker) -> None:
        self._checker = checker

    def assertInStdout(self, msg: str | re.Pattern[str]) -> bool:
        """Check that `msg` comes after what was found last."""
        return self._checker.assertInText(msg)


@contextmanager
def assertSequentialStdout(
    proc_output: Any, process: Any, cmd_args: Any = None
) -> Iterator[_SequentialStdout]:
    """Give an object whose assertInStdout() finds texts of one process in order.

    Raises:
        NoMatchingProcessException: unless exactly one process matches.
    """
    (action,) = resolveProcesses(proc_output, process=process, cmd_args=cmd_args)
    yield _SequentialStdout(SequentialTextChecker(joined(proc_output[action], 'stdout')))
