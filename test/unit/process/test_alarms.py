# SPDX-License-Identifier: Apache-2.0
"""Alarm states against the standard's diagram, the board, and the shipped table against the source."""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimedi_nodes.process.alarms.board import AlarmAct, AlarmBoard, AlarmError, AlarmState, next_state
from mimedi_nodes.process.alarms.limits import Limits
from mimedi_nodes.process.alarms.table import AlarmTable, Priority, read_alarm_table
from mimedi_nodes.process.diagnostics import DiagnosticError

ROOT = Path(__file__).resolve().parents[3]
TABLE = read_alarm_table(ROOT / "config" / "alarms.yaml")
S, A = AlarmState, AlarmAct
LATCHED, PLAIN = "fluidics.balance_gap", "incubator.glucose_low"


def board_with(alarm_id: str = PLAIN, source: str = "incubator") -> AlarmBoard:
    board = AlarmBoard(TABLE)
    board.report(alarm_id, source, "glucose 1.0 mmol/L, limit 2", True, 100.0)
    return board


def state_of(board: AlarmBoard, alarm_id: str = PLAIN, source: str = "incubator") -> AlarmState:
    alarm = board.standing(alarm_id, source)
    return alarm.state if alarm else S.NORMAL


@pytest.mark.parametrize(
    ("state", "act", "plain", "latched"),
    [
        (S.NORMAL, A.RAISE, S.UNACKNOWLEDGED, S.UNACKNOWLEDGED),
        (S.UNACKNOWLEDGED, A.ACKNOWLEDGE, S.ACKNOWLEDGED, S.ACKNOWLEDGED),
        (S.UNACKNOWLEDGED, A.CLEAR, S.RETURNED_UNACKNOWLEDGED, S.LATCHED_UNACKNOWLEDGED),
        (S.ACKNOWLEDGED, A.CLEAR, S.NORMAL, S.LATCHED_ACKNOWLEDGED),
        (S.RETURNED_UNACKNOWLEDGED, A.ACKNOWLEDGE, S.NORMAL, S.NORMAL),
        (S.RETURNED_UNACKNOWLEDGED, A.RAISE, S.UNACKNOWLEDGED, S.UNACKNOWLEDGED),
        (S.LATCHED_UNACKNOWLEDGED, A.ACKNOWLEDGE, S.LATCHED_ACKNOWLEDGED, S.LATCHED_ACKNOWLEDGED),
        (S.LATCHED_UNACKNOWLEDGED, A.RAISE, S.UNACKNOWLEDGED, S.UNACKNOWLEDGED),
        (S.LATCHED_ACKNOWLEDGED, A.RESET, S.NORMAL, S.NORMAL),
        (S.LATCHED_ACKNOWLEDGED, A.RAISE, S.UNACKNOWLEDGED, S.UNACKNOWLEDGED),
    ],
)
def test_states_follow_the_standards_diagram(state: S, act: A, plain: S, latched: S) -> None:
    assert next_state(state, act, latched=False) == plain
    assert next_state(state, act, latched=True) == latched


@pytest.mark.parametrize(
    ("state", "act"),
    [(S.NORMAL, A.ACKNOWLEDGE), (S.ACKNOWLEDGED, A.ACKNOWLEDGE), (S.ACKNOWLEDGED, A.RESET),
     (S.UNACKNOWLEDGED, A.RESET), (S.LATCHED_UNACKNOWLEDGED, A.RESET), (S.LATCHED_ACKNOWLEDGED, A.ACKNOWLEDGE)],
)  # fmt: skip
def test_an_act_that_the_state_does_not_allow_is_refused_with_what_is_allowed(state: S, act: A) -> None:
    with pytest.raises(AlarmError, match=f"{state.name} cannot {act.value}; allowed: .*shelve"):
        next_state(state, act, latched=True)


