# SPDX-License-Identifier: Apache-2.0
"""The sorter's camera and what VerifyFocusing reads from it, against what the same chip sorts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mimedi_nodes.instruments.wire.link import InstrumentError
from mimedi_nodes.modules.camera import Frame
from mimedi_nodes.modules.vision_qc.camera_check import LEAST_FOCUS
from mimedi_nodes.modules.vision_qc.codes import VisionCode
from mimedi_nodes.modules.vision_qc.instruments import build
from mimedi_nodes.modules.vision_qc.verify_focusing import verify_focusing
from mimedi_nodes.process.errors import PhaseError, PhaseHold
from mimedi_nodes.process.service_state import ServiceCommand
from mimedi_nodes.vision.statistics.focusing import FocusingEstimator
from mimedi_sim.headless.virtual_loop import run_virtual
from mimedi_sim.plant import chip
from mimedi_sim.plant.chip import ChipRun
from mimedi_sim.plant.fault_effects import CameraFaults
from mimedi_sim.plant.ledger import INDEX, FloatArray, amounts
from mimedi_sim.plant.sorter_view import BEAD_CLASSES, SorterStation

from .test_plant_chip import RESONANCE_HZ, SORT, driven
from .workbench import HEADER, SITE, Workbench

SETTINGS = SITE.sorter_camera
MIDDLE_PX = 0.5 * (SETTINGS.wall_top_px + SETTINGS.wall_bottom_px)
RESTING, BEADED = range(1), range(6, 6 + 2 * BEAD_CLASSES)
"""Kinds of the station's cells."""
HALF_BAND_PX = 0.5 * SETTINGS.centre_band_um / SETTINGS.um_per_px


def sample(**per_ml: float) -> FloatArray:
    """A millilitre of sample."""
    return amounts(volume_ul=1000.0, plasma_ul=1000.0, **per_ml)


LABELLED = sample(t_bead=6e6, bead_bound=18e6, lymphocyte=3e6)


def station(frequency_hz: float = RESONANCE_HZ, seed: int = 1, content: FloatArray = LABELLED) -> SorterStation:
    """The camera over a chip that sorts."""
    view = SorterStation(seed, SETTINGS, driven(frequency_hz, 5.3))
    view.adopt(600.0, ChipRun(content, *SORT))
    return view


class StationCamera:
    """The station as the phase's camera; time is that of the exposures."""

    name, dropped = "sorter_camera", 0

    def __init__(self, view: SorterStation) -> None:
        self.view, self.now_s = view, 600.0

    async def set_capture(self, on: bool, fluorescence: bool = False) -> None:
        self.view.set_capture(on, self.now_s)

    async def next_frame(self, timeout_s: float) -> Frame:
        self.now_s = self.view.next_frame_s()
        frame = self.view.frame(self.now_s)
        return Frame(frame.stamp_s, frame.bright_field)


class Context:
    """What the phase needs of its context, on the camera's time."""

    def __init__(self, camera: StationCamera) -> None:
        self.camera, self.results = camera, {}

    def now_s(self) -> float:
        return self.camera.now_s

    async def sleep(self, seconds: float) -> None:
        self.camera.now_s += seconds

    async def pause_point(self) -> None:
        return None

    def feedback(self, progress: float, step: str) -> None:
        assert 0.0 <= progress <= 1.0

    def measured(self, name: str, value: float, unit: str, *interval: float) -> None:
        self.results[name] = value


def verify(view: SorterStation, cells_wanted: int = 400, timeout_s: float = 60.0) -> Mapping[str, Any]:
    camera = StationCamera(view)
    instruments = build(SITE, {}, {"microscope": camera, "sorter_camera": camera})
    goal = SimpleNamespace(cells_wanted=cells_wanted, timeout_s=timeout_s, centre_band_um=0.0)
    return asyncio.run(verify_focusing(goal, instruments, Context(camera)))  # type: ignore[arg-type]


def flowing_to_the_centre(view: SorterStation, kinds: range, instants: int = 400) -> float:
    """Share of the cells of some kinds that flow in the centre band, from the positions themselves."""
    centre = every = 0.0
    for k in range(instants):
        cells = view.cells(600.0 + 0.1 * k)
        chosen = np.isin(cells.kind, list(kinds))
        speed = cells.speed_px_s[chosen]
        inside = np.abs(cells.y_px[chosen] - MIDDLE_PX) <= HALF_BAND_PX
        centre, every = centre + float(speed[inside].sum()), every + float(speed.sum())
    return centre / every


