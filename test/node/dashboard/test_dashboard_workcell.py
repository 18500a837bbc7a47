# SPDX-License-Identifier: Apache-2.0
"""The mimic diagram, off-screen."""

import itertools

import dashboard_scene as scene
import pytest
from dashboard_hand import laid, mark, text

from mimedi_nodes.dashboard.boards.overview import Overview
from mimedi_nodes.dashboard.feed.analyses import analysis_view
from mimedi_nodes.dashboard.feed.limits import limits_of
from mimedi_nodes.dashboard.look import theme
from mimedi_nodes.dashboard.look.qt import QtCore, QtWidgets, pyqtgraph
from mimedi_nodes.dashboard.panels.mimic_plan import DOCKS_MM, RAIL, WIDTH, plan_for
from mimedi_nodes.dashboard.views import (
    CassettesView,
    HistoryView,
    MeasurementView,
    ModuleView,
)
from mimedi_nodes.modules.registry import config_folder, module_table
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.process.service_state import ServiceState
from mimedi_nodes.records.specification import read_specification


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
        plot = laid(board)["incubator/liquid_temperature_c"]
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
    assert key in trends.chosen()
    assert len(laid(trends)[key].listDataItems()[1].getData()[0]) == 401
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


def test_a_second_culture_vessel_and_a_module_of_its_own_kind_get_a_place(show):
    board = show("workcell")
    board.show_items(scene.everything())
    board.grab()
    assert {"incubator_2", "cell_counter", "culture_vessel_2"}.isdisjoint(board.mimic.boxes)
    board.show_items(scene.two_vessels())
    board.grab()
    assert (board.mimic.boxes["incubator_2"], board.mimic.boxes["cell_counter"]) == ("EXECUTE", "EXECUTE")
    assert (board.mimic.boxes["culture_vessel"], board.mimic.boxes["culture_vessel_2"]) == ("955.0 mL", "955.0 mL")


@pytest.mark.parametrize("heard", [(), scene.MODULES, (*scene.MODULES, "incubator_2", "one_more", "two_more")])
def test_nothing_of_the_plan_covers_anything_else(heard):
    plan = plan_for(heard)
    stations = {s.name: QtCore.QRectF(s.x, s.y, s.width, s.height) for s in plan.stations}
    for one, other in itertools.combinations(stations, 2):
        assert not stations[one].intersects(stations[other]), (one, other)
    inside = QtCore.QRectF(8.0, 48.0, WIDTH - 16.0, RAIL[2] - 64.0)
    for vessel in plan.vessels:
        box = QtCore.QRectF(vessel.x, vessel.y, vessel.width, vessel.height + 20.0)  # with its name
        assert inside.contains(box), vessel.name
        for name, station in stations.items():
            assert station.contains(box) or not station.intersects(box), (vessel.name, name)
    assert all(inside.contains(box) for box in stations.values())