def test_a_latched_alarm_stays_until_it_is_acknowledged_and_reset() -> None:
    board = board_with(LATCHED, "fluidics")
    board.report(LATCHED, "fluidics", "", False, 200.0)
    assert state_of(board, LATCHED, "fluidics") == S.LATCHED_UNACKNOWLEDGED
    with pytest.raises(AlarmError, match="cannot reset; allowed: acknowledge"):
        board.act(LATCHED, "reset", 210.0)
    board.act(LATCHED, "acknowledge", 220.0)
    assert [a.changed_s for a in board] == [220.0]
    board.act(LATCHED, "reset", 230.0)
    assert len(board) == 0


def test_the_board_reports_only_changes() -> None:
    board = AlarmBoard(TABLE)
    assert board.report(PLAIN, "incubator", "", False, 1.0) is None
    assert board.report(PLAIN, "incubator", "low", True, 2.0) is not None
    assert board.report(PLAIN, "incubator", "low", True, 3.0) is None
    assert board.report(PLAIN, "incubator", "lower", True, 4.0) is not None
    alarm = board.standing(PLAIN, "incubator")
    assert alarm is not None
    assert (alarm.message, alarm.changed_s) == ("lower", 2.0)
    assert board.report(PLAIN, "incubator", "", False, 5.0) is not None
    assert alarm.message == "lower"


def test_one_id_of_two_sources_is_two_alarms_and_one_act_moves_both() -> None:
    board = AlarmBoard(TABLE)
    for source in ("supervisor/fluidics", "supervisor/incubator"):
        board.report("supervisor.node_lost", source, "silent", True, 1.0)
    board.report("supervisor.node_lost", "supervisor/fluidics", "", False, 2.0)
    assert state_of(board, "supervisor.node_lost", "supervisor/incubator") == S.UNACKNOWLEDGED
    assert len(board.act("supervisor.node_lost", "acknowledge", 3.0)) == 2
    # Only the one whose cause has gone can be reset; the act is taken for it.
    assert [a.source for a in board.act("supervisor.node_lost", "reset", 4.0)] == ["supervisor/fluidics"]
    assert state_of(board, "supervisor.node_lost", "supervisor/incubator") == S.ACKNOWLEDGED


def test_shelving_ends_in_process_time_and_nothing_is_forgotten_meanwhile() -> None:
    board = board_with()
    board.act(PLAIN, "shelve", 1000.0, shelve_h=2.0, why="probe is being calibrated")
    board.report(PLAIN, "incubator", "", False, 1100.0)
    board.report(PLAIN, "incubator", "again", True, 1200.0)
    assert board.pass_time(1000.0 + 7199.0) == []
    assert state_of(board) == S.SHELVED
    with pytest.raises(AlarmError, match="SHELVED cannot acknowledge; allowed: unshelve"):
        board.act(PLAIN, "acknowledge", 1300.0)
    assert [a.alarm_id for a in board.pass_time(1000.0 + 7200.0)] == [PLAIN]
    assert state_of(board) == S.UNACKNOWLEDGED


def test_an_unshelved_alarm_whose_cause_has_gone_is_gone() -> None:
    board = board_with()
    board.act(PLAIN, "acknowledge", 150.0)
    board.act(PLAIN, "shelve", 200.0, shelve_h=1.0, why="known")
    board.report(PLAIN, "incubator", "", False, 300.0)
    assert [a.state for a in board.act(PLAIN, "unshelve", 400.0)] == [S.NORMAL]
    assert len(board) == 0