@pytest.mark.parametrize("detuning_hz", [0.0, 5_000.0, 10_000.0])
def test_cells_in_the_picture_go_where_the_chip_sorts_them(detuning_hz: float) -> None:
    view = station(RESONANCE_HZ + detuning_hz)
    buffer_ul = 1000.0 * SORT[1] / SORT[0]
    centre = view.chip.split(LABELLED, amounts(volume_ul=buffer_ul, buffer_ul=buffer_ul), *SORT, 600.0)
    for name, kinds in (("t_bead", BEADED), ("lymphocyte", RESTING)):
        share = float(centre[INDEX[name]] / LABELLED[INDEX[name]])
        assert flowing_to_the_centre(view, kinds) == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("detuning_hz", [0.0, 10_000.0])
def test_what_is_reported_is_what_flows_to_the_centre(detuning_hz: float) -> None:
    everything = range(BEADED.stop)
    held = 0
    for seed in range(8):
        view = station(RESONANCE_HZ + detuning_hz, seed)
        result = verify(view)
        truth = flowing_to_the_centre(view, everything, instants=300)
        assert result["cells"] >= 400
        assert result["centre_fraction"] == pytest.approx(truth, abs=0.09)
        held += result["centre_fraction_low"] <= truth <= result["centre_fraction_high"]
    # 95 % intervals; of 8, fewer than 6 hold the truth once in 200.
    assert held >= 6


def test_a_sorter_off_its_resonance_shows_at_once() -> None:
    tuned, detuned = verify(station()), verify(station(RESONANCE_HZ + 10_000.0))
    assert detuned["centre_fraction_high"] < tuned["centre_fraction_low"]
    assert detuned["focus_spread_um"] > tuned["focus_spread_um"]
    assert sum(tuned["position_counts"]) == tuned["cells"]


def test_nothing_is_said_of_an_empty_channel() -> None:
    view = SorterStation(1, SETTINGS, driven(RESONANCE_HZ, 5.3))
    with pytest.raises(PhaseError, match="start the sort") as caught:
        verify(view, timeout_s=60.0)
    assert caught.value.code == VisionCode.TOO_FEW


def test_cells_that_stand_still_pass_for_dirt_and_are_refused() -> None:
    view = station()
    view.adopt(600.0, None)
    with pytest.raises(PhaseError, match="0 cells flowed"):
        verify(view)


@pytest.mark.parametrize("content", [LABELLED, sample(t_free=6e6, lymphocyte=3e6)], ids=["labelled", "resting"])
@pytest.mark.parametrize("defocus_um", [0.0, 10.0, 40.0, 120.0])
def test_a_soft_picture_says_nothing_about_the_sort(content: FloatArray, defocus_um: float) -> None:
    view = station(content=content)
    view.set_faults(CameraFaults(defocus_um=defocus_um), 600.0)
    if defocus_um <= 10.0:
        result = verify(view, cells_wanted=100)
        assert result["focus"] >= LEAST_FOCUS
        assert result["centre_cells"] + result["side_cells"] == result["cells"]
        return
    with pytest.raises(PhaseHold, match="focus the sorter's camera") as caught:
        verify(view, cells_wanted=100)
    assert caught.value.alarm_id == "vision_qc.sorter_out_of_focus"


def test_a_picture_so_soft_that_cells_are_lost_is_called_soft_and_not_empty() -> None:
    """A thin sample far out of focus: 23 cells in a minute would have been blamed on the sort."""
    view = station(content=sample(t_bead=1e6, bead_bound=3e6, lymphocyte=5e5))
    view.set_faults(CameraFaults(defocus_um=80.0), 600.0)
    with pytest.raises(PhaseHold, match="times as wide as their outlines"):
        verify(view, timeout_s=60.0)


def test_a_sorters_camera_set_to_another_size_is_the_cameras_fault() -> None:
    camera = StationCamera(station())
    site = replace(SITE, sorter_camera=replace(SETTINGS, height_px=SETTINGS.height_px + 8))
    instruments = build(site, {}, {"microscope": camera, "sorter_camera": camera})
    goal = SimpleNamespace(cells_wanted=100, timeout_s=60.0, centre_band_um=0.0)
    with pytest.raises(InstrumentError, match="size"):
        asyncio.run(verify_focusing(goal, instruments, Context(camera)))  # type: ignore[arg-type]


