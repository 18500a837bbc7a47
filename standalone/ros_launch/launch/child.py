# SPDX-License-Identifier: Apache-2.0
"""One operating-system process, its output streams and its end, as seen by the asyncio loop."""

import asyncio
import errno
import os
import pty
import signal
import subprocess
import threading
import tty
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

CHUNK_BYTES = 65536


class Child:
    """A started process; the loop is woken by its file descriptors, nothing is polled."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        cmd: Sequence[str],
        cwd: str | None,
        env: Mapping[str, str],
        shell: bool,
        emulate_tty: bool,
        on_output: Callable[[str, bytes], None],
    ) -> None:
        """Start the process in a session of its own, so that only the launcher signals it.

        Args:
            loop: calls `on_output` with ('stdout' or 'stderr', bytes).
            cmd: program and arguments; joined by blanks with `shell`.
            cwd: working directory; None: that of the launcher.
            env: the whole environment.
            shell: run through /bin/sh.
            emulate_tty: give it pseudo terminals instead of pipes.
            on_output: takes what the process writes, as it comes.

        Raises:
            OSError: if it cannot be started.
        """
        self._loop = loop
        self._shell = shell
        self._on_output = on_output
        self.returncode: int | None = None
        self.exited: asyncio.Future[int] = loop.create_future()
        readers, writers = zip(*(self._open_stream(emulate_tty) for _ in range(2)), strict=True)
        try:
            self._popen = subprocess.Popen(
                ' '.join(cmd) if shell else list(cmd),
                cwd=cwd,
                env=dict(env),
                shell=shell,
                stdin=subprocess.PIPE,
                stdout=writers[0],
                stderr=writers[1],
                start_new_session=True,
            )
        except BaseException:
            for fd in readers:
                os.close(fd)
            raise
        finally:
            for fd in writers:
                os.close(fd)
        self.pid = self._popen.pid
        self._streams = dict(zip(readers, ('stdout', 'stderr'), strict=True))
        for fd in readers:
            os.set_blocking(fd, False)
            loop.add_reader(fd, self._read, fd)
        self._watch_exit()

    @staticmethod
    def _open_stream(emulate_tty: bool) -> tuple[int, int]:
        if not emulate_tty:
            return os.pipe()
        master, slave = pty.openpty()
        tty.setraw(slave)
        return master, slave

    def _watch_exit(self) -> None:
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except OSError:
            # Kernels before 5.3, some sandboxes: a thread that waits does the same.
            def wait() -> None:
                self._popen.wait()
                self._loop.call_soon_threadsafe(self._exit)

            threading.Thread(target=wait, name=f'wait-{self.pid}', daemon=True).start()
            return
        self._loop.add_reader(self._pidfd, self._exit_by_pidfd)

    def _exit_by_pidfd(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._exit()

    def _exit(self) -> None:
        self.returncode = self._popen.wait()
        # What it wrote before its end comes before the news of its end.
        for fd in list(self._streams):
            while fd in self._streams and self._read(fd):
                pass
        if self._popen.stdin is not None:
            with suppress(BrokenPipeError):
                self._popen.stdin.close()
        if not self.exited.done():
            self.exited.set_result(self.returncode)

    def _read(self, fd: int) -> bool:
        """Read once; return whether there may be more."""
        try:
            data = os.read(fd, CHUNK_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # a pseudo terminal's way to say end of file
                raise
            data = b''
        if not data:
            self._close_stream(fd)
            return False
        self._on_output(self._streams[fd], data)
        return True

    def _close_stream(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        os.close(fd)
        del self._streams[fd]

    def close(self) -> None:
        """Stop reading: grandchildren may hold the streams open for ever."""
        for fd in list(self._streams):
            self._close_stream(fd)

    def write_stdin(self, data: bytes) -> None:
        """Write to the process' standard input."""
        if self._popen.stdin is not None and self.returncode is None:
            with suppress(BrokenPipeError):
                self._popen.stdin.write(data)
                self._popen.stdin.flush()

    def send_signal(self, number: int) -> None:
        """Signal the process; with `shell`, and for SIGKILL, everything in its process group.

        A node ends its own helpers in order; a shell passes no signal on, and nothing can after SIGKILL.
        """
        if self.returncode is not None:
            return
        with suppress(ProcessLookupError):
            if self._shell or number == signal.SIGKILL:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