@pytest.mark.parametrize(
    ("act", "arguments", "message"),
    [
        ("shelve", {"shelve_h": 0.0, "why": "x"}, r"shelve_h is 0.0; allowed: above 0 to 24 h"),
        ("shelve", {"shelve_h": 24.1, "why": "x"}, r"shelve_h is 24.1; allowed"),
        ("shelve", {"shelve_h": math.nan, "why": "x"}, r"shelve_h is nan; allowed"),
        ("shelve", {"shelve_h": 1.0, "why": " "}, r"why is empty"),
        ("unshelve", {}, r"UNACKNOWLEDGED cannot unshelve"),
        ("suppress", {}, r"act is 'suppress'; allowed: acknowledge, reset, shelve, unshelve"),
    ],
)
def test_wrong_acts_are_refused_with_what_is_allowed(act: str, arguments: dict[str, object], message: str) -> None:
    board = board_with()
    with pytest.raises(AlarmError, match=message):
        board.act(PLAIN, act, 200.0, **arguments)  # type: ignore[arg-type]
    assert state_of(board) == S.UNACKNOWLEDGED


def test_shelving_needs_a_known_process_time() -> None:
    with pytest.raises(AlarmError, match="process time is not known"):
        board_with().act(PLAIN, "shelve", math.nan, shelve_h=1.0, why="x")


def test_an_act_on_an_alarm_that_does_not_stand_names_those_that_do() -> None:
    with pytest.raises(AlarmError, match=r"no alarm 'incubator.glucose_lo' to acknowledge; standing alarms: incub"):
        board_with().act("incubator.glucose_lo", "acknowledge", 1.0)


@given(st.lists(st.sampled_from(list(A)), max_size=40), st.booleans())
def test_whatever_is_done_an_active_alarm_is_never_lost(acts: list[A], latched: bool) -> None:
    """Underneath, an alarm is NORMAL only when its cause has gone; while its cause stands it is B or C."""
    alarm_id = LATCHED if latched else PLAIN
    board = AlarmBoard(TABLE)
    alarm = board.report(alarm_id, "x", "m", True, 0.0)
    assert alarm is not None
    active = True
    for act in acts:
        active = {A.RAISE: True, A.CLEAR: False}.get(act, active)
        with contextlib.suppress(AlarmError):
            alarm.act(act, 1.0)
        if active:
            assert alarm.beneath in (S.UNACKNOWLEDGED, S.ACKNOWLEDGED)
        else:
            assert alarm.beneath not in (S.UNACKNOWLEDGED, S.ACKNOWLEDGED)


def test_a_board_survives_its_process() -> None:
    board = board_with()
    board.report(LATCHED, "fluidics", "gap", True, math.nan)
    board.act(PLAIN, "shelve", 200.0, shelve_h=1.0, why="known")
    reborn = AlarmBoard(TABLE)
    reborn.restore(board.as_fields())
    assert reborn.as_fields() == board.as_fields()
    assert [a.alarm_id for a in reborn.pass_time(200.0 + 3600.0)] == [PLAIN]
    with pytest.raises(AlarmError, match="no alarms of a board"):
        reborn.restore([{"alarm_id": "x"}])


# -- the table ------------------------------------------------------------------------------------------


def test_the_most_specific_entry_counts() -> None:
    assert TABLE.entry("fluidics.pump_fault").priority == Priority.MEDIUM
    assert TABLE.entry("incubator.controller_fault").priority == Priority.HIGH
    assert TABLE.entry("incubator.controller_fault").alarm_id == "incubator.controller_fault"


def test_an_alarm_without_entry_gets_medium_and_says_so() -> None:
    alarm = AlarmBoard(TABLE).report("gantry.lost_steps", "transfer", "3 steps", True, 1.0)
    assert alarm is not None
    assert alarm.entry.priority == Priority.MEDIUM
    assert "add gantry.lost_steps to config/alarms.yaml" in alarm.entry.response


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("alarms: {a.b: {priority: urgent, latched: true, cause: c, consequence: c, response: r}}", "low, medium"),
        ("alarms: {a.b: {priority: low, latched: 1, cause: c, consequence: c, response: r}}", "true, false"),
        ("alarms: {a.b: {priority: low, latched: true, cause: c, consequence: c}}", "'response' is missing"),
        ("alarms: {a.b: {priority: low, latched: true, cause: c, consequence: c, response: ''}}", "not a text"),
        ("alarms: {a.b: {priority: low, latched: true, cause: c, consequence: c, response: r, color: red}}", "unknown"),
        ("alarms: {Ab: {priority: low, latched: true, cause: c, consequence: c, response: r}}", "no alarm id"),
        ("alarms: {}\nalarms: {}", "there twice"),
    ],
)
def test_a_wrong_table_is_refused_with_line_and_allowed_values(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "alarms.yaml"
    path.write_text(text)
    with pytest.raises(DiagnosticError, match=message) as caught:
        read_alarm_table(path)
    assert "alarms.yaml:" in str(caught.value)


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError, match=r"nothing.yaml.*cannot be read"):
        read_alarm_table(tmp_path / "nothing.yaml")


