# SPDX-License-Identifier: Apache-2.0
"""What an action can see and change while it runs."""

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, TypeVar

from .event import Event
from .event_handler import BaseEventHandler
from .substitution import Substitution


class Deferred(Event):
    """A function to call in its turn among the events; no handler sees it."""

    name = 'launch.Deferred'

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function


Resource = TypeVar('Resource')


class Locals:
    """Read access by attribute to values that belong to the place of execution."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"the launch context has no local named '{name}'") from None


class LaunchContext:
    """State of one running launch: configurations, environment, event handlers, event queue."""

    def __init__(self, *, argv: Iterable[str] | None = None, noninteractive: bool = False) -> None:
        """Take the arguments of the launch and whether a person can answer."""
        self.argv = list(argv) if argv is not None else []
        self.noninteractive = noninteractive
        self.launch_configurations: dict[str, str] = {}
        self._configuration_stack: list[dict[str, str]] = []
        self._environment_stack: list[dict[str, str]] = []
        self._locals: dict[str, Any] = {}
        self._locals_stack: list[dict[str, Any]] = []
        self._globals: dict[str, Any] = {}
        self._handlers: deque[BaseEventHandler] = deque()
        self._queue: deque[Event] = deque()
        self._wake: Callable[[], None] = lambda: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread: int | None = None
        self._is_shutdown = False
        self._closers: list[Callable[[], Any]] = []
        self._resources: dict[str, Any] = {}
        self.required_process_failed = False

    # --- locals, globals -------------------------------------------------------------------------
    @property
    def locals(self) -> Locals:
        """Return the locals, and below them the globals, as attributes."""
        return Locals({**self._globals, **self._locals})

    def get_locals_as_dict(self) -> dict[str, Any]:
        """Return locals and globals as a dictionary."""
        return {**self._globals, **self._locals}

    def extend_locals(self, extra: Mapping[str, Any]) -> None:
        """Add locals."""
        self._locals.update(extra)

    def extend_globals(self, extra: Mapping[str, Any]) -> None:
        """Add values that stay for the whole launch."""
        self._globals.update(extra)

    def push_locals(self) -> None:
        """Keep the locals so that `pop_locals` brings them back."""
        self._locals_stack.append(dict(self._locals))

    def pop_locals(self) -> None:
        """Bring back the locals kept last."""
        self._locals = self._locals_stack.pop()

    # --- configurations, environment --------------------------------------------------------------
    @property
    def environment(self) -> MutableMapping[str, str]:
        """Return the environment that children inherit: that of this process."""
        return os.environ

    def push_launch_configurations(self) -> None:
        """Keep the launch configurations so that they can be brought back."""
        self._configuration_stack.append(dict(self.launch_configurations))

    def pop_launch_configurations(self) -> None:
        """Bring back the launch configurations kept last."""
        restored = self._configuration_stack.pop()
        self.launch_configurations.clear()
        self.launch_configurations.update(restored)

    def push_environment(self) -> None:
        """Keep the environment so that it can be brought back."""
        self._environment_stack.append(dict(os.environ))

    def pop_environment(self) -> None:
        """Bring back the environment kept last."""
        restored = self._environment_stack.pop()
        for name in set(os.environ) - set(restored):
            del os.environ[name]
        os.environ.update(restored)

    def perform_substitution(self, substitution: Substitution) -> str:
        """Return the text of a substitution in this context."""
        return substitution.perform(self)

    # --- events --------------------------------------------------------------------------------------
    def register_event_handler(self, event_handler: BaseEventHandler, append: bool = False) -> None:
        """Add a handler: before all others, or after them with `append`."""
        if append:
            self._handlers.append(event_handler)
        else:
            self._handlers.appendleft(event_handler)

    def unregister_event_handler(self, event_handler: BaseEventHandler) -> None:
        """Remove a handler.

        Raises:
            ValueError: if it is not registered.
        """
        self._handlers.remove(event_handler)

    def would_handle_event(self, event: Event) -> bool:
        """Return whether any handler wants the event."""
        return any(handler.matches(event) for handler in self._handlers)

    def matching_handlers(self, event: Event) -> list[BaseEventHandler]:
        """Return the handlers that want the event, in order."""
        return [handler for handler in self._handlers if handler.matches(event)]

    def emit_event_sync(self, event: Event) -> None:
        """Queue an event; may be called from any thread."""
        self._queue.append(event)
        if self._loop is None or threading.get_ident() == self._loop_thread:
            self._wake()
        else:
            self._loop.call_soon_threadsafe(self._wake)

    async def emit_event(self, event: Event) -> None:
        """Queue an event."""
        self.emit_event_sync(event)

    def defer(self, function: Callable[[], None]) -> None:
        """Have `function` called once all events queued so far have been handled."""
        self.emit_event_sync(Deferred(function))

    def next_event(self) -> Event | None:
        """Return the oldest queued event and remove it; None: the queue is empty."""
        return self._queue.popleft() if self._queue else None

    # --- the running launch ----------------------------------------------------------------------------
    @property
    def asyncio_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop that the launch runs in.

        Raises:
            RuntimeError: if no launch is running.
        """
        if self._loop is None:
            raise RuntimeError('the launch context is not running: include it in a LaunchService first')
        return self._loop

    @property
    def is_shutdown(self) -> bool:
        """Return whether the launch is being shut down."""
        return self._is_shutdown

    def begin(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        """Bind the context to the running loop; `wake` is called for each queued event."""
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._wake = wake
        self._is_shutdown = False

    def begin_shutdown(self) -> None:
        """Mark the launch as being shut down."""
        self._is_shutdown = True

    def on_close(self, closer: Callable[[], Any]) -> None:
        """Have `closer` called, and awaited if it is a coroutine function, after all has ended."""
        self._closers.append(closer)

    def resource(self, key: str, make: Callable[[], Resource]) -> Resource:
        """Return what is shared by the actions of this run under `key`, made on first use."""
        if key not in self._resources:
            self._resources[key] = make()
        shared: Resource = self._resources[key]
        return shared

    async def close(self) -> None:
        """Release what actions have opened, last first; one that fails does not keep the others from it."""
        from .logging import get_logger

        while self._closers:
            closer = self._closers.pop()
            try:
                result = closer()
                if asyncio.iscoroutine(result):
                    await result
            except Exception as error:  # noqa: BLE001 - reported; children must still be ended
                get_logger('launch').error(f'cannot clean up after the launch ({closer!r}): {error!r}')
        self._resources.clear()
        self._loop = None
        self._loop_thread = None
        self._wake = lambda: None
