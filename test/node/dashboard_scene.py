# SPDX-License-Identifier: Apache-2.0
"""A workcell's afternoon for the dashboard: what it would hear, made from the models and the vision code."""

import dataclasses
import functools
import math

import numpy as np

from mimedi_nodes.dashboard.feed.analyses import analysis_view
from mimedi_nodes.dashboard.feed.limits import limits_of
from mimedi_nodes.dashboard.feed.run_history import plan_of
from mimedi_nodes.dashboard.views import (
    AlarmPriority,
    AlarmState,
    AlarmsView,
    AlarmView,
    BatchesView,
    BatchSnapshot,
    CassettesView,
    HistogramView,
    HistoryView,
    MeasurementView,
    ModuleView,
    PictureView,
    PopulationView,
    PresenceView,
    PromptView,
    Source,
    SpanView,
    TracksView,
)
from mimedi_nodes.instruments.impedance import ImpedanceSweep
from mimedi_nodes.modules.acoustic_sorter.transducer_fit import fit_transducer
from mimedi_nodes.modules.acoustic_sorter.tune import sweep_data
from mimedi_nodes.modules.analytics.gating import gate, gating_data
from mimedi_nodes.modules.registry import config_folder, manifests, module_table
from mimedi_nodes.modules.site_file import load_site
from mimedi_nodes.process.recipes.loader import load_recipe
from mimedi_nodes.process.service_state import ServiceState as S
from mimedi_nodes.records.specification import read_specification
from mimedi_nodes.vision.camera.settings import VisionSettings
from mimedi_nodes.vision.recordings.annotate import annotate
from mimedi_nodes.vision.tracking.tracker import CellTracker
from mimedi_sim.models.piezo import TransducerModel
from mimedi_sim.plant.chip import Chip, ChipRun, Drive
from mimedi_sim.plant.ledger import amounts
from mimedi_sim.plant.sorter_view import SorterStation
from mimedi_sim.rendering.camera import MicroscopeCamera
from mimedi_sim.rendering.cell_field import CellField, ImagingChannel, culture_populations

DAY_S = 86400.0
NOW_DAY = 6.42
MODULES = tuple(module_table())


def everybody():
    return PresenceView(frozenset(Source))


