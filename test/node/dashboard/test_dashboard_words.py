# SPDX-License-Identifier: Apache-2.0
"""Words and numbers as people read them, curves of bounded size, and the inbox."""

import inspect
import re

import pytest

from mimedi_nodes.dashboard.feed.inbox import Inbox
from mimedi_nodes.dashboard.feed.series import Series
from mimedi_nodes.dashboard.look import french_names, language, wording
from mimedi_nodes.dashboard.look.alarm_words import TEXTS, origin, translations
from mimedi_nodes.dashboard.look.qt import QtWidgets
from mimedi_nodes.dashboard.look.record_words import exception_row
from mimedi_nodes.dashboard.look.record_words import test_row as release_row
from mimedi_nodes.dashboard.panels.mimic_plan import DOCKS_MM, plan_for
from mimedi_nodes.dashboard.views import (
    AlarmPriority,
    AlarmState,
    AlarmsView,
    AlarmView,
)
from mimedi_nodes.modules.registry import config_folder, known_modules
from mimedi_nodes.process.alarms.table import read_alarm_table
from mimedi_nodes.process.diagnostics import DiagnosticError
from mimedi_nodes.records import exceptions


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


# --- French ---


@pytest.fixture
def french():
    language.choose("fr")
    yield
    language.choose("en")


def test_every_alarm_says_in_french_what_its_english_texts_say_now():
    table = read_alarm_table(config_folder() / "alarms.yaml")
    said = translations(table, config_folder() / "alarms_fr.yaml")
    old = {e.alarm_id: origin(e) for e in table.entries if not all(getattr(e, name) in said for name in TEXTS)}
    assert old == {}, "translate these anew in config/alarms_fr.yaml; `of` is then what stands beside each"


def test_a_translation_of_other_words_is_not_shown(tmp_path):
    table = read_alarm_table(config_folder() / "alarms.yaml")
    path = tmp_path / "alarms_fr.yaml"
    entry = "transfer.door_open: {of: '00000000', cause: a, consequence: b, response: c}"
    path.write_text(f"alarms:\n  {entry}\n", encoding="utf-8")
    assert translations(table, path) == {}
    path.write_text(f"alarms:\n  {entry.replace('transfer', 'nobody')}\n", encoding="utf-8")
    with pytest.raises(DiagnosticError, match="no alarm of the alarm table"):
        translations(table, path)


def test_a_french_board_speaks_french_of_what_has_a_name_here_and_leaves_what_people_wrote(french, show):
    entry = read_alarm_table(config_folder() / "alarms.yaml").entry("transfer.door_open")
    own = AlarmView("a.b", AlarmState.UNACKNOWLEDGED, AlarmPriority.LOW, "seen", response="Call Anna")
    door = AlarmView(
        "transfer.door_open", AlarmState.UNACKNOWLEDGED, AlarmPriority.MEDIUM, "open", response=entry.response
    )
    board = show("alarms")
    board.show_items([AlarmsView((door,))])
    assert board.details["cause"].text() == "Le protecteur du portique est ouvert."
    assert board.details["response"].text() == "Fermer le protecteur, puis redémarrer."
    assert board.list.item(0, 0).text().endswith("moyenne")
    overview = show("overview")
    overview.show_items([AlarmsView((door, own))])
    texts = [[w.text() for w in row.findChildren(QtWidgets.QLabel)] for row in overview.alarms.rows.values()]
    assert any("Fermer le protecteur" in text for text in texts[0])
    assert any("Call Anna" in text for text in texts[1])
    assert overview.modules.tiles["acoustic_sorter"].findChild(QtWidgets.QLabel).text() == "Trieur acoustique"


def test_all_modules_vessels_and_docks_have_french_names():
    assert {*known_modules(), "coordinator"} == set(french_names.MODULES)
    plan = plan_for(["incubator_2"])
    assert {vessel.name for vessel in (*plan.vessels, *plan_for([]).vessels)} == set(french_names.VESSELS)
    assert set(DOCKS_MM) == set(french_names.DOCKS)


def test_what_a_record_says_of_exceptions_and_verdicts_has_french_words(french):
    source = inspect.getsource(exceptions)
    kinds = set(re.findall(r'(?:CRITICAL|MAJOR|MINOR), "([a-z ]+)"', source))
    assert kinds >= {"held", "module lost", "lot expired"}
    kinds |= {"test fail", "test unknown", "alarm", "alarm, still standing"}  # put together there
    assert kinds == set(french_names.EXCEPTIONS)
    assert {exceptions.CRITICAL, exceptions.MAJOR, exceptions.MINOR} == set(french_names.GRADES)
    assert exception_row(("major", "module lost", "fluidics", "1.0", "7"))[1:3] == ("module perdu", "fluidics")
    assert exception_row(("major", "module lost"))[0].endswith("majeur")
    assert release_row(("Viability", "≥ 0.80", "0.9", "pass")) == ("Viability", "≥ 0.80", "0.9", "conforme")