def test_cells_that_stop_are_counted_once() -> None:
    view = station()
    flashes = [view.frame(600.0 + 0.1 * k).bright_field for k in range(20)]
    view.adopt(602.0, None)
    stopped = [view.frame(602.1 + 0.1 * k).bright_field for k in range(5)]
    instruments = build(SITE, {}, {"microscope": None, "sorter_camera": None})
    estimator = FocusingEstimator(instruments.sorter_settings, SETTINGS.centre_band_um)
    estimator.prime(flashes[:9])
    for flash in flashes:
        estimator.add(flash)
    assert estimator.still_frames == 0
    estimator.add(stopped[0])
    counted = estimator.cells
    for flash in stopped[1:]:
        estimator.add(flash)
    assert (estimator.still_frames, estimator.cells) == (4, counted)


def test_a_flash_is_the_same_whoever_asked_for_others_before() -> None:
    often, once = station(), station()
    for k in range(7):
        often.frame(600.1 + 0.1 * k)
    assert np.array_equal(often.frame(601.0).bright_field, once.frame(601.0).bright_field)


def test_the_module_looks_at_a_real_sort() -> None:
    """Service, phases, drivers, firmware and plant together: the camera sees the sort that runs beside it."""

    async def both() -> Mapping[str, Any]:
        bench = Workbench()
        bench.plant.ledger.put("sorter_inlet", 20.0 * LABELLED)
        sorter, vision = await bench.service("acoustic_sorter"), await bench.service("vision_qc")
        tuned = await sorter.run("TuneTransducer", {}, HEADER, "a" * 32)
        assert (await sorter.command(ServiceCommand.RESET, "test", "")).accepted
        goal = {
            "source": "sorter_inlet", "buffer": "buffer", "destination": "sorted", "waste": "sorter_waste",
            "target": "bead_bound_t_cell", "frequency_hz": tuned.result["channel_resonance_hz"],
        }
        sort = asyncio.ensure_future(sorter.run("SortCells", goal, HEADER, "b" * 32))
        seen = await vision.run("VerifyFocusing", {}, HEADER, "c" * 32)
        assert not sort.done(), sort.result()
        sort.cancel()
        assert seen.status == "succeeded", seen.error_msg
        return seen.result

    seen = run_virtual(both())
    assert seen["cells"] >= 300
    # Two thirds of these cells carry beads; four fifths of those are focused.
    assert seen["centre_fraction_low"] <= 0.67 * 0.83 + 0.05
    assert seen["centre_fraction_high"] >= 0.67 * 0.83 - 0.05


def test_every_retune_of_a_sort_is_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """The room grows warmer by 3 K in a sort: the sound follows, and the record tells from where to where and why."""

    async def sorted_in_a_warming_room() -> tuple[list[Mapping[str, Any]], float]:
        bench = Workbench()
        bench.plant.ledger.put("sorter_inlet", 20.0 * LABELLED)
        sorter = await bench.service("acoustic_sorter")
        tuned = await sorter.run("TuneTransducer", {}, HEADER, "a" * 32)
        assert (await sorter.command(ServiceCommand.RESET, "test", "")).accepted
        goal = {
            "source": "sorter_inlet", "buffer": "buffer", "destination": "sorted", "waste": "sorter_waste",
            "target": "bead_bound_t_cell", "frequency_hz": tuned.result["channel_resonance_hz"],
        }
        began_s = bench.clock.now_s()
        sort = asyncio.ensure_future(sorter.run("SortCells", goal, HEADER, "b" * 32))
        await bench.clock.sleep_until(began_s + 600.0)
        monkeypatch.setattr(chip, "AMBIENT_C", chip.AMBIENT_C + 3.0)
        await bench.clock.sleep_until(began_s + 2040.0)
        truth_hz = bench.plant.truth()["chip"]["channel_resonance_hz"]
        done = await sort
        assert done.status == "succeeded", done.error_msg
        retunes = [data for kind, _, data in bench.events if kind == "retuned"]
        assert retunes[0]["old_hz"] == tuned.result["channel_resonance_hz"]
        assert done.result["frequency_hz"] == pytest.approx(retunes[-1]["new_hz"], abs=1.0)
        return retunes, truth_hz

    (warmed, drifted), truth_hz = run_virtual(sorted_in_a_warming_room())
    assert 180.0 <= warmed["after_s"] < 240.0 < 1980.0 <= drifted["after_s"] < 2040.0
    assert drifted["old_hz"] == warmed["new_hz"]
    # 3.5 kHz a kelvin; the fit is good to some hundred hertz.
    assert drifted["new_hz"] - drifted["old_hz"] == pytest.approx(3.0 * 3_500.0, abs=1_500.0)
    assert drifted["new_hz"] == pytest.approx(truth_hz, abs=1_000.0)
