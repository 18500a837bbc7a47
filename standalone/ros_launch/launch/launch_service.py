# SPDX-License-Identifier: Apache-2.0
"""Runs launch descriptions until nothing is left to do, or a shutdown is asked for."""

import asyncio
import traceback
from collections.abc import Iterable

from .entity import LaunchDescriptionEntity, normalize_entities, visit_all
from .event import Event
from .events.entities import IncludeLaunchDescription
from .events.shutdown import Shutdown
from .launch_context import Deferred, LaunchContext
from .launch_description import LaunchDescription
from .logging import get_logger
from .signals import HandledSignals


class LaunchService:
    """One launch: visits entities, hands events to their handlers, ends everything in order."""

    def __init__(
        self, *, argv: Iterable[str] | None = None, noninteractive: bool = False, debug: bool = False
    ) -> None:
        """Take the launch's arguments, whether nobody can answer, and whether to log in detail."""
        if debug:
            from .logging import launch_config

            launch_config.level = 'DEBUG'
        self.fail_on_error = False
        self._context = LaunchContext(argv=argv, noninteractive=noninteractive)
        self._logger = get_logger('launch')
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self._wake: asyncio.Event | None = None
        self._futures: set[asyncio.Future[object]] = set()
        self._return_code = 0
        self._shutdown_emitted = False

    @property
    def context(self) -> LaunchContext:
        """Return the context."""
        return self._context

    @property
    def event_loop(self) -> asyncio.AbstractEventLoop | None:
        """Return the running loop; None: the service does not run."""
        return self._loop

    @property
    def task(self) -> 'asyncio.Task[object] | None':
        """Return the task that runs the service; None: the service does not run."""
        return self._task if self._loop is not None else None

    def emit_event(self, event: Event) -> None:
        """Queue an event; may be called from any thread, also before the service runs."""
        self._context.emit_event_sync(event)

    def include_launch_description(self, launch_description: LaunchDescription) -> None:
        """Have a description visited; may be called from any thread, also before the service runs."""
        self.emit_event(IncludeLaunchDescription(launch_description))

    def run(self, *, shutdown_when_idle: bool = True) -> int:
        """Run in this thread until shutdown, or idleness; return 0, or 1 after an exception in a launch file.

        In the main thread, SIGINT, SIGTERM and SIGHUP end the launch in order.
        """
        return asyncio.run(self.run_async(shutdown_when_idle=shutdown_when_idle))

    async def run_async(self, *, shutdown_when_idle: bool = True) -> int:
        """Run in the current loop; see run()."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._wake = asyncio.Event()
        self._return_code = 0
        self._shutdown_emitted = False
        self._context.begin(self._loop, self._wake.set)
        try:
            with HandledSignals(self._loop, self._on_signal):
                try:
                    await self._process(shutdown_when_idle)
                finally:
                    # Also when this task is cancelled: the guardian then ends what still runs.
                    await self._context.close()
        finally:
            self._loop = None
        if self.fail_on_error and self._context.required_process_failed:
            return 1
        return self._return_code

    def shutdown(self, force_sync: bool = False) -> None:
        """Ask for the end of the launch; may be called from any thread."""
        self._emit_shutdown('LaunchService.shutdown() called', due_to_sigint=False)

    def _emit_shutdown(self, reason: str, *, due_to_sigint: bool) -> None:
        if not self._shutdown_emitted:
            self._shutdown_emitted = True
            self._context.emit_event_sync(Shutdown(reason=reason, due_to_sigint=due_to_sigint))

    # --- the loop ----------------------------------------------------------------------------------
    async def _process(self, shutdown_when_idle: bool) -> None:
        assert self._wake is not None
        while True:
            while (event := self._context.next_event()) is not None:
                self._handle_guarded(event)
            if not self._futures:
                if self._context.is_shutdown:
                    return
                if shutdown_when_idle:
                    self._emit_shutdown('idle', due_to_sigint=False)
                    continue
            self._wake.clear()
            await self._wake.wait()

    def _handle_guarded(self, event: Event) -> None:
        try:
            self._handle(event)
        except Exception as error:  # noqa: BLE001 - whatever a launch file raises ends the launch in order
            self._logger.debug(traceback.format_exc())
            self._logger.error(f'Caught exception in launch (see debug for traceback): {error}')
            self._return_code = 1
            self._emit_shutdown('exception in launch', due_to_sigint=False)

    def _handle(self, event: Event) -> None:
        if isinstance(event, Deferred):
            event.function()
            return
        if isinstance(event, IncludeLaunchDescription):
            self._visit([event.launch_description])
            return
        if isinstance(event, Shutdown):
            if self._context.is_shutdown:
                return
            self._shutdown_emitted = True
            self._context.begin_shutdown()
            self._logger.debug(f'shutdown: {event.reason}')
        for handler in self._context.matching_handlers(event):
            self._context.push_locals()
            try:
                self._visit(normalize_entities(handler.handle(event, self._context)))
            finally:
                self._context.pop_locals()

    def _visit(self, entities: list[LaunchDescriptionEntity]) -> None:
        for entity in entities:
            for _, future in visit_all(entity, self._context):
                if not future.done():
                    self._futures.add(future)
                    future.add_done_callback(self._on_future_done)

    def _on_future_done(self, future: 'asyncio.Future[object]') -> None:
        self._futures.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            self._logger.error(f'Caught exception in launch (see debug for traceback): {error}')
            self._return_code = 1
            self._emit_shutdown('exception in launch', due_to_sigint=False)
        if self._wake is not None:
            self._wake.set()

    # --- signals -------------------------------------------------------------------------------------
    def _on_signal(self, name: str) -> None:
        what = 'user interrupted with ctrl-c (SIGINT)' if name == 'SIGINT' else f'received {name}'
        if self._shutdown_emitted:
            self._logger.warning(f'{what} again, ignoring...')
            return
        self._logger.warning(what)
        self._emit_shutdown(what, due_to_sigint=name == 'SIGINT')
