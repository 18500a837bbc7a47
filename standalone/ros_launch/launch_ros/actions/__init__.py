# SPDX-License-Identifier: Apache-2.0
"""Actions for ROS nodes."""

from launch._subset import module_getattr

from .lifecycle_node import LifecycleNode
from .node import Node
from .scope import PushRosNamespace, SetParameter, SetRemap

# Upstream has both spellings.
PushROSNamespace = PushRosNamespace

__getattr__ = module_getattr(__name__)

__all__ = ['LifecycleNode', 'Node', 'PushROSNamespace', 'PushRosNamespace', 'SetParameter', 'SetRemap']
