# SPDX-License-Identifier: Apache-2.0
"""The microscope shows the sample that is in the imaging cell."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mimedi_nodes.modules.vision_qc.instruments import build
from mimedi_nodes.vision.statistics.population import PopulationEstimator
from mimedi_nodes.vision.tracking.tracker import CellTracker
from mimedi_sim.plant.camera_station import CameraFrame
from mimedi_sim.plant.imaging import stains
from mimedi_sim.plant.ledger import amounts

from .plant_bench import SITE, Bench


def diluted(bench: Bench, blood_ul: float) -> None:
    bench.transfer("apheresis", "sorter_inlet", blood_ul)
    bench.transfer("buffer", "sorter_inlet", 20_000.0)
    bench.mix("sorter_inlet")


def sample(bench: Bench) -> None:
    bench.transfer("sorter_inlet", "imaging_cell", 500.0, flow_ul_min=4_000.0)


def captured(bench: Bench, count: int) -> list[CameraFrame]:
    bench.plant.set_capture("microscope", True, bench.now_s)
    frames = []
    for _ in range(count):
        bench.now_s = bench.plant.next_frame_s()
        frames.append(bench.plant.frame("microscope", bench.now_s))
    bench.plant.set_capture("microscope", False, bench.now_s)
    return frames


def test_frames_lie_on_the_grid_of_the_frame_rate() -> None:
    bench = Bench()
    assert bench.plant.next_frame_s() == math.inf
    frames = captured(bench, 3)
    rate = SITE.microscope.frame_rate_hz
    assert [f.index for f in frames] == list(range(frames[0].index, frames[0].index + 3))
    assert [f.stamp_s for f in frames] == [f.index / rate for f in frames]
    assert frames[0].bright_field.shape == (SITE.microscope.height_px, SITE.microscope.width_px)
    assert frames[0].bright_field.dtype == np.uint8
    assert bench.plant.next_frame_s() == math.inf


def test_the_count_in_view_is_the_concentration_of_the_sample() -> None:
    bench = Bench()
    diluted(bench, 2_000.0)
    sample(bench)
    held = bench.amounts("imaging_cell")
    nucleated = sum(held[name] for name in ("t_free", "lymphocyte", "monocyte", "dead"))
    per_ml = nucleated / (held["volume_ul"] * 1e-3)
    station = bench.plant.views.microscope
    row = bench.plant.ledger.row("imaging_cell")
    counts = [len(station.truth(bench.now_s + 4.0 * k, row).id) for k in range(150)]
    volume_ml = station.field(row).channel.view_volume_ml
    expected = per_ml * volume_ml
    assert np.mean(counts) == pytest.approx(expected, rel=3.5 / math.sqrt(150 * expected) + 0.02)


def test_a_new_sample_pushes_the_old_one_out() -> None:
    bench = Bench()
    diluted(bench, 5_000.0)
    sample(bench)
    first = bench.amounts("imaging_cell")["t_free"]
    sample(bench)
    again = bench.amounts("imaging_cell")
    assert again["volume_ul"] == pytest.approx(500.0, rel=0.02)
    assert again["t_free"] == pytest.approx(first, rel=0.05)
    assert bench.volume_ul("waste") == pytest.approx(500.0, rel=0.02)


def test_cells_make_dark_shapes_and_an_empty_cell_none() -> None:
    bench = Bench()
    empty = captured(bench, 1)[0].bright_field.astype(float)
    diluted(bench, 20_000.0)
    sample(bench)
    full = captured(bench, 1)[0].bright_field.astype(float)
    inside = slice(20, 100)
    assert np.abs(full - empty)[inside].max() > 8.0 * np.abs(np.diff(empty[inside], axis=1)).std()


def test_the_colours_of_a_frame_tell_transgene_and_other_cells_and_cost_nothing_unasked() -> None:
    """Vision's classes and viability of a look with both lamps on, against what is in the sample."""
    bench = Bench()
    sample_of = amounts(
        volume_ul=500.0, t_act_neg=0.9e6, t_act_pos=0.6e6, car_expressed=0.6e6, monocyte=0.3e6, dead=0.4e6,
    )
    bench.plant.ledger.put("imaging_cell", sample_of)
    assert all(frame.fluorescence is None for frame in captured(bench, 2))
    bench.plant.set_fluorescence("microscope", True)
    frames = captured(bench, 130)
    settings = build(SITE, {}, {"microscope": None, "sorter_camera": None}).calibrated_settings(0.0)
    tracker, population = CellTracker(settings), PopulationEstimator(settings)
    tracker.prime([frame.bright_field for frame in frames[:9]])
    for frame in frames:
        assert frame.fluorescence is not None
        population.add(tracker.process(frame.bright_field, frame.stamp_s, frame.dye, frame.fluorescence))
    found = population.summary()
    assert found.cells_counted > 300
    none, transgene, other = found.class_shares
    living = 1.8e6 / 2.2e6
    for share, true in ((transgene, living / 3.0), (other, living / 6.0), (none, 1.0 - living / 2.0)):
        assert share.low - 0.02 < true < share.high + 0.02
    assert found.viability == pytest.approx(living, abs=0.05)


def test_a_cell_keeps_its_stain_and_a_frame_its_pixels() -> None:
    bench = Bench()
    bench.plant.ledger.put("imaging_cell", amounts(volume_ul=500.0, t_act_pos=1e6, car_expressed=0.5e6, t_act_neg=1e6))
    bench.plant.set_fluorescence("microscope", True)
    station, row = bench.plant.views.microscope, bench.plant.ledger.row("imaging_cell")
    seen: dict[int, int] = {}
    for k in range(40):
        cells = station.field(row).at(100.0 + 0.02 * k)
        for cell, stain in zip(cells.id.tolist(), stains(cells, row).tolist(), strict=True):
            assert seen.setdefault(cell, stain) == stain
    assert np.mean([stain == 1 for stain in seen.values()]) == pytest.approx(0.25, abs=0.08)
    one, other = (station.frame(100.0, row).fluorescence for _ in range(2))
    assert one is not None
    assert other is not None
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert one[0].dtype == np.uint8
    assert one[0].shape == (SITE.microscope.height_px, SITE.microscope.width_px)
