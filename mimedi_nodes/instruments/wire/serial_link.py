# SPDX-License-Identifier: Apache-2.0
"""A serial port as a byte link. The only file that knows pyserial."""

from __future__ import annotations

import asyncio
import contextlib
import select
import termios
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import serial

from .capture import TrafficCapture
from .link import FrameEnd, LinkLost, ReplyTimeout

_QUIET_S = 0.02
"""After an unanswered request, or an answer with more behind it, the line must be silent this long before the next."""
_QUIET_LIMIT_S = 0.5
"""A line that chatters longer than this gets the request anyway."""

_UNASKED_LIMIT = 1024
"""Bytes kept of what came outside of a reply."""

_LOST = (serial.SerialException, OSError, termios.error)


class SerialLink:
    """Half-duplex requests on one port, carried out in order by one worker thread that sleeps when idle.

    Args:
        name: name of the line, for messages.
        port: device path.
        baud: bits per second.
        capture: file that gets a copy of all traffic (JSON lines), or None.
        on_busy: called in the event loop's thread with True before and False after each transaction, so that
        a
            process clock knows that this program is waiting for the wire and not for time. Calls nest.
    """

    def __init__(
        self,
        name: str,
        port: str,
        baud: int,
        *,
        capture: Path | None = None,
        on_busy: Callable[[bool], None] | None = None,
    ) -> None:
        self.name = name
        self.port = port
        self._baud = baud
        self._on_busy = on_busy
        self._capture = TrafficCapture(capture, name) if capture is not None else None
        self._worker: ThreadPoolExecutor | None = None
        self._serial: serial.Serial | None = None
        self._unsettled = False
        self._unasked = b""

    async def open(self) -> None:
        """Open the port for this program alone; harmless when open.

        Raises:
            LinkLost: the port does not exist, is in use, or may not be opened.
        """
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"line-{self.name}")
        await asyncio.get_running_loop().run_in_executor(self._worker, self._open_port)

    async def close(self) -> None:
        """Close the port and end its worker; harmless when closed."""
        worker, self._worker = self._worker, None
        if worker is None:
            return
        await asyncio.get_running_loop().run_in_executor(worker, self._close_port)
        worker.shutdown(wait=False)
        if self._capture is not None:
            self._capture.close()

    async def transact(self, request: bytes, reply_end: FrameEnd | None, timeout_s: float) -> bytes:
        """Drop stale input, send `request`, return one complete reply (empty when `reply_end` is None).

        A port that was lost is opened again first, so a line that was plugged back in works.

        Raises:
            LinkLost: the port is gone, or the link was never opened.
            ReplyTimeout: nothing complete within `timeout_s` [s] of steady time.
        """
        worker = self._worker
        if worker is None:
            raise LinkLost(self.name, f"line to {self.port} is closed; open it first")
        if self._on_busy is not None:
            self._on_busy(True)
        try:
            return await asyncio.get_running_loop().run_in_executor(
                worker, self._transact, request, reply_end, timeout_s
            )
        finally:
            if self._on_busy is not None:
                self._on_busy(False)

    def take_unasked(self) -> bytes:
        """Return the last bytes that came outside of a reply, and forget them."""
        found, self._unasked = self._unasked, b""
        return found

    # in the worker thread -------------------------------------------------------------------------
    def _open_port(self) -> serial.Serial:
        if self._serial is None:
            try:
                self._serial = serial.Serial(self.port, self._baud, timeout=0, write_timeout=2.0, exclusive=True)
            except _LOST as error:
                raise LinkLost(
                    self.name,
                    f"port {self.port} cannot be opened ({_words(error)}); plug it in, or look who else uses it",
                ) from error
            except ValueError as error:
                raise LinkLost(self.name, f"port {self.port} refuses {self._baud} baud: {error}") from error
            self._unsettled = False
        return self._serial

    def _close_port(self) -> None:
        port, self._serial = self._serial, None
        if port is not None:
            with contextlib.suppress(*_LOST):  # a port that is gone cannot be closed in order, nor needs to be
                port.close()

    def _transact(self, request: bytes, reply_end: FrameEnd | None, timeout_s: float) -> bytes:
        port = self._open_port()
        try:
            return self._converse(port, request, reply_end, timeout_s)
        except ReplyTimeout:
            self._unsettled = True
            raise
        except _LOST as error:
            self._note("!", str(error).encode())
            self._close_port()
            raise LinkLost(self.name, f"port {self.port} was lost ({_words(error)}); check cable and power") from error

    def _converse(self, port: serial.Serial, request: bytes, reply_end: FrameEnd | None, timeout_s: float) -> bytes:
        if self._unsettled:  # a late answer to an earlier request must not be taken for the answer to this one
            self._wait_for_silence(port)
            self._unsettled = False
        while port.in_waiting:
            self._drop(self._read(port))
        self._note(">", request)
        deadline_s = time.monotonic() + timeout_s
        port.write(request)
        if reply_end is None:
            return b""
        data = b""
        while True:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0.0 or not select.select([port], [], [], left_s)[0]:
                self._note("?", data)
                raise ReplyTimeout(self.name, f"no complete answer within {timeout_s:g} s ({len(data)} bytes came)")
            data += self._read(port)
            size = reply_end(data)
            if size is not None:
                self._note("<", data)
                self._unasked = (self._unasked + data[size:])[-_UNASKED_LIMIT:]
                self._unsettled = len(data) > size  # more may be on its way
                return data[:size]

    def _read(self, port: serial.Serial) -> bytes:
        data: bytes = port.read(max(1, port.in_waiting))
        if not data:
            raise serial.SerialException("the port is ready but gives nothing: it was unplugged")
        return data

    def _wait_for_silence(self, port: serial.Serial) -> None:
        limit_s = time.monotonic() + _QUIET_LIMIT_S
        while select.select([port], [], [], _QUIET_S)[0] and time.monotonic() < limit_s:
            self._drop(self._read(port))

    def _drop(self, data: bytes) -> None:
        """Put aside what is no answer to the coming request."""
        self._note("~", data)
        self._unasked = (self._unasked + data)[-_UNASKED_LIMIT:]

    def _note(self, direction: str, data: bytes) -> None:
        if self._capture is not None:
            self._capture.note(direction, data)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
