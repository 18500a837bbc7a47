# SPDX-License-Identifier: Apache-2.0
"""Functions that pick processes by what they are."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...actions.execute_local import ExecuteLocal


def matches_name(name: str) -> Callable[['ExecuteLocal'], bool]:
    """Return a matcher for the process of this full name, such as 'talker-1'."""
    return lambda action: action.process_details is not None and action.process_details['name'] == name


def matches_pid(pid: int) -> Callable[['ExecuteLocal'], bool]:
    """Return a matcher for the process of this id."""
    return lambda action: action.process_details is not None and action.process_details.get('pid') == pid


def matches_executable(executable: str) -> Callable[['ExecuteLocal'], bool]:
    """Return a matcher for the processes whose command starts with `executable`."""
    return lambda action: action.process_details is not None and action.process_details['cmd'][0] == executable
