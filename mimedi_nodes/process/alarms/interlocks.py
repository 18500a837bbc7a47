# SPDX-License-Identifier: Apache-2.0
"""Interlocks between modules: which module holds while the cause of which alarm stands, from `config/interlocks.yaml`.

Each module's shell hears the sources' own events and acts by itself: neither coordinator nor supervisor has a part.
Shelving, suppressing or acknowledging an alarm changes nothing here: only its cause counts (ANSI/ISA-18.2-2016; an
interlock is no alarm).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from ..yaml_tree import read_document
from .table import AlarmTable

ALL, BATCHES = "all", "batches"
"""Every module; the procedures of all batches, which the coordinator holds."""


class Interlocks:
    """What interlocks one module or the batches, and which of it stands.

    Args:
        causes: alarms that interlock it.
    """

    def __init__(self, causes: Collection[str]) -> None:
        self.causes = frozenset(causes)
        self._standing: dict[tuple[str, str], str] = {}

    def hear(self, alarm_id: str, source: str, message: str, active: bool) -> bool:
        """Take what a source says; return whether anything has changed."""
        if alarm_id not in self.causes:
            return False
        before = self.standing
        if active:
            self._standing[alarm_id, source] = message
        else:
            self._standing.pop((alarm_id, source), None)
        return self.standing.keys() != before.keys()

    @property
    def standing(self) -> Mapping[str, str]:
        """Alarms whose cause stands, with what was seen."""
        return {alarm_id: f"{alarm_id} ({message})" for (alarm_id, _), message in self._standing.items()}


def read_interlocks(path: Path, modules: Collection[str], alarms: AlarmTable) -> dict[str, frozenset[str]]:
    """Return alarm → modules that it interlocks, and `batches`.

    Raises:
        DiagnosticError: the file cannot be read or is wrong, with every line that is.
    """
    reader, root = read_document(path, required=("interlocks",))
    found = {}
    for alarm_id, tree in reader.mapping(root.get("interlocks"), optional=None).items():
        if not alarms.has(alarm_id):
            reader.wrong(tree, f"{alarm_id!r} is no alarm of the alarm table", value=alarm_id)
        names = {reader.text(item, (ALL, BATCHES, *modules)) for item in reader.items(tree, at_least=1)}
        found[alarm_id] = frozenset((names - {ALL}) | (set(modules) if ALL in names else set()))
    reader.finish()
    return found


def causes_of(module: str, interlocks: Mapping[str, Collection[str]]) -> frozenset[str]:
    """Return the alarms that interlock a module, or `batches`."""
    return frozenset(alarm_id for alarm_id, modules in interlocks.items() if module in modules)
