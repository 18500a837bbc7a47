# SPDX-License-Identifier: Apache-2.0
"""What a test can learn of the processes' starts and ends."""

import threading
from collections.abc import Iterator
from typing import Any

from launch.actions import ExecuteLocal
from launch.events.process import ProcessExited

from .util.processes import NoMatchingProcessException, resolveProcesses


class ProcInfoHandler:
    """Ends of processes, in the order in which they ended."""

    def __init__(self) -> None:
        """Start empty."""
        self._info: dict[ExecuteLocal, Any] = {}
        self._condition = threading.Condition()

    def append(self, event: Any) -> None:
        """Take a start or an end; called by the launch."""
        with self._condition:
            self._info[event.action] = event
            self._condition.notify_all()

    def __iter__(self) -> Iterator[ProcessExited]:
        """Return the ends."""
        with self._condition:
            return iter([event for event in self._info.values() if isinstance(event, ProcessExited)])

    def processes(self) -> list[ExecuteLocal]:
        """Return the processes that have been started."""
        with self._condition:
            return list(self._info)

    def process_names(self) -> list[str]:
        """Return their names."""
        with self._condition:
            return [event.process_name for event in self._info.values()]

    def __getitem__(self, key: Any) -> Any:
        """Return the last event (ProcessExited, if it has ended) of a process, given as action or name.

        Raises:
            KeyError: if it has not been started.
        """
        if isinstance(key, str):
            for event in self._info.values():
                if key in event.process_name:
                    return event
            raise KeyError(key)
        return self._info[key]


class ActiveProcInfoHandler(ProcInfoHandler):
    """The same while the launch runs, with waiting."""

    def assertWaitForStartup(
        self, process: Any, cmd_args: Any = None, *, timeout: float = 10
    ) -> None:
        """Wait until a process has been started.

        Raises:
            AssertionError: if it has not after `timeout` seconds.
        """
        with self._condition:
            if not self._condition.wait_for(lambda: self._find(process, cmd_args) is not None, timeout):
                raise AssertionError(
                    f'Timed out after {timeout} s waiting for process {process!r} to start; '
                    f'started: {self.process_names()}'
                )

    def assertWaitForShutdown(
        self, process: Any, cmd_args: Any = None, *, timeout: float = 10
    ) -> None:
        """Wait until a process has ended.

        Raises:
            AssertionError: if it has not after `timeout` seconds.
        """

        def ended() -> bool:
            action = self._find(process, cmd_args)
            return action is not None and isinstance(self._info[action], ProcessExited)

        with self._condition:
            if not self._condition.wait_for(ended, timeout):
                raise AssertionError(f'Timed out after {timeout} s waiting for process {process!r} to finish')

    def _find(self, process: Any, cmd_args: Any) -> ExecuteLocal | None:
        try:
            return resolveProcesses(self, process=process, cmd_args=cmd_args)[0]
        except NoMatchingProcessException:
            return None
