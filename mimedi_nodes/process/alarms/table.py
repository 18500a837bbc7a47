# SPDX-License-Identifier: Apache-2.0
"""The rationalised alarm table: what each alarm means and what the operator does about it.

Source: ANSI/ISA-18.2-2016, rationalisation: an alarm without a response of the operator is none.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..yaml_tree import Reader, Tree, read_document

_KEYS = ("priority", "latched", "cause", "consequence", "response")
_OPTIONAL = ("on_delay_s", "off_delay_s", "suppressed_while")
LONGEST_DELAY_S = 3600.0
LONGEST_HIGH_DELAY_S = 30.0
"""Longest on-delay of an alarm of priority HIGH [s]: its operator has minutes only."""
_ALARM_ID = re.compile(r"(<[a-z_]+>|[a-z0-9_])+(\.(<[a-z_]+>|[a-z0-9_])+)+\Z")
_PLACE = re.compile(r"<[a-z_]+>")


class Priority(enum.IntEnum):
    """Priorities, numbered as in mimedi_msgs/Alarm."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


@dataclass(frozen=True)
class AlarmEntry:
    """What the table says about an alarm.

    Args:
        alarm_id: its id, or a pattern with places such as `<module>.<instrument>_fault`.
        priority: how soon the operator has to act.
        latched: whether it stays after its cause has gone, until it is reset.
        cause: what usually causes it.
        consequence: what happens when nobody acts.
        response: what the operator should do.
        on_delay_s: how long the cause must stand before it is shown [s].
        off_delay_s: how long it must have gone before that is shown [s].
        suppressed_while: alarms that explain this one; while one of them stands it is suppressed by design.
    """

    alarm_id: str
    priority: Priority
    latched: bool
    cause: str
    consequence: str
    response: str
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    suppressed_while: tuple[str, ...] = ()

    def matches(self, alarm_id: str) -> bool:
        """Return whether the entry is about this alarm."""
        literal = [re.escape(part) for part in _PLACE.split(self.alarm_id)]
        return re.fullmatch("[a-z0-9_]+".join(literal), alarm_id) is not None

    @property
    def specificity(self) -> tuple[bool, int]:
        """Rank among entries that match the same alarm: the exact one first, then the one with most fixed letters."""
        fixed = _PLACE.sub("", self.alarm_id)
        return fixed == self.alarm_id, len(fixed)


class AlarmTable:
    """All entries, asked by alarm id; the most specific entry that matches counts."""

    def __init__(self, entries: Sequence[AlarmEntry]) -> None:
        self.entries = tuple(sorted(entries, key=lambda entry: entry.specificity, reverse=True))

    def has(self, alarm_id: str) -> bool:
        """Return whether an entry is about this alarm."""
        return any(entry.matches(alarm_id) for entry in self.entries)

    def entry(self, alarm_id: str) -> AlarmEntry:
        """Return the entry of an alarm, with its own id; for one without entry, one of MEDIUM that says so."""
        for entry in self.entries:
            if entry.matches(alarm_id):
                # A place in front of what suppresses it is the same module.
                module = alarm_id.split(".", 1)[0]
                suppressors = tuple(name.replace("<module>", module) for name in entry.suppressed_while)
                return replace(entry, alarm_id=alarm_id, suppressed_while=suppressors)
        return AlarmEntry(
            alarm_id,
            Priority.MEDIUM,
            True,
            "unknown",
            "unknown",
            f"Not in the alarm table: look at its source and message; then add {alarm_id} to config/alarms.yaml",
        )


def read_alarm_table(path: Path) -> AlarmTable:
    """Return the alarm table of a file.

    Raises:
        DiagnosticError: the file cannot be read or is wrong, with every line that is.
    """
    reader, root = read_document(path, required=("alarms",))
    entries = [_entry(reader, key, tree) for key, tree in reader.mapping(root.get("alarms"), optional=None).items()]
    for entry in entries:
        for name in entry.suppressed_while:
            if not any(other.matches(re.sub(_PLACE, "x", name)) for other in entries):
                reader.wrong(root["alarms"], f"{entry.alarm_id}: {name!r} is no alarm of this table", value=name)
    reader.finish()
    return AlarmTable(entries)


def _entry(reader: Reader, alarm_id: str, tree: Tree) -> AlarmEntry:
    if not _ALARM_ID.match(alarm_id):
        reader.wrong(tree, "no alarm id", "<module>.<what>, small letters, digits, _ and places in <>", value=alarm_id)
    fields = reader.mapping(tree, required=_KEYS, optional=_OPTIONAL)
    priority = reader.text(fields.get("priority"), [p.name.lower() for p in Priority], default="medium")
    longest_s = LONGEST_HIGH_DELAY_S if priority == "high" else LONGEST_DELAY_S
    return AlarmEntry(
        alarm_id,
        Priority[priority.upper()],
        reader.flag(fields.get("latched")),
        reader.text(fields.get("cause")),
        reader.text(fields.get("consequence")),
        reader.text(fields.get("response")),
        reader.number(fields.get("on_delay_s"), 0.0, longest_s),
        reader.number(fields.get("off_delay_s"), 0.0, LONGEST_DELAY_S),
        reader.texts(fields.get("suppressed_while")),
    )
