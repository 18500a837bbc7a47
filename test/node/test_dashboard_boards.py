# SPDX-License-Identifier: Apache-2.0
"""The six boards' real widgets, drawn off-screen and clicked, without ROS."""

import ast
import dataclasses
import math
import os
import shutil
import sqlite3
import string
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import dashboard_scene as scene
import pytest

from mimedi_nodes.commands.people import Place, registry
from mimedi_nodes.dashboard import boards, forecast, language, theme
from mimedi_nodes.dashboard.alarm_board import FloodMeter
from mimedi_nodes.dashboard.analyses import analysis_view
from mimedi_nodes.dashboard.batch_history import history_of
from mimedi_nodes.dashboard.french import FRENCH
from mimedi_nodes.dashboard.gantt import Timeline
from mimedi_nodes.dashboard.inbox import Inbox
from mimedi_nodes.dashboard.limits import limits_of
from mimedi_nodes.dashboard.mimic_plan import DOCKS_MM
from mimedi_nodes.dashboard.overview import Overview
from mimedi_nodes.dashboard.qt import QtCore, QtWidgets, Signal, pyqtgraph
from mimedi_nodes.dashboard.run_history import RunHistory, plan_of
from mimedi_nodes.dashboard.views import (
    AlarmPriority,
    AlarmState,
    AlarmsView,
    AlarmView,
    CassettesView,
    HistoryView,
    MeasurementView,
    ModuleView,
    PictureView,
    PlanView,
    PresenceView,
    Reply,
    Request,
    RequestKind,
    SpanView,
)
from mimedi_nodes.modules.registry import config_folder, manifests, module_table
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.process.accounts import LoginError, check_session
from mimedi_nodes.process.recipe_loader import load_recipe
from mimedi_nodes.process.service_state import ServiceState
from mimedi_nodes.records.batch_record import BatchRecord
from mimedi_nodes.records.events import RecordEvent
from mimedi_nodes.records.heads import Signer
from mimedi_nodes.records.specification import read_specification

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "records"))
from nominal_batch import BATCH, nominal_batch

NAME = "A. Martin"
DAY_S = 86400.0
SOURCES = Path(boards.__file__).parent


@pytest.fixture(scope="module")
def application():
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    return QtWidgets.QApplication.instance() or QtWidgets.QApplication([])


class Steady:
    """A steady clock in the test's hand."""

    now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def show(application, tmp_path):
    """Makes boards at 1280 x 800 with a clock in the test's hand."""
    made = []

    def make(name, runs=tmp_path):
        board = boards.make(name, scene.MODULES, runs)
        board.clock = board.now_s = Steady()
        for part in ("mimic", "microscope"):
            if hasattr(board, part):
                getattr(board, part)._now_s = board.clock
        board.requests = []
        board.requested.connect(board.requests.append)
        board.resize(1280, 800)
        board.show()
        made.append(board)
        return board

    yield make
    for board in made:
        if hasattr(board, "close_reader"):
            board.close_reader()
        board.close()
        board.deleteLater()
    application.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)


def text(board, name):
    found = board.findChild(QtWidgets.QLabel, name)
    assert found is not None, name
    return found.whole() if hasattr(found, "whole") else found.text()


def mark(board, name):
    return board.findChild(QtWidgets.QLabel, name).property("attention")


def until(condition, what, deadline_s=20.0):
    end_s = time.monotonic() + deadline_s
    while not condition():
        QtWidgets.QApplication.processEvents(QtCore.QEventLoop.AllEvents, 20)
        assert time.monotonic() < end_s, what


# --- all boards ---


@pytest.mark.parametrize("name", ["overview", *boards.SIX])
@pytest.mark.parametrize("tongue", language.LANGUAGES)
def test_every_board_fits_takes_everything_and_keeps_its_settings(show, name, tongue):
    language.choose(tongue)
    try:
        board = show(name)
        board.show_items(scene.everything())
        board.refresh()
        QtWidgets.QApplication.processEvents()
        hint = board.minimumSizeHint()
        assert (hint.width() <= 1280, hint.height() <= 800) == (True, True), hint
        assert not board.grab().isNull()
        board.operator.setText(NAME)
        kept = board.settings()
        other = show(name)
        other.restore(kept)
        assert other.settings() == kept
        other.restore({"zoom": "nonsense", "quantities": "{", "span": "x", "target": "99"})  # of another version
    finally:
        language.choose("en")


