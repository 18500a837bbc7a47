# SPDX-License-Identifier: Apache-2.0
"""Figures of an alarm system over a batch: rate, floods, chattering, stale alarms, shares of the priorities.

Targets after ANSI/ISA-18.2-2016 and EEMUA 191: about 6 alarms an hour an operator, at most 1 % of ten-minute windows
with more than 10 alarms, no chattering alarm, fewer than 5 stale alarms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ..events import RecordEvent
from ..facts import alarm_key

WINDOW_S = 600.0
FLOOD_BEGINS, FLOOD_ENDS = 10, 5
"""A flood begins with more than 10 alarms in ten minutes and ends with fewer than 5."""
CHATTER_COUNT, CHATTER_S = 3, 60.0
"""Chattering: the same alarm three times or more within a minute."""
STALE_S = 86400.0
"""Stale: standing for more than a day."""
TARGET_PER_HOUR = 6.0
TARGET_BUSY_SHARE = 0.01
TARGET_STALE = 5


@dataclass(frozen=True)
class AlarmFigures:
    """Figures over a time; times in process time [s].

    Args:
        count: alarms raised.
        per_hour: on average.
        busiest: most alarms in any ten minutes.
        busy_share: share of ten-minute windows with more than 10 alarms.
        floods: begin and end of each flood.
        chattering: alarms that chatter, with how often they were raised.
        stale: alarms that stood for more than a day, or stand so at the end.
        most_frequent: the ten most frequent, with their counts.
        priorities: count of each priority.
    """

    count: int
    per_hour: float
    busiest: int
    busy_share: float
    floods: Sequence[tuple[float, float]] = ()
    chattering: Sequence[tuple[str, int]] = ()
    stale: Sequence[str] = ()
    most_frequent: Sequence[tuple[str, int]] = ()
    priorities: dict[str, int] = field(default_factory=dict)

    @property
    def is_within_targets(self) -> bool:
        """Whether the operator was neither flooded nor kept busy by nonsense."""
        calm = self.per_hour <= TARGET_PER_HOUR and self.busy_share <= TARGET_BUSY_SHARE
        return calm and not self.chattering and len(self.stale) < TARGET_STALE


def alarm_figures(events: Iterable[RecordEvent]) -> AlarmFigures:
    """Return the figures of a record; alarms whose time is unknown are left out."""
    known = [event for event in events if event.process_time_s == event.process_time_s]
    raised = sorted((e for e in known if e.kind == "alarm_raised"), key=lambda e: e.process_time_s)
    times = [event.process_time_s for event in raised]
    begin, end = (min(e.process_time_s for e in known), max(e.process_time_s for e in known)) if known else (0.0, 0.0)
    span_s = max(end - begin, WINDOW_S)
    windows = Counter(int((time_s - begin) // WINDOW_S) for time_s in times)
    busy = sum(count > FLOOD_BEGINS for count in windows.values())
    names = Counter(_name(event) for event in raised)
    return AlarmFigures(
        count=len(raised),
        per_hour=len(raised) / (span_s / 3600.0),
        busiest=max((_within(times, index, WINDOW_S) for index in range(len(times))), default=0),
        busy_share=busy / max(1.0, span_s / WINDOW_S),
        floods=_floods(times),
        chattering=_chattering(raised),
        stale=_stale(known, end),
        most_frequent=names.most_common(10),
        priorities=dict(Counter(_priority(event) for event in raised)),
    )


def _within(times: Sequence[float], last: int, span_s: float) -> int:
    """How many came within the time that ends with number `last`."""
    first = last
    while first > 0 and times[last] - times[first - 1] < span_s:
        first -= 1
    return last - first + 1


def _floods(times: Sequence[float]) -> list[tuple[float, float]]:
    floods: list[tuple[float, float]] = []
    begun: float | None = None
    for index, time_s in enumerate(times):
        count = _within(times, index, WINDOW_S)
        if begun is None and count > FLOOD_BEGINS:
            begun = time_s
        elif begun is not None and count < FLOOD_ENDS:
            floods.append((begun, time_s))
            begun = None
    if begun is not None:
        # It ends when so many have left the window that fewer than five are in it.
        floods.append((begun, times[-min(FLOOD_ENDS, len(times))] + WINDOW_S))
    return floods


def _chattering(raised: Sequence[RecordEvent]) -> list[tuple[str, int]]:
    by_name: dict[str, list[float]] = {}
    for event in raised:
        by_name.setdefault(_name(event), []).append(event.process_time_s)
    return [
        (name, len(times))
        for name, times in by_name.items()
        if any(_within(times, index, CHATTER_S) >= CHATTER_COUNT for index in range(len(times)))
    ]


def _stale(events: Sequence[RecordEvent], end_s: float) -> list[str]:
    since: dict[str, tuple[str, float]] = {}
    stale: dict[str, None] = {}
    for event in events:
        if event.kind == "alarm_raised":
            since.setdefault(alarm_key(event), (_name(event), event.process_time_s))
        elif event.kind == "alarm_cleared":
            name, time_s = since.pop(alarm_key(event), ("", event.process_time_s))
            if event.process_time_s - time_s > STALE_S:
                stale[name] = None
    stale |= {name: None for name, time_s in since.values() if end_s - time_s > STALE_S}
    return list(stale)


def _name(event: RecordEvent) -> str:
    return str(event.data.get("alarm_id", event.what))


def _priority(event: RecordEvent) -> str:
    """Priority by its name, whichever way its source has written it."""
    said = str(event.data.get("priority", "")).lower()
    return {"1": "low", "2": "medium", "3": "high"}.get(said, said or "unstated")
