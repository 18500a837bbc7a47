# SPDX-License-Identifier: Apache-2.0
"""Events of lifecycle nodes."""

from launch._subset import module_getattr

from .lifecycle_events import ChangeState, StateTransition, matches_node_name

__getattr__ = module_getattr(__name__)

__all__ = ['ChangeState', 'StateTransition', 'matches_node_name']
