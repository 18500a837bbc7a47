# SPDX-License-Identifier: Apache-2.0
"""The batch, its commands and its questions on the overview, clicked off-screen."""

import dataclasses

import dashboard_scene as scene
import pytest
from dashboard_hand import NAME, click, mark, text

from mimedi_nodes.dashboard.look import wording
from mimedi_nodes.dashboard.look.qt import QtCore, QtGui, QtWidgets
from mimedi_nodes.dashboard.panels.command_panel import CONSEQUENCES, allowed
from mimedi_nodes.dashboard.views import (
    PresenceView,
    PromptView,
    Reply,
    Request,
    RequestKind,
    Source,
)
from mimedi_nodes.process.engine.procedure_state import TRANSITIONS, ProcedureCommand, ProcedureState


def enabled(overview):
    return {str(command) for command, button in overview.commands.buttons.items() if button.isEnabled()}


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
    assert overview.commands.buttons[ProcedureCommand.RESUME].toolTip() == "Not possible while RUNNING"
    overview.show_items([PresenceView(frozenset({Source.SUPERVISOR}))])
    assert enabled(overview) == set()
    assert {b.toolTip() for b in overview.commands.buttons.values()} == {wording.no_coordinator()}


@pytest.mark.parametrize("name", ["overview", "batch"])
def test_no_answer_goes_to_a_coordinator_that_is_gone(show, name):
    board = show(name)
    board.operator.setText(NAME)
    board.show_items([scene.batch(), scene.question(), PresenceView(frozenset({Source.SUPERVISOR}))])
    button = board.prompt.buttons["Raise"]
    assert (button.isEnabled(), button.toolTip()) == (False, wording.no_coordinator())
    assert text(board, "prompt_why_not") == wording.no_coordinator()
    button.click()
    assert board.requests == []
    board.show_items([scene.everybody()])
    assert (button.isEnabled(), button.toolTip(), board.prompt.why_not.isVisible()) == (True, "", False)
    click(button)
    assert [request.act for request in board.requests] == ["Raise"]
    board.show_items([PresenceView(frozenset()), scene.everybody()])
    assert not button.isEnabled()  # it has been sent, whoever came back


def test_no_alarm_is_acted_on_without_the_supervisor(overview):
    overview.operator.setText(NAME)
    overview.show_items([scene.everybody(), scene.alarms(), PresenceView(frozenset({Source.COORDINATOR}))])
    button = overview.alarms.rows["incubator.glucose_low"].button
    assert (button.isEnabled(), button.toolTip()) == (False, wording.no_supervisor())
    overview.show_items([scene.everybody()])
    click(button)
    assert [request.target for request in overview.requests] == ["incubator.glucose_low"]
    overview.show_items([PresenceView(frozenset()), scene.everybody()])
    assert not button.isEnabled()
    overview.show_items([Reply(overview.requests[0], False, "the cause is still there")])
    assert button.isEnabled()


@pytest.mark.parametrize("name", ["overview", "batch", "workcell"])
def test_a_coordinator_that_may_still_be_found_is_not_called_lost(show, name):
    board = show(name)
    assert text(board, "batch_state") == "CONNECTING …"  # nothing has been told yet
    board.show_items([scene.batch(), PresenceView(frozenset(), frozenset(Source))])
    assert text(board, "batch_state") == "RUNNING?  CONNECTING …"
    if name != "workcell":
        assert {b.toolTip() for b in board.commands.buttons.values()} == {"Looking for the coordinator …"}
    board.show_items([scene.everybody()])
    assert text(board, "batch_state") == "RUNNING"
    board.show_items([PresenceView(frozenset())])
    assert text(board, "batch_state") == "RUNNING?  COORDINATOR LOST"


def test_a_lost_coordinator_is_told_and_dims_what_it_said(overview):
    overview.show_items([PresenceView(frozenset())])
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
    overview.show_items([scene.everybody(), PromptView("B1", "label", "Which label?")])
    field, send = overview.prompt.free_text, overview.prompt.buttons["Answer"]
    field.setText("  ")
    assert not send.isEnabled()
    field.setText(" =W0000 26 117 ")
    click(send)
    assert overview.requests == [Request(RequestKind.ANSWER, "label", "=W0000 26 117", NAME, batch_id="B1")]


def test_a_scanned_label_is_sent_by_its_line_end(overview):
    overview.operator.setText(NAME)
    overview.show_items([scene.everybody(), PromptView("B1", "label", "Which label?")])
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