def raised_in_source() -> set[str]:
    """Alarm ids in the source, a placeholder in an f-string written as `x`; comments and docstrings stay out."""
    call = re.compile(
        r"(?:PhaseHold|[._]alarm|_watch|\.report)\(\s*(?:ctx,\s*|self\.\w+,\s*)?f?\"([^\"\s]*\.[^\"\s]*)\"", re.S
    )
    sources = (
        "recorder|coordinator|supervisor|fluidics|acoustic_sorter|enclosure|contamination_watch|transfer|analytics"
        "|vision_qc"
    )
    constant = re.compile(rf"^[A-Z_]+ = \"((?:{sources})\.[a-z0-9_]+)\"$", re.M)
    found: set[str] = set()
    for path in (ROOT / "mimedi_nodes").rglob("*.py"):
        text = path.read_text()
        found |= {re.sub(r"\{[^}]*\}", "x", alarm_id) for alarm_id in call.findall(text)} | set(constant.findall(text))
    if "vision_qc.camera_x" in found:  # one line of source for three findings of the tracker
        found.remove("vision_qc.camera_x")
        found |= {f"vision_qc.camera_{finding}" for finding in ("black", "saturated", "frozen")}
    return found


def test_every_alarm_in_the_source_has_an_entry_and_every_entry_an_alarm() -> None:
    raised = raised_in_source()
    assert {"fluidics.balance_gap", "x.not_safe", "x.glucose_low", "x.x_fault", "recorder.storage_failed"} <= raised
    assert [alarm_id for alarm_id in sorted(raised) if not TABLE.has(alarm_id)] == []
    # An entry of one module serves a source line that is written for any module, and the other way round.
    used = {alarm_id.split(".", 1)[1] for alarm_id in raised}
    dead = [e.alarm_id for e in TABLE.entries if re.sub(r"<\w+>", "x", e.alarm_id).split(".", 1)[1] not in used]
    assert dead == []


def test_an_empty_table_knows_nothing() -> None:
    assert not AlarmTable(()).has("fluidics.balance_gap")


# -- delays, deadbands, suppression, out of service ------------------------------------------------------

DELAYED = "incubator.reading_unknown"


def test_an_on_delay_shows_only_what_lasts() -> None:
    board = AlarmBoard(TABLE)
    assert board.report(DELAYED, "incubator", "glucose", True, 100.0) is None
    assert board.settle(159.0) == []
    board.report(DELAYED, "incubator", "", False, 159.5)
    assert board.settle(1000.0) == []
    assert len(board) == 0
    board.report(DELAYED, "incubator", "glucose", True, 2000.0)
    assert [alarm.alarm_id for alarm in board.settle(2060.0)] == [DELAYED]
    assert state_of(board, DELAYED) == S.UNACKNOWLEDGED


def test_an_off_delay_keeps_a_chattering_alarm_up_once() -> None:
    board = AlarmBoard(TABLE)
    alarm = "incubator.co2_low"
    changes = 0
    for beat in range(41):
        changes += board.report(alarm, "incubator", "4 %", beat % 2 == 0, 1000.0 + 10.0 * beat) is not None
        changes += len(board.settle(1000.0 + 10.0 * beat))
    assert changes == 1
    board.report(alarm, "incubator", "", False, 1500.0)
    board.settle(1619.0)
    assert state_of(board, alarm) == S.UNACKNOWLEDGED
    board.settle(1620.0)
    assert state_of(board, alarm) in (S.RETURNED_UNACKNOWLEDGED, S.LATCHED_UNACKNOWLEDGED)


