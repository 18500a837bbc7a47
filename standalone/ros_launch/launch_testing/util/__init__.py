# SPDX-License-Identifier: Apache-2.0
"""Helpers for launch tests."""

from .keep_alive import KeepAliveProc
from .processes import (
    NO_CMD_ARGS,
    NoMatchingProcessException,
    resolveProcesses,
)

__all__ = ['NO_CMD_ARGS', 'KeepAliveProc', 'NoMatchingProcessException', 'resolveProcesses']
