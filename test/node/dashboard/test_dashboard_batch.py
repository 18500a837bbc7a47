# SPDX-License-Identifier: Apache-2.0
"""The batch board, its plan and its forecast, off-screen."""

import dataclasses
import math

import dashboard_scene as scene
import pytest
from dashboard_hand import NAME, text

from mimedi_nodes.dashboard.feed import forecast
from mimedi_nodes.dashboard.feed.batch_history import history_of
from mimedi_nodes.dashboard.feed.run_history import plan_of
from mimedi_nodes.dashboard.look.qt import QtWidgets
from mimedi_nodes.dashboard.panels.gantt import Timeline
from mimedi_nodes.dashboard.views import (
    HistoryView,
    PlanView,
    Reply,
    Request,
    RequestKind,
    SpanView,
)
from mimedi_nodes.modules.registry import config_folder, manifests
from mimedi_nodes.process.recipes.loader import load_recipe
from mimedi_nodes.records.events import RecordEvent

DAY_S = 86400.0


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
    assert board.requests == [Request(RequestKind.COMMAND, "", "hold", NAME, "a bag leaks", batch_id="B2026-0117")]


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
