# SPDX-License-Identifier: Apache-2.0
"""Events of launch."""

from .._subset import module_getattr
from . import process
from .entities import IncludeLaunchDescription, TimerEvent
from .execution_complete import ExecutionComplete
from .matchers import matches_action
from .shutdown import Shutdown

__getattr__ = module_getattr(__name__)

__all__ = ['ExecutionComplete', 'IncludeLaunchDescription', 'Shutdown', 'TimerEvent', 'matches_action', 'process']
