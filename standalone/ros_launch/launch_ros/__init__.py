# SPDX-License-Identifier: Apache-2.0
"""A small, clean-room subset of ROS 2's launch_ros, for machines without a ROS 2 distribution."""

from launch._subset import module_getattr

from . import actions, event_handlers, events, parameter_descriptions, substitutions

__getattr__ = module_getattr(__name__)

__all__ = ['actions', 'event_handlers', 'events', 'parameter_descriptions', 'substitutions']
