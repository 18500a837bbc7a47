# SPDX-License-Identifier: Apache-2.0
"""Where launch and its children write: the screen and the log folder of this run."""

import logging as _logging

from .config import LaunchConfig, launch_config
from .process_output import OutputRouter, normalize_output


def get_logger(name: str | None = None) -> _logging.Logger:
    """Return the logger of this name, writing to the screen and to launch.log."""
    return launch_config.get_logger(name)


def reset() -> None:
    """Close all log files; the next launch in this process gets a folder of its own."""
    launch_config.reset()


__all__ = ['LaunchConfig', 'OutputRouter', 'get_logger', 'launch_config', 'normalize_output', 'reset']
