# SPDX-License-Identifier: Apache-2.0
"""The dashboard's real widgets, drawn off-screen and clicked, without ROS."""

import dataclasses
import os

import dashboard_scene as scene
import pytest

from mimedi_nodes.dashboard import theme, wording
from mimedi_nodes.dashboard.command_panel import CONSEQUENCES, allowed
from mimedi_nodes.dashboard.inbox import Inbox
from mimedi_nodes.dashboard.overview import Overview
from mimedi_nodes.dashboard.qt import QtCore, QtGui, QtWidgets
from mimedi_nodes.dashboard.series import Series
from mimedi_nodes.dashboard.views import (
    ACKNOWLEDGEABLE,
    AlarmPriority,
    AlarmState,
    AlarmsView,
    AlarmView,
    MeasurementView,
    ModuleView,
    PictureView,
    PresenceView,
    PromptView,
    Reply,
    Request,
    RequestKind,
    Source,
)
from mimedi_nodes.process.procedure_state import TRANSITIONS, ProcedureState
from mimedi_nodes.process.service_state import ServiceState

NAME = "A. Martin"


@pytest.fixture(scope="module")
def application():
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication([])


class Steady:
    """A steady clock in the test's hand."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Steady()


@pytest.fixture
def overview(application, clock):
    made = Overview(scene.MODULES, now_s=clock)
    made.requests = []
    made.requested.connect(made.requests.append)
    made.resize(1280, 800)
    made.show()
    yield made
    made.close()
    made.deleteLater()
    application.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)


def text(overview, name):
    """The text of a label by its name, elided or not."""
    found = overview.findChild(QtWidgets.QLabel, name)
    assert found is not None, name
    return found.whole() if hasattr(found, "whole") else found.text()


def mark(overview, name):
    return overview.findChild(QtWidgets.QLabel, name).property("attention")


def click(button):
    QtWidgets.QApplication.processEvents()  # lays out what has just been added
    assert button.isEnabled()
    assert button.isVisible()
    button.click()


def enabled(overview):
    return {str(command) for command, button in overview.commands.buttons.items() if button.isEnabled()}


# --- modules ---


@pytest.mark.parametrize("state", ServiceState, ids=lambda s: s.name)
def test_every_mtp_state_is_named_and_only_abnormal_ones_are_coloured(overview, state):
    overview.show_items([ModuleView("fluidics", int(state))])
    assert text(overview, "fluidics_state") == state.name
    name = state.name
    held = name in ("PAUSING", "PAUSED", "HOLDING", "HELD")
    ended = name in ("STOPPING", "ABORTING", "ABORTED")
    assert mark(overview, "fluidics_state") == ("held" if held else "high" if ended else "")


def test_a_code_that_is_no_state_is_shown_as_such(overview):
    overview.show_items([ModuleView("fluidics", 3)])
    assert text(overview, "fluidics_state") == "CODE 3?"
    assert mark(overview, "fluidics_state") == "stale"


def test_a_module_never_heard_of_has_no_data(overview):
    assert text(overview, "incubator_state") == "NO DATA"
    assert overview.modules.tiles["incubator"].stale


def test_a_silent_module_is_stale_after_five_seconds_and_fresh_again_when_it_speaks(overview, clock):
    overview.show_items(scene.modules())
    tile = overview.modules.tiles["incubator"]
    clock.now_s += 4.9
    overview.refresh()
    assert not tile.stale
    assert text(overview, "incubator_state") == "EXECUTE"
    clock.now_s += 3.1
    overview.refresh()
    assert tile.stale
    assert text(overview, "incubator_state") == "EXECUTE?"
    assert text(overview, "incubator_step") == "no sign of life for 8 s"
    overview.show_items([ModuleView("incubator", int(ServiceState.HELD), step="safe")])
    assert not tile.stale
    assert text(overview, "incubator_state") == "HELD"
    assert text(overview, "incubator_step") == "safe"


def test_the_last_error_goes_before_the_step_and_progress_belongs_to_work_only(overview):
    overview.show_items([ModuleView("fluidics", int(ServiceState.HELD), "MixContainer", "", "mixing", 0.3, "no reply")])
    tile = overview.modules.tiles["fluidics"]
    assert text(overview, "fluidics_step") == "no reply"
    assert text(overview, "fluidics_action") == "Mix container"
    assert tile.progress.value() == 300
    overview.show_items([ModuleView("fluidics", int(ServiceState.IDLE), "MixContainer", "", "mixed", 1.0)])
    assert tile.progress.value() == 0
    assert text(overview, "fluidics_action") == "last: mix container"
    # An error that has been cured no longer hides what the module does.
    overview.show_items([ModuleView("fluidics", int(ServiceState.EXECUTE), "MixContainer", "", "mixing", 0.1, "old")])
    assert text(overview, "fluidics_step") == "mixing"


def test_a_module_that_nobody_named_gets_a_tile(overview):
    overview.show_items([ModuleView("enclosure", int(ServiceState.IDLE))])
    assert text(overview, "enclosure_state") == "IDLE"


# --- batch and its commands ---


def test_batch_figures(overview):
    overview.show_items([scene.everybody(), scene.batch()])
    assert text(overview, "batch_state") == "RUNNING"
    assert mark(overview, "batch_state") == ""
    assert text(overview, "batch_day") == "6.4"
    assert text(overview, "batch_cells") == "2.31 × 10⁹"
    assert text(overview, "batch_left") == "3 d 15 h"
    assert text(overview, "batch_phase") == "expansion.grow.perfuse  ·  955 mL/d"
    progress = overview.findChild(QtWidgets.QProgressBar, "batch_progress")
    assert progress.value() == 640
    assert progress.text() == "64 %  ·  41 of 58 phases"
    assert not overview.batch.hold_reason.isVisible()


def test_unknown_figures_are_dashes(overview):
    nan = float("nan")
    unknown = scene.batch(process_day=nan, viable_cells=nan, expected_remaining_h=nan, progress=nan, phases_total=0)
    overview.show_items([scene.everybody(), unknown])
    for name in ("batch_day", "batch_cells", "batch_left"):
        assert text(overview, name) == wording.UNKNOWN
    assert overview.batch.progress.value() == 0
    assert overview.batch.progress.text() == wording.UNKNOWN


def test_a_held_batch_says_why(overview):
    overview.show_items([scene.everybody(), scene.batch(state="held", hold_reason="the pumps do not answer")])
    assert mark(overview, "batch_state") == "held"
    assert overview.batch.hold_reason.isVisible()
    assert text(overview, "batch_hold_reason") == "the pumps do not answer"
    overview.show_items([scene.batch()])
    assert not overview.batch.hold_reason.isVisible()


@pytest.mark.parametrize("state", ProcedureState, ids=str)
def test_commands_are_open_where_the_table_allows_them(overview, state):
    overview.show_items([scene.everybody(), scene.batch(state=str(state))])
    assert enabled(overview) == {str(c) for c in TRANSITIONS[state]} - {"start", "reset"}


def test_no_command_in_an_unknown_state_without_batch_or_without_coordinator(overview):
    assert enabled(overview) == set()
    overview.show_items([scene.everybody(), scene.batch(state="jumping")])
    assert enabled(overview) == set()
    assert allowed("jumping") == frozenset()
    overview.show_items([scene.batch(batch_id="")])
    assert enabled(overview) == set()
    overview.show_items([scene.batch()])
    assert enabled(overview) == {"pause", "hold", "stop", "abort"}
    overview.show_items([PresenceView(frozenset({Source.SUPERVISOR}))])
    assert enabled(overview) == set()


def test_a_lost_coordinator_is_told_and_dims_what_it_said(overview):
    assert text(overview, "batch_state") == "NO COORDINATOR"
    overview.show_items([scene.everybody(), scene.batch()])
    overview.show_items([PresenceView(frozenset())])
    assert text(overview, "batch_state") == "RUNNING?  COORDINATOR LOST"
    assert overview.batch.property("stale") is True
    overview.show_items([scene.everybody()])
    assert text(overview, "batch_state") == "RUNNING"
    assert overview.batch.property("stale") is False


def test_a_command_needs_person_and_reason_and_is_sent_once(overview):
    overview.show_items([scene.everybody(), scene.batch()])
    hold = next(b for c, b in overview.commands.buttons.items() if c == "hold")
    click(hold)
    dialog = overview.commands.dialog
    assert dialog.isVisible()
    assert not dialog.confirm.isEnabled()
    dialog.who.setText(NAME)
    assert not dialog.confirm.isEnabled()
    dialog.why.setText("   ")
    assert not dialog.confirm.isEnabled()
    dialog.why.setText(" bag is leaking ")
    click(dialog.confirm)
    assert overview.requests == [
        Request(RequestKind.COMMAND, "", "hold", NAME, "bag is leaking", batch_id="B2026-0117")
    ]
    assert "hold" not in enabled(overview)  # until the reply
    assert {"stop", "abort"} <= enabled(overview)
    overview.show_items([Reply(overview.requests[0], False, "no answer within 5 s")])
    assert "hold" in enabled(overview)
    assert text(overview, "command_told") == "hold refused: no answer within 5 s"


def test_going_back_sends_nothing_and_the_operators_name_is_proposed(overview):
    overview.show_items([scene.everybody(), scene.batch()])
    overview.operator.setText(NAME)
    overview.commands.buttons["abort"].click()
    dialog = overview.commands.dialog
    assert dialog.who.text() == NAME
    dialog.reject()
    assert overview.requests == []


def test_a_command_that_the_state_has_overtaken_is_not_sent(overview):
    overview.show_items([scene.everybody(), scene.batch()])
    click(overview.commands.buttons["pause"])
    dialog = overview.commands.dialog
    dialog.who.setText(NAME)
    dialog.why.setText("lunch")
    overview.show_items([scene.batch(state="held")])
    click(dialog.confirm)
    assert overview.requests == []
    assert "held" in text(overview, "command_told")


def test_every_command_of_the_service_has_a_button():
    assert {str(c) for c in CONSEQUENCES} == {"pause", "resume", "hold", "restart", "stop", "abort"}


# --- questions ---


def test_an_answer_is_signed_and_locked_until_the_reply(overview):
    overview.show_items([scene.everybody(), scene.question()])
    assert overview.prompt.isVisible()
    overview.operator.setText(NAME)
    click(overview.prompt.buttons["Keep"])
    assert overview.requests == [
        Request(RequestKind.ANSWER, "expansion.grow.lactate", "Keep", NAME, batch_id="B2026-0117")
    ]
    assert not overview.prompt.buttons["Raise"].isEnabled()
    overview.show_items([Reply(overview.requests[0], False, "the question is closed")])
    assert text(overview, "prompt_told") == "not taken: the question is closed"
    assert overview.prompt.buttons["Raise"].isEnabled()


def test_without_a_name_nothing_is_sent_and_the_name_is_asked_for(overview):
    overview.show_items([scene.everybody(), scene.question(), scene.alarms()])
    click(overview.prompt.buttons["Keep"])
    click(overview.alarms.rows["incubator.glucose_low"].button)
    assert overview.requests == []
    assert overview.operator.property("missing") is True
    assert overview.prompt.buttons["Keep"].isEnabled()
    overview.operator.setText(NAME)
    assert overview.operator.property("missing") is False
    click(overview.prompt.buttons["Keep"])
    assert len(overview.requests) == 1


def test_questions_queue_and_leave_when_answered(overview):
    first, second = PromptView("B1", "a", "First?", ("Yes", "No")), PromptView("B1", "b", "Second?")
    overview.show_items([first, second])
    assert text(overview, "prompt_question") == "First?"
    assert overview.prompt.title.text() == "QUESTION 1 of 2"
    overview.show_items([dataclasses.replace(first, open=False, answer="Yes", answered_by=NAME)])
    assert text(overview, "prompt_question") == "Second?"
    overview.show_items([dataclasses.replace(second, open=False)])
    assert not overview.prompt.isVisible()


def test_free_text_is_sent_without_blanks_and_not_empty(overview):
    overview.operator.setText(NAME)
    overview.show_items([PromptView("B1", "label", "Which label?")])
    field, send = overview.prompt.free_text, overview.prompt.buttons["Answer"]
    field.setText("  ")
    assert not send.isEnabled()
    field.setText(" =W0000 26 117 ")
    click(send)
    assert overview.requests == [Request(RequestKind.ANSWER, "label", "=W0000 26 117", NAME, batch_id="B1")]


def test_a_scanned_label_is_sent_by_its_line_end(overview):
    overview.operator.setText(NAME)
    overview.show_items([PromptView("B1", "label", "Which label?")])
    field = overview.prompt.free_text
    enter = QtGui.QKeyEvent(QtCore.QEvent.KeyPress, QtCore.Qt.Key_Return, QtCore.Qt.NoModifier)
    QtWidgets.QApplication.sendEvent(field, enter)
    assert overview.requests == []
    field.setText("=W1")
    QtWidgets.QApplication.sendEvent(field, enter)
    assert overview.requests == [Request(RequestKind.ANSWER, "label", "=W1", NAME, batch_id="B1")]


def test_questions_of_two_batches_wait_side_by_side_and_each_answer_names_its_own(overview):
    overview.operator.setText(NAME)
    first, second = (PromptView(batch, "scan", "Scan?", ("Yes",)) for batch in ("B1", "B2"))
    overview.show_items([scene.everybody(), scene.batch(batch_id="B1"), first, second])
    assert overview.prompt.title.text() == "QUESTION 1 of 2"
    assert text(overview, "prompt_question") == "Scan?"
    click(overview.prompt.buttons["Yes"])
    overview.show_items([dataclasses.replace(first, open=False)])
    assert text(overview, "prompt_question") == "B2: Scan?"
    overview.show_items([Reply(overview.requests[0], True)])  # late, and of the other question
    assert text(overview, "prompt_told") == ""
    click(overview.prompt.buttons["Yes"])
    assert [request.batch_id for request in overview.requests] == ["B1", "B2"]


def test_a_command_that_was_asked_for_one_batch_is_not_given_to_another(overview):
    overview.operator.setText(NAME)
    overview.show_items([scene.everybody(), scene.batch(batch_id="B1")])
    click(overview.commands.buttons["hold"])
    dialog = overview.commands.dialog
    assert dialog.windowTitle().endswith("B1")
    dialog.why.setText("a leak")
    overview.show_items([scene.batch(batch_id="B2")])
    dialog.confirm.click()
    assert overview.requests == []
    assert "not sent" in text(overview, "command_told")


def test_the_questions_of_a_batch_that_has_ended_go_whatever_comes_first(overview):
    overview.show_items([scene.everybody(), scene.batch(), scene.question()])
    assert overview.prompt.isVisible()
    overview.show_items([scene.batch(state="aborted")])
    assert not overview.prompt.isVisible()
    overview.show_items([scene.question()])  # latched, heard again
    assert not overview.prompt.isVisible()
    overview.show_items([scene.batch(state="running")])
    assert overview.prompt.isVisible()


def test_a_question_is_shown_as_it_is_written(overview):
    overview.show_items([PromptView("B1", "a", "<b>Bold</b> & sure?", ("Yes & go",))])
    assert text(overview, "prompt_question") == "<b>Bold</b> & sure?"
    assert overview.prompt.buttons["Yes & go"].text() == "Yes && go"  # Qt takes a single & for a shortcut


# --- alarms ---


def alarm(name, state, priority=AlarmPriority.MEDIUM, time_s=0.0):
    return AlarmView(name, state, priority, message=f"{name} happened", time_s=time_s)


def test_alarms_in_order_of_urgency_with_a_headline_in_the_worst_colour(overview):
    overview.show_items(
        [
            scene.everybody(),
            AlarmsView(
                (
                    alarm("low", AlarmState.UNACKNOWLEDGED, AlarmPriority.LOW),
                    alarm("seen", AlarmState.ACKNOWLEDGED, AlarmPriority.HIGH),
                    alarm("shelved", AlarmState.SHELVED, AlarmPriority.HIGH),
                    alarm("older", AlarmState.UNACKNOWLEDGED, AlarmPriority.MEDIUM, 1.0),
                    alarm("newer", AlarmState.UNACKNOWLEDGED, AlarmPriority.MEDIUM, 2.0),
                    alarm("normal", AlarmState.NORMAL, AlarmPriority.HIGH),
                )
            ),
        ]
    )
    assert list(overview.alarms.rows) == ["newer", "older", "low", "seen", "shelved"]
    QtWidgets.QApplication.processEvents()
    tops = [row.y() for row in overview.alarms.rows.values()]
    assert tops == sorted(tops)
    assert len(set(tops)) == 5
    assert text(overview, "alarm_headline") == "4 ALARMS"
    assert mark(overview, "alarm_headline") == "medium"


def test_headline_is_grey_when_all_is_acknowledged_or_gone(overview):
    overview.show_items([scene.everybody(), AlarmsView((alarm("a", AlarmState.ACKNOWLEDGED),))])
    assert (text(overview, "alarm_headline"), mark(overview, "alarm_headline")) == ("1 ALARM", "")
    overview.show_items([AlarmsView()])
    assert (text(overview, "alarm_headline"), mark(overview, "alarm_headline")) == ("No alarms", "")
    assert overview.alarms.rows == {}


def test_without_supervisor_nobody_claims_that_there_are_no_alarms(overview):
    assert text(overview, "alarm_headline") == "ALARMS NOT WATCHED"
    overview.show_items([scene.everybody()])
    assert text(overview, "alarm_headline") == "No alarms"
    overview.show_items([PresenceView(frozenset({Source.COORDINATOR}))])
    assert text(overview, "alarm_headline") == "ALARMS NOT WATCHED"
    assert mark(overview, "alarm_headline") == "stale"


@pytest.mark.parametrize("state", [s for s in AlarmState if s is not AlarmState.NORMAL], ids=lambda s: s.name)
def test_each_alarm_state_offers_the_act_that_it_waits_for(overview, state):
    overview.operator.setText(NAME)
    overview.show_items([scene.everybody(), AlarmsView((alarm("a", state),))])
    button = overview.alarms.rows["a"].button
    act = "acknowledge" if state in ACKNOWLEDGEABLE else "reset" if state is AlarmState.LATCHED_ACKNOWLEDGED else None
    if act is None:
        assert button is None
        return
    click(button)
    assert overview.requests == [Request(RequestKind.ALARM, "a", act, NAME)]
    assert not button.isEnabled()
    overview.show_items([Reply(overview.requests[0], False, "still there")])
    assert button.isEnabled()
    assert text(overview, "alarm_told") == "a not taken: still there"


def test_an_unchanged_alarm_keeps_its_row_when_others_come(overview):
    one = alarm("one", AlarmState.UNACKNOWLEDGED)
    overview.show_items([AlarmsView((one,))])
    row = overview.alarms.rows["one"]
    overview.show_items([AlarmsView((one, alarm("two", AlarmState.UNACKNOWLEDGED)))])
    assert overview.alarms.rows["one"] is row
    overview.show_items([AlarmsView((dataclasses.replace(one, state=AlarmState.ACKNOWLEDGED),))])
    assert overview.alarms.rows["one"] is not row


# --- vision and culture ---


def test_the_picture_is_drawn_in_its_colours_and_dims_when_it_is_old(overview, clock):
    red = PictureView(64, 16, bytes([0, 0, 255]) * 64 * 16)
    overview.show_items([red])
    canvas = overview.vision.canvas
    middle = canvas.rect().center()
    colour = canvas.grab().toImage().pixelColor(middle)
    assert (colour.red(), colour.green(), colour.blue()) == (255, 0, 0)
    assert "LIVE" in text(overview, "vision_status")
    clock.now_s += 90.0
    overview.refresh()
    assert text(overview, "vision_status") == "Microscope  ·  last picture 90 s ago"
    assert canvas.grab().toImage().pixelColor(middle).saturation() < 200


def test_readings_come_from_a_summary_or_from_results_of_the_vision_module(overview):
    assert text(overview, "vision_viability") == "– viable"
    overview.show_items([i for i in scene.inspection() if not isinstance(i, PictureView)])
    assert text(overview, "vision_viability") == "93 % viable"
    assert text(overview, "vision_concentration") == "2.42 × 10⁶ /mL"
    assert "412 cells" in text(overview, "vision_details")
    assert "90 % to 95 %" in text(overview, "vision_details")
    overview.show_items([MeasurementView("vision_qc", "viability", 0.71, "1", 1.0, 0.66, 0.76)])
    assert text(overview, "vision_viability") == "71 % viable"
    overview.show_items([MeasurementView("incubator", "viability", 0.5, "1", 1.0)])
    assert text(overview, "vision_viability") == "71 % viable"


def test_the_culture_is_drawn_by_process_day_of_the_batch(overview):
    overview.show_items([scene.everybody(), scene.batch(time_s=10.0 * 86400.0), *scene.culture(points=50)])
    overview.refresh()
    days, cells = overview.trend._cells_curve.getOriginalDataset()
    # The batch began at process time 10 d - 6.42 d.
    assert days[0] == pytest.approx(2.0 - 3.58)
    assert cells[-1] == pytest.approx(2.31e9)
    assert text(overview, "trend_cells") == "2.31 × 10⁹ cells"
    assert text(overview, "trend_temperature") == "37.0 °C"


def test_an_empty_vessel_leaves_a_gap_on_the_logarithmic_axis(overview):
    values = [1.0e8, 0.0, 2.0e8]
    overview.show_items(
        [MeasurementView("incubator", "viable_cells", v, "cells", 60.0 * i) for i, v in enumerate(values)]
    )
    overview.refresh()
    _, cells = overview.trend._cells_curve.getOriginalDataset()
    assert cells[0] == 1.0e8
    assert cells[1] != cells[1]
    assert text(overview, "trend_cells") == "2.00 × 10⁸ cells"


# --- the whole ---


def test_everything_at_once_fits_on_1280_by_800_and_paints(overview):
    overview.show_items(scene.everything())
    QtWidgets.QApplication.processEvents()
    assert (overview.width(), overview.height()) == (1280, 800)
    assert overview.minimumSizeHint().width() <= 1280
    assert overview.minimumSizeHint().height() <= 800
    image = overview.grab().toImage()
    headline = overview.alarms.headline
    spot = headline.mapTo(overview, QtCore.QPoint(headline.width() - 6, headline.height() // 2))
    assert image.pixelColor(spot).name() == theme.PRIORITY_COLOUR[AlarmPriority.MEDIUM]


def test_what_is_normal_is_grey(overview):
    overview.show_items([scene.everybody(), *scene.modules(), scene.batch()])
    image = overview.grab().toImage()
    strongest = max(image.pixelColor(x, y).saturation() for x in range(0, 1280, 3) for y in range(0, 800, 3))
    assert strongest < 64  # the alarms' colours have more than 200


def test_letters_grow_with_the_window(overview):
    far = overview.batch.state
    overview.refresh()
    before = far.fontMetrics().height()
    overview.resize(1920, 1080)
    QtWidgets.QApplication.processEvents()
    assert far.fontMetrics().height() == pytest.approx(before * 1080 / 800, rel=0.08)


def test_an_item_without_a_panel_is_an_error(overview):
    with pytest.raises(TypeError, match="no panel for int"):
        overview.show_items([7])


# --- words, curve, inbox ---


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
