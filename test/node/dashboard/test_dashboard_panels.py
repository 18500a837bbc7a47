# SPDX-License-Identifier: Apache-2.0
"""Alarms, pictures and curves on the overview, off-screen."""

import dataclasses

import dashboard_scene as scene
import pytest
from dashboard_hand import NAME, click, mark, text

from mimedi_nodes.dashboard.look.qt import QtWidgets
from mimedi_nodes.dashboard.views import (
    ACKNOWLEDGEABLE,
    AlarmPriority,
    AlarmState,
    AlarmsView,
    AlarmView,
    MeasurementView,
    PictureView,
    PresenceView,
    Reply,
    Request,
    RequestKind,
    Source,
)


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
    assert text(overview, "alarm_headline") == "CONNECTING …"
    overview.show_items([PresenceView(frozenset())])
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
    days, cells = overview.trend.vessels["incubator"].cells_curve.getOriginalDataset()
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
    _, cells = overview.trend.vessels["incubator"].cells_curve.getOriginalDataset()
    assert cells[0] == 1.0e8
    assert cells[1] != cells[1]
    assert text(overview, "trend_cells") == "2.00 × 10⁸ cells"


def test_a_flood_is_listed_line_by_line_and_a_few_alarms_with_what_to_do(overview):
    overview.show_items([scene.everybody(), scene.flood()])
    QtWidgets.QApplication.processEvents()
    rows = list(overview.alarms.rows.values())
    assert len(rows) == 30
    assert max(row.height() for row in rows) < 50
    assert all("clamp it" in row._line.toolTip() for row in rows)
    gone = rows[-1]
    overview.show_items([scene.alarms()])
    assert not gone.isVisible()
    assert all(row._whole[1].isVisibleTo(row) for row in overview.alarms.rows.values())


def test_a_silent_incubator_puts_the_culture_in_doubt(overview, clock):
    overview.show_items([scene.everybody(), *scene.modules(), *scene.culture(20)])
    overview.refresh()
    assert not overview.trend.property("stale")
    clock.now_s += 6.0
    overview.refresh()
    assert overview.trend.property("stale")


def test_what_the_axes_show_is_written_whole_below_them(overview):
    """In the smallest window the titles of upright axes were cut."""
    QtWidgets.QApplication.processEvents()
    axis = overview.trend.plot.getPlotItem().getAxis("bottom")
    for items, day in ((scene.everything(), "process day"), (scene.two_vessels(), "process day of B2026-0117")):
        overview.show_items(items)
        QtWidgets.QApplication.processEvents()
        said = " ".join(axis.label.toPlainText().replace("\u00a0", " ").split())
        assert said == f"◂ viable cells ── {day} ╌╌ liquid °C ▸"
        assert axis.label.boundingRect().width() <= axis.width()


def test_two_vessels_have_curves_and_figures_each_and_a_silent_one_says_so(overview, clock):
    overview.show_items(scene.two_vessels())
    overview.refresh()
    assert list(overview.trend.vessels) == ["incubator", "incubator_2"]
    assert text(overview, "trend_cells_incubator_2") == "3.10 × 10⁸ cells"
    assert text(overview, "trend_temperature_incubator_2") == "37.0 °C"
    assert text(overview, "trend_cells") == "2.31 × 10⁹ cells"
    titles = [vessel.title.text() for vessel in overview.trend.vessels.values()]
    assert titles == ["Culture · Incubator", "Culture · Incubator 2"]
    _, cells = overview.trend.vessels["incubator_2"].cells_curve.getOriginalDataset()
    assert list(cells) == [3.1e8]
    clock.now_s += 20.0
    overview.show_items([view for view in scene.modules() if view.module == "incubator"])
    overview.refresh()
    assert text(overview, "trend_cells_incubator_2") == "3.10 × 10⁸ cells?"
    assert text(overview, "trend_cells") == "2.31 × 10⁹ cells"
    assert not overview.trend.property("stale")
