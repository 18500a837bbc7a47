# SPDX-License-Identifier: Apache-2.0
"""The simulated instruments' end of the wire: one pseudo-terminal a line, found by name in a folder."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import os
import selectors
import threading
import time
import tty
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

_CHUNK = 4096
_UNREAD_LIMIT = 1 << 20
"""Answers [bytes] kept for a client that does not read; more is dropped, as a UART would."""
_CALL_TIMEOUT_S = 5.0


@dataclass
class _Line:
    name: str
    master: int
    slave: int  # held open here too, so that the master sees no hang-up between two clients
    outbox: bytearray = field(default_factory=bytearray)
    silent: bool = False
    delay_s: float = 0.0


class PtyServer:
    """Serves lines: bytes from a client go to `receive(line, data)`, its answer goes back.

    With `loop`, everything runs in that event loop (call all methods from its thread); without, in one thread
    of
    its own, where `receive` is called too. Sleeps while nothing comes.

    Args:
        directory: folder for the links `<line name>` to the terminals.
        receive: called with line name and bytes; returns the answer. Faults of its own it must handle itself.
        answer_delay_s: line name to the steady time by which its answers come late [s].
    """

    def __init__(
        self,
        directory: Path,
        receive: Callable[[str, bytes], bytes],
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        answer_delay_s: Callable[[str], float] = lambda name: 0.0,
    ) -> None:
        self.directory = directory
        self._receive, self._answer_delay_s = receive, answer_delay_s
        self._loop = loop
        self._lines: dict[str, _Line] = {}
        self._selector = selectors.EpollSelector()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._calls: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._late: list[tuple[float, int, _Line, bytes]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._closing = False
        directory.mkdir(parents=True, exist_ok=True)
        if loop is not None:
            loop.add_reader(self._selector.fileno(), self._serve, 0.0)
        else:
            self._thread = threading.Thread(target=self._run, name="ptys", daemon=True)
            self._thread.start()

    # for the plant --------------------------------------------------------------------------------
    def plug(self, name: str) -> Path:
        """Open a line and return its link; harmless when it is open."""
        self._do(lambda: self._plug(name))
        return self.directory / name

    def unplug(self, name: str) -> None:
        """Close a line as if its adapter were pulled out: clients get an error, the link is gone."""
        self._do(lambda: self._unplug(name))

    def silence(self, name: str, silent: bool) -> None:
        """Have a line drop everything in both directions, or pass it again."""

        def apply() -> None:
            self._lines[name].silent = silent

        self._do(apply)

    def delay(self, name: str, seconds: float) -> None:
        """Have a line's answers come `seconds` of steady time later."""

        def apply() -> None:
            self._lines[name].delay_s = seconds

        self._do(apply)

    def send(self, name: str, data: bytes) -> None:
        """Send bytes that nobody asked for just now, without waiting; harmless when the line is not plugged."""

        def apply() -> None:
            if (line := self._lines.get(name)) is not None:
                self._send(line, data)

        if data and self._thread is None:
            apply()
        elif data:
            self._calls.append((apply, Future()))
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Close all lines and end; harmless when ended."""
        if self._closing:
            return
        self._do(self._close_all)
        if self._thread is not None:
            self._thread.join(_CALL_TIMEOUT_S)

    # in the serving thread ------------------------------------------------------------------------
    def _do(self, call: Callable[[], None]) -> None:
        """Run `call` in the serving thread and wait for it; raises what it raises."""
        if self._thread is None or threading.current_thread() is self._thread:
            call()
            return
        done: Future[None] = Future()
        self._calls.append((call, done))
        os.eventfd_write(self._wake, 1)
        done.result(_CALL_TIMEOUT_S)

    def _run(self) -> None:
        while not self._closing:
            self._serve(max(0.0, self._late[0][0] - time.monotonic()) if self._late else None)

    def _serve(self, timeout_s: float | None) -> None:
        if self._closing:
            return
        for key, mask in self._selector.select(timeout_s):
            line: _Line | None = key.data
            if line is None:
                os.eventfd_read(self._wake)
                self._run_calls()
            elif self._lines.get(line.name) is line:
                if mask & selectors.EVENT_READ:
                    self._read(line)
                if mask & selectors.EVENT_WRITE:
                    self._flush(line)
        while self._late and self._late[0][0] <= time.monotonic():
            _, _, line, answer = heapq.heappop(self._late)
            self._send(line, answer)

    def _run_calls(self) -> None:
        while self._calls:
            call, done = self._calls.popleft()
            try:
                call()
            except (OSError, KeyError) as error:
                done.set_exception(error)
            else:
                done.set_result(None)

    def _plug(self, name: str) -> None:
        if name in self._lines:
            return
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        link = self.directory / name
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(slave))
        line = _Line(name, master, slave)
        self._lines[name] = line
        self._selector.register(master, selectors.EVENT_READ, line)

    def _unplug(self, name: str) -> None:
        line = self._lines.pop(name, None)
        if line is None:
            return
        self._selector.unregister(line.master)
        os.close(line.master)
        os.close(line.slave)
        (self.directory / name).unlink(missing_ok=True)

    def _close_all(self) -> None:
        for name in list(self._lines):
            self._unplug(name)
        self._closing = True
        if self._loop is not None:
            self._loop.remove_reader(self._selector.fileno())
        self._selector.close()
        os.close(self._wake)

    def _read(self, line: _Line) -> None:
        try:
            data = os.read(line.master, _CHUNK)
        except BlockingIOError:
            return
        if not data or line.silent:
            return
        answer = self._receive(line.name, data)
        if not answer:
            return
        delay_s = line.delay_s + self._answer_delay_s(line.name)
        if delay_s > 0.0:
            heapq.heappush(self._late, (time.monotonic() + delay_s, next(self._order), line, answer))
            if self._loop is not None:
                self._loop.call_later(delay_s, self._serve, 0.0)
        else:
            self._send(line, answer)

    def _send(self, line: _Line, answer: bytes) -> None:
        if self._lines.get(line.name) is not line or line.silent:
            return
        if len(line.outbox) + len(answer) <= _UNREAD_LIMIT:
            line.outbox += answer
        self._flush(line)

    def _flush(self, line: _Line) -> None:
        with contextlib.suppress(BlockingIOError):
            while line.outbox:
                del line.outbox[: os.write(line.master, line.outbox)]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.outbox else 0)
        self._selector.modify(line.master, events, line)
