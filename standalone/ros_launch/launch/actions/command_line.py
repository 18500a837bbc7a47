# SPDX-License-Identifier: Apache-2.0
"""What a command line gets from its surroundings: environment and prefix."""

import os
import re
import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..utilities import perform

if TYPE_CHECKING:
    from ..launch_context import LaunchContext


def resolve_environment(
    context: 'LaunchContext',
    env: Iterable[tuple[Any, Any]] | None,
    additional_env: Iterable[tuple[Any, Any]] | None,
) -> dict[str, str]:
    """Return the environment of a child: `env`, else the launcher's, with `additional_env` on top."""
    result = dict(os.environ)
    if env is not None:
        result = {perform(context, name): perform(context, value) for name, value in env}
    for name, value in additional_env or ():
        result[perform(context, name)] = perform(context, value)
    return result


def with_prefix(context: 'LaunchContext', base_name: str, own_prefix: str | None) -> list[str]:
    """Return the words to put before the command: the action's prefix or the launch's 'launch-prefix'."""
    prefix = own_prefix
    if prefix is None:
        prefix = context.launch_configurations.get('launch-prefix', '')
        pattern = context.launch_configurations.get('launch-prefix-filter')
        if pattern is not None and not re.match(pattern, base_name):
            prefix = ''
    return shlex.split(prefix)
