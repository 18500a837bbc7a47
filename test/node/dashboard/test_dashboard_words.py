# SPDX-License-Identifier: Apache-2.0
"""Words and numbers as people read them, curves of bounded size, and the inbox."""

import pytest

from mimedi_nodes.dashboard import wording
from mimedi_nodes.dashboard.inbox import Inbox
from mimedi_nodes.dashboard.qt import QtWidgets
from mimedi_nodes.dashboard.series import Series
from mimedi_nodes.dashboard.views import (
    AlarmPriority,
    AlarmState,
    AlarmsView,
    AlarmView,
)


@pytest.mark.parametrize(
    ("value_h", "said"),
    [
        (0.2, "12 min"),
        (1.0, "1 h 00"),
        (23.99, "23 h 59"),
        (23.999, "1 d 0 h"),
        (87.4, "3 d 15 h"),
        (float("nan"), "–"),
    ],
)
def test_durations(value_h, said):
    assert wording.hours(value_h) == said


@pytest.mark.parametrize(("value", "said"), [(2.314e9, "2.31 × 10⁹"), (0.0, "0"), (3e-4, "3.00 × 10⁻⁴")])
def test_powers(value, said):
    assert wording.powers(value) == said


@pytest.mark.parametrize(
    ("joined", "said"),
    [
        ("", ""),
        ("a.b.sort", "a.b.sort"),
        ("a.b.sort,a.b.mix", "a.b: sort, mix"),
        ("a.b.sort, a.c.mix", "a: b.sort, c.mix"),
        ("a.sort,b.mix", "a.sort, b.mix"),
        ("a.b,a.b", "a: b, b"),
    ],
)
def test_phases_in_parallel_say_their_common_name_once(joined, said):
    assert wording.phases(joined) == said


def test_a_long_alarm_is_cut_between_words_and_whole_in_its_tool_tip(overview):
    long = "The line " + "is silent " * 30
    overview.show_items([AlarmsView((AlarmView("a", AlarmState.UNACKNOWLEDGED, AlarmPriority.HIGH, message=long),))])
    (first,) = [w for w in overview.alarms.rows["a"].findChildren(QtWidgets.QLabel) if w.toolTip() == long]
    assert first.text().endswith(("silent…", "is…"))
    assert len(first.text()) <= 110


def test_a_curve_stays_bounded_keeps_its_span_and_starts_anew_when_time_goes_back():
    series = Series(limit=100)
    for second in range(10_000):
        series.add(float(second), float(second))
    assert 25 <= len(series.times_s) < 100
    assert series.times_s[0] == 0.0
    assert series.times_s[-1] > 9_700
    assert series.times_s == sorted(series.times_s)
    assert series.latest() == 9999.0
    series.add(5.0, 1.0)
    assert series.times_s == [5.0]


def test_a_record_is_laid_before_what_was_heard_once_and_again_only_for_what_was_not_heard():
    record = [(float(second), 1.0) for second in range(0, 100, 10)]
    series = Series()
    series.add(95.0, 2.0)
    assert series.precede(record, until_s=95.0)
    assert series.times_s == [float(second) for second in range(0, 100, 10)] + [95.0]
    for second in (100.0, 110.0):
        series.add(second, 2.0)
        record.append((second, 2.0))
    assert not series.precede(record, until_s=110.0)  # it was heard
    record.append((120.0, 3.0))
    assert series.precede(record, until_s=120.0)  # it was not
    assert series.latest() == 3.0
    assert series.times_s == sorted(set(series.times_s))


def test_the_inbox_keeps_the_newest_of_each_kind_and_calls_once():
    calls = []
    inbox = Inbox(lambda: calls.append(1))
    for value in range(100):
        inbox.post("a", value)
        inbox.post("b", -value)
    assert calls == [1]
    assert inbox.take() == [99, -99]
    assert inbox.take() == []
    inbox.post("a", 0)
    assert calls == [1, 1]
