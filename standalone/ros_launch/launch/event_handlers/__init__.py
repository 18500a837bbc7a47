# SPDX-License-Identifier: Apache-2.0
"""Handlers of launch's events."""

from .._subset import module_getattr
from .on_action_event import OnActionEventBase
from .on_execution_complete import OnExecutionComplete
from .on_process import OnProcessExit, OnProcessIO, OnProcessStart
from .on_shutdown import OnShutdown

__getattr__ = module_getattr(__name__)

__all__ = [
    'OnActionEventBase',
    'OnExecutionComplete',
    'OnProcessExit',
    'OnProcessIO',
    'OnProcessStart',
    'OnShutdown',
]
