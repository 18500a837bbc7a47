# SPDX-License-Identifier: Apache-2.0
"""Marks on generate_test_description."""

from collections.abc import Callable
from typing import Any

KEEP_ALIVE = '__launch_testing_keep_alive__'


def keep_alive(test_description: Callable[..., Any]) -> Callable[..., Any]:
    """Keep the launch running during the active tests even when all its processes have ended."""
    setattr(test_description, KEEP_ALIVE, True)
    return test_description
