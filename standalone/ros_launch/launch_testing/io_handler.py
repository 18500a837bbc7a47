# SPDX-License-Identifier: Apache-2.0
"""What a test can learn of the processes' output."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

from launch.actions import ExecuteLocal
from launch.events.process import ProcessIO

from .output_matching import Expected, OutputFilter, build_matcher, joined
from .util.processes import NoMatchingProcessException, resolveProcesses


class IoHandler:
    """Everything that the processes have written, in order."""

    def __init__(self) -> None:
        """Start empty."""
        self._events: list[ProcessIO] = []
        self._by_process: dict[ExecuteLocal, list[ProcessIO]] = {}
        self._names: dict[ExecuteLocal, str] = {}
        self._condition = threading.Condition()

    def track(self, event: Any) -> None:
        """Know a process from its start on; called by the launch."""
        with self._condition:
            self._by_process.setdefault(event.action, [])
            self._names[event.action] = event.process_name
            self._condition.notify_all()

    def append(self, event: ProcessIO) -> None:
        """Take a piece of output; called by the launch."""
        with self._condition:
            self._events.append(event)
            self._by_process.setdefault(event.action, []).append(event)
            self._names[event.action] = event.process_name
            self._condition.notify_all()

    def __iter__(self) -> Iterator[ProcessIO]:
        """Return all output."""
        with self._condition:
            return iter(list(self._events))

    def processes(self) -> list[ExecuteLocal]:
        """Return the processes that have been started."""
        with self._condition:
            return list(self._by_process)

    def process_names(self) -> list[str]:
        """Return their names."""
        return [self._names[action] for action in self._by_process]

    def __getitem__(self, key: Any) -> list[ProcessIO]:
        """Return the output of a process, given as action or name.

        Raises:
            KeyError: if it has not been started.
        """
        if isinstance(key, str):
            for action, name in self._names.items():
                if key in name:
                    return list(self._by_process[action])
            raise KeyError(key)
        return list(self._by_process[key])


class ActiveIoHandler(IoHandler):
    """The same while the launch runs, with waiting."""

    def assertWaitFor(
        self,
        expected_output: Expected,
        process: Any = None,
        cmd_args: Any = None,
        *,
        strict_proc_matching: bool = True,
        output_filter: OutputFilter | None = None,
        timeout: float = 10,
        stream: str = 'stderr',
        strip_ansi_escape_sequences: bool = True,
    ) -> None:
        """Wait until the expected text has been written.

        Args:
            expected_output: a text, a compiled pattern, or a list of them in order.
            process: an action or a part of a process name; None: any.
            cmd_args: an argument that the command must have.
            strict_proc_matching: whether more than one matching process is an error.
            output_filter: changes the text before it is searched.
            timeout: in seconds.
            stream: 'stderr' (where rclpy logs) or 'stdout'.
            strip_ansi_escape_sequences: whether colours are taken out first.

        Raises:
            AssertionError: if it has not been written after `timeout` seconds.
            ValueError: for another stream.
        """
        if stream not in ('stdout', 'stderr'):
            raise ValueError(f"stream must be 'stdout' or 'stderr', got '{stream}'")
        matches: Callable[[str], bool] = build_matcher(
            expected_output, output_filter, strip_ansi_escape_sequences
        )

        def seen() -> bool:
            try:
                actions = resolveProcesses(
                    self, process=process, cmd_args=cmd_args, strict_proc_matching=strict_proc_matching
                )
            except NoMatchingProcessException:
                return False
            return any(matches(joined(self._by_process[action], stream)) for action in actions)

        with self._condition:
            if self._condition.wait_for(seen, timeout):
                return
            written = {
                name: joined(self._by_process[action], stream) for action, name in self._names.items()
            }
        raise AssertionError(
            f'Waiting for output timed out after {timeout} s: {expected_output!r} is not in the {stream} of '
            f'any matching process. Written there: {written}'
        )
