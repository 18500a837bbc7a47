# SPDX-License-Identifier: Apache-2.0
"""The alarm board, off-screen and clicked."""

import dashboard_scene as scene
import pytest
from dashboard_hand import NAME, mark, text

from mimedi_nodes.dashboard.boards.alarm_board import FloodMeter
from mimedi_nodes.dashboard.look import wording
from mimedi_nodes.dashboard.look.qt import QtWidgets
from mimedi_nodes.dashboard.views import (
    AlarmPriority,
    AlarmState,
    AlarmsView,
    AlarmView,
    PresenceView,
    Reply,
    Request,
    RequestKind,
)


def an_alarm(name, state=AlarmState.UNACKNOWLEDGED, priority=AlarmPriority.MEDIUM):
    return AlarmView(name, state, priority, "s", f"{name} seen", "do", 1.0)


def test_the_chosen_alarm_tells_cause_consequence_and_response(show):
    board = show("alarms")
    board.show_items([scene.everybody(), AlarmsView((an_alarm("incubator.co2_low"),))])
    assert "CO2" in text(board, "alarm_cause") or "gas" in text(board, "alarm_cause").lower()
    assert text(board, "alarm_consequence") != "–"
    assert text(board, "alarm_message") == "incubator.co2_low seen"
    assert text(board, "alarm_headline") == "1 alarms, 1 wait"
    assert mark(board, "alarm_headline") == "medium"


@pytest.mark.parametrize("state", [s for s in AlarmState if s is not AlarmState.NORMAL], ids=lambda s: s.name)
def test_only_the_acts_that_a_state_allows_are_offered(show, state):
    board = show("alarms")
    board.show_items([scene.everybody(), AlarmsView((an_alarm("a.b", state),))])
    enabled = {act for act, button in board.buttons.items() if button.isEnabled()}
    waiting = {AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED_UNACKNOWLEDGED, AlarmState.LATCHED_UNACKNOWLEDGED}
    silent = {AlarmState.SUPPRESSED_BY_DESIGN, AlarmState.OUT_OF_SERVICE}
    expected = set() if state in silent else {"unshelve"} if state is AlarmState.SHELVED else {"shelve"}
    if state in waiting:
        expected = expected | {"acknowledge"}
    elif state is AlarmState.LATCHED_ACKNOWLEDGED:
        expected = expected | {"reset"}
    assert enabled == expected
    board.show_items([PresenceView(frozenset())])
    assert not any(button.isEnabled() for button in board.buttons.values())
    assert {button.toolTip() for button in board.buttons.values()} == {wording.no_supervisor()}
    assert text(board, "alarm_headline") == "ALARMS NOT WATCHED"


def test_shelving_asks_for_person_reason_and_time(show):
    board = show("alarms")
    board.show_items([scene.everybody(), AlarmsView((an_alarm("a.b"),))])
    board.buttons["shelve"].click()
    dialog = board.dialog
    assert not dialog.confirm.isEnabled()
    dialog.who.setText(NAME)
    dialog.why.setText("valve is exchanged")
    dialog.findChild(QtWidgets.QDoubleSpinBox, "shelve_hours").setValue(2.5)
    dialog.confirm.click()
    assert board.requests == [Request(RequestKind.ALARM, "a.b", "shelve", NAME, "valve is exchanged", 2.5)]
    board.show_items([Reply(board.requests[0], False, "not now")])
    assert text(board, "alarm_told") == "shelve a.b: refused: not now"


def test_the_choice_stays_on_its_alarm_when_others_come(show):
    board = show("alarms")
    board.show_items([scene.everybody(), AlarmsView((an_alarm("a"), an_alarm("b", priority=AlarmPriority.LOW)))])
    board.list.selectRow(1)
    high = an_alarm("c", priority=AlarmPriority.HIGH)
    board.show_items([AlarmsView((an_alarm("a"), an_alarm("b", priority=AlarmPriority.LOW), high))])
    assert board.selected().alarm_id == "b"
    assert board.list.item(0, 2).text() == "c"


def test_the_flood_meter_begins_above_ten_and_ends_below_five():
    meter = FloodMeter()
    for k in range(11):
        meter.raised(float(k))
    assert (meter.count(10.0), meter.flood) == (11, True)
    assert (meter.count(605.5), meter.flood) == (5, True)
    assert (meter.count(606.5), meter.flood) == (4, False)
    for k in range(10):
        meter.raised(2000.0 + k)
    assert (meter.count(2010.0), meter.flood) == (10, False)


def test_alarms_that_stood_before_the_window_opened_are_no_flood(show):
    board = show("alarms")
    standing = tuple(an_alarm(f"a.n{k}") for k in range(20))
    board.show_items([scene.everybody(), AlarmsView(standing)])
    assert text(board, "flood") == "0 new in 10 min"
    board.show_items([AlarmsView((*standing, *(an_alarm(f"b.n{k}") for k in range(11))))])
    assert text(board, "flood") == "FLOOD  ·  11 new in 10 min"
    board.clock.now_s += 601.0
    board.refresh()
    assert text(board, "flood") == "0 new in 10 min"


def test_the_history_of_the_batch_is_listed_newest_first(show):
    board = show("alarms")
    board.show_items([scene.history()])
    assert board.history.item(0, 1).text() == "raised"
    assert board.history.item(1, 3).text() == NAME
