# SPDX-License-Identifier: Apache-2.0
"""Handlers of ROS events."""

from launch._subset import module_getattr

from .on_state_transition import OnStateTransition

__getattr__ = module_getattr(__name__)

__all__ = ['OnStateTransition']