def modules():
    return [
        ModuleView("fluidics", S.IDLE, "TakeSample", "", "2.0 mL to imaging cell", 1.0),
        ModuleView("acoustic_sorter", S.IDLE, "ConcentrateCells", "", "washed", 1.0),
        ModuleView("transduction", S.IDLE, "TransduceCells", "", "contact over", 1.0),
        ModuleView("incubator", S.EXECUTE, "PerfuseCulture", "expansion.grow.perfuse", "955 mL/d, glucose 4 mM", 0.46),
        ModuleView("vision_qc", S.EXECUTE, "InspectSample", "expansion.grow.look", "412 of 800 cells", 0.51),
        ModuleView("enclosure", S.IDLE, "VerifyGrade", "", "grade C", 1.0),
        ModuleView("transfer", S.IDLE, "MoveCassette", "", "incubator → vision_qc", 1.0),
        ModuleView("contamination_watch", S.IDLE, "ScreenSample", "", "clear", 1.0),
        ModuleView("analytics", S.IDLE, "AnalyzeCytometry", "", "20 000 events", 1.0),
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


VALUES = (
    ("fluidics", "apheresis_ul", 12_000.0, "uL"), ("fluidics", "bank_ul", 259_000.0, "uL"),
    ("fluidics", "buffer_ul", 3_560_000.0, "uL"), ("fluidics", "medium_ul", 5_250_000.0, "uL"),
    ("fluidics", "waste_ul", 4_790_000.0, "uL"), ("fluidics", "depleted_ul", 0.0, "uL"),
    ("fluidics", "harvest_ul", 0.0, "uL"), ("fluidics", "dose_bag_ul", 0.0, "uL"),
    ("fluidics", "surplus_bag_ul", 0.0, "uL"), ("fluidics", "plunger_ul", 0.0, "uL"),
    ("acoustic_sorter", "sorter_inlet_ul", 70.0, "uL"), ("acoustic_sorter", "sorted_ul", 9_791.0, "uL"),
    ("acoustic_sorter", "sorter_waste_ul", 1_193_000.0, "uL"), ("acoustic_sorter", "drive_amplitude_vpp", 0.0, "V"),
    ("acoustic_sorter", "channel_resonance_hz", 2_015_744.0, "Hz"),
    ("transduction", "liquid_temperature_c", 36.99, "degC"), ("transduction", "co2_fraction", 0.0497, "1"),
    ("transduction", "stirring_rpm", 60.0, "rpm"), ("transduction", "volume_ul", 308.0, "uL"),
    ("incubator", "co2_fraction", 0.0503, "1"), ("incubator", "dissolved_oxygen_fraction", 0.504, "1"),
    ("incubator", "ph", 7.12, "1"), ("incubator", "glucose_mm", 3.8, "mmol/L"),
    ("incubator", "lactate_mm", 8.4, "mmol/L"),
    ("incubator", "volume_ul", 955_000.0, "uL"), ("vision_qc", "viability", 0.93, "1"),
    ("vision_qc", "centre_fraction", 0.874, "1"), ("vision_qc", "focus_spread_um", 85.0, "um"),
    ("vision_qc", "um_per_px", 0.6504, "um/px"), ("vision_qc", "calibration_residual_px", 0.21, "px"),
    ("vision_qc", "calibration_focus", 0.94, "1"), ("vision_qc", "calibration_light", 0.81, "1"),
    ("vision_qc", "calibration_expires_s", (NOW_DAY + 0.6) * DAY_S, "s"),
    ("transfer", "gantry_y_mm", -475.71, "mm"), ("transfer", "homed", 1.0, "1"),
    ("enclosure", "grade", 3.0, "1"), ("enclosure", "doors_open", 0.0, "count"),
    ("enclosure", "particles_05_per_m3", 41_200.0, "1/m3"), ("enclosure", "particles_5_per_m3", 180.0, "1/m3"),
    ("enclosure", "chamber_pressure_pa", 28.4, "Pa"), ("enclosure", "air_temperature_c", 22.3, "degC"),
)  # fmt: skip


def values():
    """What every module measures now."""
    return [MeasurementView(module, name, value, unit, NOW_DAY * DAY_S) for module, name, value, unit in VALUES]


def plan():
    """The plan of the shipped recipe."""
    recipe = load_recipe(config_folder() / "recipes" / "car_t_cd19.yaml", manifests())
    return plan_of(recipe, limits_of(read_specification(config_folder() / "products" / "car_t_cd19.yaml")))


def history():
    """The plan as it might have gone so far: a bit slower in places, and one failed phase."""
    spans = []
    for number, span in enumerate(plan().spans):
        late = 1.0 + 0.03 * (number % 3)
        if span.start_s * late < NOW_DAY * DAY_S:
            end_s = min(span.end_s, NOW_DAY * DAY_S * 2) * late
            spans.append(SpanView(span.path, span.start_s * late, end_s if end_s < NOW_DAY * DAY_S else math.nan))
    alarms = (
        (5.9 * DAY_S, "raised", "fluidics.phase_overdue", "supervisor"),
        (5.91 * DAY_S, "acknowledged", "fluidics.phase_overdue", "A. Martin"),
        (6.4 * DAY_S, "raised", "incubator.glucose_low", "supervisor"),
    )
    return HistoryView("B2026-0117", tuple(spans), alarms)


def sorter_picture():
    """What the camera over the sorter's channel sees while labelled cells are sorted."""
    chip, drive = Chip(0.0), Drive(2.0093e6, 5.3)
    chip.commit(0.0, drive)
    while chip.next_event() < 600.0:
        chip.commit(chip.next_event(), drive)
    chip.commit(600.0, drive)
    settings = load_site(config_folder() / "site" / "demo.yaml").sorter_camera
    view = SorterStation(1, settings, chip)
    content = amounts(volume_ul=1000.0, plasma_ul=1000.0, t_bead=6e6, bead_bound=18e6, lymphocyte=3e6)
    view.adopt(600.0, ChipRun(content, 510.0 / 60.0, 2690.0 / 60.0))
    view.set_capture(True, 600.0)
    image = view.frame(view.next_frame_s()).bright_field
    height, width = image.shape
    return PictureView(width, height, np.repeat(image[:, :, None], 3, axis=2).tobytes(), NOW_DAY * DAY_S, "sorter")


@functools.lru_cache(maxsize=1)
def inspection():
    """A picture with tracks and what they say, after 40 frames of the simulated microscope."""
    channel = ImagingChannel()
    per_ml = 34.0 / channel.view_volume_ml
    sample = CellField(7, "look", culture_populations(0.9 * per_ml, 0.1 * per_ml), channel)
    camera = MicroscopeCamera(seed=7)
    seen = []
    tracker = CellTracker(VisionSettings(0.65, 4.0, 123.0, channel.depth_um, 50.0))
    for index in range(40):
        bright, dye = camera.render(index, sample.at(index / 50))
        tracks = tracker.process(bright, index / 50, dye=dye)
        for cell in tracks.tracks:
            dead = -1 if cell.dead is None else int(cell.dead)
            seen.append((cell.diameter_um, cell.deformation, cell.dye_intensity, dead))
    drawn = annotate(bright, tracks, 0.65)
    height, width, _ = drawn.shape
    edges = tuple(5.0 + 0.5 * k for k in range(21))
    counts = tuple(sum(low <= cell[0] < low + 0.5 for cell in seen) for low in edges[:-1])
    return [
        sorter_picture(),
        HistogramView("S-0017", edges, counts),
        TracksView(NOW_DAY * DAY_S, 2.4, tuple(seen)),
        PictureView(width, height, drawn.tobytes(), NOW_DAY * DAY_S),
        PopulationView("S-0017", 412, 2.42e6, 2.18e6, 2.66e6, 0.93, 0.90, 0.95, 10.8, 1.5, 0,
                       (0.344, 0.291, 0.401), (0.034, 0.018, 0.062)),
    ]


@functools.lru_cache(maxsize=1)
def analyses():
    """A sweep of the twin's transducer with its fit, and the gates of a cytometry, as modules put them on record."""
    random = np.random.default_rng(3)
    frequency_hz = np.linspace(1.9e6, 2.15e6, 401)
    impedance_ohm = TransducerModel().at(25.0).impedance_ohm(frequency_hz) * (1 + 1e-3 * random.standard_normal(401))
    sweep = ImpedanceSweep(frequency_hz, impedance_ohm)
    tuned = sweep_data(sweep, fit_transducer(frequency_hz, impedance_ohm, 2.009e6))
    cells = 4000
    is_t, is_car = random.random(cells) < 0.96, random.random(cells) < 0.41

    def light(bright, high, low):
        return np.where(bright, high, low) * np.exp(0.45 * random.standard_normal(cells))

    channels = {
        "CD45-A": light(is_t, 20e3, 15e3), "7-AAD-A": light(random.random(cells) < 0.07, 20e3, 300.0),
        "CD3-A": light(is_t, 15e3, 200.0), "CD14-A": light(~is_t, 900.0, 200.0),
        "CAR-A": light(is_t & is_car, 5e3, 200.0),
    }  # fmt: skip
    gated = gating_data(channels, gate(channels))
    return [
        analysis_view(module, name, 0.9 * NOW_DAY * DAY_S, data)
        for module, name, data in (
            ("acoustic_sorter", "impedance_sweep", tuned), ("analytics", "cytometry", gated),
        )
    ]  # fmt: skip


def alarms():
    return AlarmsView(
        (
            AlarmView(
                "fluidics.phase_overdue",
                AlarmState.ACKNOWLEDGED,
                AlarmPriority.LOW,
                "fluidics",
                "Filling the culture vessel takes 62 min, expected 39 min",
                "Look at the step that it shows. Let it go on when it makes progress; otherwise hold the batch.",
                5.9 * DAY_S,
            ),
            AlarmView(
                "incubator.glucose_low",
                AlarmState.UNACKNOWLEDGED,
                AlarmPriority.MEDIUM,
                "incubator/culture_controller",
                "Glucose 3.8 mM, limit 4.0 mM",
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
    return [
        everybody(), *modules(), plan(), batch(), history(), *culture(), *values(), *inspection(), *analyses(),
        CassettesView((("store", "CASSETTE-1"), ("incubator", "CASSETTE-2"))),
        alarms(), question(),
    ]  # fmt: skip


def flood():
    """Thirty alarms at once, of all priorities and states."""
    states = [state for state in AlarmState if state is not AlarmState.NORMAL]
    kinds = ("pressure_high", "scale_fault", "phase_overdue", "storage_failed", "line_lost", "temperature_low")
    words = ("Fluidics line pressure 312 kPa, limit 250 kPa: occlusion between pump and destination valve", "No reply")
    return AlarmsView(
        tuple(
            AlarmView(
                f"{module}.{what}", states[number % 2 * number % len(states)], AlarmPriority(number % 3 + 1), module,
                words[number % 2], "Look at the line that it names; clamp it, then acknowledge", 6.4 * DAY_S + number,
            )
            for number, (module, what) in enumerate(
                (module, what) for module in ("fluidics", "acoustic_sorter", "incubator", "transduction", "enclosure")
                for what in kinds
            )
        )
    )  # fmt: skip


def two_vessels():
    """A workcell with two culture vessels, two patients' batches, and a module that the plan does not know."""
    second = {v.name: v for v in values() if v.module == "incubator"}
    return [
        *everything(),
        ModuleView("incubator_2", S.EXECUTE, "ExpandCulture", "expansion.grow.expand", "day 2 of 8", 0.2),
        *(dataclasses.replace(value, module="incubator_2") for value in second.values()),
        MeasurementView("incubator_2", "liquid_temperature_c", 37.02, "degC", NOW_DAY * DAY_S),
        MeasurementView("incubator_2", "viable_cells", 3.1e8, "cells", NOW_DAY * DAY_S),
        ModuleView("cell_counter", S.EXECUTE, "CountCells", "expansion.grow.count", "", 0.5),
        BatchesView({"B2026-0117": "running", "B2026-0118": "held"}, "B2026-0117", ("B2026-0118",)),
    ]


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
        *values(),
        AlarmsView((*alarms().alarms, high)),
    ]
