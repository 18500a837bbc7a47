# SPDX-License-Identifier: Apache-2.0
"""How every node's process runs and ends: one executor in the main thread, exit status 0 when told to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_node(make: Callable[[], Node], argv: list[str] | None = None) -> int:
    """Spin one node until SIGINT or SIGTERM; return the exit status 0.

    The signals are taken by a thread that waits for them: rclpy's own handlers would make the context invalid before the node has
    made its actuators safe and said that it leaves.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    stop = threading.Event()

    def wait_for_signal() -> None:
        signal.sigwait(STOP_SIGNALS)
        stop.set()
        executor.wake()

    threading.Thread(target=wait_for_signal, name="signals", daemon=True).start()
    node: Node | None = None
    try:
        node = make()
        executor.add_node(node)
        while not stop.is_set():
            executor.spin_once()
    except ExternalShutdownException:
        pass  # somebody else has shut the context down: the same as a signal
    finally:
        if node is not None:
            executor.remove_node(node)
            node.destroy_node()
        executor.shutdown()
        rclpy.try_shutdown()
    return 0