def test_while_time_is_unknown_nothing_is_delayed() -> None:
    board = AlarmBoard(TABLE)
    assert board.report(DELAYED, "incubator", "glucose", True, math.nan) is not None


def test_what_waits_survives_its_process() -> None:
    board = AlarmBoard(TABLE)
    board.report(DELAYED, "incubator", "glucose", True, 100.0)
    reborn = AlarmBoard(TABLE)
    reborn.restore(board.as_fields())
    assert [alarm.message for alarm in reborn.settle(160.0)] == ["glucose"]


def test_an_alarm_that_another_one_explains_is_suppressed_until_that_one_goes() -> None:
    board = board_with()
    cause = "incubator.controller_fault"
    board.report(cause, "incubator", "heater", True, 200.0)
    assert state_of(board) == S.SUPPRESSED_BY_DESIGN
    # Another module's controller explains nothing here.
    other = "transduction.glucose_low"
    board.report(other, "transduction", "low", True, 210.0)
    assert state_of(board, other, "transduction") == S.UNACKNOWLEDGED
    board.report(cause, "incubator", "", False, 300.0)
    assert state_of(board) == S.UNACKNOWLEDGED
    with pytest.raises(AlarmError, match="allowed: acknowledge, reset, shelve, unshelve"):
        board.act(PLAIN, "suppress", 300.0)


def test_a_module_in_maintenance_has_its_alarms_out_of_service() -> None:
    board = board_with()
    board.report(LATCHED, "fluidics", "gap", True, 100.0)
    assert [alarm.alarm_id for alarm in board.take_out_of_service(["incubator"], 200.0)] == [PLAIN]
    assert state_of(board) == S.OUT_OF_SERVICE
    assert state_of(board, LATCHED, "fluidics") == S.UNACKNOWLEDGED
    board.report("incubator.controller_fault", "incubator", "probe out", True, 210.0)
    assert state_of(board, "incubator.controller_fault") == S.OUT_OF_SERVICE
    board.report("incubator.controller_fault", "incubator", "", False, 220.0)
    assert board.take_out_of_service(["incubator"], 230.0) == []
    board.take_out_of_service([], 300.0)
    assert state_of(board) == S.UNACKNOWLEDGED
    assert state_of(board, "incubator.controller_fault") == S.LATCHED_UNACKNOWLEDGED


@given(
    st.lists(
        st.tuples(st.sampled_from([PLAIN, DELAYED, LATCHED, "incubator.controller_fault", "incubator.co2_low"]),
                  st.booleans(), st.floats(0.0, 200.0)), max_size=60,
    ),
    st.booleans(),
)  # fmt: skip
def test_whatever_is_reported_the_board_ends_with_what_stands(
    reports: list[tuple[str, bool, float]], maintained: bool
) -> None:
    """After all delays have passed, exactly the alarms whose cause stands are raised underneath."""
    board, time_s, stands = AlarmBoard(TABLE), 1000.0, dict[str, bool]()
    for alarm_id, active, later_s in reports:
        time_s += later_s
        board.settle(time_s)
        board.report(alarm_id, "x", "m", active, time_s)
        stands[alarm_id] = active
    if maintained:
        board.take_out_of_service(["incubator"], time_s)
    board.settle(time_s + 1e5)
    raised = {a.alarm_id for a in board if a.beneath in (S.UNACKNOWLEDGED, S.ACKNOWLEDGED)}
    assert raised == {alarm_id for alarm_id, active in stands.items() if active}
    for alarm in board:
        if maintained and alarm.alarm_id.startswith("incubator."):
            assert alarm.state == S.OUT_OF_SERVICE


