# SPDX-License-Identifier: Apache-2.0
"""Events of processes."""

from ..._subset import module_getattr
from .matchers import matches_executable, matches_name, matches_pid
from .requests import ProcessTargetedEvent, ShutdownProcess, SignalProcess
from .running import (
    ProcessExited,
    ProcessIO,
    ProcessStarted,
    ProcessStderr,
    ProcessStdout,
    RunningProcessEvent,
)

__getattr__ = module_getattr(__name__)

__all__ = [
    'ProcessExited',
    'ProcessIO',
    'ProcessStarted',
    'ProcessStderr',
    'ProcessStdout',
    'ProcessTargetedEvent',
    'RunningProcessEvent',
    'ShutdownProcess',
    'SignalProcess',
    'matches_executable',
    'matches_name',
    'matches_pid',
]
