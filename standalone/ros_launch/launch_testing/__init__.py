# SPDX-License-Identifier: Apache-2.0
"""A small, clean-room subset of ROS 2's launch_testing, for machines without a ROS 2 distribution."""

from . import actions, asserts, markers, util
from .io_handler import ActiveIoHandler, IoHandler
from .parametrize import parametrize
from .post_shutdown import post_shutdown_test
from .proc_info_handler import ActiveProcInfoHandler, ProcInfoHandler
from .ready_aggregator import ReadyAggregator

__all__ = [
    'ActiveIoHandler',
    'ActiveProcInfoHandler',
    'IoHandler',
    'ProcInfoHandler',
    'ReadyAggregator',
    'actions',
    'asserts',
    'markers',
    'parametrize',
    'post_shutdown_test',
    'util',
]
