# SPDX-License-Identifier: Apache-2.0
"""Events of ROS nodes."""

from launch.events.matchers import matches_action

from . import lifecycle

__all__ = ['lifecycle', 'matches_action']