@given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=60), st.floats(0.0, 0.5))
def test_a_limit_with_a_deadband(values: list[float], deadband: float) -> None:
    limits, changes, before = Limits(), 0, False
    for value in values:
        now = limits.high("x", value, 0.3, deadband)
        assert now or value <= 0.3
        assert not now or value > 0.3 - deadband
        changes, before = changes + (now != before), now
    crossings = sum((a > 0.3) != (b > 0.3) for a, b in itertools.pairwise([-1.0, *values]))
    assert changes <= crossings
    assert limits.high("x", math.nan, 0.3, deadband) == before
    with pytest.raises(ValueError, match="deadband is -1"):
        limits.low("x", 0.0, 0.3, -1.0)


@pytest.mark.parametrize(
    ("extra", "message"),
    [("on_delay_s: 31", "0 to 30"), ("off_delay_s: 3601", "0 to 3600"), ("suppressed_while: [a.c]", "no alarm of this"),
     ("suppressed_while: a.b", "not a list")],
)  # fmt: skip
def test_wrong_delays_and_suppressions_are_refused(tmp_path: Path, extra: str, message: str) -> None:
    path = tmp_path / "alarms.yaml"
    entry = f"priority: high, latched: true, cause: c, consequence: c, response: r, {extra}"
    path.write_text(f"alarms: {{a.b: {{{entry}}}}}")
    with pytest.raises(DiagnosticError, match=message):
        read_alarm_table(path)


def test_the_supervisors_own_alarms_are_never_delayed() -> None:
    """They go on record when the board shows them."""
    assert [e.alarm_id for e in TABLE.entries if e.alarm_id.startswith("supervisor.") and e.on_delay_s] == []


def test_a_single_alarm_is_taken_out_of_service_and_back_by_a_person_with_a_reason() -> None:
    board = board_with()
    with pytest.raises(AlarmError, match="why is empty"):
        board.act(PLAIN, "remove", 150.0)
    with pytest.raises(AlarmError, match=r"no alarm 'incubator\.no\.such'"):
        board.act("incubator.no.such", "remove", 150.0, why="spare on order")
    assert [a.alarm_id for a in board.act(PLAIN, "remove", 200.0, why="spare on order")] == [PLAIN]
    assert state_of(board) == S.OUT_OF_SERVICE
    with pytest.raises(AlarmError, match="already"):
        board.act(PLAIN, "remove", 210.0, why="again")
    # One that does not stand yet is not shown when it comes either, and other alarms of its module are.
    assert board.act(LATCHED, "remove", 220.0, why="leak is known") == []
    board.report(LATCHED, "fluidics", "gap", True, 230.0)
    board.report("fluidics.move_unknown", "fluidics", "start", True, 240.0)
    assert state_of(board, LATCHED, "fluidics") == S.OUT_OF_SERVICE
    assert state_of(board, "fluidics.move_unknown", "fluidics") == S.UNACKNOWLEDGED
    reborn = AlarmBoard(TABLE)
    reborn.restore(board.as_fields())
    assert reborn.removed == {PLAIN: "spare on order", LATCHED: "leak is known"}
    with pytest.raises(AlarmError, match=r"by itself; out of service: fluidics\.balance_gap"):
        reborn.act("fluidics.move_unknown", "restore", 300.0, why="done")
    assert [a.state for a in reborn.act(LATCHED, "restore", 300.0, why="mended")] == [S.UNACKNOWLEDGED]
    assert set(reborn.removed) == {PLAIN}


def test_an_alarm_shelved_and_then_out_of_service_stays_away_when_its_shelving_ends() -> None:
    board = board_with()
    board.act(PLAIN, "shelve", 200.0, shelve_h=1.0, why="known")
    board.act(PLAIN, "remove", 300.0, why="spare on order")
    board.pass_time(200.0 + 3600.0)
    assert state_of(board) == S.OUT_OF_SERVICE
