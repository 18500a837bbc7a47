# SPDX-License-Identifier: Apache-2.0
"""The pieces of vision by themselves: shapes, flow, focusing, picture."""

from __future__ import annotations

import math

import numpy as np
import pytest
from vision_blobs import settings

from mimedi_nodes.vision.camera.frame import FrameTracks, TrackedCell
from mimedi_nodes.vision.camera.settings import VisionInputError, VisionSettings
from mimedi_nodes.vision.detection.shape import equivalent_diameter_px, hull_shape, outer_contour
from mimedi_nodes.vision.recordings.annotate import annotate
from mimedi_nodes.vision.statistics.focusing import FocusingEstimator, focusing, speed_across
from mimedi_nodes.vision.tracking.flow import FlowProfile


def test_hull_of_a_rectangle_is_exact() -> None:
    mask = np.zeros((20, 30), bool)
    mask[5:12, 4:21] = True
    shape = hull_shape(outer_contour(mask))
    assert shape.area_px2 == 16 * 6
    assert shape.deformation == pytest.approx(1.0 - 2.0 * math.sqrt(math.pi * 96.0) / 44.0)
    contour = outer_contour(mask)
    assert equivalent_diameter_px(16 * 6, len(contour)) == pytest.approx(2.0 * math.sqrt(7 * 17 / math.pi))
    assert len(outer_contour(np.zeros((5, 5), bool))) == 0


@pytest.mark.parametrize("power", [2.0, 4.0])
@pytest.mark.parametrize("top", [1200.0, 9000.0, -4000.0])
def test_flow_profile_is_found_and_learnt(power: float, top: float) -> None:
    rng = np.random.default_rng(3)
    flow = FlowProfile(8.0, 119.0, 300.0)

    def true(y: np.ndarray) -> np.ndarray:
        return top * (1.0 - np.abs(flow.eta(y)) ** power)

    y = rng.uniform(18, 109, 25)
    x = rng.uniform(0, 512, 25)
    for _ in range(6):
        moved = x + true(y) / 300.0
        flow.vote(x, y, moved + rng.normal(0, 0.2, 25), y, 1.0 / 300.0)
        x = moved % 512
    assert flow.known
    for _ in range(150):
        y = rng.uniform(18, 109, 20)
        flow.learn(y, true(y) + rng.normal(0, 60.0, 20))
    rows = np.linspace(20, 107, 30)
    assert np.abs(flow.speed(rows) - true(rows)).max() < 0.06 * abs(top)


def test_a_flow_that_finds_nobody_is_dropped() -> None:
    flow = FlowProfile(8.0, 119.0, 300.0)
    y = np.linspace(20, 100, 12)
    for _ in range(3):
        flow.vote(np.linspace(10, 400, 12), y, np.linspace(10, 400, 12) + 8.0, y, 1 / 300.0)
    assert flow.known
    for _ in range(30):
        flow.judge(0, 8)
    assert not flow.known


def sorter() -> VisionSettings:
    return VisionSettings(0.65, 20.0, 20.0 + 375.0 / 0.65, 150.0, 50.0)


def test_focusing_of_a_normal_stream() -> None:
    rng = np.random.default_rng(1)
    middle = 20.0 + 375.0 / 0.65 / 2.0
    seen = focusing(middle + rng.normal(10.0, 20.0, 4000) / 0.65, sorter(), centre_band_um=120.0)
    # Near the middle all cells are equally fast.
    assert seen.spread_um == pytest.approx(20.0, rel=0.05)
    assert seen.offset_um == pytest.approx(10.0, abs=1.5)
    assert seen.centre_fraction.low < seen.centre_fraction.value < seen.centre_fraction.high
    assert seen.centre_fraction.value > 0.99
    assert seen.histogram_counts.sum() == 4000


def test_cells_count_with_the_speed_of_the_liquid() -> None:
    rng = np.random.default_rng(2)
    wall = 375.0 / 0.65
    rows = np.linspace(20.0, 20.0 + wall, 20_001)
    # The band of 135 um takes 45.6 % of the flow (PHYSICS §12), and so of cells spread evenly over the section.
    assert focusing(rows, sorter(), centre_band_um=135.0).centre_fraction.value == pytest.approx(0.4557, abs=2e-4)
    covered = 0
    for _ in range(400):
        centre = focusing(rng.uniform(20.0, 20.0 + wall, 300), sorter(), centre_band_um=135.0).centre_fraction
        covered += centre.low <= 0.4557 <= centre.high
    assert 0.92 <= covered / 400 <= 0.98


def test_speed_across_a_flat_channel_is_the_parabola_of_its_depth() -> None:
    flat = speed_across(np.array([0.0, 900.0, -900.0, 1000.0]), 2000.0, 20.0)
    assert flat[1] == pytest.approx(flat[0], rel=1e-6)  # walls reach as far as the depth only
    assert flat[2] == flat[1]
    assert flat[3] == 0.0
    deep = speed_across(np.array([0.0, 50.0]), 200.0, 20_000.0)
    assert deep[1] / deep[0] == pytest.approx(1.0 - 0.25, rel=0.01)  # 1 - (2 y / w)²


def test_focusing_refuses_a_channel_that_is_cut_off() -> None:
    with pytest.raises(VisionInputError, match="sorter image height"):
        FocusingEstimator(sorter(), 135.0).add(np.full((128, 512), 120, np.uint8))
    with pytest.raises(VisionInputError, match="centre_band_um"):
        focusing(np.zeros(3), sorter(), centre_band_um=400.0)
    assert math.isnan(FocusingEstimator(sorter(), 135.0).result().centre_fraction.value)


def test_annotation_draws_cells_in_their_colours() -> None:
    def cell(track: int, x: float, dead: bool | None, confirmed: bool = True) -> TrackedCell:
        return TrackedCell(track, x, 60.0, 900.0, 0.0, 10.0, 0.0, 80.0, 1.0, 1.0, 0.8, 1.0, dead, 0, False, confirmed)

    image = np.full((128, 512), 120, np.uint8)
    frame = FrameTracks(0.0, 0, [cell(1, 100.0, False), cell(2, 200.0, True), cell(3, 300.0, None, False)], 512, 128)
    picture = annotate(image, frame, settings().um_per_px)
    assert picture.shape == (128, 512, 3)
    assert picture.dtype == np.uint8
    ring = 10.0 / 2.0 / settings().um_per_px
    alive, dead = picture[60 - round(ring), 100].astype(int), picture[60 - round(ring), 200].astype(int)
    assert alive[1] > alive[2] + 50
    assert dead[2] > dead[1] + 50
    assert (picture[40:80, 280:320] == 120).all()
    assert annotate(image.astype(np.uint16) * 16, frame).dtype == np.uint8
    with pytest.raises(VisionInputError):
        annotate(image.astype(float), frame)
