# SPDX-License-Identifier: Apache-2.0
"""What a process did."""

from typing import TYPE_CHECKING

from ...event import Event

if TYPE_CHECKING:
    from ...actions.execute_local import ExecuteLocal


class RunningProcessEvent(Event):
    """Base of the events that a process causes."""

    name = 'launch.events.process.RunningProcessEvent'

    def __init__(
        self,
        *,
        action: 'ExecuteLocal',
        name: str,
        cmd: list[str],
        cwd: str | None,
        env: dict[str, str] | None,
        pid: int,
    ) -> None:
        """Take the action's `process_details`."""
        self.action = action
        self.process_name = name
        self.cmd = cmd
        self.cwd = cwd
        self.env = env
        self.pid = pid

    @property
    def execute_process_action(self) -> 'ExecuteLocal':
        """Return the action that started the process."""
        return self.action


class ProcessStarted(RunningProcessEvent):
    """A process has been started."""

    name = 'launch.events.process.ProcessStarted'


class ProcessExited(RunningProcessEvent):
    """A process has ended."""

    name = 'launch.events.process.ProcessExited'

    def __init__(self, *, returncode: int, **details: object) -> None:
        """Take the return code; it is minus the signal's number after death by signal."""
        super().__init__(**details)  # type: ignore[arg-type]
        self.returncode = returncode


class ProcessIO(RunningProcessEvent):
    """A process wrote, or was written to."""

    name = 'launch.events.process.ProcessIO'

    def __init__(self, *, text: bytes, fd: int, **details: object) -> None:
        """Take the bytes and the file descriptor: 0, 1 or 2."""
        super().__init__(**details)  # type: ignore[arg-type]
        self.text = text
        self.fd = fd

    @property
    def from_stdin(self) -> bool:
        """Return whether the bytes went to the standard input."""
        return self.fd == 0

    @property
    def from_stdout(self) -> bool:
        """Return whether the bytes came from the standard output."""
        return self.fd == 1

    @property
    def from_stderr(self) -> bool:
        """Return whether the bytes came from the standard error."""
        return self.fd == 2


class ProcessStdout(ProcessIO):
    """A process wrote on its standard output."""

    name = 'launch.events.process.ProcessStdout'

    def __init__(self, *, text: bytes, **details: object) -> None:
        """Take the bytes."""
        super().__init__(text=text, fd=1, **details)


class ProcessStderr(ProcessIO):
    """A process wrote on its standard error."""

    name = 'launch.events.process.ProcessStderr'

    def __init__(self, *, text: bytes, **details: object) -> None:
        """Take the bytes."""
        super().__init__(text=text, fd=2, **details)
