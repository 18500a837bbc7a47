# SPDX-License-Identifier: Apache-2.0
"""How every node's process runs and ends: one executor in the main thread, exit status 0 when told to stop."""

from __future__ import annotations

import faulthandler
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from . import qos
from .bounded_end import PROCESS_END
from .spinning import spin_until

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
SUPERVISOR_STATUS = "supervisor/status"
LEAVE_S = 10.0
"""Longest steady time [s] for which a node that was told to stop waits to be taken down by the supervisor."""
ALONE_AFTER_S = 2.0
"""Steady time [s] in which the supervisor, told to stop at the same time, will have said so."""
STUCK_AFTER_S = 3.0
"""Steady time [s] after LEAVE_S from which a node that has not ended tells on stderr where its threads are."""
_TURN_S = 0.05


def run_node(make: Callable[[], Node], argv: list[str] | None = None) -> int:
    """Spin one node until SIGINT or SIGTERM; return the exit status 0.

    A supervised node that is told to stop goes on until the supervisor, which was told at the same time, has taken it
    down in its turn: reverse order of bring-up. A second signal ends it at once. rclpy's own handlers are not used:
    they would make the context invalid before the node has made its actuators safe and said that it leaves.
    """
    rclpy.init(args=argv, signal_handler_options=SignalHandlerOptions.NO)
    executor = SingleThreadedExecutor()
    node: Node | None = None
    PROCESS_END.status = 1
    with StopSignals() as stop:
        try:
            node = make()
            executor.add_node(node)
            spin_until(stop.future, executor)
            faulthandler.dump_traceback_later(LEAVE_S + STUCK_AFTER_S)
            _leave(node, executor)
            PROCESS_END.status = 0
        except (KeyboardInterrupt, ExternalShutdownException):
            PROCESS_END.status = 0  # told a second time, or somebody else has shut the context down: end now
        finally:
            if node is not None:
                executor.remove_node(node)
                node.destroy_node()
            executor.shutdown()
            rclpy.try_shutdown()
    return 0


def _leave(node: Node, executor: SingleThreadedExecutor) -> None:
    """Go on while the supervisor takes the workcell down; at once when there is none or nothing to take down."""
    begun_s = time.monotonic()
    ready: Callable[[], bool] = getattr(node, "ready_to_leave", None) or _SupervisorsEnd(node)
    while not ready() and time.monotonic() - begun_s < LEAVE_S:
        executor.spin_once(timeout_sec=_TURN_S)


class _SupervisorsEnd:
    """Tells whether there is no supervisor that is about to take this node down."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._begun_s = time.monotonic()
        self._stops = False
        self._nothing_to_do = not getattr(node, "configured", True)
        self._subscription = node.create_subscription(DiagnosticArray, SUPERVISOR_STATUS, self._take, qos.STATE)

    def _take(self, message: DiagnosticArray) -> None:
        phases = [v.value for status in message.status for v in status.values if v.key == "phase"]
        self._stops = self._stops or "stopping" in phases

    def __call__(self) -> bool:
        if self._nothing_to_do or not self._node.count_publishers(SUPERVISOR_STATUS):
            return True
        # This node alone was told to stop when the supervisor does not say that it stops as well.
        return not self._stops and time.monotonic() - self._begun_s > ALONE_AFTER_S


class StopSignals:
    """Turns the first SIGINT or SIGTERM into a completed future, the second into KeyboardInterrupt.

    The interpreter writes each signal into a socket, whichever thread it hit (those of NumPy included); a thread that
    reads it completes the future, which wakes the executor out of a wait that no signal interrupts.
    """

    def __init__(self) -> None:
        self.future: Future = Future()
        self._told = 0
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)

    def __enter__(self) -> StopSignals:
        self._old_fd = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._old = {number: signal.signal(number, self._on_signal) for number in STOP_SIGNALS}
        threading.Thread(target=self._wait, name="signals", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        self._write.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._told += 1
        if self._told > 1:
            raise KeyboardInterrupt

    def _wait(self) -> None:
        while number := self._read.recv(1):
            if number[0] in STOP_SIGNALS and not self.future.done():
                self.future.set_result(None)
        self._read.close()
