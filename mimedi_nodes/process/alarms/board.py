# SPDX-License-Identifier: Apache-2.0
"""The workcell's alarms on one board: what is shown, shelved, suppressed and out of service."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from .delays import AlarmDelays
from .states import CAUSE_STANDS, HIDDEN, Alarm, AlarmAct, AlarmError, AlarmState, next_state
from .table import AlarmTable, Priority

MAX_SHELVE_H = 24.0
"""Longest time [h] for which an operator may shelve an alarm."""


@dataclass
class AlarmBoard:
    """All alarms of a workcell that are not normal, oldest first.

    Args:
        table: the rationalised alarm table.
    """

    table: AlarmTable
    _alarms: dict[tuple[str, str], Alarm] = field(default_factory=dict)
    _delays: AlarmDelays = field(default_factory=AlarmDelays)
    _out_of_service: frozenset[str] = frozenset()
    _removed: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Alarm]:
        return iter(self._alarms.values())

    def __len__(self) -> int:
        return len(self._alarms)

    def report(self, alarm_id: str, source: str, message: str, active: bool, time_s: float) -> Alarm | None:
        """Take what a source says about its alarm; return the alarm when anything shown has changed.

        Args:
            alarm_id: key of the table; one that has no entry is taken with priority MEDIUM and says so.
            source: who says it.
            message: what was seen.
            active: whether the condition stands.
            time_s: process time [s].
        """
        known = self._alarms.get((alarm_id, source))
        is_raised = known is not None and known.beneath in CAUSE_STANDS
        entry = known.entry if known is not None else self.table.entry(alarm_id)
        if not self._delays.take((alarm_id, source), entry, active, is_raised, message, time_s):
            return None
        return self._report(alarm_id, source, message, active, time_s)

    def _report(self, alarm_id: str, source: str, message: str, active: bool, time_s: float) -> Alarm | None:
        key = (alarm_id, source)
        alarm = self._alarms.get(key)
        if alarm is None:
            if not active:
                return None
            alarm = self._alarms[key] = Alarm(alarm_id, source, self.table.entry(alarm_id))
        told = bool(message) and message != alarm.message
        if told:
            alarm.message = message
        changed = alarm.act(AlarmAct.RAISE if active else AlarmAct.CLEAR, time_s)
        self._hide_by_design(time_s)
        self._forget_normal()
        return alarm if changed or told else None

    def act(self, alarm_id: str, act: str, time_s: float, shelve_h: float = 0.0, why: str = "") -> list[Alarm]:
        """Carry out an operator's act on the alarms of this id, of whatever source; return those that it moved.

        Args:
            alarm_id: the alarm.
            act: acknowledge, reset, shelve, unshelve, remove (from service) or restore.
            time_s: process time [s].
            shelve_h: for shelve: process time [h] after which the alarm comes back.
            why: reason; shelving, removing and restoring need one.

        Raises:
            AlarmError: no such alarm, an unknown act, or one that no alarm of this id allows now.
        """
        choices = ("acknowledge", "reset", "shelve", "unshelve", "remove", "restore")
        if act not in choices:  # suppression by design is no person's act
            raise AlarmError(f"act is {act!r}; allowed: {', '.join(choices)}")
        if act in ("remove", "restore"):
            return self._serve(alarm_id, act, time_s, why)
        meant = [alarm for alarm in self if alarm.alarm_id == alarm_id]
        if not meant:
            known = ", ".join(sorted({alarm.alarm_id for alarm in self})) or "none"
            raise AlarmError(f"there is no alarm {alarm_id!r} to {act}; standing alarms: {known}")
        if act == "shelve":
            self._check_shelving(time_s, shelve_h, why)
        moved: list[Alarm] = []
        refusal: AlarmError | None = None
        for alarm in meant:
            try:
                if alarm.act(AlarmAct(act), time_s):
                    moved.append(alarm)
            except AlarmError as error:
                refusal = error
                continue
            if act == "shelve":
                alarm.until_s = time_s + shelve_h * 3600.0
        if not moved and refusal is not None:
            raise AlarmError(f"{alarm_id}: {refusal}")
        self._forget_normal()
        return moved

    def _serve(self, alarm_id: str, act: str, time_s: float, why: str) -> list[Alarm]:
        """Take one alarm out of service, standing or not, or back; what is raised meanwhile goes on underneath."""
        if not why.strip():
            raise AlarmError(f"why is empty; an alarm is {act}d for a reason: say which")
        if act == "restore" and alarm_id not in self._removed:
            known = ", ".join(sorted(self._removed)) or "none"
            raise AlarmError(f"{alarm_id} is not out of service by itself; out of service: {known}")
        if act == "remove":
            if not self.table.has(alarm_id):
                raise AlarmError(f"there is no alarm {alarm_id!r} in the alarm table")
            if alarm_id in self._removed:
                raise AlarmError(f"{alarm_id} is out of service already")
        before = {key: alarm.state for key, alarm in self._alarms.items()}
        alarms = list(self)
        if act == "remove":
            self._removed[alarm_id] = why
        else:
            del self._removed[alarm_id]
        self._hide_by_design(time_s)
        self._forget_normal()
        return [alarm for alarm in alarms if alarm.state != before[alarm.alarm_id, alarm.source]]

    @property
    def removed(self) -> Mapping[str, str]:
        """Single alarms that people have taken out of service, with why."""
        return self._removed

    @staticmethod
    def _check_shelving(time_s: float, shelve_h: float, why: str) -> None:
        if not math.isfinite(time_s):
            raise AlarmError("process time is not known yet, so no shelving could end; try again when time passes")
        if not 0.0 < shelve_h <= MAX_SHELVE_H:
            raise AlarmError(f"shelve_h is {shelve_h}; allowed: above 0 to {MAX_SHELVE_H:g} h")
        if not why.strip():
            raise AlarmError("why is empty; an alarm is shelved for a reason: say which")

    def pass_time(self, time_s: float) -> list[Alarm]:
        """Bring back the alarms whose shelving has ended by process time `time_s` [s]; return them."""
        due = [a for a in self if a.state == AlarmState.SHELVED and a.until_s <= time_s]
        for alarm in due:
            alarm.act(AlarmAct.UNSHELVE, time_s)
        self._hide_by_design(time_s)
        self._forget_normal()
        return due

    def settle(self, time_s: float) -> list[Alarm]:
        """Let delayed changes that are due at process time `time_s` [s] take effect; return the alarms that changed."""
        changed = [
            self._report(alarm_id, source, waiting.message, waiting.active, time_s)
            for (alarm_id, source), waiting in self._delays.due(time_s)
        ]
        return [alarm for alarm in changed if alarm is not None]

    def take_out_of_service(self, modules: Iterable[str], time_s: float) -> list[Alarm]:
        """Take the alarms of these modules out of service, and those of all others back; return the alarms that moved.

        A module's alarms are those whose id begins with its name. What is raised meanwhile goes on underneath.
        """
        before = {key: alarm.state for key, alarm in self._alarms.items()}
        alarms = list(self)
        self._out_of_service = frozenset(modules)
        self._hide_by_design(time_s)
        self._forget_normal()
        return [alarm for alarm in alarms if alarm.state != before[alarm.alarm_id, alarm.source]]

    def _hide_by_design(self, time_s: float) -> None:
        """Bring out of service, suppress and show again what maintenance and the table say."""
        raised = {alarm.alarm_id for alarm in self if alarm.beneath in CAUSE_STANDS}
        for alarm in self:
            removed = alarm.alarm_id.split(".", 1)[0] in self._out_of_service or alarm.alarm_id in self._removed
            explained = not removed and any(name in raised for name in alarm.entry.suppressed_while)
            if alarm.state == AlarmState.OUT_OF_SERVICE and not removed:
                alarm.act(AlarmAct.RESTORE, time_s)
            if alarm.state == AlarmState.SUPPRESSED_BY_DESIGN and not explained:
                alarm.act(AlarmAct.UNSUPPRESS, time_s)
            if alarm.state not in HIDDEN and (removed or explained):
                alarm.act(AlarmAct.REMOVE if removed else AlarmAct.SUPPRESS, time_s)

    def standing(self, alarm_id: str, source: str) -> Alarm | None:
        """Return an alarm that is not normal; None when there is none."""
        return self._alarms.get((alarm_id, source))

    def as_fields(self) -> list[dict[str, Any]]:
        """Return the board as plain values, for `restore`."""
        return [
            {
                "alarm_id": a.alarm_id,
                "source": a.source,
                "state": int(a.state),
                "message": a.message,
                "changed_s": None if math.isnan(a.changed_s) else a.changed_s,
                "beneath": int(a.beneath),
                "until_s": None if math.isinf(a.until_s) else a.until_s,
            }
            for a in self
        ] + [{"waiting": fields} for fields in self._delays.as_fields()] + [
            {"removed": alarm_id, "why": why} for alarm_id, why in sorted(self._removed.items())
        ]

    def restore(self, fields: list[dict[str, Any]]) -> None:
        """Take over the alarms that an earlier life of the board had; their entries come from today's table.

        Raises:
            AlarmError: the values are no board's.
        """
        try:
            self._delays.restore(values["waiting"] for values in fields if "waiting" in values)
            self._removed = {str(values["removed"]): str(values["why"]) for values in fields if "removed" in values}
            for values in fields:
                if "waiting" in values or "removed" in values:
                    continue
                alarm_id, source = str(values["alarm_id"]), str(values["source"])
                self._alarms[alarm_id, source] = Alarm(
                    alarm_id,
                    source,
                    self.table.entry(alarm_id),
                    AlarmState(values["state"]),
                    str(values["message"]),
                    math.nan if values["changed_s"] is None else float(values["changed_s"]),
                    AlarmState(values["beneath"]),
                    math.inf if values["until_s"] is None else float(values["until_s"]),
                )
        except (KeyError, TypeError, ValueError) as error:
            raise AlarmError(f"these are no alarms of a board: {error!r}") from error

    def _forget_normal(self) -> None:
        for key in [key for key, alarm in self._alarms.items() if alarm.state == AlarmState.NORMAL]:
            del self._alarms[key]


__all__ = ["Alarm", "AlarmAct", "AlarmBoard", "AlarmError", "AlarmState", "Priority", "next_state"]
