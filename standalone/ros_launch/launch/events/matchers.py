# SPDX-License-Identifier: Apache-2.0
"""Functions that pick the actions an event is meant for."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..action import Action


def matches_action(target_action: 'Action') -> Callable[[Any], bool]:
    """Return a matcher that is true for `target_action` alone."""
    return lambda action: action is target_action
