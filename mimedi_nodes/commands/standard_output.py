# SPDX-License-Identifier: Apache-2.0
"""Standard output whose reader may leave (`| head -1`): the command then unwinds and ends, without a word.

Python ignores SIGPIPE and raises BrokenPipeError, an OSError, which commands report as theirs or which ends in a
traceback. The signal's default would end a command before it has ended what it launched, and a server at a client's
socket. Imports nothing but the standard library, so that the bootstrap can have it too.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import Any

READER_LEFT = 141
"""Exit status: 128 + SIGPIPE, as a shell tells it of any other program whose reader has left."""


class StandardOutput(io.TextIOWrapper):
    """Text output that raises SystemExit(READER_LEFT) when nobody reads it any more; what follows goes nowhere."""

    def write(self, text: str) -> int:
        """Write a text; raises SystemExit when the reader has left."""
        return self._or_leave(super().write, text)

    def flush(self) -> None:
        """Hand on what is buffered; raises SystemExit when the reader has left."""
        self._or_leave(super().flush)

    def _or_leave(self, act: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return act(*arguments)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            raise SystemExit(READER_LEFT) from None


def guard() -> None:
    """Put a StandardOutput in the place of the process' own, once."""
    was = sys.stdout
    if was is sys.__stdout__ and isinstance(was, io.TextIOWrapper) and not isinstance(was, StandardOutput):
        was.flush()
        encoding, errors, line_buffering = was.encoding, was.errors, was.line_buffering
        write_through = was.write_through
        sys.stdout = sys.__stdout__ = StandardOutput(  # type: ignore[misc]
            was.detach(), encoding, errors, line_buffering=line_buffering, write_through=write_through
        )


def status_of(command: Callable[[], int]) -> int:
    """Run a command with guarded output; return its exit status, also when argparse or a reader that left ended it."""
    guard()
    try:
        status = _status(command)
        sys.stdout.flush()
    except SystemExit as end:  # the reader left with what was still buffered
        return int(end.code or 0)
    return status


def _status(command: Callable[[], int]) -> int:
    try:
        return command()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
