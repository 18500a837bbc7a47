# SPDX-License-Identifier: Apache-2.0
"""How processes ended."""

from collections.abc import Iterable
from typing import Any

from launch.events.process import ProcessExited

from ..util.processes import resolveProcesses

EXIT_OK = 0
# As a shell gives them; a process that did not handle the signal has minus the signal's number instead.
EXIT_SIGINT = 130
EXIT_SIGQUIT = 131
EXIT_SIGKILL = 137
EXIT_SIGSEGV = 139


def assertExitCodes(
    proc_info: Any,
    allowable_exit_codes: Iterable[int] = (EXIT_OK,),
    process: Any = None,
    cmd_args: Any = None,
    *,
    strict_proc_matching: bool = True,
) -> None:
    """Check that processes ended with one of the allowed codes.

    Raises:
        AssertionError: if one did not, or has not ended.
        TypeError: if an allowed code is not an int.
        NoMatchingProcessException: if no process matches.
    """
    allowed = list(allowable_exit_codes)
    for code in allowed:
        if not isinstance(code, int):
            raise TypeError(f'exit codes must be ints, got {code!r}')
    for action in resolveProcesses(
        proc_info, process=process, cmd_args=cmd_args, strict_proc_matching=strict_proc_matching
    ):
        event = proc_info[action]
        if not isinstance(event, ProcessExited):
            raise AssertionError(f'Proc {event.process_name} has not ended')
        if event.returncode not in allowed:
            raise AssertionError(
                f'Proc {event.process_name} exited with code {event.returncode}, allowed: {allowed}'
            )
