# SPDX-License-Identifier: Apache-2.0
"""Running a process: start, output, signals, escalation, respawn."""

import asyncio
import traceback
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Optional

from ..action import Action
from ..child import Child
from ..conditions import evaluate_condition_expression
from ..entity import LaunchDescriptionEntity, SomeEntities, normalize_entities
from ..event import Event
from ..event_handler import BaseEventHandler, FunctionHandler
from ..event_handlers.on_process import OnProcessExit
from ..event_handlers.on_shutdown import OnShutdown
from ..events.process import (
    ProcessExited,
    ProcessStarted,
    ProcessStderr,
    ProcessStdout,
    ShutdownProcess,
    SignalProcess,
)
from ..logging import OutputRouter, get_logger
from ..process_groups import ProcessGroups
from ..some_substitutions_type import SomeSubstitutionsType
from ..substitutions.lookups import LaunchConfiguration
from ..termination import Termination, send
from ..utilities import normalize_to_list_of_substitutions, perform, perform_substitutions

if TYPE_CHECKING:
    from ..launch_context import LaunchContext

SomeBool = bool | SomeSubstitutionsType
OnExit = SomeEntities | Callable[[Event, 'LaunchContext'], SomeEntities | None]

# Children are numbered over all launches of this process, from 1.
_process_count = 0


def _number(value: Any) -> Any:
    return str(value) if isinstance(value, (bool, int, float)) else value


