# SPDX-License-Identifier: Apache-2.0
"""A process that has done its duty ends, whatever the middleware's threads wait for.

Fast DDS 2.14 can lock itself up while a participant is destroyed: `DomainParticipant::set_listener` turns for ever and
a discovery thread waits in `onReaderDiscovery` for the mutex that it keeps taking (about once in 700 ends when a dozen
participants end together; eProsima/Fast-DDS issues 4026 and 6193 tell of its relatives). rclpy holds the interpreter's
lock meanwhile: no thread and no signal handler of Python's can run. A timer of the kernel can.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a command that needs no ROS does not pay for it
    from rclpy.context import Context
    from rclpy.node import Node

MIDDLEWARE_S = 5.0
"""Steady time [s] that the middleware has to take itself down; 0.05 to 0.3 s are usual."""
_TELL_BEFORE_S = 0.5
_SIGEV_THREAD = 2
_CLOCK_MONOTONIC = 1


class _SigEvent(ctypes.Structure):
    """`struct sigevent` of sigevent(7) with the members that SIGEV_THREAD reads; 64 bytes on a 64-bit Linux."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal_number", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("padding", ctypes.c_int * 8),
    )


class _TimerSpec(ctypes.Structure):
    """`struct itimerspec` of timer_settime(2): interval, then first expiry, each in seconds and nanoseconds."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


def end_within(limit_s: float, status: int = 0) -> None:
    """End this process with `status` when it still lives after `limit_s` [s]; shortly before, tell where threads are.

    Raises:
        OSError: the kernel gives no timer.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    timer = ctypes.c_void_p()
    at_end = ctypes.cast(libc._exit, ctypes.c_void_p).value
    event = _SigEvent(value=status, notify=_SIGEV_THREAD, function=at_end)
    whole_s = int(limit_s)
    spec = _TimerSpec(value_s=whole_s, value_ns=int((limit_s - whole_s) * 1e9))
    for refused in (
        libc.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)),
        libc.timer_settime(timer, 0, ctypes.byref(spec), None),
    ):
        if refused:
            number = ctypes.get_errno()
            raise OSError(number, f"no timer for the process's end: {os.strerror(number)}")
    faulthandler.dump_traceback_later(max(limit_s - _TELL_BEFORE_S, limit_s / 2))


class ProcessEnd:
    """How this process ends its middleware; only who owns the process (`run_node`, a command) changes anything here."""

    def __init__(self) -> None:
        self.status: int | None = None
        """Exit status should the middleware not end; None: the process goes on after its nodes."""
        self._kept: list[tuple[Node, Context]] | None = None

    def only_middleware_left(self) -> None:
        """Say that the process has done its own part: actuators safe, files closed. What is left is bounded in time."""
        if self.status is not None:
            end_within(MIDDLEWARE_S, self.status)

    def keep_nodes(self) -> None:
        """Put off what `leave` does until `last`: only then is known with which status the process is to end."""
        self._kept = []

    def leave(self, node: Node, context: Context) -> None:
        """Take a node and its context, with which nobody spins any more, out of the graph."""
        if self._kept is None:
            _destroy(node, context)
        else:
            self._kept.append((node, context))

    def last(self, status: int) -> None:
        """Take out what was kept; the process ends with `status` though that should not come to an end."""
        kept, self._kept = self._kept or [], None
        if kept:
            sys.stdout.flush()
            sys.stderr.flush()
            self.status = status
            self.only_middleware_left()
        for node, context in kept:
            _destroy(node, context)


def _destroy(node: Node, context: Context) -> None:
    node.destroy_node()  # before its context: else the graph would believe in it until its lease ends
    context.try_shutdown()
    context.destroy()


PROCESS_END = ProcessEnd()
