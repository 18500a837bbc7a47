# SPDX-License-Identifier: Apache-2.0
"""The process groups of one launch, and the guardian that ends them if the launcher cannot."""

import asyncio
import os
import subprocess
import sys
from contextlib import suppress

from . import guardian
from .launch_context import LaunchContext

_KEY = 'launch.process_groups'


class ProcessGroups:
    """Tells the guardian which groups live; at the end of the launch lets it sweep what is left."""

    def __init__(self) -> None:
        """Start without a guardian: the first group brings it."""
        self._guardian: subprocess.Popen[bytes] | None = None
        self._groups: set[int] = set()

    @classmethod
    def of(cls, context: LaunchContext) -> 'ProcessGroups':
        """Return the groups of the running launch."""

        def make() -> 'ProcessGroups':
            groups = cls()
            context.on_close(groups.close)
            return groups

        return context.resource(_KEY, make)

    def start_guardian(self) -> None:
        """Start the guardian if it does not run; called before the first child is started."""
        if self._guardian is None or self._guardian.poll() is not None:
            self._guardian = subprocess.Popen(
                [sys.executable, '-I', '-S', guardian.__file__, str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def add(self, group: int, sigterm_after_s: float, sigkill_after_s: float) -> None:
        """Have the guardian watch over a group with these times between its signals."""
        self._groups.add(group)
        self._tell(f'+{group} {sigterm_after_s} {sigkill_after_s}\n')

    def leader_exited(self, group: int) -> None:
        """Forget the group if nothing is left in it; else it is swept at the end of the launch."""
        if group in self._groups and not guardian.group_exists(group):
            self._groups.discard(group)
            self._tell(f'-{group}\n')

    def remember_segments(self, pid: int) -> None:
        """Have the shared memory of a process removed at the end, should the process not do it itself."""
        for path in guardian.segments_of(pid):
            self._tell(f'={path}\n')

    def _tell(self, line: str) -> None:
        if self._guardian is not None and self._guardian.stdin is not None:
            # A guardian that was killed must not take the launch with it.
            with suppress(BrokenPipeError):
                self._guardian.stdin.write(line.encode())
                self._guardian.stdin.flush()

    async def close(self) -> None:
        """Let the guardian end what is left and wait for it."""
        for group in list(self._groups):
            self.leader_exited(group)
        process = self._guardian
        if process is None or process.stdin is None:
            return
        with suppress(BrokenPipeError):
            process.stdin.close()
        await asyncio.get_running_loop().run_in_executor(None, process.wait)
        self._guardian = None