class ExecuteLocal(Action):
    """Runs a process on this machine; subclasses say which."""

    def __init__(
        self,
        *,
        shell: SomeBool = False,
        sigterm_timeout: SomeSubstitutionsType = LaunchConfiguration('sigterm_timeout', default=5),  # noqa: B008
        sigkill_timeout: SomeSubstitutionsType = LaunchConfiguration('sigkill_timeout', default=5),  # noqa: B008
        emulate_tty: SomeBool = False,
        output: Any = 'log',
        output_format: str = '[{name}] {line}',
        cached_output: SomeBool = False,
        log_cmd: SomeBool = False,
        on_exit: OnExit | None = None,
        respawn: SomeBool = False,
        respawn_delay: float | None = None,
        respawn_max_retries: int = -1,
        **kwargs: Any,
    ) -> None:
        """Take how the process is run.

        Args:
            shell: run through /bin/sh.
            sigterm_timeout: seconds from SIGINT to SIGTERM.
            sigkill_timeout: seconds from SIGTERM to SIGKILL.
            emulate_tty: give the process pseudo terminals.
            output: a mode (screen, log, both, own_log, full) or a mapping from stream to sinks.
            output_format: of one line; fields {name} and {line}, and {this}, the action.
            cached_output: write the output only at the process' end.
            log_cmd: write the command line before the start.
            on_exit: entities, or a function of event and context, at each end of the process.
            respawn: start the process again when it ends.
            respawn_delay: seconds before that.
            respawn_max_retries: how often; below 0: without limit.
        """
        super().__init__(**kwargs)
        self._shell = shell
        self._sigterm_timeout = normalize_to_list_of_substitutions(_number(sigterm_timeout))
        self._sigkill_timeout = normalize_to_list_of_substitutions(_number(sigkill_timeout))
        self._emulate_tty = emulate_tty
        self._output = output
        self._output_format = output_format
        self._cached_output = cached_output
        self._log_cmd = log_cmd
        self._on_exit = on_exit if callable(on_exit) else normalize_entities(on_exit)
        self._respawn = respawn
        self._respawn_delay_s = respawn_delay
        self._respawn_max_retries = respawn_max_retries
        self._details: dict[str, Any] | None = None
        self._child: Child | None = None
        self._groups: ProcessGroups | None = None
        self._return_code: int | None = None
        self._completed: asyncio.Future[None] | None = None
        self._stop: asyncio.Event | None = None
        self._termination: Termination | None = None
        self._handlers: list[BaseEventHandler] = []
        self._task: asyncio.Task[None] | None = None

    # --- what subclasses give ------------------------------------------------------------------------
    def resolve_command(self, context: 'LaunchContext') -> tuple[str, list[str], str | None, dict[str, str]]:
        """Return (base name, command, working directory, environment) for this context."""
        raise NotImplementedError(f'{type(self).__name__} does not implement resolve_command()')

    # --- what others see -------------------------------------------------------------------------------
    @property
    def output(self) -> Any:
        """Return the output mode."""
        return self._output

    @property
    def process_details(self) -> dict[str, Any] | None:
        """Return action, name, cmd, cwd, env and, once started, pid; None before execution."""
        return self._details

    @property
    def process_description(self) -> SimpleNamespace:
        """Return the resolved description, for output formats written as upstream documents them."""
        details = self._details or {}
        return SimpleNamespace(final_name=details.get('name'), final_cmd=details.get('cmd'))

    @property
    def return_code(self) -> int | None:
        """Return how the process ended last; None: it has not."""
        return self._return_code

    @property
    def shell(self) -> bool:
        """Return whether the process runs through /bin/sh."""
        return bool(self._shell)

    def get_asyncio_future(self) -> Optional['asyncio.Future[None]']:
        """Return the future of the process' final end."""
        return self._completed

    def prepare(self, context: 'LaunchContext') -> None:
        """Work out name, command and environment; the process gets its number here."""
        global _process_count
        base_name, cmd, cwd, env = self.resolve_command(context)
        _process_count += 1
        self._details = {
            'action': self,
            'name': f'{base_name}-{_process_count}',
            'cmd': cmd,
            'cwd': cwd,
            'env': env,
        }

    def execute(self, context: 'LaunchContext') -> list[LaunchDescriptionEntity] | None:
        """Start the process and take part in the events that concern it.

        Raises:
            RuntimeError: if the action is executed while its process runs.
        """
        if self._completed is not None and not self._completed.done():
            raise RuntimeError(f"ExecuteLocal action '{self._name}': executed more than once")
        self.prepare(context)
        if context.is_shutdown:
            # Entities may still be visited while the launch ends: nothing new is started then.
            return None
        loop = context.asyncio_loop
        self._logger = get_logger(self._name)
        self._completed = loop.create_future()
        self._stop = asyncio.Event()
        self._timeouts_s = (
            float(perform_substitutions(context, self._sigterm_timeout)),
            float(perform_substitutions(context, self._sigkill_timeout)),
        )
        self._handlers = [
            FunctionHandler(self._on_shutdown_process, lambda event: self._is_for_me(event, ShutdownProcess)),
            FunctionHandler(self._on_signal_process, lambda event: self._is_for_me(event, SignalProcess)),
            OnProcessExit(target_action=self, on_exit=self._on_exit),
            OnShutdown(on_shutdown=self._on_shutdown),
        ]
        for handler in self._handlers:
            context.register_event_handler(handler)
        self._task = loop.create_task(self._run(context))
        return None

    # --- the life of the process -------------------------------------------------------------------------
    @property
    def _name(self) -> str:
        return '' if self._details is None else str(self._details['name'])

    async def _run(self, context: 'LaunchContext') -> None:
        starts = 0
        try:
            # A shutdown may have come between execute() and this task's first step.
            while self._stop is not None and not self._stop.is_set():
                child = self._start(context)
                starts += 1
                await self._until_exit(child, context)
                if not await self._wants_respawn(starts, context):
                    return
        except Exception:  # noqa: BLE001 - one process that cannot start must not end the others
            self._logger.error(f'exception occurred while executing process:\n{traceback.format_exc()}')
        finally:
            self._finish(context)

    def _start(self, context: 'LaunchContext') -> Child:
        details = self._details
        assert details is not None
        if self._as_bool(self._log_cmd, context):
            self._logger.info(f"process details: cmd='{' '.join(details['cmd'])}', cwd='{details['cwd']}'")
        groups = self._groups = ProcessGroups.of(context)
        groups.start_guardian()
        router = OutputRouter(
            self._name,
            self._output if not isinstance(self._output, (list, tuple)) else perform(context, self._output),
            lambda line: self._output_format.format(line=line, name=self._name, this=self),
            cached=self._as_bool(self._cached_output, context),
        )

        def on_output(stream: str, data: bytes) -> None:
            router.feed(stream, data)
            event_class = ProcessStdout if stream == 'stdout' else ProcessStderr
            event = event_class(text=data, **details)
            if context.would_handle_event(event):
                context.emit_event_sync(event)

        child = Child(
            context.asyncio_loop,
            cmd=details['cmd'],
            cwd=details['cwd'],
            env=details['env'] if details['env'] is not None else dict(context.environment),
            shell=self._as_bool(self._shell, context),
            emulate_tty=self._as_bool(self._emulate_tty, context),
            on_output=on_output,
        )
        groups.add(child.pid, *self._timeouts_s)
        child.exited.add_done_callback(lambda _future: router.finish())
        child.exited.add_done_callback(lambda _future: groups.leader_exited(child.pid))
        details['pid'] = child.pid
        self._child = child
        self._return_code = None
        self._logger.info(f'process started with pid [{child.pid}]')
        context.emit_event_sync(ProcessStarted(**details))
        context.on_close(child.close)
        return child

    async def _until_exit(self, child: Child, context: 'LaunchContext') -> None:
        returncode = await asyncio.shield(child.exited)
        assert self._details is not None
        self._end_escalation()
        self._return_code = returncode
        if returncode == 0:
            self._logger.info(f'process has finished cleanly [pid {child.pid}]')
        else:
            cmd = ' '.join(self._details['cmd'])
            self._logger.error(
                f"process has died [pid {child.pid}, exit code {returncode}, cmd '{cmd}']."
            )
        context.emit_event_sync(ProcessExited(returncode=returncode, **self._details))

    async def _wants_respawn(self, starts: int, context: 'LaunchContext') -> bool:
        assert self._stop is not None
        if context.is_shutdown or self._stop.is_set() or not self._as_bool(self._respawn, context):
            return False
        if 0 <= self._respawn_max_retries < starts:
            return False
        if self._respawn_delay_s is not None and self._respawn_delay_s > 0.0:
            try:
                await asyncio.wait_for(self._stop.wait(), self._respawn_delay_s)
            except TimeoutError:
                return True
        return not self._stop.is_set()

    def _finish(self, context: 'LaunchContext') -> None:
        self._child = None
        self._end_escalation()
        handlers, self._handlers = self._handlers, []

        def leave() -> None:
            for handler in handlers:
                context.unregister_event_handler(handler)

        # The handlers leave only after the queued ProcessExited has reached them.
        context.defer(leave)
        if self._completed is not None and not self._completed.done():
            self._completed.set_result(None)

    # --- its end ----------------------------------------------------------------------------------------
    def _is_for_me(self, event: Event, event_class: type) -> bool:
        return isinstance(event, event_class) and bool(event.process_matcher(self))  # type: ignore[attr-defined]

    def _on_shutdown_process(self, event: Event, context: 'LaunchContext') -> None:
        self._terminate(context)

    def _on_signal_process(self, event: Event, context: 'LaunchContext') -> None:
        assert isinstance(event, SignalProcess)
        send(event.signal, self._child, self._name)

    def _on_shutdown(self, event: Event, context: 'LaunchContext') -> None:
        self._terminate(context)

    def _terminate(self, context: 'LaunchContext') -> None:
        """Ask the process to end, harder and harder."""
        if self._stop is None or self._stop.is_set():
            return
        self._stop.set()
        if self._child is not None and self._child.returncode is None and self._groups is not None:
            self._termination = Termination(
                self._child, self._name, self._timeouts_s, context.asyncio_loop, self._groups
            )

    def _end_escalation(self) -> None:
        if self._termination is not None:
            self._termination.cancel()
            self._termination = None

    @staticmethod
    def _as_bool(value: SomeBool, context: 'LaunchContext') -> bool:
        if isinstance(value, bool):
            return value
        return evaluate_condition_expression(context, value)
