# SPDX-License-Identifier: Apache-2.0
"""Which processes of a launch a test means."""

from typing import Any

from launch.actions import ExecuteLocal

# For processes that were started without arguments.
NO_CMD_ARGS = object()


class NoMatchingProcessException(Exception):
    """Raised when no process, or more than one where one is wanted, matches."""


def _has_arguments(action: ExecuteLocal, cmd_args: Any) -> bool:
    details = action.process_details or {}
    cmd = details.get('cmd', [])
    if cmd_args is None:
        return True
    if cmd_args is NO_CMD_ARGS:
        return len(cmd) == 1
    return cmd_args in cmd


def _is_named(action: ExecuteLocal, name: str) -> bool:
    return name in (action.process_details or {}).get('name', '')


def resolveProcesses(
    info_obj: Any, *, process: Any = None, cmd_args: Any = None, strict_proc_matching: bool = True
) -> list[ExecuteLocal]:
    """Return the processes meant, out of those that `info_obj` has heard of.

    Args:
        info_obj: has `processes()`.
        process: an action, or a part of a process name; None: any.
        cmd_args: an argument that the command must have, or NO_CMD_ARGS.
        strict_proc_matching: whether more than one match is an error.

    Raises:
        NoMatchingProcessException: if none matches, or more than one under strict matching.
        TypeError: if `process` is neither an action nor a name.
    """
    known: list[ExecuteLocal] = list(info_obj.processes())
    if process is None:
        found = [action for action in known if _has_arguments(action, cmd_args)]
    elif isinstance(process, ExecuteLocal):
        found = [action for action in known if action is process and _has_arguments(action, cmd_args)]
    elif isinstance(process, str):
        found = [
            action for action in known if _is_named(action, process) and _has_arguments(action, cmd_args)
        ]
    else:
        raise TypeError(f'process must be an ExecuteProcess action, a name or None, got {process!r}')
    what = describe(process, cmd_args)
    names = [(action.process_details or {}).get('name') for action in known]
    if not found:
        raise NoMatchingProcessException(f'Did not find any process {what}; known: {names}')
    if strict_proc_matching and process is not None and len(found) > 1:
        raise NoMatchingProcessException(
            f'Found multiple processes {what}; known: {names}. '
            'Be more specific, or use strict_proc_matching=False'
        )
    return found


def describe(process: Any | None, cmd_args: Any) -> str:
    """Return which processes are meant, for messages."""
    if isinstance(process, ExecuteLocal):
        text = f'of action {process.describe()}'
    elif process is None:
        text = 'at all'
    else:
        text = f"named like '{process}'"
    if cmd_args is NO_CMD_ARGS:
        return text + ' without arguments'
    return text if cmd_args is None else f'{text} with argument {cmd_args!r}'
