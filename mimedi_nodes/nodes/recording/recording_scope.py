# SPDX-License-Identifier: Apache-2.0
"""Whose data a message is: a patient's recording carries nothing of another patient's. Free of ROS."""

from __future__ import annotations

import re
from collections.abc import Set

from ...records.events import RecordEvent

_PERSONS = ("patient", "patient_id", "donor", "donor_id")
ROOM = "enclosure"
"""The room's state is every batch's."""


class RecordingScope:
    """What the record has told so far of batches, persons and who works for whom.

    Args:
        modules: names of the modules; topics below them are a module's.
    """

    def __init__(self, modules: Set[str]) -> None:
        self._modules = modules - {ROOM}
        self._names: dict[str, frozenset[str]] = {}
        self._owners: dict[str, tuple[float, str]] = {}
        self._in_production: set[str] = set()
        self._any: re.Pattern[bytes] | None = None

    def follow(self, event: RecordEvent) -> None:
        """Learn from an event of any batch."""
        if event.kind == "batch_ended":
            self._in_production.discard(event.batch_id)
            return
        self._in_production.add(event.batch_id)
        if event.kind == "batch_started":
            persons = {str(event.data[name]) for name in _PERSONS if event.data.get(name)}
            self._names[event.batch_id] = frozenset({event.batch_id, *persons})
            # The longest first: one name may begin as another one does.
            known = sorted({name for names in self._names.values() for name in names}, key=len, reverse=True)
            names = b"|".join(re.escape(name.encode()) for name in known)
            self._any = re.compile(rb"(?<![A-Za-z0-9_.-])(?:" + names + rb")(?![A-Za-z0-9_])")
        elif event.kind == "phase_intended":
            self._take_over(event, str(event.data.get("module", "")))
        elif event.kind == "unit_bound":
            for module in event.data.get("modules", ()):
                self._take_over(event, str(module))

    def _take_over(self, event: RecordEvent, module: str) -> None:
        since_s, _ = self._owners.get(module, (event.process_time_s, ""))
        if event.process_time_s >= since_s:
            self._owners[module] = (event.process_time_s, event.batch_id)

    def is_of(self, batch_id: str, topic: str, data: bytes, said: str | None) -> bool:
        """Return whether a message belongs into the recording of a batch.

        Args:
            topic: its name within the workcell, such as `incubator/telemetry`.
            data: the serialized message; names stand in it as UTF-8.
            said: the batch that the message itself names; None where its type names none, empty when it names none.
        """
        if said:
            return said == batch_id
        own = self._names.get(batch_id, frozenset({batch_id}))
        if self._any is not None and any(found[0].decode() not in own for found in self._any.finditer(data)):
            return False
        module = topic.partition("/")[0]
        # With several in production, what a module tells is of the one it has worked for last; of nobody's, nobody's.
        alone = self._in_production <= {batch_id}
        return alone or module not in self._modules or self._owners.get(module, (0.0, ""))[1] == batch_id