@pytest.mark.parametrize("name", ["workcell", "batch", "trends", "vision"])
def test_what_is_normal_is_grey(show, name):
    board = show(name)
    items = [scene.everybody(), *scene.modules(), scene.plan(), scene.batch(), *scene.culture(), *scene.values()]
    board.show_items(items)
    board.refresh()
    QtWidgets.QApplication.processEvents()
    image = board.grab().toImage()
    pixels = [image.pixelColor(x, y) for x in range(0, 1280, 3) for y in range(0, 800, 3)]
    # Dark strokes of curves and of the now-line are no alarm: those are bright and strong.
    loud = [c.name() for c in pixels if c.saturation() > 150 and c.value() > 160]
    assert loud == []


def texts_of_the_code():
    """Every text that the code gives to tr() or later()."""
    found = {}
    for path in sorted(SOURCES.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", ""))
            if named in ("tr", "later") and node.args and isinstance(node.args[0], ast.Constant):
                found[node.args[0].value] = path.name
    return found


def test_every_text_is_there_in_french_with_the_same_values_and_none_too_many():
    said = texts_of_the_code()
    assert set(said) == set(FRENCH)

    def places(text):
        return {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}

    assert {k: places(k) for k in FRENCH} == {k: places(v) for k, v in FRENCH.items()}
    assert all(k.count("&") == v.count("&") for k, v in FRENCH.items())  # each button keeps a key


def test_the_language_is_that_of_the_session_and_others_are_refused(monkeypatch):
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert language.preferred() == "fr"
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    assert language.preferred() == "en"
    with pytest.raises(ValueError, match="not one of en, fr"):
        language.choose("de")


# --- workcell ---


def test_the_mimic_says_states_contents_and_what_is_stale(show):
    board = show("workcell")
    old = [view for view in scene.modules() if view.module not in ("enclosure", "transfer", "analytics")]
    board.show_items([scene.everybody(), *old, *scene.values(), scene.batch()])
    board.grab()
    assert board.mimic.boxes["incubator"] == "EXECUTE"
    assert "not part" in board.mimic.boxes["transfer"]
    assert board.mimic.boxes["medium"] == "5.25 L"
    assert board.mimic.boxes["sorted"] == "9.8 mL"
    assert "not measured" in board.mimic.boxes["enclosure"]
    assert "analytics" not in board.mimic.boxes
    board.show_items([ModuleView("analytics", ServiceState.IDLE)])
    board.clock.now_s += 6.0
    board.grab()
    assert board.mimic.boxes["analytics"] == "IDLE?"
    assert board.mimic.boxes["incubator"] == "EXECUTE?"
    board.show_items([ModuleView("enclosure", ServiceState.EXECUTE), ModuleView("incubator", ServiceState.HELD)])
    quantities = {"grade": 1.0, "particles_05_per_m3": 812.0, "doors_open": 1.0}
    board.show_items([MeasurementView("enclosure", name, value, "", 1.0) for name, value in quantities.items()])
    image = board.grab().toImage()
    assert board.mimic.boxes["enclosure"].startswith("DOOR OPEN  ·  Enclosure: grade A")
    assert "812 particles" in board.mimic.boxes["enclosure"]
    held = {image.pixelColor(x, y).name() for x in range(0, 1280, 2) for y in range(130, 800, 2)}
    assert theme.HELD in held


def test_the_mimic_shows_the_gantry_the_docks_of_the_site_and_whose_cassette_stands_where(show):
    docks = load_site(config_folder() / "site" / "demo.yaml").docks
    assert {name: place[1] for name, place in docks.items()} == DOCKS_MM
    board = show("workcell")
    board.show_items([*scene.modules(), *scene.values(), CassettesView((("hatch", "C-1"), ("gripper", "C-2")))])
    board.grab()
    assert (board.mimic.boxes["dock_hatch"], board.mimic.boxes["dock_store"]) == ("C-1", "")
    assert board.mimic.boxes["transfer"] == "Gantry: IDLE  ·  holds C-2"
    board.show_items([MeasurementView("transfer", "homed", 0.0, "1", 1.0)])
    board.grab()
    assert "not homed" in board.mimic.boxes["transfer"]


def test_limits_are_those_of_the_product_that_is_made(show):
    specification = {
        name: read_specification(config_folder() / "products" / f"{name}.yaml")
        for name in ("car_t_cd19", "bacterial_syringe")
    }
    limits = limits_of(specification["car_t_cd19"])
    assert limits["liquid_temperature_c"] == (36.5, 37.5)
    assert (limits["viability"][0], limits["car_fraction"][0]) == (0.80, 0.10)
    assert limits_of(specification["bacterial_syringe"])["viability"][0] == 0.70
    assert "dose_car_cells" not in limits
    board = show("trends")
    board.show_items([scene.batch(), *scene.values(), *scene.culture(20)])
    board.refresh()

    def lines():
        plot = board.plots["incubator/liquid_temperature_c"]
        return sorted(item.value() for item in plot.items if isinstance(item, pyqtgraph.InfiniteLine))

    assert lines() == []  # no product is known yet
    board.show_items([scene.plan()])
    assert lines() == [36.5, 37.5]


def test_gates_sweep_and_calibration_are_shown_and_what_is_no_analysis_is_refused(show):
    vision, trends = show("vision"), show("trends")
    for board in (vision, trends):
        board.show_items([scene.batch(), *scene.analyses(), *scene.values()])
        board.refresh()
    assert vision.gates.told.whole().startswith("9")
    assert len(vision.gates.cloud.getData()[0]) > 300
    assert "0.6504 µm/px" in text(vision, "calibration")
    assert "14 h more" in text(vision, "calibration")
    vision.show_items([MeasurementView("vision_qc", "calibration_expires_s", 1.0, "s", 2.0)])
    vision.refresh()
    assert "EXPIRED" in text(vision, "calibration")
    assert mark(vision, "calibration") == "held"
    key = "acoustic_sorter/impedance_sweep"
    item = trends._items[key]
    assert item.text(1).startswith("2.0")
    item.setCheckState(0, QtCore.Qt.Checked)
    assert key in trends.plots
    assert len(trends.plots[key].listDataItems()[1].getData()[0]) == 401
    # The same by way of the record; a later sweep takes its place.
    history = HistoryView("B2026-0117", (), analyses=tuple(scene.analyses()))
    again = show("vision")
    again.show_items([history])
    assert again.gates.told.whole() == vision.gates.told.whole()
    good = {"columns": {"cd3": [1, 2], "car": [3, 4]}, "values": dict(scene.analyses()[1].values)}
    assert analysis_view("analytics", "cytometry", 1.0, good).columns["car"] == (3.0, 4.0)
    assert analysis_view("analytics", "S-1", 1.0, {"relative": [1.0]}) is None
    for wrong, message in (
        ({**good, "columns": {"cd3": [1], "car": [3, 4]}}, "1, 2"),
        ({**good, "columns": {"cd3": [1, 2]}}, "lacks car"),
        ({**good, "columns": {"cd3": [1, None], "car": [3, 4]}}, "no number"),
        ({"columns": good["columns"]}, "values are wanted"),
    ):
        with pytest.raises(ValueError, match=message):
            analysis_view("analytics", "cytometry", 1.0, wrong)


def test_a_vessel_that_nobody_weighs_has_no_content(show):
    board = show("workcell")
    board.show_items(scene.modules())
    board.grab()
    assert board.mimic.boxes["dose_bag"] == "–"


def test_the_overview_of_every_module_of_the_site_fits_a_small_screen(application):
    board = Overview(tuple(module_table()))
    board.resize(1280, 800)
    board.show()
    board.show_items(scene.everything())
    QtWidgets.QApplication.processEvents()
    hint = board.minimumSizeHint()
    assert (hint.width() <= 1280, hint.height() <= 800) == (True, True), hint
    board.close()


# --- batch ---


def test_the_chart_follows_plan_record_and_what_is_heard():
    line = Timeline()
    line.take_plan(PlanView("r", (SpanView("a.x.one", 0.0, 100.0), SpanView("a.y.two", 100.0, 300.0))))
    start = {"time_s": 1000.0, "process_day": 0.0}
    line.take_batch(scene.batch(phase_id="a.x.one", **start))
    line.take_batch(scene.batch(phase_id="a.y.two, a.z.side", time_s=1200.0, process_day=200.0 / DAY_S))
    assert line.rows() == ["a.x", "a.y", "a.z"]
    done = {span.path: span for span in line.done()}
    assert (done["a.x.one"].start_s, done["a.x.one"].end_s) == (1000.0, 1200.0)
    assert math.isnan(done["a.y.two"].end_s)
    spans = (SpanView("a.x.one", 990.0, 1100.0), SpanView("a.y.two", 1100.0, 5000.0), SpanView("b.q.later", 2000.0))
    line.take_history(HistoryView("B2026-0117", spans))
    done = {span.path: span for span in line.done()}
    assert done["a.x.one"].end_s == 1100.0  # the record knows better
    assert math.isnan(done["a.y.two"].end_s)  # a replayed batch has not come so far
    assert "b.q.later" not in done
    line.take_batch(scene.batch(batch_id="OTHER", phase_id="", **start))
    assert line.done() == []


def test_the_plan_of_the_shipped_recipe_is_in_order_and_as_long_as_the_forecast_says():
    recipe = load_recipe(config_folder() / "recipes" / "car_t_cd19.yaml", manifests())
    plan = plan_of(recipe)
    assert len(plan.spans) > 25
    assert all(span.end_s > span.start_s for span in plan.spans)
    assert 9.0 * DAY_S < max(span.end_s for span in plan.spans) < 14.0 * DAY_S


def test_history_is_read_from_the_events_of_a_record():
    def event(n, time_s, kind, what, **data):
        return RecordEvent("coordinator", n, "B1", time_s, "2026-01-01T00:00:00Z", kind, "coordinator", what, "", data)

    events = [
        event(1, 0.0, "phase_intended", "a.b.c"),
        event(2, 9.0, "step_ended", "a.b.c", status="succeeded"),
        event(3, 9.0, "phase_intended", "a.b.d"),
        event(4, 20.0, "alarm_raised", "x.y"),
        event(5, 30.0, "step_ended", "a.b.d", status="aborted"),
        event(6, 31.0, "phase_intended", "a.b.e"),
    ]
    history = history_of("B1", events)
    assert [(s.path, s.failed) for s in history.spans] == [("a.b.c", False), ("a.b.d", True), ("a.b.e", False)]
    assert math.isnan(history.spans[-1].end_s)
    assert history.alarms == ((20.0, "raised", "x.y", "coordinator"),)


def test_the_soft_sensors_forecast_goes_before_our_own(show):
    day = {"median": 9.1, "low": 8.6, "high": 9.8}
    decision = RecordEvent(
        "coordinator", 1, "B2026-0117", 5.0 * DAY_S, "2026-01-01T00:00:00Z", "control_decision", "coordinator", "x", "",
        {"forecast": {"harvest_day": day}},
    )  # fmt: skip
    other = dataclasses.replace(decision, sequence=2, data={"forecast": {}})
    later = dataclasses.replace(decision, sequence=3, process_time_s=8.0 * DAY_S)
    board = show("batch")
    board.show_items([scene.batch(), history_of("B2026-0117", [decision, other, later])])
    board.refresh()
    assert text(board, "forecast") == "Soft sensor, day 5.0: harvest on day 9.1, 95 % 8.6 to 9.8"


def test_commands_of_the_batch_board_are_those_of_the_state(show):
    board = show("batch")
    board.show_items([scene.everybody(), scene.batch()])
    enabled = {str(c) for c, b in board.commands.buttons.items() if b.isEnabled()}
    assert enabled == {"pause", "hold", "stop", "abort"}
    board.operator.setText(NAME)
    board.commands.buttons["hold"].click()
    dialog = board.commands.dialog
    assert dialog.who.text() == NAME
    dialog.why.setText("a bag leaks")
    dialog.confirm.click()
    assert board.requests == [
        Request(RequestKind.COMMAND, "", "hold", NAME, "a bag leaks", batch_id="B2026-0117")
    ]


def test_a_question_is_answered_under_a_name_only(show):
    board = show("batch")
    board.show_items([scene.everybody(), scene.batch(), scene.question()])
    QtWidgets.QApplication.processEvents()
    board.prompt.buttons["Keep"].click()
    assert board.requests == []
    assert board.operator.property("missing") is True
    board.operator.setText(NAME)
    board.prompt.buttons["Keep"].click()
    assert board.requests[0].act == "Keep"
    board.show_items([Reply(board.requests[0], False, "closed")])
    assert text(board, "prompt_told") == "not taken: closed"


def test_the_forecast_of_an_exponential_culture_is_its_own_time_and_the_band_holds_it():
    times = [3600.0 * k for k in range(48)]
    cells = [1e8 * math.exp(0.5 * t / DAY_S) for t in times]
    exact = forecast.reaches(times, cells, 1e9)
    assert exact.at_s == pytest.approx(math.log(10.0) / 0.5 * DAY_S, rel=1e-9)
    assert exact.rate_per_d == pytest.approx(0.5, rel=1e-9)
    assert exact.latest_s - exact.earliest_s < 1.0


def test_the_forecasts_band_covers_as_often_as_it_says():
    import numpy as np

    rng = np.random.default_rng(5)
    times = [3600.0 * k for k in range(36)]
    truth, inside, runs = 0.6 / DAY_S, 0, 400
    for _ in range(runs):
        noise = rng.normal(0.0, 0.05, len(times))
        cells = [1e9 * math.exp(truth * t + n) for t, n in zip(times, noise, strict=True)]
        found = forecast.reaches(times, cells, 3e9)
        # The band is one of prediction: the next count, with its own scatter, crosses within it.
        crossing = (math.log(3.0) + rng.normal(0.0, 0.05)) / truth
        inside += found.earliest_s <= crossing <= found.latest_s
    assert 0.92 <= inside / runs <= 0.98


@pytest.mark.parametrize("cells", [[], [1e8] * 3, [1e8] * 40, [2e8 * 0.99**k for k in range(40)]])
def test_no_forecast_without_growth(cells):
    assert forecast.reaches([3600.0 * k for k in range(len(cells))], cells, 1e9) is None


# --- alarms ---


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


# --- vision, trends ---


def test_both_cameras_show_their_age_and_what_was_lost(show):
    board = show("vision")
    board.show_items(scene.inspection())
    board.refresh()
    assert "shown a second" in text(board, "sorter_health")
    board.show_items([MeasurementView("vision_qc", "frames_dropped", 3.0, "count", 1.0)])
    board.clock.now_s += 30.0
    board.refresh()
    assert text(board, "sorter_health") == "Sorter camera: last picture 30 s ago"
    assert "3 frames lost" in text(board, "microscope_health")
    assert mark(board, "microscope_health") == "held"
    assert "latency p50 2.4, p99" in text(board, "microscope_health")
    assert not board.sorter.live


def test_focusing_is_told_with_its_interval(show):
    board = show("vision")
    board.show_items([MeasurementView("vision_qc", "centre_fraction", 0.874, "1", 1.0, 0.83, 0.91)])
    board.refresh()
    assert text(board, "focus") == "87 % of the cells go through the centre  (95 %: 83 % to 91 %)"


def test_a_picture_of_one_camera_does_not_reach_the_other(show):
    board = show("vision")
    board.show_items([PictureView(8, 8, bytes(192), 0.0, "sorter")])
    assert board.microscope.canvas.image.isNull()
    assert not board.sorter.image.isNull()


def test_trends_offer_what_was_heard_and_draw_up_to_four(show):
    board = show("trends")
    board.show_items([scene.batch(), *scene.culture(50), *scene.values()])
    board.refresh()
    assert board.chosen() == list(boards.TrendBoard.__init__.__globals__["DEFAULT"])
    item = board._items["transduction/stirring_rpm"]
    item.setCheckState(0, QtCore.Qt.Checked)
    assert "transduction/stirring_rpm" in board.chosen()
    assert len(board.chosen()) == 4
    assert len(board.plots) == 4
    item.setCheckState(0, QtCore.Qt.Unchecked)
    assert len(board.plots) == 3
    days, _ = board._curves["incubator/liquid_temperature_c"].getOriginalDataset()
    assert days[0] == pytest.approx(2.0, abs=0.01)


def test_a_window_that_opens_late_draws_what_the_record_has_up_to_now(show):
    points = tuple((DAY_S * k / 10, 1e8 * 1.02**k) for k in range(100))
    history = HistoryView("B2026-0117", (), (), {("incubator", "viable_cells", "cells"): points})
    board = show("trends")
    board.show_items([scene.batch(), MeasurementView("incubator", "viable_cells", 9e8, "cells", 6.41 * DAY_S), history])
    series = board.series["incubator/viable_cells"]
    assert series.times_s[0] == 0.0
    assert series.times_s[-2:] == [6.4 * DAY_S, 6.41 * DAY_S]  # nothing from after now, and what was heard stays
    assert series.latest() == 9e8
    board.show_items([history])
    assert len(series.times_s) == 66
    other = HistoryView("OTHER", (), (), {("incubator", "ph", "1"): points})
    board.show_items([other])
    assert "incubator/ph" not in board.series
    batch = show("batch")
    batch.show_items([scene.batch(), history])
    batch.refresh()
    assert text(batch, "forecast").startswith("Extrapolated from 36 h: day")


def test_an_unknown_value_is_no_point(show):
    board = show("trends")
    board.show_items([MeasurementView("m", "ph", math.nan, "1", 1.0)])
    assert board.series == {}


# --- record ---


BEN, FIRST = "correct horse battery", "phrase of the first day"


@pytest.fixture
def runs(tmp_path):
    """A runs folder with one finished batch, and Ben, an operator."""
    place = Place(tmp_path / "runs")
    record = BatchRecord(place.runs / BATCH, Signer.load_or_create(place.keys))
    record.append(nominal_batch())
    record.close()
    users = registry(place)
    users.add("anna", "Anna Ruiz", ["administrator"], FIRST, None)
    users.add("ben", "Ben Ode", ["operator"], FIRST, users.authenticate("anna", FIRST))
    users.change_password("ben", FIRST, BEN)
    return place.runs


def sign_as(board, password, meaning="performed"):
    board.buttons["sign"].click()
    dialog = board.dialog
    dialog.user.setText("ben")
    dialog.password.setText(password)
    dialog.meaning.setCurrentIndex(dialog.meaning.findData(meaning))
    dialog.confirm.click()


def test_a_growing_record_is_followed_and_one_that_is_another_is_read_anew(tmp_path):
    """What boards show of a record read in parts is what the whole tells."""
    events = {name: [dataclasses.replace(e, batch_id=name) for e in nominal_batch()] for name in ("B1", "B2")}
    told = []
    history = RunHistory(tmp_path, told.append)

    def look(batch_id, first, last):
        folder = tmp_path / batch_id
        for old in (folder, tmp_path / ".heads"):
            shutil.rmtree(old, ignore_errors=True)
        record = BatchRecord(folder, Signer.load_or_create(tmp_path / "keys"))
        record.append(events[batch_id][first:last])
        history.take(dataclasses.replace(scene.batch(), batch_id=batch_id, phase_id=f"row.{last}"))
        wanted = history_of(batch_id, events[batch_id][first:last])
        until(lambda: [item for item in told if isinstance(item, HistoryView)][-1:] == [wanted], f"{batch_id} is read")
        return record

    try:
        record = look("B1", 0, 300)
        record.append(events["B1"][300:])
        record.close()
        history.take(dataclasses.replace(scene.batch(), batch_id="B1", phase_id="a.b.c"))
        until(lambda: told[-1] == history_of("B1", events["B1"]), "what was added")
        look("B2", 0, 100).close()
        look("B2", 0, 90).close()
    finally:
        history.close()


def test_a_record_is_read_verified_signed_and_an_edit_is_found(show, runs):
    board = show("record", runs)
    until(lambda: board.record is not None, "the record")
    assert text(board, "record_name") == BATCH
    assert board.record.verdict
    assert len(board.record.events) == len(board.models["events"].rows) > 50
    board.filter.setText("viability measurement")
    assert 0 < len(board.models["events"].rows) < len(board.record.events)
    board.buttons["verify"].click()
    until(lambda: text(board, "record_verified").startswith("INTACT"), "verification")
    sign_as(board, "not the password")
    until(lambda: "user or password is wrong" in text(board, "record_verified"), "refusal")
    assert board.dialog.password.text() == ""
    assert board.record.signatures == ()
    sign_as(board, BEN)
    until(lambda: len(board.record.signatures) == 1, "signature")
    assert board.record.signatures[0][:3] == ("performed", "Ben Ode", "operator")
    assert board.tabs.tabText(3) == "Signatures (1)"
    database = sqlite3.connect(runs / BATCH / "record.sqlite")
    with database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        column = database.execute("PRAGMA table_info(rows)").fetchall()
        assert "why" in [row[1] for row in column]
        database.execute("UPDATE rows SET why = 'nothing at all' WHERE rowid = 7")
    database.close()
    board.buttons["verify"].click()
    until(lambda: text(board, "record_verified").startswith("ALTERED"), "the edit is found")
    assert mark(board, "record_verified") == "high"


def test_an_empty_runs_folder_says_so(show, tmp_path):
    board = show("record")
    until(lambda: "No records in" in text(board, "record_name"), "list of runs")
    assert not board.buttons["verify"].isEnabled()


# --- rqt and the session ---


def test_every_plugin_of_the_manifest_is_a_class_for_one_of_the_boards():
    """What rqt reads before it loads anything is held to the source; test_dashboard_ros loads it."""
    root = SOURCES.parents[1]
    classes = {}
    for node in ast.parse((SOURCES / "plugin.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names = [i.value.value for i in node.body if isinstance(i, ast.Assign) and i.targets[0].id == "NAME"]
            classes[node.name] = names[0] if names else ""
    manifest = ElementTree.parse(root / "plugin.xml").getroot()
    found = [entry.attrib["type"].rsplit(".", 1) for entry in manifest.iter("class")]
    assert {module for module, _ in found} == {"mimedi_nodes.dashboard.plugin"}
    assert sorted(classes[name] for _, name in found) == sorted(["overview", *boards.SIX])
    assert all(entry.attrib["base_class_type"] == "rqt_gui_py::Plugin" for entry in manifest.iter("class"))


@pytest.fixture
def live(runs, monkeypatch):
    """A window joined to a bridge that only notes who acts."""
    from mimedi_nodes.dashboard.live import Live

    class Bridge(QtCore.QObject):
        arrived = Signal()

        def __init__(self):
            super().__init__()
            self.sent, self.inbox = [], Inbox(self.arrived.emit)

        def send(self, request, who=""):
            self.sent.append(who)

        def post(self, key, item):
            self.inbox.post(key, item)

        def take(self):
            return self.inbox.take()

        def close(self):
            return None

    monkeypatch.setattr("mimedi_nodes.dashboard.live.RosBridge", lambda *_: Bridge())
    made = []

    def make():
        made.append(Live("", scene.MODULES, [], None, Place(runs)))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.ros
def test_an_act_goes_under_the_session_of_the_person_that_it_names(runs, live):
    users = registry(Place(runs))
    token = users.open_session(users.authenticate("ben", BEN))
    Place(runs).session.write_text(token)
    window = live()
    window.send(Request(RequestKind.COMMAND, "", "hold", "ben", "x"))
    window.send(Request(RequestKind.COMMAND, "", "hold", "somebody else", "x"))
    assert window.bridge.sent == [token, "somebody else"]


@pytest.mark.ros
def test_a_person_logs_in_at_the_window_acts_and_leaves(runs, live, show):
    Place(runs).session.unlink(missing_ok=True)
    board, window = show("batch", runs), live()
    window.add(board)
    until(board.login.isVisible, "the accounts are seen")
    board.login.click()
    dialog = board.login_dialog
    assert not dialog.confirm.isEnabled()
    dialog.user.setText("ben")
    dialog.password.setText("not the password")
    dialog.confirm.click()
    until(lambda: "wrong" in dialog.told.text(), "refusal")
    assert (dialog.password.text(), board.operator.text()) == ("", "")
    dialog.password.setText(BEN)
    dialog.confirm.click()
    until(lambda: board.operator.text() == "ben", "the session")
    assert board.operator.isReadOnly()
    assert not dialog.isVisible()
    board.sign(Request(RequestKind.ANSWER, "p1", "Yes", ""))
    (token,) = window.bridge.sent
    assert check_session(token, registry(Place(runs)).accounts(), time.time()).user == "ben"
    board.login.click()
    until(lambda: not board.operator.isReadOnly(), "logged out")
    with pytest.raises(LoginError):
        check_session(token, registry(Place(runs)).accounts(), time.time())
    assert not board.sign(Request(RequestKind.ANSWER, "p1", "Yes", ""))  # nobody is named any more
    window.remove(board)
