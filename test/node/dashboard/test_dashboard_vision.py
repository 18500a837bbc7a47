# SPDX-License-Identifier: Apache-2.0
"""The boards of cameras and of trends, off-screen."""

import dataclasses
import math

import dashboard_scene as scene
import pytest
from dashboard_hand import laid, mark, text, until

from mimedi_nodes.dashboard.boards import by_name as boards
from mimedi_nodes.dashboard.look.qt import QtCore
from mimedi_nodes.dashboard.views import (
    HistoryView,
    MeasurementView,
    PictureView,
)

DAY_S = 86400.0


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


def test_what_both_colours_tell_is_shown_with_its_interval_and_only_then(show):
    board = show("vision")
    *before, seen = scene.inspection()
    board.show_items([*before, seen])
    assert text(board, "counted").splitlines() == [
        "412 cells counted  ·  viability 93 %  (95 %: 90 % to 95 %)",
        "transgene: 34 %  (95 %: 29 % to 40 %)",
        "other leukocytes: 3 %  (95 %: 2 % to 6 %)",
    ]
    unknown = (math.nan,) * 3
    board.show_items([dataclasses.replace(seen, transgene=unknown, other=unknown)])
    assert text(board, "counted") == "412 cells counted  ·  viability 93 %  (95 %: 90 % to 95 %)"


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
    assert len(laid(board)) == 4
    item.setCheckState(0, QtCore.Qt.Unchecked)
    assert len(laid(board)) == 3
    days, _ = board.graphics.curves["incubator/liquid_temperature_c"].getOriginalDataset()
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


def test_values_of_a_silent_module_are_in_doubt_until_it_speaks(show):
    board = show("trends")
    board.show_items([*scene.modules(), *scene.values()])
    board.clock.now_s += 6.0
    board.show_items([view for view in scene.modules() if view.module == "fluidics"])
    board.refresh()
    said = {key: item.text(1) for key, item in board._items.items()}
    assert (said["incubator/ph"], said["fluidics/medium_ul"]) == ("7.12?", "5\u202f250\u202f000 µL")
    assert "3.8 mmol/L?" in laid(board)["incubator/glucose_mm"].titleLabel.text
    board.show_items(scene.modules())
    board.refresh()
    assert board._items["incubator/ph"].text(1) == "7.12"


def test_a_plot_that_is_drawn_as_before_stays_when_others_come_and_go(show):
    board = show("trends")
    board.show_items([*scene.modules(), *scene.values()])
    before = dict(laid(board))
    keys = list(before)
    board._items[keys[-1]].setCheckState(0, QtCore.Qt.Unchecked)
    after = laid(board)
    assert list(after) == keys[:-1]
    assert [after[key] is before[key] for key in keys[:-2]] == [True] * len(keys[:-2])
    views = [plot.getViewBox() for plot in after.values()]
    views[0].setXRange(1.0, 2.0, padding=0.0)
    assert [view.viewRange()[0] for view in views] == [[1.0, 2.0]] * len(views)


def test_all_plots_show_the_span_of_the_longest_curve(show):
    board = show("trends")
    board.show_items(scene.everything())
    laid(board)
    spans = []

    def shown():
        board.refresh()
        spans[:] = [plot.getViewBox().viewRange()[0] for plot in laid(board).values()]
        return all(1.8 < first < 2.0 and scene.NOW_DAY < last < 6.7 for first, last in spans)

    until(shown, spans)
