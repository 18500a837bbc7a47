# SPDX-License-Identifier: Apache-2.0
"""The overview, off-screen: its modules and the whole."""

import dashboard_scene as scene
import pytest
from dashboard_hand import mark, text

from mimedi_nodes.dashboard.look import theme
from mimedi_nodes.dashboard.look.qt import QtCore, QtWidgets
from mimedi_nodes.dashboard.views import (
    AlarmPriority,
    ModuleView,
)
from mimedi_nodes.process.service_state import ServiceState


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
