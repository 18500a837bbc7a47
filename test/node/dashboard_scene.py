# SPDX-License-Identifier: Apache-2.0
"""A workcell's afternoon for the dashboard: what it would hear, made from the models and the vision code.

Run as a script it draws the picture of the documentation:
    QT_QPA_PLATFORM=offscreen ./workcell exec python test/node/dashboard_scene.py docs/images/dashboard.png
"""

import math
import sys

from mimedi_nodes.dashboard.views import (
    AlarmPriority,
    AlarmState,
    AlarmsView,
    AlarmView,
    BatchSnapshot,
    MeasurementView,
    ModuleView,
    PictureView,
    PopulationView,
    PresenceView,
    PromptView,
    Source,
)
from mimedi_nodes.process.service_state import ServiceState as S
from mimedi_nodes.vision.annotate import annotate
from mimedi_nodes.vision.settings import VisionSettings
from mimedi_nodes.vision.tracker import CellTracker
from mimedi_sim.camera import MicroscopeCamera
from mimedi_sim.cell_field import CellField, ImagingChannel, culture_populations

DAY_S = 86400.0
NOW_DAY = 6.42
MODULES = ("fluidics", "acoustic_sorter", "transduction", "incubator", "vision_qc")


def everybody():
    return PresenceView(frozenset(Source))


def modules():
    return [
        ModuleView("fluidics", S.IDLE, "TakeSample", "", "2.0 mL to imaging cell", 1.0),
        ModuleView("acoustic_sorter", S.IDLE, "ConcentrateCells", "", "washed", 1.0),
        ModuleView("transduction", S.IDLE, "TransduceCells", "", "contact over", 1.0),
        ModuleView("incubator", S.EXECUTE, "PerfuseCulture", "expansion.grow.perfuse", "955 mL/d, glucose 4 mM", 0.46),
        ModuleView("vision_qc", S.EXECUTE, "InspectSample", "expansion.grow.look", "412 of 800 cells", 0.51),
    ]


def batch(**changes):
    fields = {
        "time_s": NOW_DAY * DAY_S,
        "batch_id": "B2026-0117",
        "recipe": "car_t_cd19 1.0.0",
        "product": "car_t_cd19",
        "state": "running",
        "phase_id": "expansion.grow.perfuse",
        "step": "955 mL/d",
        "process_day": NOW_DAY,
        "progress": 0.64,
        "expected_remaining_h": 87.4,
        "viable_cells": 2.31e9,
        "phases_done": 41,
        "phases_total": 58,
    }
    return BatchSnapshot(**(fields | changes))


def culture(points=400, to_day=NOW_DAY):
    """Telemetry of the incubator from the dilution on day 2, every value at its process time."""
    seen = []
    for i in range(points):
        day = 2.0 + (to_day - 2.0) * i / (points - 1)
        cells = 2.31e9 * math.exp(0.55 * (day - NOW_DAY) - 0.02 * (day - NOW_DAY) ** 2)
        temperature = 37.0 - 12.0 * math.exp(-(day - 2.0) / 0.04) + 0.03 * math.sin(40.0 * day)
        seen.append(MeasurementView("incubator", "viable_cells", cells, "cells", day * DAY_S))
        seen.append(MeasurementView("incubator", "liquid_temperature_c", temperature, "degC", day * DAY_S))
    return seen


def inspection():
    """A picture with tracks and what they say, after 40 frames of the simulated microscope."""
    channel = ImagingChannel()
    per_ml = 34.0 / channel.view_volume_ml
    sample = CellField(7, "look", culture_populations(0.9 * per_ml, 0.1 * per_ml), channel)
    camera = MicroscopeCamera(seed=7)
    tracker = CellTracker(VisionSettings(0.65, 4.0, 123.0, channel.depth_um, 50.0))
    for index in range(40):
        bright, dye = camera.render(index, sample.at(index / 50))
        tracks = tracker.process(bright, index / 50, dye=dye)
    drawn = annotate(bright, tracks, 0.65)
    height, width, _ = drawn.shape
    return [
        PictureView(width, height, drawn.tobytes(), NOW_DAY * DAY_S),
        PopulationView("S-0017", 412, 2.42e6, 2.18e6, 2.66e6, 0.93, 0.90, 0.95, 10.8, 1.5),
    ]


def alarms():
    return AlarmsView(
        (
            AlarmView(
                "fluidics.medium_low",
                AlarmState.ACKNOWLEDGED,
                AlarmPriority.LOW,
                "fluidics/scale_medium",
                "Medium 1.9 L, limit 2.0 L",
                "Hang a new bag within 40 h",
                5.9 * DAY_S,
            ),
            AlarmView(
                "incubator.lactate_high",
                AlarmState.UNACKNOWLEDGED,
                AlarmPriority.MEDIUM,
                "incubator/culture_controller",
                "Lactate 8.4 mM, limit 8.0 mM",
                "Raise the perfusion or confirm by a sample",
                6.4 * DAY_S,
            ),
        )
    )


def question():
    return PromptView(
        "B2026-0117",
        "expansion.grow.lactate",
        "Lactate is above 8 mM. Raise perfusion to 1.2 volumes a day?",
        ("Raise", "Keep", "Take a sample first"),
    )


def everything():
    return [everybody(), *modules(), batch(), *culture(), *inspection(), alarms(), question()]


def trouble():
    """Held by a silent line, one module gone and the coordinator answering: what must strike the eye."""
    high = AlarmView(
        "acoustic_sorter.sorter_pumps_fault",
        AlarmState.UNACKNOWLEDGED,
        AlarmPriority.HIGH,
        "acoustic_sorter",
        "Sorter pumps do not answer: 3 tries in 1.5 s",
        "Look at the cable of sorter_pumps, then acknowledge and restart",
        6.41 * DAY_S,
    )
    held = ModuleView("acoustic_sorter", S.HELD, "ConcentrateCells", "wash", "", 0.3, "sorter_pumps: no reply")
    reason = "acoustic_sorter.sorter_pumps_fault: the pumps do not answer"
    return [
        everybody(),
        *(view for view in modules() if view.module not in ("acoustic_sorter", "transduction")),
        held,
        batch(state="held", hold_reason=reason, phase_id="harvest.wash"),
        *culture(),
        AlarmsView((*alarms().alarms, high)),
    ]


def main():
    from mimedi_nodes.dashboard.overview import Overview
    from mimedi_nodes.dashboard.qt import QtWidgets

    application = QtWidgets.QApplication([])
    overview = Overview(MODULES)
    size = sys.argv[2] if len(sys.argv) > 2 else "1280x800"
    overview.resize(*(int(side) for side in size.split("x")))
    overview.operator.setText("A. Martin")
    overview.show()
    overview.show_items(everything() if len(sys.argv) < 4 else trouble())
    overview.refresh()
    for _ in range(5):
        application.processEvents()
    if not overview.grab().save(sys.argv[1]):
        sys.exit(f"{sys.argv[1]} cannot be written")


if __name__ == "__main__":
    main()
