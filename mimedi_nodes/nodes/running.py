# SPDX-License-Identifier: Apache-2.0
"""How every node's process runs and ends: one executor in the main thread, exit status 0 when told to stop."""

from __future__ import annotations

from collections.abc import Callable

import rclpy
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node


def run_node(make: Callable[[], Node], argv: list[str] | None = None) -> int:
    """Spin one node until the process is told to stop; return the exit status.

    SIGINT and SIGTERM end it cleanly with 0 (rclpy turns both into a shutdown of the context).
    """
    rclpy.init(args=argv)
    executor = SingleThreadedExecutor()
    node: Node | None = None
    try:
        node = make()
        executor.add_node(node)
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # the ways in which a node is told to stop
    except rclpy_implementation.RCLError:
        if rclpy.ok():
            raise
    finally:
        if node is not None:
            node.destroy_node()
        executor.shutdown()
        rclpy.try_shutdown()
    return 0
