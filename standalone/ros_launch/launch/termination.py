# SPDX-License-Identifier: Apache-2.0
"""The end of one process: SIGINT, and what follows if that is not enough."""

import asyncio
import signal

from .child import Child
from .logging import get_logger
from .process_groups import ProcessGroups


def send(number: signal.Signals, child: Child | None, name: str) -> None:
    """Send a signal to the process called `name`, if it runs, and say so."""
    logger = get_logger(name)
    if child is None or child.returncode is not None:
        logger.debug(f"signal '{number.name}' not sent to '{name}': it does not run")
        return
    logger.info(f"sending signal '{number.name}' to process[{name}]")
    child.send_signal(number)


class Termination:
    """SIGINT now, SIGTERM and SIGKILL after their times, until cancelled because the process has ended."""

    def __init__(
        self,
        child: Child,
        name: str,
        timeouts_s: tuple[float, float],
        loop: asyncio.AbstractEventLoop,
        groups: ProcessGroups,
    ) -> None:
        """Begin.

        Args:
            child: the process.
            name: of the process, in messages.
            timeouts_s: from SIGINT to SIGTERM, and from SIGTERM to SIGKILL.
            loop: holds the timers.
            groups: removes what a killed process cannot.
        """
        self._child = child
        self._name = name
        self._groups = groups
        send(signal.SIGINT, child, name)
        term_s, kill_s = timeouts_s
        self._timers = [
            loop.call_later(term_s, self._escalate, term_s, signal.SIGINT, signal.SIGTERM),
            # As upstream writes it, the second figure counts from SIGINT too.
            loop.call_later(term_s + kill_s, self._escalate, term_s + kill_s, signal.SIGTERM, signal.SIGKILL),
        ]

    def _escalate(self, after_s: float, sent: signal.Signals, next_signal: signal.Signals) -> None:
        get_logger(self._name).error(
            f"process[{self._name}] failed to terminate '{after_s}' seconds after receiving '{sent.name}', "
            f"escalating to '{next_signal.name}'"
        )
        if next_signal == signal.SIGKILL:
            self._groups.remember_segments(self._child.pid)
        send(next_signal, self._child, self._name)

    def cancel(self) -> None:
        """Send nothing more."""
        for timer in self._timers:
            timer.cancel()
