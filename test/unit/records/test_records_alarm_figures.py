# SPDX-License-Identifier: Apache-2.0
"""Figures of the alarm system: rate, floods, chattering, stale alarms."""

from __future__ import annotations

import math

import pytest
from nominal_batch import Story

from mimedi_nodes.records.facts import gather_facts, standing_alarms
from mimedi_nodes.records.report.alarm_figures import alarm_figures
from mimedi_nodes.records.report.rows import alarm_rows

HOUR = 3600.0


def story(*alarms: tuple[float, str], end_s: float = 10 * HOUR) -> Story:
    told = Story()
    told.tell("coordinator", 0.0, "batch_started", "B")
    for time_s, name in alarms:
        told.tell("x", time_s, "alarm_raised", name, alarm_id=name, priority="HIGH" if name == "a.high" else 2)
    told.tell("coordinator", end_s, "batch_ended", "B")
    return told


def test_a_quiet_batch_is_within_targets() -> None:
    figures = alarm_figures(story((100.0, "a.high"), (5000.0, "a.b")).events)
    assert (figures.count, figures.per_hour, figures.busiest) == (2, 0.2, 1)
    assert figures.priorities == {"high": 1, "medium": 1}
    assert figures.is_within_targets
    assert figures.floods == []


def test_a_flood_begins_with_eleven_and_ends_with_four_in_ten_minutes() -> None:
    flood = [(1000.0 + 10.0 * number, f"a.n{number}") for number in range(12)]
    later = [(1300.0 + 180.0 * number, f"a.m{number}") for number in range(6)]
    figures = alarm_figures(story(*flood, *later).events)
    # The eleventh alarm begins it; at 1,840 s only those of 1,300 to 1,840 s are left: four.
    assert figures.floods == [(1100.0, 1840.0)]
    assert figures.busiest == 14
    assert figures.busy_share == pytest.approx(1 / 60)
    assert not figures.is_within_targets


def test_a_flood_that_goes_on_to_the_end_ends_when_its_alarms_have_aged() -> None:
    figures = alarm_figures(story(*[(1000.0 + number, f"a.n{number}") for number in range(11)]).events)
    assert figures.floods == [(1010.0, 1606.0)]


def test_three_times_in_a_minute_is_chattering() -> None:
    calm = [(1000.0 + 31.0 * number, "a.calm") for number in range(5)]
    wild = [(5000.0 + 29.0 * number, "a.wild") for number in range(3)]
    figures = alarm_figures(story(*calm, *wild).events)
    assert figures.chattering == [("a.wild", 3)]
    assert figures.most_frequent[0] == ("a.calm", 5)


def test_what_stands_for_a_day_is_stale() -> None:
    told = story((0.0, "a.old"), (0.0, "a.cured"), (90000.0, "a.new"), end_s=100000.0)
    told.tell("x", 50000.0, "alarm_cleared", "a.cured", alarm_id="a.cured")
    told.events.sort(key=lambda event: event.process_time_s)
    assert alarm_figures(told.events).stale == ["a.old"]


def test_the_supervisor_clears_the_alarm_of_a_module_whose_process_died_and_only_that_one() -> None:
    told = story()
    for source in ("fluidics", "incubator"):
        told.tell(source, 100.0, "alarm_raised", "m.slow", alarm_id="m.slow")
        told.tell("supervisor", 150.0, "alarm_raised", "s.lost", alarm_id="s.lost", source=f"supervisor/{source}")
    told.tell("supervisor", 200.0, "alarm_cleared", "m.slow", alarm_id="m.slow", source="fluidics")
    told.tell("supervisor", 210.0, "alarm_cleared", "s.lost", alarm_id="s.lost", source="supervisor/fluidics")
    left = ["incubator/m.slow", "supervisor/incubator/s.lost"]
    assert sorted(standing_alarms(told.events)) == left
    rows = alarm_rows(gather_facts(told.events))
    assert sorted(f"{row['source']}/{row['id']}" for row in rows if not row["cleared"]) == left
    told.tell("x", 100.0 + 30.0 * HOUR, "note", "later")
    assert alarm_figures(told.events).stale == ["m.slow", "s.lost"]


def test_no_alarm_and_no_time_are_no_trouble() -> None:
    told = Story()
    told.tell("x", math.nan, "alarm_raised", "a.b", alarm_id="a.b")
    assert alarm_figures(told.events).count == 0
    assert alarm_figures([]).is_within_targets
