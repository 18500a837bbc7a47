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
    """How this process ends when it lives for one node and ends with it; `run_node` says so."""

    def __init__(self) -> None:
        self.status: int | None = None
        """Exit status should the middleware not end; None: the process goes on after its nodes."""

    def only_middleware_left(self) -> None:
        """Say that the node has done its own part: actuators safe, files closed. What is left is bounded in time."""
        if self.status is not None:
            end_within(MIDDLEWARE_S, self.status)


PROCESS_END = ProcessEnd()
