# SPDX-License-Identifier: Apache-2.0
"""On- and off-delays of alarms (ANSI/ISA-18.2-2016): what comes and goes within them is not shown.

They belong to what people see. Interlocks and phases act on the cause at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .table import AlarmEntry

Key = tuple[str, str]
"""Alarm id and source."""


@dataclass(frozen=True)
class Waiting:
    """A change that is waited with.

    Args:
        active: whether the alarm would be raised or cleared.
        due_s: process time at which it takes effect [s].
    """

    active: bool
    due_s: float
    message: str = ""


@dataclass
class AlarmDelays:
    """Changes of alarms that have not taken effect yet."""

    _waiting: dict[Key, Waiting] = field(default_factory=dict)

    def take(
        self, key: Key, entry: AlarmEntry, active: bool, is_raised: bool, message: str, time_s: float
    ) -> bool:
        """Return whether what a source says takes effect now; otherwise it waits, or ends a waiting.

        Args:
            is_raised: whether the cause stands for the board so far.
            time_s: process time [s]; while it is unknown nothing is delayed.
        """
        if active == is_raised:
            self._waiting.pop(key, None)
            return active  # the same again: a new message may be told
        delay_s = entry.on_delay_s if active else entry.off_delay_s
        if delay_s <= 0.0 or not math.isfinite(time_s):
            self._waiting.pop(key, None)
            return True
        known = self._waiting.get(key)
        due_s = known.due_s if known is not None else time_s + delay_s
        if due_s <= time_s:
            self._waiting.pop(key, None)
            return True
        self._waiting[key] = Waiting(active, due_s, message)
        return False

    def due(self, time_s: float) -> list[tuple[Key, Waiting]]:
        """Return and forget the changes that take effect by process time `time_s` [s]."""
        ready = [(key, waiting) for key, waiting in self._waiting.items() if waiting.due_s <= time_s]
        for key, _ in ready:
            del self._waiting[key]
        return ready

    def as_fields(self) -> list[dict[str, Any]]:
        """Return plain values, for `restore`."""
        return [{"alarm_id": k[0], "source": k[1], **asdict(waiting)} for k, waiting in self._waiting.items()]

    def restore(self, fields: Iterable[Mapping[str, Any]]) -> None:
        """Take over what an earlier life waited with; raises KeyError, TypeError or ValueError for other values."""
        for values in fields:
            key = (str(values["alarm_id"]), str(values["source"]))
            self._waiting[key] = Waiting(bool(values["active"]), float(values["due_s"]), str(values["message"]))
