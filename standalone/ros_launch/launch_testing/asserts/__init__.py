# SPDX-License-Identifier: Apache-2.0
"""Assertions on processes and their output."""

from launch_testing.util.processes import NO_CMD_ARGS

from .exit_codes import EXIT_OK, EXIT_SIGINT, EXIT_SIGKILL, EXIT_SIGQUIT, EXIT_SIGSEGV, assertExitCodes
from .output import (
    SequentialTextChecker,
    assertInStderr,
    assertInStdout,
    assertSequentialStdout,
)

__all__ = [
    'EXIT_OK',
    'EXIT_SIGINT',
    'EXIT_SIGKILL',
    'EXIT_SIGQUIT',
    'EXIT_SIGSEGV',
    'NO_CMD_ARGS',
    'SequentialTextChecker',
    'assertExitCodes',
    'assertInStderr',
    'assertInStdout',
    'assertSequentialStdout',
]
